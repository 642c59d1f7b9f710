#include "ucn/photo.h"

#include <algorithm>
#include <cmath>

#include "tensor/kernels/elementwise/elementwise.h"

namespace cairn::ucn {

Photo read_photo(const std::string& path, int64_t channels, const PhotoOptions& o) {
  Photo p;
  p.original = read_image(path, {.respect_exif = o.respect_exif});
  const Tensor& full = p.original.pixels;
  double scale = o.scale;
  const double longest = double(std::max(full.dim(0), full.dim(1)));
  if (o.max_size > 0) scale = std::min(scale, double(o.max_size) / longest);
  const auto extent = [&](int axis) {
    return std::max<int64_t>(1, std::llround(scale * double(full.dim(axis))));
  };
  p.pixels = resize_area(channels == 1 ? to_gray(full) : to_rgb(full), extent(0), extent(1));
  return p;
}

std::array<double, 2> Photo::to_stored(double x, double y) const {
  return original.to_stored((x + 0.5) * double(original.width()) / double(pixels.dim(1)) - 0.5,
                            (y + 0.5) * double(original.height()) / double(pixels.dim(0)) - 0.5);
}

Tensor extract_features(ResUNet& network, const Tensor& pixels) {
  NoGrad no_grad;
  network.eval();
  const Tensor input = kernels::affine(pixels.to(DType::f32), 1.0 / 255, -0.5);
  const Tensor f = network(input.reshape({1, pixels.dim(0), pixels.dim(1), pixels.dim(2)})).value();
  require(kernels::first_not_finite(f) < 0, ErrorId::nan, "features",
          "some are NaN or infinite: the weights are damaged, or come from a failed training");
  return f.reshape({f.dim(1), f.dim(2), f.dim(3)});
}

}  // namespace cairn::ucn
