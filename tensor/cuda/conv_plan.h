// A convolution as cuDNN wants it told: tensors, operations, and which engines may run it. Nothing
// in here calls CUDA or cuDNN; cudnn.h does.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tensor/cuda/runtime.h"
#include "tensor/kernels/conv2d/check.h"

namespace cairn::cuda {

/// Which of a convolution's three tensors is computed from the other two.
enum class ConvKind : uint8_t { forward, data_grad, weight_grad };

/// A call, but for its pointers. `bias`, `residual` and `relu` say what is done to the result
/// before it is written, residual first; only to y (forward) or dx (data_grad).
struct ConvProblem {
  ConvKind kind = ConvKind::forward;
  DType type = DType::f32;  ///< of all tensors: f32 or bf16
  Math math = Math::fp32;
  kernels::Conv2dExtents extents{};
  kernels::Conv2dGeometry geometry;
  bool bias = false, residual = false, relu = false;
  bool deterministic = true;  ///< equal bits from run to run

  bool fused() const { return bias || residual || relu; }
  /// Equal keys, equal plans.
  using Key = std::array<int64_t, 22>;
  Key key() const;
  /// For errors: "conv2d 1x480x640x32 * 32x3x3x32 stride 1x1 ... bf16 + bias + relu".
  std::string text() const;
};

/// A tensor of a ConvGraph. Extents and strides, in elements, are in cuDNN's order N, C, H, W (for
/// weights O, I, KH, KW), whatever the order in memory.
struct ConvTensor {
  int64_t uid;  ///< a ConvUid
  DType type;
  std::array<int64_t, 4> dims, strides;
  bool is_virtual;  ///< passed from operation to operation, never in memory
};
enum ConvUid : int64_t {
  uid_x = 1,     ///< x or dx
  uid_w,         ///< w or dw
  uid_y,         ///< y or dy
  uid_bias,      ///< a value per channel
  uid_residual,  ///< of the result's shape
  uid_sum,       ///< virtual: the convolution before its epilogue
  uid_biased,    ///< virtual: with bias
  uid_added,     ///< virtual: with residual
};

/// result = operation(a, b); relu has no b. A convolution's operands are its x, w, y.
struct ConvOperation {
  enum Kind : uint8_t { convolution, add, relu } kind;
  int64_t a, b, result;
};

struct ConvGraph {
  std::vector<ConvTensor> tensors;
  std::vector<ConvOperation> operations;  ///< operations[0] is the convolution
  int64_t result;                         ///< what the last operation writes

  const ConvTensor& tensor(int64_t uid) const;
};

/// Throws ErrorId::argument for what cuDNN is never asked: no pixels or channels, an epilogue of a
/// weight gradient, another element type.
ConvGraph describe(const ConvProblem& problem);

/// What cuDNN says of an engine's arithmetic.
struct EngineNotes {
  bool tensor_core = false, down_convert = false, reduced_sum = false, nondeterministic = false;
  bool winograd = false, fft = false;
};

/// Why an engine with these notes must not run the problem; empty if it may.
std::string refusal(const EngineNotes& notes, const ConvProblem& problem);

/// The largest workspace of any call.
inline constexpr int64_t workspace_cap = int64_t(1) << 30;

/// An engine as choose() sees it. build() makes it ready and gives its workspace in bytes, or
/// throws an Error.
struct Candidate {
  EngineNotes notes;
  std::function<int64_t()> build;
};

/// The first of the candidates, which come best first, that the problem allows, that can be built
/// and that needs at most `cap` bytes. If there is none, `why`, one line, says what each lacked.
std::optional<size_t> choose(const std::vector<Candidate>& candidates, const ConvProblem& problem,
                             std::string& why, int64_t cap = workspace_cap);

}  // namespace cairn::cuda
