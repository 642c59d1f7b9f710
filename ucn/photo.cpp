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

namespace {

/// 1 x H x W x C in [-0.5, 0.5].
Tensor input_of(const Tensor& pixels) {
  return kernels::affine(pixels.to(DType::f32), 1.0 / 255, -0.5)
      .reshape({1, pixels.dim(0), pixels.dim(1), pixels.dim(2)});
}

Tensor without_batch(const Tensor& f) { return f.reshape({f.dim(1), f.dim(2), f.dim(3)}); }

/// `pixels` are where the network is.
Tensor forward(ResUNet& network, const Tensor& pixels) {
  NoGrad no_grad;
  network.eval();
  return without_batch(network(input_of(pixels)).value());
}

Tensor finite(const Tensor& features) {
  require(kernels::first_not_finite(features) < 0, ErrorId::nan, "features",
          "some are NaN or infinite: the weights are damaged, or come from a failed training");
  return features;
}

}  // namespace

Tensor extract_features(ResUNet& network, const Tensor& pixels) {
  if (network.device() == Device::cpu) return FeatureExtractor(network)(pixels);
  return finite(forward(network, pixels.to(network.device())));
}

Tensor FeatureExtractor::run_plan(const Tensor& pixels) {
  const Tensor input = input_of(pixels.to(Device::cpu));
  if (!plan_ || !(plan_shape_ == input.shape())) {
    plan_.reset();  // first, so that two never share the memory
    plan_.emplace(network_, input.shape());
    plan_shape_ = input.shape();
  }
  plan_->record_events(recording_);
  return finite(without_batch((*plan_)(input)));
}

Tensor FeatureExtractor::operator()(const Tensor& pixels) {
  if (network_.device() == Device::cpu) return run_plan(pixels);
  const auto at =
      std::ranges::find(sizes_, pixels.shape(), [](const Recorded& r) { return r.pixels.shape(); });
  if (at == sizes_.end()) {  // the first run of a size finds the libraries' plans
    Tensor own = Tensor::empty(pixels.shape(), pixels.dtype(), Device::cuda);
    own.assign_(pixels);
    if (sizes_.size() == most_sizes) sizes_.pop_back();
    Tensor features;
    try {
      features = forward(network_, own);
    } catch (const Error& e) {  // recorded work holds a network's memory for each size
      if (e.id() != ErrorId::memory || sizes_.empty()) throw;
      sizes_.clear();
      features = forward(network_, own);
    }
    sizes_.insert(sizes_.begin(), {own, {}, nullptr});
    return finite(features);
  }
  std::rotate(sizes_.begin(), at, at + 1);
  Recorded& r = sizes_[0];
  r.pixels.assign_(pixels);
  if (!r.graph)
    r.graph = std::make_unique<Graph>([&] { r.features = forward(network_, r.pixels); });
  r.graph->launch();
  return finite(r.features.clone());
}

}  // namespace cairn::ucn
