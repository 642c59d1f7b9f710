#include "ucn/photo.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tensor/kernels/elementwise/elementwise.h"

namespace cairn::ucn {

Photo as_photo(const Image& image, int64_t channels, const PhotoOptions& o) {
  Photo p;
  p.original = image;
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

Photo read_photo(const std::string& path, int64_t channels, const PhotoOptions& o) {
  Image image = read_image(path, {.respect_exif = o.respect_exif && o.orientation == 0});
  if (o.orientation > 1) image = oriented(image.pixels, o.orientation);
  return as_photo(image, channels, o);
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

std::vector<Tile> tiles_of(int64_t height, int64_t width, int64_t side, int64_t margin) {
  require(side >= 8 && margin >= 0, ErrorId::argument, "tiles", "a side of ", side,
          " px and a margin of ", margin);
  struct Span {
    int64_t begin, extent, first, last;  // with margin; core
  };
  const auto cut = [&](int64_t n) {
    const int64_t count = std::max<int64_t>(1, (n + side - 1) / side);
    const int64_t core = (n + count - 1) / count, around = (margin + 7) / 8 * 8;
    int64_t extent = (core + 7) / 8 * 8 + 8 + 2 * around;  // 8: begins are rounded down
    extent += ((n - extent) % 8 + 8) % 8;  // so that the last one begins at a multiple of 8 too
    std::vector<Span> spans;
    if (count == 1 || extent >= n) return std::vector<Span>{{0, n, 0, n}};
    for (int64_t k = 0; k < count; ++k) {
      const int64_t first = k * core, last = std::min(n, first + core);
      const int64_t begin = std::clamp<int64_t>((first - around) / 8 * 8, 0, n - extent);
      spans.push_back({begin, extent, first, last});
    }
    return spans;
  };
  std::vector<Tile> tiles;
  for (const Span& y : cut(height))
    for (const Span& x : cut(width))
      tiles.push_back({x.begin, y.begin, x.extent, y.extent, x.first, y.first, x.last, y.last});
  return tiles;
}

void FeatureExtractor::in_tiles(
    const Tensor& pixels, int64_t side,
    const std::function<void(const Tensor& features, const Tile& tile)>& use) {
  const int64_t h = pixels.dim(0), w = pixels.dim(1), c = pixels.dim(2);
  const double scale = std::min(1.0, std::sqrt(4e5 / double(h * w)));
  const auto reduced = [&](int64_t n) {
    return std::max<int64_t>(1, std::llround(scale * double(n)));
  };
  // Plans and records hold the statistics that they were made with.
  struct Frozen {
    FeatureExtractor& extract;
    Frozen(FeatureExtractor& e, const Tensor& image) : extract(e) {
      extract.network_.freeze_statistics(image);
      forget();
    }
    ~Frozen() {
      extract.network_.thaw_statistics();
      forget();
    }
    void forget() {
      extract.plan_.reset();
      extract.sizes_.clear();
    }
  };
  std::optional<Frozen> frozen;
  if (network_.config().image_statistics)
    frozen.emplace(*this,
                   input_of(resize_area(pixels, reduced(h), reduced(w)).to(network_.device())));
  for (const Tile& tile : tiles_of(h, w, side)) {
    Tensor part = Tensor::empty({tile.height, tile.width, c}, DType::u8);
    for (int64_t y = 0; y < tile.height; ++y)
      std::memcpy(part.data<uint8_t>() + y * tile.width * c,
                  pixels.data<uint8_t>() + ((tile.y + y) * w + tile.x) * c, size_t(tile.width * c));
    use((*this)(part), tile);
  }
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
