// Numbers that say how good matches are, as the field computes them.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "ucn/geometry/two_view.h"

namespace cairn::ucn {

/// Mean matching accuracy (K. Mikolajczyk and C. Schmid, PAMI 2005, as D2-Net counts it): the share
/// of matches whose end lies within 1, 2, ..., 10 px of where the homography takes their start; 0
/// of no matches.
std::array<double, 10> matching_accuracy(std::span<const PointPair> matches,
                                         const Homography& truth);

/// The mean distance, px of image 1, between where two homographies take the corners (0, 0), (w,
/// 0), (0, h), (w, h) of image 0 (SuperPoint, CVPRW 2018); infinity if either sends one to
/// infinity.
double corner_error(const Homography& estimate, const Homography& truth, double width,
                    double height);

/// The larger of the angles between rotations and between translations, whose sign does not count,
/// in degrees (SuperGlue, CVPR 2020).
double pose_error(const RelativePose& estimate, const RelativePose& truth);

/// The area under the share of errors up to t, for t in [0, threshold], over threshold, by
/// trapezoids (SuperGlue). Errors may be infinite.
double area_under_curve(std::vector<double> errors, double threshold);

/// The interval that holds the middle 95 % of a statistic over `samples` resamplings (with
/// replacement) of items 0..n-1 (B. Efron, 1979). Deterministic.
std::array<double, 2> bootstrap(int64_t n, int64_t samples,
                                const std::function<double(std::span<const int64_t>)>& statistic);

}  // namespace cairn::ucn
