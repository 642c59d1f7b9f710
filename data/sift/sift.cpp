#include "data/sift/sift.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "data/image.h"
#include "data/sift/octaves.h"
#include "tensor/kernels/scale_space/scale_space.h"
#include "tensor/parallel.h"

namespace cairn {
namespace {

double square(double v) { return v * v; }

/// Half of a symmetric Gaussian filter.
std::vector<float> gaussian(double sigma) {
  std::vector<double> half;
  double sum = 0;
  const int radius = int(std::lround(sigma * 8 + 1) | 1) / 2;  // four sigmas
  for (int k = 0; k <= radius; ++k) {
    half.push_back(std::exp(-k * k / (2 * sigma * sigma)));
    sum += (k == 0 ? 1 : 2) * half.back();
  }
  std::vector<float> taps;
  for (double v : half) taps.push_back(float(v / sum));
  return taps;
}

/// H x W x 1 u8 to 2H x 2W f32, linearly.
Tensor doubled(const Tensor& gray) {
  const int64_t h = gray.dim(0), w = gray.dim(1);
  Tensor big = Tensor::empty({2 * h, 2 * w});
  parallel_for(2 * h, 32, [&](int64_t begin, int64_t end) {
    std::vector<float> line(static_cast<size_t>(w));  // interpolated along y
    for (int64_t y = begin; y < end; ++y) {
      const int64_t near = y / 2, far = std::clamp<int64_t>(near + (y % 2 ? 1 : -1), 0, h - 1);
      const uint8_t *a = gray.data<uint8_t>() + near * w, *b = gray.data<uint8_t>() + far * w;
      for (int64_t x = 0; x < w; ++x) line[size_t(x)] = 0.75f * float(a[x]) + 0.25f * float(b[x]);
      float* to = big.data<float>() + y * 2 * w;
      for (int64_t x = 0; x < w; ++x) {
        const float here = 0.75f * line[size_t(x)];
        to[2 * x] = here + 0.25f * line[size_t(std::max<int64_t>(x - 1, 0))];
        to[2 * x + 1] = here + 0.25f * line[size_t(std::min(x + 1, w - 1))];
      }
    }
  });
  return big;
}

/// Every second pixel of every second row.
Tensor halved(const Tensor& image) {
  const int64_t h = image.dim(0) / 2, w = image.dim(1) / 2;
  Tensor small = Tensor::empty({h, w});
  for (int64_t y = 0; y < h; ++y)
    for (int64_t x = 0; x < w; ++x)
      small.data<float>()[y * w + x] = image.data<float>()[2 * y * image.dim(1) + 2 * x];
  return small;
}

void check(const Tensor& gray, const SiftOptions& o) {
  require_image("sift", gray);
  require(gray.dim(2) == 1, ErrorId::shape, "sift", "it takes gray images, not ", gray.shape());
  require(o.octave_layers >= 1 && o.octave_layers <= 100, ErrorId::argument, "sift",
          "octave_layers is ", o.octave_layers);
  require(o.sigma > 1 && o.sigma < 20, ErrorId::argument, "sift", "sigma is ", o.sigma,
          "; it must be above 1");
  require(o.contrast >= 0 && o.edge > 0 && o.max_keypoints >= 0, ErrorId::argument, "sift",
          "contrast is ", o.contrast, ", edge ", o.edge, ", max_keypoints ", o.max_keypoints);
}

auto order(const SiftKeypoint& k) { return std::tuple(-k.response, k.y, k.x, k.size, k.angle); }

void sort_and_choose(std::vector<SiftKeypoint>& all, int64_t most) {
  std::ranges::sort(all, {}, order);
  // Extrema beside each other may have led to the same place.
  const auto same = [](const auto& a, const auto& b) { return order(a) == order(b); };
  all.erase(std::unique(all.begin(), all.end(), same), all.end());
  if (most == 0 || int64_t(all.size()) <= most) return;
  const float last = all[size_t(most - 1)].response;
  std::erase_if(all, [&](const SiftKeypoint& k) { return k.response < last; });
}

/// From the doubled image to the image.
void to_image(std::vector<SiftKeypoint>& keypoints, const SiftOptions& o) {
  const float move = o.opencv_positions ? 0 : 0.25f;
  for (SiftKeypoint& k : keypoints) {
    k.x = k.x / 2 - move;
    k.y = k.y / 2 - move;
    k.size /= 2;
    k.octave -= 1;
  }
}

/// All layers of an octave, from the first.
detail::Octave octave_from(Tensor first, const SiftOptions& o) {
  const auto sigma = [&](int i) { return o.sigma * std::exp2(double(i) / o.octave_layers); };
  detail::Octave octave{{std::move(first)}, {}};
  for (int i = 1; i < o.octave_layers + 3; ++i) {
    Tensor difference;
    octave.layers.push_back(
        kernels::blur(octave.layers.back(),
                      gaussian(std::sqrt(square(sigma(i)) - square(sigma(i - 1)))), &difference));
    octave.differences.push_back(difference);
  }
  return octave;
}

/// Calls use(octave, its keypoints) for one octave after the other.
template <class Use>
void each_octave(const Tensor& gray, const SiftOptions& o, const Use& use) {
  check(gray, o);
  const double shorter = double(2 * std::min(gray.dim(0), gray.dim(1)));
  const int64_t count = std::max(1l, std::lround(std::log2(shorter) - 2) + 1);
  detail::Octave octave = detail::first_octave(gray, o);
  for (int k = 0; octave.layers[0].numel() > 0; ++k) {
    auto keypoints = detail::find_sift_keypoints(octave, k, o);
    octave.differences.clear();
    detail::Octave next;
    if (k + 1 < count) next = detail::next_octave(octave, o);
    use(std::move(octave), std::move(keypoints));
    if (k + 1 == count) return;
    octave = std::move(next);
  }
}

}  // namespace

namespace detail {

Octave first_octave(const Tensor& gray, const SiftOptions& o) {
  // A photo is taken to be blurred by half a pixel already, which doubling makes one.
  const double more = std::sqrt(std::max(square(o.sigma) - 1, 0.01));
  return octave_from(kernels::blur(doubled(gray), gaussian(more)), o);
}

Octave next_octave(const Octave& before, const SiftOptions& o) {
  return octave_from(halved(before.layers[size_t(o.octave_layers)]), o);
}

}  // namespace detail

std::vector<SiftKeypoint> sift_keypoints(const Tensor& gray, const SiftOptions& options) {
  std::vector<SiftKeypoint> all;
  each_octave(gray, options, [&](const detail::Octave&, const std::vector<SiftKeypoint>& found) {
    all.insert(all.end(), found.begin(), found.end());
  });
  sort_and_choose(all, options.max_keypoints);
  to_image(all, options);
  return all;
}

SiftFeatures sift(const Tensor& gray, const SiftOptions& options) {
  std::vector<detail::Octave> octaves;
  SiftFeatures all;
  each_octave(gray, options, [&](detail::Octave octave, const std::vector<SiftKeypoint>& found) {
    octaves.push_back(std::move(octave));
    all.keypoints.insert(all.keypoints.end(), found.begin(), found.end());
  });
  sort_and_choose(all.keypoints, options.max_keypoints);
  all.descriptors = detail::describe_sift_keypoints(octaves, all.keypoints, options);
  to_image(all.keypoints, options);
  return all;
}

}  // namespace cairn
