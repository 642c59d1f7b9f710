#include "tensor/cuda/cublaslt.h"

#include <cublasLt.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "tensor/cuda/conv_plan.h"
#include "tensor/cuda/library.h"
#include "tensor/cuda/plan_cache.h"
#include "tensor/cuda/stream.h"
#include "tensor/tensor.h"

namespace cairn::cuda {
namespace {

/// The functions used, found in the library when it is first needed.
struct Api {
  // Of the runtime's own version: another may need a newer driver.
  Library library{{cat("libcublasLt.so.", CUDART_VERSION / 1000)}};
#define CAIRN_FIND(f) decltype(&::f) f = library.function<decltype(::f)>(#f)
  CAIRN_FIND(cublasLtGetVersion);
  CAIRN_FIND(cublasLtGetStatusString);
  CAIRN_FIND(cublasLtCreate);
  CAIRN_FIND(cublasLtMatrixLayoutCreate);
  CAIRN_FIND(cublasLtMatrixLayoutDestroy);
  CAIRN_FIND(cublasLtMatmulDescCreate);
  CAIRN_FIND(cublasLtMatmulDescDestroy);
  CAIRN_FIND(cublasLtMatmulDescSetAttribute);
  CAIRN_FIND(cublasLtMatmulPreferenceCreate);
  CAIRN_FIND(cublasLtMatmulPreferenceDestroy);
  CAIRN_FIND(cublasLtMatmulPreferenceSetAttribute);
  CAIRN_FIND(cublasLtMatmulAlgoGetHeuristic);
  CAIRN_FIND(cublasLtMatmul);
#undef CAIRN_FIND
  std::string status = library.problem();

  Api() {
    if (!library.usable()) return;
    const size_t v = cublasLtGetVersion();
    status = cat("cuBLASLt ", v / 10000, ".", v / 100 % 100, ".", v % 100);
  }
};

const Api& api() {
  static const auto* const functions = new Api;  // never destroyed: plans may be, later
  return *functions;
}

/// For errors: "matmul f32/tf32, 128x64 (stored transposed) * 64x32".
std::string text(const ProductProblem& p) {
  const auto stored = [](bool transposed) { return transposed ? " (stored transposed)" : ""; };
  return cat("matmul ", p.type, p.type == DType::f32 && p.math == Math::tf32 ? "/tf32" : "", ", ",
             p.m, "x", p.k, stored(p.transpose_a), " * ", p.k, "x", p.n, stored(p.transpose_b));
}

void check(cublasStatus_t code, std::string_view what, const ProductProblem* problem = nullptr) {
  if (code == CUBLAS_STATUS_SUCCESS) return;
  throw Error(ErrorId::device, "cublaslt",
              cat(problem ? text(*problem) + ": " : "", what,
                  " failed: ", api().cublasLtGetStatusString(code)));
}

/// Destroys what a unique_ptr holds by one of the Api's functions.
template <auto function>
struct Destroy {
  template <class T>
  void operator()(T* descriptor) const {
    (api().*function)(descriptor);
  }
};
using Layout =
    std::unique_ptr<cublasLtMatrixLayoutOpaque_t, Destroy<&Api::cublasLtMatrixLayoutDestroy>>;
using Operation =
    std::unique_ptr<cublasLtMatmulDescOpaque_t, Destroy<&Api::cublasLtMatmulDescDestroy>>;
using Preference = std::unique_ptr<cublasLtMatmulPreferenceOpaque_t,
                                   Destroy<&Api::cublasLtMatmulPreferenceDestroy>>;

struct Types {
  cudaDataType_t data, scale;
  cublasComputeType_t compute;
};

std::optional<Types> types_of(const ProductProblem& p) {
  switch (p.type) {
    case DType::f32:
      return Types{CUDA_R_32F, CUDA_R_32F,
                   p.math == Math::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F};
    case DType::f64:
      return Types{CUDA_R_64F, CUDA_R_64F, CUBLAS_COMPUTE_64F};
    case DType::bf16:
      return Types{CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F};
    default:
      return std::nullopt;
  }
}

/// cuBLASLt's matrices are column-major: what it reads in ours is their transposes, and what it is
/// to write is C^T = op(B)^T op(A)^T. So its first operand is B, its second A.
struct Plan {
  Operation operation;
  Layout b, a, c;
  std::optional<cublasLtMatmulAlgo_t> algorithm;  // none: cuBLASLt has no way to do it
  size_t workspace = 0;
};

/// Of a row-major matrix without gaps, as cuBLASLt sees it.
Layout layout(const ProductProblem& p, cudaDataType_t type, int64_t rows, int64_t columns) {
  cublasLtMatrixLayout_t made = nullptr;
  check(api().cublasLtMatrixLayoutCreate(&made, type, uint64_t(columns), uint64_t(rows), columns),
        "describing a matrix", &p);
  return Layout(made);
}

Operation operation(const ProductProblem& p, const Types& types) {
  cublasLtMatmulDesc_t made = nullptr;
  check(api().cublasLtMatmulDescCreate(&made, types.compute, types.scale), "describing the product",
        &p);
  Operation owned(made);
  const auto transpose = [&](cublasLtMatmulDescAttributes_t of, bool transposed) {
    const int32_t value = transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    check(api().cublasLtMatmulDescSetAttribute(made, of, &value, sizeof value),
          "setting a transpose", &p);
  };
  transpose(CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_b);
  transpose(CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_a);
  if (p.bias) {  // along the rows of C^T
    const cublasLtEpilogue_t value = CUBLASLT_EPILOGUE_BIAS;
    check(api().cublasLtMatmulDescSetAttribute(made, CUBLASLT_MATMUL_DESC_EPILOGUE, &value,
                                               sizeof value),
          "asking for a bias", &p);
  }
  return owned;
}

constexpr uint64_t product_workspace_cap = std::min(workspace_cap, int64_t(64) << 20);

/// What an algorithm must keep to.
Preference preference(const ProductProblem& p) {
  cublasLtMatmulPreference_t made = nullptr;
  check(api().cublasLtMatmulPreferenceCreate(&made), "describing the choice", &p);
  Preference owned(made);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t name, auto value) {
    check(api().cublasLtMatmulPreferenceSetAttribute(made, name, &value, sizeof value),
          "setting a preference", &p);
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, product_workspace_cap);
  for (auto name :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    set(name, uint32_t(16));
  // Parts of a sum over k are put into the workspace and added in a step of its own, in a fixed
  // order; in place they would be added to C as they get done, so bits could differ from run to
  // run. Parts of bf16's output type would be rounded to it, but its sums are to be f32.
  uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  if (p.type != DType::bf16) schemes |= CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, schemes);
  return owned;
}

std::shared_ptr<Plan> make_plan(const ProductProblem& p, cublasLtHandle_t handle) {
  auto plan = std::make_shared<Plan>();
  const auto types = types_of(p);
  if (!types || p.m < 1 || p.n < 1 || p.k < 1) return plan;
  plan->operation = operation(p, *types);
  plan->b = layout(p, types->data, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n);
  plan->a = layout(p, types->data, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k);
  plan->c = layout(p, p.sum_type ? types->scale : types->data, p.m, p.n);

  cublasLtMatmulHeuristicResult_t found[8] = {};  // the fastest first
  int count = 0;
  const cublasStatus_t code = api().cublasLtMatmulAlgoGetHeuristic(
      handle, plan->operation.get(), plan->b.get(), plan->a.get(), plan->c.get(), plan->c.get(),
      preference(p).get(), int(std::size(found)), found, &count);
  if (code == CUBLAS_STATUS_NOT_SUPPORTED || code == CUBLAS_STATUS_ARCH_MISMATCH) return plan;
  check(code, "choosing an algorithm", &p);
  for (const auto& f : std::span(found).first(size_t(count)))
    if (f.state == CUBLAS_STATUS_SUCCESS && f.workspaceSize <= product_workspace_cap) {
      plan->algorithm = f.algo;
      plan->workspace = f.workspaceSize;
      break;
    }
  return plan;
}

/// cuBLASLt on the device in use.
struct Lt {
  cublasLtHandle_t handle = nullptr;
  PlanCache<ProductProblem, Plan> plans{512};
  std::mutex mutex;  // NVIDIA advises against threads sharing a handle

