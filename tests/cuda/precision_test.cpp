// How exact each precision is: the GPU's results against double on the CPU. The table goes to the
// output (docs/measurements.md keeps it). In the emulation, which has no tensor cores, the test
// rounds TF32's factors.
#include <bit>
#include <cstdio>

#include "tensor/cuda/cudnn.h"
#include "tensor/kernels/batch_norm/batch_norm.h"
#include "tensor/kernels/conv2d/conv2d.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/gemm/gemm.h"
#include "tensor/kernels/l2_normalize/l2_normalize.h"
#include "tests/cuda/gpu.h"
#include "ucn/photo.h"
#include "ucn/precision.h"

using namespace cairn;
using namespace cairn::kernels;

namespace {

struct Way {
  const char* name;
  DType type;
  cairn::cuda::Math math;
  double most;  // error allowed: sums of a few hundred products of rounded factors
};
const Way all_precisions[] = {{"fp32", DType::f32, cairn::cuda::Math::fp32, 2e-6},
                              {"tf32", DType::f32, cairn::cuda::Math::tf32, 4e-3},
                              {"bf16", DType::bf16, cairn::cuda::Math::fp32, 1e-2}};

/// Each element with TF32's 10 bits, to nearest even.
Tensor tf32_factors(const Tensor& t) {
  Tensor y = t.clone();
  for (float& v : y.span<float>()) {
    const auto bits = std::bit_cast<uint32_t>(v);
    v = std::bit_cast<float>((bits + 0xfff + (bits >> 13 & 1)) & ~uint32_t(0x1fff));
  }
  return y;
}

bool has_tensor_cores() { return cairn::cuda::cudnn_status().starts_with("cuDNN 9"); }

/// While it lives, a network's weights have TF32's bits, and so has every image between its layers:
/// what tensor cores would multiply, and a little more (residuals too).
class RoundFactors {
 public:
  RoundFactors(ucn::ResUNet& network, bool on) : on_(on) {
    if (!on_) return;
    for (const auto& s : network.state()) {
      kept_.push_back({s.tensor, here(s.tensor).clone()});
      if (s.tensor.rank() == 4) kept_.back().tensor.assign_(tf32_factors(here(s.tensor)));
    }
    before_ = set_op_observer([](const OpEvent& e) {
      Tensor shared = e.value;  // of the image's storage
      shared.assign_(tf32_factors(here(shared)));
    });
  }
  ~RoundFactors() {
    if (!on_) return;
    set_op_observer(before_);
    for (auto& [tensor, value] : kept_) tensor.assign_(value);
  }
  RoundFactors(const RoundFactors&) = delete;

 private:
  struct Kept {
    Tensor tensor, value;
  };
  bool on_;
  std::vector<Kept> kept_;
  OpObserver before_;
};

/// The error of f, computed on the GPU in the precision, as a share of the largest result; operands
/// are rounded to the precision's type first, on both sides. `products`: f multiplies its operands,
/// which tensor cores would round to TF32; without them it is done here, on one side.
template <class F>
void measure(const char* op, bool products, F f, const auto&... operands) {
  const bool rounds_here = products && !has_tensor_cores();
  for (const Way& p : all_precisions) {
    cairn::cuda::set_math(p.math);
    const auto given = [&](const Tensor& t) { return t.to(p.type); };
    const auto taken = [&](const Tensor& t) {
      return there(rounds_here && p.math == cairn::cuda::Math::tf32 ? tf32_factors(t) : given(t));
    };
    const Tensor exact = f(given(operands).to(DType::f64)...);
    const double error = difference(here(f(taken(operands)...)).to(DType::f64), exact, true);
    std::printf("  %-26s %s %.1e\n", op, p.name, error);
    CAPTURE(op);
    CAPTURE(p.name);
    CHECK(error <= p.most);
  }
  cairn::cuda::set_math(cairn::cuda::Math::fp32);
}

}  // namespace

TEST_CASE("precision of the network's operations against double") {
  std::printf("largest error / largest result, %s:\n", cairn::cuda::device_name().c_str());
  const Conv2dGeometry g{{1, 1}, {1, 1}, {1, 1}};
  const Shape image{1, 12, 16, 32}, weight{32, 3, 3, 32};
  const Tensor x = normal(image, DType::f32, 1), w = normal(weight, DType::f32, 2),
               dy = normal(image, DType::f32, 3), c = normal({32}, DType::f32, 4);
  measure(
      "conv2d", true, [&](auto... t) { return conv2d(t..., g); }, x, w);
  measure(
      "conv2d, data gradient", true, [&](auto... t) { return conv2d_data_grad(t..., g, image); },
      dy, w);
  measure(
      "conv2d, weight gradient", true,
      [&](auto... t) { return conv2d_weight_grad(t..., g, weight); }, x, dy);
  measure(
      "matmul", true, [](auto... t) { return matmul(t...); }, normal({40, 200}, DType::f32, 5),
      normal({200, 50}, DType::f32, 6));
  measure(
      "l2_normalize", false, [](const Tensor& t) { return l2_normalize(t, 1e-8); }, x);
  measure(
      "add", false, [](auto... t) { return add(t...); }, x, dy);
  const auto norm = [&](const Tensor& t) {
    const auto m = batch_moments(t);
    const Tensor params = c.to(t.dtype() == DType::f64 ? DType::f64 : DType::f32).to(t.device());
    return kernels::batch_norm(t, params, params, m.mean, m.invstd, {}, true);
  };
  measure("batch norm + relu", false, norm, x);
}

TEST_CASE("precision of the whole network against double") {
  using namespace ucn;
  Random random(3);
  ResUNet exact({.outputs = 32, .image_statistics = true}, random);
  Random again(3);
  ResUNet gpu({.outputs = 32, .image_statistics = true}, again);
  exact.to(DType::f64);
  gpu.to(Device::cuda);
  exact.eval();
  gpu.eval();
  const Tensor image = normal({1, 24, 32, 1}, DType::f32, 8);
  NoGrad no_grad;
  const Tensor truth = exact(image.to(DType::f64)).value();
  std::printf("distance of ResUNetBN2F's unit features from double's, %s:\n",
              cairn::cuda::device_name().c_str());
  for (const auto& [name, most] :
       {std::pair{"fp32", 1e-4}, std::pair{"tf32", 0.05}, std::pair{"bf16", 0.3}}) {
    set_precision(gpu, precision(name));
    const RoundFactors rounded(gpu, std::string(name) == "tf32" && !has_tensor_cores());
    const Tensor off = sub(here(gpu(there(image)).value()).to(DType::f64), truth);
    double mean = 0, worst = 0;
    for (int64_t row = 0; row < off.numel(); row += 32) {
      double square = 0;
      for (int64_t j = 0; j < 32; ++j) square += std::pow(off.data<double>()[row + j], 2);
      mean += std::sqrt(square) / double(off.numel() / 32);
      worst = std::max(worst, std::sqrt(square));
    }
    std::printf("  %s mean %.1e, largest %.1e\n", name, mean, worst);
    CHECK(mean <= most);
  }
  set_precision(gpu, precision("fp32"));
}
