// What a differentiable operation is, and how it meets the tape.
#pragma once

#include <concepts>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "autograd/var.h"
#include "tensor/kernels/conv2d/conv2d.h"

namespace cairn {

using Inputs = std::span<const Tensor>;
/// One gradient for each input, in order; an undefined one means "none". It may have the shape the
/// input was broadcast to: the engine sums it back.
using Grads = std::vector<Tensor>;

/// What forward() leaves for backward(). Nothing is kept when no tape is being built.
class Saved {
 public:
  Saved(std::vector<bool> needs, std::vector<Shape> shapes)
      : needs_(std::move(needs)), shapes_(std::move(shapes)) {}

  template <class... T>
  void keep(const T&... tensors) {
    if (recording()) (tensors_.push_back(tensors), ...);
  }
  const Tensor& operator[](size_t i) const { return tensors_.at(i); }
  /// Whether the gradient of input i is wanted; a backward() may skip the others.
  bool needs(size_t input) const { return needs_.at(input); }
  const Shape& shape(size_t input) const { return shapes_.at(input); }
  size_t inputs() const { return shapes_.size(); }
  bool recording() const;
  int64_t bytes() const;
  void clear() { tensors_.clear(); }

 private:
  std::vector<Tensor> tensors_;
  std::vector<bool> needs_;
  std::vector<Shape> shapes_;
};

/// A way to call an op for its tests and benchmarks: differentiable inputs drawn uniformly from
/// [lo, hi], none closer than 0.05 to a kink (where the op is not differentiable).
struct Sample {
  struct Input {
    Shape shape;
    double lo = -1, hi = 1;
    std::vector<double> kinks = {};
  };
  std::string label;
  std::vector<Input> inputs;
  std::function<Var(const std::vector<Var>&)> run;
};
using Samples = std::vector<Sample>;

/// What a plan (nn/plan.h) needs to know of an op, to run it in its own way.
struct PlannedOp {
  enum Kind { conv2d, conv_transpose2d, batch_norm, relu, concat, crop, l2_normalize } kind;
  Shape result;
  kernels::Conv2dGeometry geometry = {};
  bool bias = false, residual = false, relu_after = false;  ///< further inputs, and how it ends
  double eps = 0;
  Tensor running_mean = {}, running_var = {};  ///< of a norm; undefined: the input's own
};

/// While one lives on this thread, operations are not run: trace() is told of each, and what it
/// gives stands for the result. Throws ErrorId::graph for an op that has no planned().
class Tracer {
 public:
  Tracer();
  virtual ~Tracer();
  Tracer(const Tracer&) = delete;
  virtual Tensor trace(const char* op, const std::string& layer, const PlannedOp& planned,
                       Inputs inputs) = 0;

 private:
  Tracer* before_;
};

/// An op is a small value whose members are its parameters. It has no meaning without samples: from
/// them its gradient check, thread-count check, anomaly check and benchmark are derived.
template <class T>
concept Op = requires(const T op, Saved& saved, const Saved& kept, Inputs x, const Tensor& dy) {
  { T::name } -> std::convertible_to<const char*>;
  { op.forward(saved, x) } -> std::same_as<Tensor>;
  { op.backward(kept, dy) } -> std::same_as<Grads>;
  { T::samples() } -> std::same_as<Samples>;
};

/// The engine's view of an op.
struct AnyOp {
  virtual ~AnyOp() = default;
  virtual const char* name() const = 0;
  virtual Tensor forward(Saved& saved, Inputs x) const = 0;
  virtual Grads backward(const Saved& saved, const Tensor& dy) const = 0;
  virtual PlannedOp planned(Inputs x) const = 0;
};

Var apply(std::unique_ptr<AnyOp> op, std::span<const Var> inputs);

/// Runs an op and records it. This is all that a function of Vars has to do.
template <Op O>
Var apply(O op, std::span<const Var> inputs) {
  struct Erased final : AnyOp {
    explicit Erased(O o) : op(std::move(o)) {}
    O op;
    const char* name() const override { return O::name; }
    Tensor forward(Saved& s, Inputs x) const override { return op.forward(s, x); }
    Grads backward(const Saved& s, const Tensor& dy) const override { return op.backward(s, dy); }
    PlannedOp planned(Inputs x) const override {
      if constexpr (requires { op.planned(x); })
        return op.planned(x);
      else
        throw Error(ErrorId::graph, O::name, "a plan has no way to run it");
    }
  };
  return apply(std::unique_ptr<AnyOp>(new Erased(std::move(op))), inputs);
}
template <Op O>
Var apply(O op, std::initializer_list<Var> inputs) {
  return apply(std::move(op), std::span<const Var>(inputs.begin(), inputs.size()));
}

/// One row of the list of all ops (autograd/ops.def).
struct OpEntry {
  const char* name;
  Samples (*samples)();
};
std::span<const OpEntry> all_ops();

/// Declares the row of every op in the list, so that one missing from it does not compile.
#define CAIRN_OP(Type) OpEntry op_entry_##Type();
#include "autograd/ops.def"
#undef CAIRN_OP

/// Ends an op's file: hands its samples to the list.
#define CAIRN_REGISTER_OP(Type)          \
  OpEntry op_entry_##Type() {            \
    static_assert(::cairn::Op<Type>);    \
    return {Type::name, &Type::samples}; \
  }

}  // namespace cairn