  Lt() { check(api().cublasLtCreate(&handle), "starting cuBLASLt"); }
};

/// Throws ErrorId::device when it does not start. Only if the library is usable.
Lt& lt() {
  static auto* const started = new Lt;  // never destroyed: the driver may be gone by then
  return *started;
}

}  // namespace

const std::string& cublaslt_status() { return api().status; }

bool multiply(const ProductProblem& problem, void* c, const void* a, const void* b,
              const void* bias) {
  if (!use_libraries() || !api().library.usable()) return false;
  const cudaStream_t work = stream();  // chooses this thread's device, so it comes first
  Lt& l = lt();
  std::lock_guard lock(l.mutex);
  const auto plan = l.plans.get(problem, [&] { return make_plan(problem, l.handle); });
  if (!plan->algorithm) return false;

  // Given back when this returns: whatever gets it next runs later on the same stream.
  Tensor workspace;
  if (plan->workspace > 0)
    workspace = Tensor::empty({int64_t(plan->workspace)}, DType::u8, Device::cuda);
  // Of the scale type, on the host. C is not read, as beta is 0.
  static constexpr float one = 1, zero = 0;
  static constexpr double one64 = 1, zero64 = 0;
  const bool f64 = problem.type == DType::f64;
  const void* const alpha = f64 ? static_cast<const void*>(&one64) : &one;
  const void* const beta = f64 ? static_cast<const void*>(&zero64) : &zero;
  if (problem.bias)
    check(api().cublasLtMatmulDescSetAttribute(
              plan->operation.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias),
          "naming the bias", &problem);
  check(api().cublasLtMatmul(l.handle, plan->operation.get(), alpha, b, plan->b.get(), a,
                             plan->a.get(), beta, c, plan->c.get(), c, plan->c.get(),
                             &*plan->algorithm, workspace.device_raw(), plan->workspace, work),
        "starting the work", &problem);
  detail::started("cuBLASLt's product");
  return true;
}

}  // namespace cairn::cuda
