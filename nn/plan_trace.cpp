#include "nn/plan_trace.h"

#include <algorithm>
#include <unordered_map>

namespace cairn::nn {
namespace {

/// A value of the network: buffers side by side, seen through a crop.
struct Value {
  std::vector<int> buffers;
  Shape shape;
};

class Recorder : public Tracer {
 public:
  Tensor add_input(const Shape& shape) {
    buffers.push_back({shape});
    return stand_in({{0}, shape});
  }

  Tensor trace(const char* op, const std::string& layer, const PlannedOp& planned,
               Inputs in) override {
    const Value& x = value(op, in[0]);
    switch (planned.kind) {
      case PlannedOp::crop:
        return stand_in({x.buffers, planned.result});
      case PlannedOp::concat: {
        Value joined{{}, planned.result};
        for (const Tensor& part : in) {
          const Value& v = value(op, part);
          joined.buffers.insert(joined.buffers.end(), v.buffers.begin(), v.buffers.end());
        }
        return stand_in(joined);
      }
      default:
        break;
    }
    PlanStep step{planned, op, layer, x.buffers, x.shape, -1, -1, {}, {}, {}, {}};
    size_t next = 1;
    if (step.convolution()) step.weight = in[next++];
    if (planned.kind == PlannedOp::batch_norm) step.gamma = in[next++], step.beta = in[next++];
    if (planned.bias) step.bias = in[next++];
    if (planned.residual) step.residual = single(op, in[next++]);
    if (!step.convolution()) single(op, in[0]);
    step.output = int(buffers.size());
    buffers.push_back({planned.result});
    steps.push_back(std::move(step));
    return stand_in({{int(buffers.size()) - 1}, planned.result});
  }

  /// The one buffer that is all of a value.
  int single(const char* op, const Tensor& t) const {
    const Value& v = value(op, t);
    require(v.buffers.size() == 1 && v.shape == buffers[size_t(v.buffers[0])].shape, ErrorId::graph,
            op, "a plan joins and crops only what a convolution reads");
    return v.buffers[0];
  }

  std::vector<PlanBuffer> buffers;
  std::vector<PlanStep> steps;

 private:
  const Value& value(const char* op, const Tensor& t) const {
    const auto found = values_.find(t.device_raw());
    require(found != values_.end(), ErrorId::graph, op,
            "a plan knows only values that come from the network's input");
    return found->second;
  }
  /// A tensor of that shape without elements, which stands for the value.
  Tensor stand_in(Value v) {
    const auto identity = std::make_shared<char>();
    const Tensor t = Tensor::within(identity, 0, v.shape, DType::f32, Device::cpu);
    values_[identity.get()] = std::move(v);
    alive_.push_back(t);  // so that no other gets its address
    return t;
  }
  std::unordered_map<const void*, Value> values_;
  std::vector<Tensor> alive_;
};

/// How many steps read a buffer.
int64_t readers(const PlanTrace& t, int buffer) {
  int64_t count = buffer == t.output;
  for (const PlanStep& s : t.steps)
    count += std::ranges::count(s.inputs, buffer) + (s.residual == buffer);
  return count;
}

/// A ReLU ends the step before it; a normalisation of rows works in place.
void merge(PlanTrace& t) {
  std::vector<PlanStep> kept;
  for (PlanStep& s : t.steps) {
    const bool only_reader = s.inputs.size() == 1 && readers(t, s.inputs[0]) == 1 &&
                             !kept.empty() && kept.back().output == s.inputs[0];
    if (s.op.kind == PlannedOp::relu) {
      require(only_reader && kept.back().op.kind != PlannedOp::l2_normalize, ErrorId::graph, s.name,
              "a plan runs it only right after a convolution or a norm");
      kept.back().op.relu_after = true;
      kept.back().output = s.output;
      continue;
    }
    if (s.op.kind == PlannedOp::l2_normalize && only_reader) kept.back().output = s.output;
    if (s.op.kind == PlannedOp::l2_normalize && only_reader) s.inputs = {s.output};
    kept.push_back(std::move(s));
  }
  t.steps = std::move(kept);
}

/// The part of every buffer that is read.
void find_used(PlanTrace& t) {
  const auto see = [&](int buffer, int64_t rows, int64_t columns) {
    PlanBuffer& b = t.buffers[size_t(buffer)];
    b.used_rows = std::max(b.used_rows, rows);
    b.used_columns = std::max(b.used_columns, columns);
  };
  const auto all = [&](int buffer) {
    const Shape& shape = t.buffers[size_t(buffer)].shape;
    see(buffer, shape[1], shape[2]);
  };
  all(t.output);
  for (auto s = t.steps.rbegin(); s != t.steps.rend(); ++s) {
    for (int input : s->inputs) see(input, s->seen[1], s->seen[2]);
    if (s->op.kind == PlannedOp::batch_norm) all(s->inputs[0]), all(s->output);
    const PlanBuffer& out = t.buffers[size_t(s->output)];
    if (s->residual >= 0) see(s->residual, out.used_rows, out.used_columns);
  }
}

}  // namespace

PlanTrace trace(Module& network, const Shape& input) {
  require(input.rank() == 4 && input.numel() > 0, ErrorId::shape, "plan", "the input is ", input,
          ", not N x H x W x C with at least one pixel");
  NoGrad no_grad;
  network.eval();
  Recorder recorder;
  const Var y = network(recorder.add_input(input));
  PlanTrace t;
  t.output = recorder.single("plan", y.value());
  require(t.output != 0, ErrorId::graph, "plan", "the network does nothing");
  t.buffers = std::move(recorder.buffers);
  t.steps = std::move(recorder.steps);
  merge(t);
  find_used(t);
  return t;
}

}  // namespace cairn::nn
