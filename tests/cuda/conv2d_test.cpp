// Convolution on the GPU: the own kernels against the reference, and the libraries against them.
#include "tensor/kernels/conv2d/conv2d.h"

#include "tensor/cuda/cublaslt.h"
#include "tensor/cuda/cudnn.h"
#include "tests/cuda/gpu.h"
#include "tests/tensor/conv2d_cases.h"

using namespace cairn;
using kernels::Epilogue;

namespace {

double tolerance_of(DType type) { return type == DType::f32 ? 1e-5 : 1e-13; }

/// The forward pass and both gradients on the GPU, against the reference.
void check_case(const Case& c, DType type, double most) {
  CAPTURE(c);
  CAPTURE(type);
  const Tensor x = normal(c.x, type, 1), w = normal(c.w, type, 2), dy = normal(c.y(), type, 3);
  CHECK(difference(on_gpu([&](auto... t) { return kernels::conv2d(t..., c.g); }, x, w),
                   kernels::reference::conv2d(x, w, c.g), true) <= most);
  CHECK(difference(
            on_gpu([&](auto... t) { return kernels::conv2d_data_grad(t..., c.g, c.x); }, dy, w),
            kernels::reference::conv2d_data_grad(dy, w, c.g, c.x), true) <= most);
  CHECK(difference(
            on_gpu([&](auto... t) { return kernels::conv2d_weight_grad(t..., c.g, c.w); }, x, dy),
            kernels::reference::conv2d_weight_grad(x, dy, c.g, c.w), true) <= most);
}

}  // namespace

TEST_CASE("gpu convolution: the own kernels agree with the reference, forward and both gradients") {
  const OwnKernels own;
  const auto all = cases();
  for (size_t i = 0; i < all.size(); ++i)  // all in f32, every third in f64
    for (DType type : {DType::f32, DType::f64})
      if (type == DType::f32 || i % 3 == 0) check_case(all[i], type, tolerance_of(type));
}

TEST_CASE("gpu convolution: with the libraries too, where they are") {
  if (!cuda::cudnn_status().starts_with("cuDNN 9")) return;
  for (const Case& c : cases()) check_case(c, DType::f32, tolerance_of(DType::f32));
}

TEST_CASE("gpu libraries: where they are, they do what they are for") {
  const auto used = [](const auto& start) {  // not: declined, and the own kernel gave the result
    const Tensor a = there(normal({64, 64}, DType::f32, 1)),
                 b = there(normal({64, 64}, DType::f32, 2));
    Tensor c = Tensor::empty({64, 64}, DType::f32, Device::cuda);
    return start(c.device_raw(), a.device_raw(), b.device_raw());
  };
  if (cuda::cublaslt_status().starts_with("cuBLASLt "))
    for (int transposed = 0; transposed < 4; ++transposed)
      CHECK(used([&](void* c, const void* a, const void* b) {
        return cuda::multiply({.m = 64,
                               .n = 64,
                               .k = 64,
                               .transpose_a = bool(transposed & 1),
                               .transpose_b = bool(transposed & 2)},
                              c, a, b);
      }));
  if (cuda::cudnn_status().starts_with("cuDNN 9"))
    for (auto kind :
         {cuda::ConvKind::forward, cuda::ConvKind::data_grad, cuda::ConvKind::weight_grad})
      CHECK(used([&](void* c, const void* a, const void* b) {
        cuda::ConvProblem p;
        p.kind = kind;
        p.extents = {1, 8, 8, 4, 4, 3, 3, 8, 8};
        p.geometry = {{1, 1}, {1, 1}, {1, 1}};
        return cuda::convolve(p, c, a, b);
      }));
}

TEST_CASE("gpu convolution: bias, then residual, then ReLU; a NaN passes the ReLU") {
  const Conv2dGeometry g{{1, 1}, {1, 1}, {1, 1}};
  for (int64_t outputs : {1, 20, 65}) {
    const Tensor x = normal({2, 5, 9, 4}, DType::f32, 1),
                 w = normal({outputs, 3, 3, 4}, DType::f32, 2);
    const Tensor bias = normal({outputs}, DType::f32, 3),
                 residual = normal({2, 5, 9, outputs}, DType::f32, 4);
    for (int parts = 0; parts < 8; ++parts) {
      CAPTURE(parts);
      const Epilogue e{parts & 1 ? bias : Tensor(), parts & 2 ? residual : Tensor(),
                       bool(parts & 4)};
      const Epilogue e_there{there(e.bias), there(e.residual), e.relu};
      CHECK(difference(here(kernels::conv2d(there(x), there(w), g, e_there)),
                       kernels::reference::conv2d(x, w, g, e), true) <= 1e-5);
    }
  }
  const Tensor nan = there(Tensor::full({1, 1, 1, 1}, NAN)),
               one = there(Tensor::full({3, 1, 1, 1}, 1));
  for (double v : here(kernels::conv2d(nan, one, {}, {{}, {}, true})).to_vector())
    CHECK(std::isnan(v));
}

TEST_CASE("gpu convolution in bf16: rounded once at the end, the weight's gradient in f32") {
  const Conv2dGeometry g{{2, 2}, {1, 1}, {1, 1}};
  const auto rounded = [](const Tensor& t) { return t.to(DType::bf16).to(DType::f32); };
  const Tensor x = rounded(normal({2, 9, 11, 8}, DType::f32, 1)),
               w = rounded(normal({12, 3, 3, 8}, DType::f32, 2)),
               dy = rounded(normal({2, 5, 6, 12}, DType::f32, 3));
  const auto bf16 = [](const Tensor& t) { return there(t.to(DType::bf16)); };
  const auto back = [](const Tensor& t) { return here(t).to(DType::f32); };
  using namespace kernels;
  CHECK(difference(back(conv2d(bf16(x), bf16(w), g)), conv2d(x, w, g), true) <= 0x1p-8);
  CHECK(difference(back(conv2d_data_grad(bf16(dy), bf16(w), g, x.shape())),
                   conv2d_data_grad(dy, w, g, x.shape()), true) <= 0x1p-8);
  const Tensor dw = conv2d_weight_grad(bf16(x), bf16(dy), g, w.shape());
  CHECK(dw.dtype() == DType::f32);
  CHECK(difference(back(dw), conv2d_weight_grad(x, dy, g, w.shape()), true) <= 0x1p-8);
}
