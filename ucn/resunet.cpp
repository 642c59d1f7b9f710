#include "ucn/resunet.h"

#include "ucn/score_head.h"

namespace cairn::ucn {

std::span<const ResUNetVariant> resunet_variants() {
  static constexpr ResUNetVariant variants[] = {
      // name        C1   C2   C3   C4     T1   T2   T3   T4   depth
      {"ResUNetBN2", {32, 64, 128, 256}, {32, 64, 64, 128}, 1},
      {"ResUNetBN2B", {32, 64, 128, 256}, {64, 64, 64, 64}, 1},
      {"ResUNetBN2C", {32, 64, 128, 256}, {64, 64, 64, 128}, 1},
      {"ResUNetBN2D", {32, 64, 128, 256}, {64, 64, 128, 128}, 1},
      {"ResUNetBN2D2", {32, 64, 128, 256}, {128, 128, 128, 128}, 1},
      {"ResUNetBN2D3", {32, 64, 128, 256}, {128, 128, 192, 192}, 1},
      {"ResUNetBN2E", {128, 128, 128, 256}, {64, 128, 128, 128}, 1},
      {"ResUNetBN2F", {16, 32, 64, 128}, {16, 32, 64, 128}, 1},
      {"ResUNetBN2G", {128, 128, 192, 256}, {128, 128, 192, 256}, 1},
      {"ResUNetBN2G2", {128, 128, 192, 256}, {192, 128, 192, 256}, 1},
      {"ResUNetBN2G3", {128, 128, 192, 256}, {192, 128, 192, 192}, 1},
      {"ResUNetBN2H", {128, 128, 192, 256}, {128, 128, 192, 256}, 2},
      // Ours: half of F's way up, but a last layer of twice its width, which costs next to nothing:
      // 31 channels and a constant make features of 32 independent numbers, not 17.
      {"ResUNetSlim", {16, 32, 64, 128}, {31, 16, 32, 64}, 1},
  };
  return variants;
}

const ResUNetVariant& resunet_variant(const std::string& name) {
  std::string list;
  for (const auto& v : resunet_variants()) {
    if (name == v.name) return v;
    list += (list.empty() ? "" : ", ") + std::string(v.name);
  }
  throw Error(ErrorId::argument, "resunet", cat("no model '", name, "'; there is ", list));
}

namespace {

// 3 x 3 convolutions keep the size (or halve it, rounded up); 1 x 1 ones need no padding.
Conv2dGeometry geometry(const nn::Conv2d*, int64_t stride) {
  return {{stride, stride}, {1, 1}, {1, 1}};
}
Conv2dGeometry geometry(const nn::ConvTranspose2d*, int64_t stride) {
  return {{stride, stride}, {0, 0}, {1, 1}};
}

}  // namespace

/// relu(bn2(conv2(relu(bn1(conv1(x))))) + x)
class ResUNet::Block : public nn::Module {
 public:
  Block(int64_t channels, Random& random)
      : conv1_(child<nn::Conv2d>("conv1", channels, channels, 3, random,
                                 geometry((nn::Conv2d*)nullptr, 1))),
        bn1_(child<nn::BatchNorm2d>("bn1", channels)),
        conv2_(child<nn::Conv2d>("conv2", channels, channels, 3, random,
                                 geometry((nn::Conv2d*)nullptr, 1))),
        bn2_(child<nn::BatchNorm2d>("bn2", channels)) {}

