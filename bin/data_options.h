// The flags that say what training pairs are made of.
#pragma once

#include "bin/program.h"
#include "ucn/train_options.h"

namespace cairn {

inline void add_source_options(CLI::App& app, ucn::TrainOptions& t) {
  app.add_option("--images", t.images, "folder of photos (searched with its subfolders)")
      ->type_name("DIR");
  app.add_option("--colmap", t.colmap, "a COLMAP reconstruction's folder; may come again")
      ->type_name("MODEL")
      ->allow_extra_args(false);
  app.add_option("--photos", t.photos, "its photos; as often as --colmap")
      ->type_name("DIR")
      ->allow_extra_args(false);
  app.add_option("--depths", t.depths, "their depth maps, if known; as often (- : none)")
      ->type_name("DIR")
      ->allow_extra_args(false);
  app.add_option("--yfcc-raw,--data-dir-raw", t.yfcc_raw, "YFCC100M in OANet's layout")
      ->type_name("DIR");
  app.add_option("--yfcc-pairs,--data-dir-processed", t.yfcc_pairs, "what prepare yfcc made of it")
      ->type_name("DIR");
}

inline void add_pair_options(CLI::App& app, ucn::TrainOptions& t) {
  app.add_option("--mix", t.mix, "shares of the sources, like homography:0.5,colmap:0.5");
  app.add_option("--min-shared", t.min_shared, "points that photos of a pair must share (colmap)");
  app.add_option("--angle", t.angle, "degrees between their lines of sight (colmap)");
  app.add_option("--obj-num-kp", t.obj_num_kp, "SIFT keypoints of a photo (yfcc)");
  app.add_option("--yfcc-ratio", t.yfcc_ratio,
                 "of distances, above which no match is kept; 1: all");
  app.add_option("--inlier-threshold-pixel", t.inlier_threshold_pixel,
                 "epipolar residual of a match, at depth 1 (yfcc)");
  app.add_option("--limit-cache", t.limit_cache, "MB of decoded photos that are kept");
  app.add_option("--crop", t.crop, "views are CROP x CROP pixels");
  app.add_option("--correspondences", t.correspondences, "drawn in each pair");
  app.add_option("--difficulty", t.difficulty, "of the warps; 0: none");
  app.add_option("--rotation", t.rotation,
                 "between two warps, degrees, times the difficulty; 180: any");
  app.add_option("--bend", t.bend, "of the warps beyond homographies, below 1: thin-plate splines");
  app.add_option("--photometric", t.photometric, "strength of changes of light, blur, noise");
}

}  // namespace cairn
