// Module: a named tree of parameters and buffers with a forward function.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "autograd/ops.h"
#include "tensor/random.h"

namespace cairn::nn {

/// A parameter or buffer under its full name, such as blocks1.0.conv1.weight.
struct NamedTensor {
  std::string name;
  Tensor tensor;
};
struct NamedParameter {
  std::string name;
  Var var;
};

/// Base of all layers and networks. A subclass registers what it owns in its constructor, in
/// PyTorch's order and under PyTorch's names, which are then the names in weight files.
class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// Runs forward() with this module's name in scope for errors and anomaly mode.
  Var operator()(const Var& x);

  /// Training mode (the default) or evaluation mode, for this module and all below it.
  void train(bool on = true);
  void eval() { train(false); }
  bool training() const { return training_; }

  /// Parameters, depth first in the order of registration.
  std::vector<NamedParameter> parameters() const;
  int64_t parameter_count() const;
  /// Parameters and buffers: what a weight file holds. The tensors share storage with the module's
  /// own, in the layout used here (O x KH x KW x I).
  std::vector<NamedTensor> state() const;
  /// Makes every parameter and buffer of another float type; integers stay, gradients are dropped.
  /// The Vars that parameters() gave remain the module's own, so optimisers may be made before.
  void to(DType type);
  /// Moves every parameter and every buffer of floats to a device (counters stay on the CPU);
  /// gradients are dropped, Vars remain as above.
  void to(Device device);
  Device device() const;  ///< where the first parameter is

  /// Calls f with every module below this one, depth first.
  void for_each(const std::function<void(Module&)>& f);

 protected:
  virtual Var forward(const Var& x) = 0;

  /// Registers a parameter; the Var returned is the module's own.
  Var& parameter(const std::string& name, Tensor value);
  Tensor& buffer(const std::string& name, Tensor value);
  template <class M, class... Args>
  M& child(const std::string& name, Args&&... args) {
    auto owned = std::make_unique<M>(std::forward<Args>(args)...);
    M& m = *owned;
    m.name_ = name;
    children_.push_back(std::move(owned));
    return m;
  }
  const std::string& name() const { return name_; }

 private:
  friend std::string summary(Module& module, const Shape& input);
  template <class F>
  void visit(const std::string& prefix, F&& f) const;
  template <class F>
  void replace_each(F&& f);

  struct Slot {
    std::string name;
    std::unique_ptr<Var> parameter;  // one of the two; behind a pointer so that
    std::unique_ptr<Tensor> buffer;  // references stay valid while more are registered
  };
  std::string name_;
  bool training_ = true;
  std::vector<Slot> slots_;
  std::vector<std::unique_ptr<Module>> children_;
};

/// A line per operation: the layer it is in (blank: the module itself), shape of its result,
/// parameters of the layer (at its first operation), MFLOP (two per multiply-add; convolutions and
/// matrix products are counted), and a line of totals. Runs the network once in evaluation mode, on
/// zeros of the given shape.
std::string summary(Module& module, const Shape& input);

}  // namespace cairn::nn
