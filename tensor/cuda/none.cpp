// A build without CUDA: everything says so. No tensor can be on a GPU then, so the kernels below
// are never reached; they are here to be linked.
#include "tensor/cuda/cublaslt.h"
#include "tensor/cuda/cudnn.h"
#include "tensor/cuda/runtime.h"
#include "tensor/error.h"
#include "tensor/kernels/batch_norm/batch_norm.h"
#include "tensor/kernels/bilinear/bilinear.h"
#include "tensor/kernels/conv2d/check.h"
#include "tensor/kernels/convert/cuda.h"
#include "tensor/kernels/elementwise/ops.h"
#include "tensor/kernels/gemm/gemm.h"
#include "tensor/kernels/l2_normalize/l2_normalize.h"
#include "tensor/kernels/layout/blocks.h"
#include "tensor/kernels/margin_mean/margin_mean.h"
#include "tensor/kernels/nearest/nearest.h"
#include "tensor/kernels/optimizer/optimizer.h"
#include "tensor/kernels/pixels/pixels.h"
#include "tensor/kernels/reduce/passes.h"
#include "tensor/kernels/rows/rows.h"
#include "tensor/kernels/softmax/softmax.h"

namespace cairn::cuda {
namespace {

[[noreturn]] void absent() { throw Error(ErrorId::device, "cuda", unavailable()); }

}  // namespace

const std::string& unavailable() {
  static const std::string reason =
      "this program was built without CUDA, so there is no GPU to use. Hint: make CUDA=1";
  return reason;
}
void select_device(int) { absent(); }
std::string device_name() { return "none"; }
std::string build_description() { return "built without CUDA"; }
const std::string& cudnn_status() { return unavailable(); }
const std::string& cublaslt_status() { return unavailable(); }
void* system_allocate(int64_t) { absent(); }
void system_free(void*) noexcept {}
void* pinned_allocate(int64_t) { absent(); }
void pinned_free(void*) noexcept {}
void copy_to_device(void*, const void*, int64_t) { absent(); }
void copy_to_host(void*, const void*, int64_t) { absent(); }
void copy_on_device(void*, const void*, int64_t) { absent(); }
void fill_bytes(void*, uint8_t, int64_t) { absent(); }
Mark mark_work() { absent(); }
Mark mark_copies() { absent(); }
void work_waits(const Mark&) { absent(); }
void copies_wait(const Mark&) { absent(); }
void host_waits(const Mark&) { absent(); }
void copy_beside(void*, const void*, int64_t) { absent(); }
std::shared_ptr<void> record(const std::function<void()>&) { absent(); }
void start_recorded(const std::shared_ptr<void>&) { absent(); }
void synchronize() { absent(); }

}  // namespace cairn::cuda

namespace cairn::kernels::cuda {

using cairn::cuda::absent;
using T = Tensor;
using C = const Tensor&;
using Shared = std::span<const Tensor>;

void convert(C, T&) { absent(); }
void fill(double, T&) { absent(); }
void binary(ElementOp, const Walk&, C, C, T&) { absent(); }
void unary(ElementOp, C, C, double, double, T&) { absent(); }
void axpy(double, C, T&) { absent(); }
int64_t first_not_finite(C) { absent(); }
T softmax(C) { absent(); }
T softmax_backward(C, C) { absent(); }
T log_softmax(C) { absent(); }
T log_softmax_backward(C, C) { absent(); }
T l2_normalize(C, double) { absent(); }
T l2_normalize_backward(C, C, double) { absent(); }
T gather_rows(C, C) { absent(); }
T scatter_add_rows(C, C, int64_t) { absent(); }
T row_distance2(C, C) { absent(); }
T row_distance2_backward(C, C, C) { absent(); }
T bilinear_sample(C, C) { absent(); }
T bilinear_sample_backward(C, C, const Shape&) { absent(); }
BatchMoments batch_moments(C, double) { absent(); }
T inverse_deviation(C, double) { absent(); }
void update_running_(T&, T&, const BatchMoments&, double, double) { absent(); }
FoldedNorm fold_batch_norm(C, C, C, C, C, double, DType) { absent(); }
T batch_norm(C, C, C, C, C, C, bool) { absent(); }
BatchNormGrads batch_norm_backward(C, C, C, C, C, C, bool, bool, bool) { absent(); }
Nearest nearest(C, C) { absent(); }
T matmul(C, C, bool, bool) { absent(); }
T conv2d(C, C, const Conv2dGeometry&, const Epilogue&, const Conv2dExtents&) { absent(); }
T conv2d_data_grad(C, C, const Conv2dGeometry&, const Conv2dExtents&) { absent(); }
T conv2d_weight_grad(C, C, const Conv2dGeometry&, const Conv2dExtents&) { absent(); }
T sum_middle(C, int64_t, int64_t, int64_t) { absent(); }
T square_sum(Shared) { absent(); }
void copy_block(const BlockCopy&, C, int64_t, T&, int64_t) { absent(); }
void gather_strided(C, T&, std::span<const int64_t>) { absent(); }
MarginMean margin_mean(C, C, const Margin&) { absent(); }
MarginMeanGrads margin_mean_backward(C, C, C, C, const Margin&) { absent(); }
void sgd_(std::span<UpdateItem>, const SgdRule&, C) { absent(); }
void adam_(std::span<UpdateItem>, const AdamRule&, C) { absent(); }
T far_pixels(C, C, int64_t, int64_t, double) { absent(); }
T moved_pixels(C, C, int64_t, int64_t) { absent(); }

}  // namespace cairn::kernels::cuda
