// Everything that decides what a training run computes.
#pragma once

#include <string>
#include <vector>

#include "data/homography_pairs.h"
#include "ucn/loss.h"
#include "ucn/weights.h"

namespace cairn::ucn {

struct TrainOptions {
  std::string images;                    ///< folder of photos
  std::vector<std::string> colmap;       ///< folders of reconstructions,
  std::vector<std::string> photos;       ///< of their photos
  std::vector<std::string> depths;       ///< and of their depth maps (- : it has none), or empty
  std::string yfcc_raw, yfcc_pairs;      ///< YFCC100M's folder, and of the pairs made of it
  int64_t obj_num_kp = 2000;             ///< SIFT keypoints of a photo of YFCC100M,
  double yfcc_ratio = 1;                 ///< ratio of distances below which a match is kept; 1: all
  double inlier_threshold_pixel = 0.01;  ///< and epipolar residual, at depth 1: no pixels
  std::string mix;                       ///< homography:0.5,colmap:0.5; empty: equal shares
  int64_t min_shared = 30;               ///< points of two photos that make a pair,
  std::string angle = "5:45";            ///< and degrees between their lines of sight
  double held_out = 0;                   ///< share of the scenes that are not trained on
  int64_t val_max_iter = 16;             ///< pairs of these that a validation looks at
  std::string init;                      ///< weights to begin with; empty: random ones
  std::string teacher;                   ///< weights whose features are learned, for loss = distill
  ResUNetConfig model{.image_statistics = true};
  LossOptions loss{.num_hn_samples = 8192};
  std::string loss_name = "hardest";  ///< hardest, contrastive, infonce, score, distill
  /// Mining the hardest of many pixels from the first step makes all features alike. So the pixels
  /// searched grow, geometrically, from 64 to num_hn_samples over these steps.
  int64_t mining_warmup = 2000;
  int64_t iterations = 10000;
  uint64_t seed = 0;
  int64_t batch = 1;                ///< pairs in one pass of the network
  int64_t iter_size = 1;            ///< passes whose gradients are added before a step
  int64_t crop = 128;               ///< views are crop x crop pixels
  int64_t correspondences = 2048;   ///< drawn in each pair
  double difficulty = 1;            ///< of the warps, see data/geometry/views.h
  double rotation = 45;             ///< largest angle between two warps, degrees
  double bend = 0;                  ///< of the warps, see data/geometry/bend.h
  double photometric = 1;           ///< strength of changes of light, blur, noise, compression
  std::string optimizer = "adamw";  ///< adamw, adam, sgd
  double lr = 1e-3, momentum = 0.8, weight_decay = 1e-4;
  std::string schedule = "cosine";  ///< cosine, exponential, constant
  int64_t warmup = 100;             ///< steps of a rising rate (cosine), at most a tenth of all
  double exp_gamma = 0.99;          ///< per train_max_iter steps (exponential)
  int64_t train_max_iter = 2000;    ///< which the reference calls an epoch
  double clip = 1;                  ///< largest gradient norm; 0: no limit
  double ema = 0;                   ///< share kept of the averaged weights per step; 0: none
  std::string precision = "fp32";   ///< fp32; on a GPU also tf32, bf16 (ucn/precision.h)
  bool recompute = false;           ///< activations: less memory, more time
  bool anomaly = false;             ///< check every value of every step for NaN (slow)

  int64_t checkpoint_every = 500;  ///< the rest decides nothing about the result
  int64_t log_every = 20;
  int64_t val_every = 500;
  int loader_threads = 1;
  int64_t limit_cache = 2000;  ///< MB of decoded photos that are kept
};

/// JSON with one key per setting; reading takes absent keys at their default in `options`
/// and throws ErrorId::format for unknown keys and values of the wrong kind.
std::string to_json(const TrainOptions& options);
TrainOptions train_options_from_json(const std::string& text, const std::string& origin,
                                     TrainOptions options = {});

/// The network that weights of this `metadata` are for, which begin a run; how its norms average is
/// not theirs to say.
void take_network(TrainOptions& options, const Metadata& metadata, const std::string& origin);
/// "reference": Open-UCN's own recipe, whole. Throws ErrorId::usage for an unknown name.
TrainOptions preset(const std::string& name);

/// Throws ErrorId::usage, naming the setting, when one makes no sense.
void check(const TrainOptions& options);

/// The first setting, of those that decide the result, in which two runs differ ("lr: 0.1, not
/// 0.2"); empty if none. The folder of photos may have another name, the number of iterations may
/// grow.
std::string difference(const TrainOptions& before, const TrainOptions& now);

}  // namespace cairn::ucn
