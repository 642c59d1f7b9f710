// The tape and the walk back along it.
#include <algorithm>
#include <atomic>
#include <queue>
#include <unordered_map>

#include "autograd/op.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/reduce/reduce.h"

namespace cairn {

/// One recorded operation. It holds the inputs' GradInfo, not their values: what the tape keeps
/// alive is exactly what the op saved.
struct Node {
  Node(std::unique_ptr<AnyOp> o, Saved s) : op(std::move(o)), saved(std::move(s)) {}
  ~Node();
  std::unique_ptr<AnyOp> op;
  Saved saved;
  std::vector<std::shared_ptr<GradInfo>> inputs;  // null where no gradient is required
  std::string layer = LayerScope::path();
  bool freed = false;
};

/// The differentiable side of a Var: a leaf has no producer.
struct GradInfo {
  Shape shape;
  Tensor grad;
  std::shared_ptr<Node> producer;
  uint64_t sequence = 0;  // leaves 0; a result's is larger than its inputs'
  std::vector<Var::Hook> hooks;
};

// A chain of a million nodes must not recurse a million deep: whoever dies first takes apart, one
// by one, all that only it kept alive.
Node::~Node() {
  std::vector<std::shared_ptr<GradInfo>> dying;
  const auto take = [&](std::vector<std::shared_ptr<GradInfo>>& from) {
    for (auto& info : from)
      if (info && info->producer) dying.push_back(std::move(info));
    from.clear();
  };
  take(inputs);
  while (!dying.empty()) {
    const std::shared_ptr<GradInfo> info = std::move(dying.back());
    dying.pop_back();
    if (info.use_count() == 1 && info->producer && info->producer.use_count() == 1)
      take(info->producer->inputs);
  }
}

namespace {

thread_local bool no_grad = false;
thread_local bool anomaly = false;
thread_local bool recomputing = false;
thread_local std::string layer_path;
thread_local OpObserver observer;
thread_local Tracer* tracer = nullptr;
std::atomic<uint64_t> next_sequence{1};  // of all threads: a tape may be handed on

std::string in_layer(const std::string& layer) {
  return layer.empty() ? std::string() : " in layer " + layer;
}

/// Turns a row-major index into [1, 0, 3].
std::string position(int64_t index, const Shape& shape) {
  std::string text;
  for (int a = shape.rank() - 1; a >= 0; --a) {
    text = std::to_string(index % shape[a]) + (text.empty() ? "" : ", ") + text;
    index /= shape[a];
  }
  return "[" + text + "]";
}

void require_finite(const Tensor& t, const char* op, const std::string& layer,
                    const std::string& what) {
  const int64_t bad = t.defined() ? kernels::first_not_finite(t) : -1;
  if (bad < 0) return;
  const double value = t.to_vector()[size_t(bad)];
  throw Error(ErrorId::nan, op,
              cat(what, in_layer(layer), " is ", value, " first at ", position(bad, t.shape()),
                  " of ", t.shape()));
}

}  // namespace

bool Saved::recording() const { return std::ranges::find(needs_, true) != needs_.end(); }

int64_t Saved::bytes() const {
  int64_t sum = 0;
  for (const Tensor& t : tensors_) sum += t.nbytes();
  return sum;
}

/// The engine's way into a Var.
struct VarAccess {
  static Var make(Tensor value, std::shared_ptr<GradInfo> info) {
    Var v(std::move(value));
    v.impl_->info = std::move(info);
    return v;
  }
};

Var apply(std::unique_ptr<AnyOp> op, std::span<const Var> inputs) {
  std::vector<Tensor> values;
  std::vector<bool> needs;
  std::vector<Shape> shapes;
  for (const Var& v : inputs) {
    values.push_back(v.value());
    needs.push_back(!no_grad && v.requires_grad());
    shapes.push_back(v.shape());
  }
  if (tracer) return Var(tracer->trace(op->name(), layer_path, op->planned(values), values));
  Saved saved(needs, shapes);
  Tensor y = op->forward(saved, values);
  if (anomaly) require_finite(y, op->name(), layer_path, "the result");
  if (observer) observer({op->name(), layer_path, false, saved.bytes(), y, values});
  if (!saved.recording()) return Var(std::move(y));

  auto node = std::make_shared<Node>(std::move(op), std::move(saved));
  for (size_t i = 0; i < inputs.size(); ++i)
    node->inputs.push_back(needs[i] ? inputs[i].info() : nullptr);
  auto info = std::make_shared<GradInfo>();
  info->shape = y.shape();
  info->producer = std::move(node);
  info->sequence = next_sequence++;
  return VarAccess::make(std::move(y), std::move(info));
}

namespace {

/// Sums the gradients that arrive at one value. The first is only referred to; a second makes a
/// sum of our own, into which later ones are added in place.
struct Pending {
  Tensor sum;
  bool own = false;
  void add(const Tensor& g) {
    if (!sum.defined()) {
      sum = g;
    } else if (!own) {
      sum = kernels::add(sum, g);
      own = true;
    } else {
      kernels::axpy_(sum, 1, g);
    }
  }
};

void walk(const std::shared_ptr<GradInfo>& root, const Tensor& seed, bool retain) {
  NoGrad no_tape;  // hooks may call ops
  const auto earlier = [](const auto& a, const auto& b) { return a->sequence < b->sequence; };
  using Info = std::shared_ptr<GradInfo>;
  std::priority_queue<Info, std::vector<Info>, decltype(earlier)> queue(earlier);
  std::unordered_map<GradInfo*, Pending> pending;
  const auto arrive = [&](const Info& info, const Tensor& grad) {
    auto [it, is_new] = pending.try_emplace(info.get());
    it->second.add(grad);
    if (is_new) queue.push(info);
  };
  arrive(root, seed);
  while (!queue.empty()) {
    const Info info = queue.top();
    queue.pop();
    Tensor grad = std::move(pending.extract(info.get()).mapped().sum);
    const auto hooks = info->hooks;  // which may add others, for the next backward
    for (const auto& hook : hooks)
      if (Tensor replaced = hook(grad); replaced.defined()) {
        require_same_dtype("backward hook", replaced, grad);
        require_same_shape("backward hook", replaced, grad);
        grad = std::move(replaced);
      }
    if (!info->producer) {
      info->grad = info->grad.defined() ? kernels::add(info->grad, grad) : grad;
      continue;
    }
    Node& node = *info->producer;
    require(!node.freed, ErrorId::graph, "backward", "the tape of ", node.op->name(),
            in_layer(node.layer),
            " was freed by an earlier backward(). Hint: pass retain = true to the earlier call");
    const Grads grads = node.op->backward(node.saved, grad);
    if (observer) observer({node.op->name(), node.layer, true, 0, grad, {}});
    require(grads.size() == node.inputs.size(), ErrorId::graph, node.op->name(), "returned ",
            grads.size(), " gradients for ", node.inputs.size(), " inputs");
    for (size_t i = 0; i < grads.size(); ++i) {
      if (!node.inputs[i] || !grads[i].defined()) continue;
      if (anomaly)
        require_finite(grads[i], node.op->name(), node.layer, cat("the gradient of input ", i));
      arrive(node.inputs[i], kernels::sum_to(grads[i], node.inputs[i]->shape));
    }
    if (!retain) {
      node.saved.clear();
      node.freed = true;
    }
  }
}

}  // namespace

Var::Var(Tensor value, bool requires_grad) : impl_(std::make_shared<Impl>()) {
  require(value.defined(), ErrorId::argument, "var", "the tensor is undefined");
  if (requires_grad) {
    require(value.dtype() == DType::f32 || value.dtype() == DType::f64, ErrorId::dtype, "var",
            "only f32 and f64 can require a gradient, not ", value.dtype());
    impl_->info = std::make_shared<GradInfo>();
    impl_->info->shape = value.shape();
  }
  impl_->value = std::move(value);
}

const Tensor& Var::value() const {
  require(defined(), ErrorId::argument, "var", "an undefined Var has no value");
  return impl_->value;
}

Tensor& Var::value_() {
  require(defined(), ErrorId::argument, "var", "an undefined Var has no value");
  require(!impl_->info || !impl_->info->producer, ErrorId::graph, "var",
          "only a leaf's value may change, not the result of an operation");
  return impl_->value;
}

bool Var::requires_grad() const { return impl_ && impl_->info; }
const std::shared_ptr<GradInfo>& Var::info() const {
  require(requires_grad(), ErrorId::graph, "var", "this value requires no gradient");
  return impl_->info;
}
const Tensor& Var::grad() const { return info()->grad; }
void Var::set_grad(Tensor grad) { info()->grad = std::move(grad); }
void Var::on_grad(Hook hook) const { info()->hooks.push_back(std::move(hook)); }

void Var::backward(const Tensor& seed, bool retain) const {
  require(requires_grad(), ErrorId::graph, "backward",
          "nothing here requires a gradient. Hint: was the value made under NoGrad?");
  if (seed.defined()) {
    require_same_shape("backward", seed, value());
    require_same_dtype("backward", seed, value());
    return walk(impl_->info, seed, retain);
  }
  require(value().numel() == 1, ErrorId::shape, "backward", "a result of ", shape(),
          " needs a seed of that shape; only a single element can do without");
  walk(impl_->info, Tensor::full(shape(), 1, dtype(), device()), retain);
}

Tracer::Tracer() : before_(tracer) { tracer = this; }
Tracer::~Tracer() { tracer = before_; }
NoGrad::NoGrad() : before_(no_grad) { no_grad = true; }
NoGrad::~NoGrad() { no_grad = before_; }
bool NoGrad::active() { return no_grad; }
Recomputing::Recomputing() : no_grad_before_(no_grad), before_(recomputing) {
  no_grad = false;
  recomputing = true;
}
Recomputing::~Recomputing() {
  no_grad = no_grad_before_;
  recomputing = before_;
}
bool Recomputing::active() { return recomputing; }
AnomalyMode::AnomalyMode() : before_(anomaly) { anomaly = true; }
AnomalyMode::~AnomalyMode() { anomaly = before_; }
bool AnomalyMode::active() { return anomaly; }

LayerScope::LayerScope(const std::string& name) : length_before_(layer_path.size()) {
  if (!layer_path.empty() && !name.empty()) layer_path += '.';
  layer_path += name;
}
LayerScope::~LayerScope() { layer_path.resize(length_before_); }
const std::string& LayerScope::path() { return layer_path; }

OpObserver set_op_observer(OpObserver next) {
  std::swap(observer, next);
  return next;
}

}  // namespace cairn
