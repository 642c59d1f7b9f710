// Var: a tensor and the way it was made. Reverse-mode automatic differentiation.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "tensor/tensor.h"

namespace cairn {

struct GradInfo;

/// A handle to a value that may take part in differentiation; copying it copies no data. Functions
/// of Vars (autograd/ops.h) record themselves on a tape, held by the Vars they return, whenever an
/// argument requires a gradient and no NoGrad is in scope. A tape belongs to one thread.
class Var {
 public:
  using Hook = std::function<Tensor(const Tensor&)>;

  Var() = default;
  /// A leaf. Implicit, so that a Tensor serves as a constant. Only f32 and f64 can require a
  /// gradient (ErrorId::dtype).
  Var(Tensor value, bool requires_grad = false);

  bool defined() const { return impl_ != nullptr; }
  const Tensor& value() const;
  /// For optimisers and loaders, which change a leaf between two uses. Throws ErrorId::graph on
  /// the result of an operation.
  Tensor& value_();
  const Shape& shape() const { return value().shape(); }
  int64_t dim(int axis) const { return value().dim(axis); }
  DType dtype() const { return value().dtype(); }
  Device device() const { return value().device(); }
  double item() const { return value().item(); }

  bool requires_grad() const;
  /// The accumulated gradient of a leaf; undefined before the first backward().
  const Tensor& grad() const;
  void set_grad(Tensor grad);
  void zero_grad() { set_grad({}); }

  /// Adds d(sum(this * seed))/d(leaf) to the gradient of every leaf that requires one. `seed` has
  /// this shape; it may be left out for a single element (then it is 1). The tape is freed as it
  /// is walked unless `retain`; walking a freed tape throws ErrorId::graph. There is no double
  /// backward: gradients are plain tensors.
  void backward(const Tensor& seed = {}, bool retain = false) const;

  /// Calls `hook` with the complete gradient of this value during backward(); a defined result
  /// replaces it. Throws ErrorId::graph if no gradient is required.
  void on_grad(Hook hook) const;

  /// The same value, cut off from the tape.
  Var detach() const { return Var(value()); }

  const std::shared_ptr<GradInfo>& info() const;

 private:
  friend struct VarAccess;
  struct Impl {
    Tensor value;
    std::shared_ptr<GradInfo> info;  // null: no gradient is required
  };
  std::shared_ptr<Impl> impl_;
};

/// While one lives on this thread, operations build no tape.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  static bool active();

 private:
  bool before_;
};

/// While one lives on this thread, operations build a tape, also inside a backward(), and what is
/// computed has been computed before: side effects, such as running statistics, are left out.
class Recomputing {
 public:
  Recomputing();
  ~Recomputing();
  Recomputing(const Recomputing&) = delete;
  static bool active();

 private:
  bool no_grad_before_, before_;
};

/// While one lives on this thread, every result and every gradient is searched for NaN and
/// infinity; the first one throws ErrorId::nan, naming the op, the layer and the first bad index.
class AnomalyMode {
 public:
  AnomalyMode();
  ~AnomalyMode();
  AnomalyMode(const AnomalyMode&) = delete;
  static bool active();

 private:
  bool before_;
};

/// Names the layer (joined by dots with the enclosing ones) for errors, anomaly mode and observers.
class LayerScope {
 public:
  explicit LayerScope(const std::string& name);
  ~LayerScope();
  LayerScope(const LayerScope&) = delete;
  static const std::string& path();

 private:
  size_t length_before_;
};

/// What an observer is told after each operation on this thread, forward and backward.
struct OpEvent {
  const char* op;
  const std::string& layer;
  bool backward;
  int64_t saved_bytes;             ///< forward: what the tape keeps for this op
  const Tensor& value;             ///< forward: the result; backward: the gradient that arrived
  std::span<const Tensor> inputs;  ///< forward only
};
using OpObserver = std::function<void(const OpEvent&)>;
/// Installs an observer for this thread and returns the one before (may be empty).
OpObserver set_op_observer(OpObserver observer);

}  // namespace cairn
