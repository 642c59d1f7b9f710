// ResUNet2 and its variants: the dense feature network of Open-UCN.
#pragma once

#include <span>
#include <string>

#include "nn/layers.h"

namespace cairn::ucn {

class ScoreHead;

/// Channels of the four levels going down (C) and up (T), and residual blocks per level.
struct ResUNetVariant {
  const char* name;
  int64_t down[4], up[4];
  int depth;
};
std::span<const ResUNetVariant> resunet_variants();
/// Throws ErrorId::argument, listing the names, for an unknown one.
const ResUNetVariant& resunet_variant(const std::string& name);

struct ResUNetConfig {
  std::string model = "ResUNetBN2F";
  int64_t inputs = 1;    ///< 1: gray, 3: colour
  int64_t outputs = 64;  ///< feature channels
  double bn_momentum = 0.05;
  bool normalize = true;  ///< features of unit length
  /// Evaluation normalises by the moments of the image itself, as training on single images does;
  /// false: by the running ones (the reference).
  bool image_statistics = false;
  bool score_head = false;  ///< the features' own judge (ucn/score_head.h) comes with them
};

/// N x H x W x inputs, in [-0.5, 0.5]  ->  N x H x W x outputs, for any H, W >= 1.
class ResUNet : public nn::Module {
 public:
  ResUNet(const ResUNetConfig& config, Random& random);
  const ResUNetConfig& config() const { return config_; }

  /// Null without config().score_head. What forward() gives does not depend on it.
  ScoreHead* score_head() const { return score_head_; }

  /// The type of the images between layers: that of the input, or, when set to bf16 (on the GPU),
  /// that one; features are f32 then, and the input gets no gradient.
  void set_image_type(DType type) { image_type_ = type; }

  /// In training, the tape keeps each level's input and result alone and computes what lies between
  /// once more: a fraction of the memory for a third more time. The tape refers to the network,
  /// which must outlive it.
  void set_recompute(bool on);

  /// With image_statistics: normalise the images that follow by the moments of this one
  /// (1 x H x W x inputs), so that parts of a photo are seen as the whole is, until they are
  /// thawed: then each by its own again. Writes the running moments. Without, both do nothing.
  void freeze_statistics(const Tensor& image);
  void thaw_statistics();

 private:
  class Block;
  /// A convolution down or up to one resolution, its norm and ReLU, and the residual blocks.
  struct Level {
    nn::Module* conv;
    nn::BatchNorm2d* norm;
    nn::Sequential* blocks;
    bool recompute = false;
    Var operator()(const Var& x) const;
    Var run(const Var& x) const;
  };
  template <class Conv>
  Level level(const std::string& suffix, int64_t in, int64_t out, int stride, Random& random);
  Var forward(const Var& x) override;

  ResUNetConfig config_;
  DType image_type_ = DType::f32;
  Level down_[4], up_[3];  // up_[0] leads from 1/8 to 1/4
  nn::Conv2d *conv1_tr_, *final_;
  ScoreHead* score_head_ = nullptr;
};

}  // namespace cairn::ucn