 private:
  Var forward(const Var& x) override {
    const Var y = bn1_.after(conv1_, x, {}, true);
    return bn2_.after(conv2_, y, x, true);
  }
  nn::Conv2d& conv1_;
  nn::BatchNorm2d& bn1_;
  nn::Conv2d& conv2_;
  nn::BatchNorm2d& bn2_;
};

Var ResUNet::Level::operator()(const Var& x) const {
  if (!recompute || !norm->training()) return run(x);
  return recomputed([this](const Var& v) { return run(v); }, x, conv->parameters()[0].var);
}

Var ResUNet::Level::run(const Var& x) const {
  if (auto* down = dynamic_cast<nn::Conv2d*>(conv))
    return (*blocks)(norm->after(*down, x, {}, true));
  return (*blocks)(norm->after(dynamic_cast<nn::ConvTranspose2d&>(*conv), x, true));
}

template <class Conv>
ResUNet::Level ResUNet::level(const std::string& suffix, int64_t in, int64_t out, int stride,
                              Random& random) {
  Level l;
  l.conv = &child<Conv>("conv" + suffix, in, out, 3, random, geometry((Conv*)nullptr, stride));
  l.norm = &child<nn::BatchNorm2d>("norm" + suffix, out, config_.bn_momentum);
  l.blocks = &child<nn::Sequential>("blocks" + suffix);
  for (int i = 0; i < resunet_variant(config_.model).depth; ++i)
    l.blocks->append<Block>(out, random);
  return l;
}

ResUNet::ResUNet(const ResUNetConfig& config, Random& random) : config_(config) {
  require(config.inputs >= 1 && config.outputs >= 1, ErrorId::argument, "resunet", config.inputs,
          " input and ", config.outputs, " output channels");
  const auto& [name, c, t, depth] = resunet_variant(config.model);
  down_[0] = level<nn::Conv2d>("1", config.inputs, c[0], 1, random);
  for (int i = 1; i < 4; ++i)
    down_[i] = level<nn::Conv2d>(std::to_string(i + 1), c[i - 1], c[i], 2, random);
  up_[0] = level<nn::ConvTranspose2d>("4_tr", c[3], t[3], 2, random);
  up_[1] = level<nn::ConvTranspose2d>("3_tr", t[3] + c[2], t[2], 2, random);
  up_[2] = level<nn::ConvTranspose2d>("2_tr", t[2] + c[1], t[1], 2, random);
  conv1_tr_ = &child<nn::Conv2d>("conv1_tr", t[1] + c[0], t[0], 1, random);
  final_ = &child<nn::Conv2d>("final", t[0], config.outputs, 1, random, Conv2dGeometry{}, true);
  if (config.score_head) score_head_ = &child<ScoreHead>("score", config.outputs, random);
  thaw_statistics();
}

void ResUNet::set_recompute(bool on) {
  for (Level& l : down_) l.recompute = on;
  for (Level& l : up_) l.recompute = on;
}

void ResUNet::freeze_statistics(const Tensor& image) {
  if (!config_.image_statistics) return;
  NoGrad no_grad;
  eval();
  for_each([](nn::Module& m) {
    if (auto* norm = dynamic_cast<nn::BatchNorm2d*>(&m)) norm->take_moments = true;
  });
  (*this)(image);
}

void ResUNet::thaw_statistics() {
  for_each([&](nn::Module& m) {
    if (auto* norm = dynamic_cast<nn::BatchNorm2d*>(&m))
      norm->own_moments = config_.image_statistics;
  });
}

Var ResUNet::forward(const Var& x) {
  require(x.value().rank() == 4 && x.dim(3) == config_.inputs && x.value().numel() > 0,
          ErrorId::shape, config_.model, "the input is ", x.shape(), ", but N x H x W x ",
          config_.inputs, " with at least one pixel is expected");
  Var skip[4];
  Var y = image_type_ == DType::bf16 ? Var(x.value().to(DType::bf16)) : x;
  for (int i = 0; i < 4; ++i) y = skip[i] = down_[i](y);
  for (int i = 0; i < 3; ++i) {
    const Var& s = skip[2 - i];
    y = concat({crop(up_[i](y), s.dim(1), s.dim(2)), s});  // the way up makes 2n + 1 rows
  }
  y = (*final_)(relu((*conv1_tr_)(y)));
  require(config_.normalize || y.dtype() != DType::bf16, ErrorId::dtype, config_.model,
          "features that are not normalised have no bf16 way");
  return config_.normalize ? l2_normalize(y, 1e-8) : y;
}

}  // namespace cairn::ucn
