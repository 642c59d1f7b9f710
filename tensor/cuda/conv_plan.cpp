#include "tensor/cuda/conv_plan.h"

namespace cairn::cuda {
namespace {

using Four = std::array<int64_t, 4>;

/// The extents a x h x w x c of a dense tensor, and its strides, in the order a, c, h, w.
ConvTensor dense(int64_t uid, DType type, const Shape& s, bool is_virtual = false) {
  return {uid, type, Four{s[0], s[3], s[1], s[2]}, Four{s[1] * s[2] * s[3], 1, s[2] * s[3], s[3]},
          is_virtual};
}

Shape shape_of(const ConvProblem& p, ConvUid uid) {
  const auto& c = p.extents;
  if (uid == uid_x) return {c.n, c.h, c.w, c.i};
  if (uid == uid_w) return {c.o, c.kh, c.kw, c.i};
  return c.y();
}

ConvUid result_of(ConvKind kind) {
  return kind == ConvKind::forward ? uid_y : kind == ConvKind::data_grad ? uid_x : uid_w;
}

}  // namespace

ConvProblem::Key ConvProblem::key() const {
  const auto& [n, h, w, i, o, kh, kw, oh, ow] = extents;
  const auto& [stride, padding, dilation] = geometry;
  return {int64_t(kind),
          int64_t(type),
          int64_t(math),
          n,
          h,
          w,
          i,
          o,
          kh,
          kw,
          oh,
          ow,
          stride[0],
          stride[1],
          padding[0],
          padding[1],
          dilation[0],
          dilation[1],
          bias,
          residual,
          relu,
          deterministic};
}

std::string ConvProblem::text() const {
  static constexpr const char* names[] = {"conv2d", "conv2d_data_grad", "conv2d_weight_grad"};
  const auto pair = [](const std::array<int64_t, 2>& v) { return cat(v[0], "x", v[1]); };
  return cat(names[size_t(kind)], " ", type,
             type == DType::f32 && math == Math::tf32 ? "/tf32" : "", ", x ",
             shape_of(*this, uid_x), ", w ", shape_of(*this, uid_w), ", y ", extents.y(),
             ", stride ", pair(geometry.stride), ", padding ", pair(geometry.padding),
             ", dilation ", pair(geometry.dilation), bias ? ", bias" : "",
             residual ? ", residual" : "", relu ? ", relu" : "");
}

const ConvTensor& ConvGraph::tensor(int64_t uid) const {
  for (const auto& t : tensors)
    if (t.uid == uid) return t;
  throw Error(ErrorId::argument, "cudnn", cat("the graph has no tensor ", uid));
}

ConvGraph describe(const ConvProblem& p) {
  require(p.type == DType::f32 || p.type == DType::bf16, ErrorId::dtype, "cudnn",
          "computes in f32 or bf16, not in ", p.type);
  require(!p.fused() || p.kind != ConvKind::weight_grad, ErrorId::argument, "cudnn",
          "nothing is added to the gradient of a weight");
  const auto& c = p.extents;
  for (int64_t extent : {c.n, c.h, c.w, c.i, c.o, c.kh, c.kw, c.oh, c.ow})
    require(extent > 0, ErrorId::shape, "cudnn", "there is nothing to compute: ", p.text());

  const ConvUid result = result_of(p.kind);
  const Shape shape = shape_of(p, result);
  ConvGraph graph{{}, {}, result};
  for (ConvUid uid : {uid_x, uid_w, uid_y})
    graph.tensors.push_back(dense(uid, p.type, shape_of(p, uid)));
  graph.operations.push_back({ConvOperation::convolution, result == uid_x ? uid_y : uid_x,
                              result == uid_w ? uid_y : uid_w,
                              p.fused() ? int64_t(uid_sum) : int64_t(result)});
  if (!p.fused()) return graph;

  // What passes between the operations is f32, so that it is rounded once.
  graph.tensors.push_back(dense(uid_sum, DType::f32, shape, true));
  int64_t value = uid_sum;
  const auto add = [&](ConvTensor operand, ConvUid sum, bool last) {
    graph.tensors.push_back(operand);
    if (!last) graph.tensors.push_back(dense(sum, DType::f32, shape, true));
    const int64_t to = last ? int64_t(result) : int64_t(sum);
    graph.operations.push_back({ConvOperation::add, value, operand.uid, to});
    value = to;
  };
  // The residual first: in this order cuDNN has engines that need not be compiled at run time.
  if (p.residual) add(dense(uid_residual, p.type, shape), uid_added, !p.bias && !p.relu);
  if (p.bias) add(dense(uid_bias, p.type, {1, 1, 1, shape[3]}), uid_biased, !p.relu);
  if (p.relu) graph.operations.push_back({ConvOperation::relu, value, 0, result});
  return graph;
}

std::string refusal(const EngineNotes& notes, const ConvProblem& p) {
  if (p.deterministic && notes.nondeterministic) return "not deterministic";
  if (notes.reduced_sum) return "sums in less than f32";
  // To less than TF32, that is: float16 loses small gradients.
  if (p.type == DType::f32 && notes.down_convert) return "rounds its operands";
  if (p.type != DType::f32 || p.math != Math::fp32) return "";
  // Winograd and Fourier transforms sum in f32 too, but lose several bits on the way.
  if (notes.tensor_core) return "on tensor cores";
  if (notes.winograd) return "by Winograd's transform";
  if (notes.fft) return "by Fourier transform";
  return "";
}

std::optional<size_t> choose(const std::vector<Candidate>& candidates, const ConvProblem& problem,
                             std::string& why, int64_t cap) {
  for (size_t i = 0; i < candidates.size(); ++i) {
    std::string reason = refusal(candidates[i].notes, problem);
    if (reason.empty()) {
      try {
        const int64_t workspace = candidates[i].build();
        if (workspace <= cap) return i;
        reason = cat("needs a workspace of ", workspace, " bytes, the limit is ", cap);
      } catch (const Error& e) {
        reason = e.what();
      }
    }
    why += cat(why.empty() ? "" : "; ", "engine ", i, ": ", reason);
  }
  return std::nullopt;
}

}  // namespace cairn::cuda
