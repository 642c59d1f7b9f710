// The networks: outputs, gradients and running statistics, in both precisions.
#include "ucn/resunet.h"

#include "tests/golden/golden.h"

namespace cairn::golden {
namespace {

using Sides = std::vector<std::vector<bool>>;

struct Run {
  Results results;
  Sides sides;      ///< for every ReLU of the training forward, whether it let each value pass
  int changed = 0;  ///< how many were told to take the other side
};

/// Records which side of its kink every ReLU takes while it lives. Where the input is 0 to within
/// rounding, float32 and double may take different sides, and then their gradients, both right,
/// differ by the whole derivative there. So the double run can be told to `take` float32's sides:
/// such an output, itself a rounding error, is changed before anybody reads it.
class Kinks {
 public:
  Kinks(Run& run, const Sides* take) {
    before_ = set_op_observer([&run, take](const OpEvent& e) {
      if (e.backward || (std::string(e.op) != "relu" && std::string(e.op) != "batch_norm")) return;
      Tensor y = e.value.to(Device::cpu), shared = e.value;  // of the output's storage
      std::vector<bool> sides(size_t(y.numel()));
      const std::vector<bool>* wanted = take ? &take->at(run.sides.size()) : nullptr;
      dispatch_float(y.dtype(), "kinks", [&]<class T>() {
        for (size_t i = 0; i < sides.size(); ++i) {
          T& v = y.data<T>()[i];
          if (wanted && (v > 0) != (*wanted)[i]) {
            v = v > 0 ? T(0) : std::numeric_limits<T>::min();
            ++run.changed;
          }
          sides[i] = v > 0;
        }
      });
      if (take && shared.on_gpu()) shared.assign_(y);
      run.sides.push_back(std::move(sides));
    });
  }
  ~Kinks() { set_op_observer(before_); }
  Kinks(const Kinks&) = delete;

 private:
  OpObserver before_;
};

/// One network at one input shape, as the file describes it.
struct Network {
  std::string model;
  Shape shape;  // B x C x H x W
  int64_t outputs;
  std::vector<std::string> order;  // of the parameters, in the digests
  uint64_t seed;
};

/// Everything that a file may hold about it, by a model of its kind in any state.
Run run(const Network& n, ucn::ResUNet& model, DType type, const Sides* take = nullptr) {
  model.to(type);
  model.to(device());
  fill_model(model, n.seed);
  const Var input(to_nhwc(filled("input", n.shape, -0.5, 0.5, n.seed), type), true);

  Run run;
  Results& r = run.results;
  model.eval();
  {
    NoGrad no_grad;
    r["eval.output"] = to_pytorch(model(input).value());
  }
  model.train();
  Var output;
  {
    Kinks kinks(run, take);
    output = model(input);
  }
  r["train.output"] = to_pytorch(output.value());
  for (const auto& s : model.state()) r["train.state." + s.name] = s.tensor.clone();
  const Shape shape{n.shape[0], n.outputs, n.shape[2], n.shape[3]};
  output.backward(to_nhwc(filled("cotangent", shape, -1, 1, n.seed), type));
  r["train.grad.input"] = to_pytorch(input.grad());

  std::map<std::string, Tensor> grads;
  auto order = n.order;
  for (const auto& p : model.parameters()) {
    grads[p.name] = p.var.grad();
    r["train.grad." + p.name] = to_pytorch(p.var.grad());
    if (n.order.empty()) order.push_back(p.name);
  }
  Digest digest;
  for (const auto& name : order) digest.add(name, grads.at(name), n.seed);
  r["train.grad_norm"] = Digest::tensor(digest.norms);
  r["train.grad_probe"] = Digest::tensor(digest.probes);
  return run;
}

bool is_gradient(const std::string& name) { return name.starts_with("train.grad"); }

/// Double agrees with the file as far as the file's own precision tells; float32 agrees with the
/// file too, but for its gradients where it took another side of a kink: those agree with double's
/// on that side.
void check_network(const TensorFile& file, const std::string& key, const Network& n,
                   const std::vector<std::string>& names, Report& report) {
  Random random(0);
  ucn::ResUNet model({.model = n.model, .inputs = n.shape[1], .outputs = n.outputs}, random);
  const Run f32 = run(n, model, DType::f32), f64 = run(n, model, DType::f64);
  Run beyond;
  if (f32.sides != f64.sides) {
    beyond = run(n, model, DType::f64, &f32.sides);
    // Rounding puts few inputs beyond their kink; a wrong network, many.
    size_t all = 0;
    for (const auto& s : f32.sides) all += s.size();
    report.compare("ReLUs beyond their kink in f32", beyond.changed, 5 + 1e-4 * double(all));
  }
  for (const auto& name : names) {
    const Tensor& golden = find(file, key + "." + name);
    if (!f64.results.contains(name)) {
      report.fail(name + " is not in our model");
      continue;
    }
    report.compare(name + " in f64", f64.results.at(name), golden,
                   golden.dtype() == DType::f64 ? 1e-9 : 1e-6);
    const bool other_side = beyond.changed > 0 && is_gradient(name);
    report.compare(name + " in f32", f32.results.at(name),
                   other_side ? beyond.results.at(name) : golden, is_gradient(name) ? 1e-3 : 1e-4);
  }
}

TEST_CASE("networks give the reference's outputs, gradients and running statistics") {
  check_files(".output", [](const TensorFile& file, Report& report) {
    std::map<std::string, std::vector<std::string>> cases;  // <Model>.<BxCxHxW>.<what>
    for (const auto& t : file.tensors) {
      const size_t end = t.name.find('.', t.name.find('.') + 1);
      require(end != std::string::npos, ErrorId::format, "golden", "tensor ", t.name);
      cases[t.name.substr(0, end)].push_back(t.name.substr(end + 1));
    }
    for (const auto& [key, names] : cases) {
      report.begin(key);
      const size_t dot = key.find('.');
      const Tensor* output = file.find(key + ".eval.output");
      if (!output) output = &find(file, key + ".train.output");
      check_network(file, key,
                    {key.substr(0, dot), shape_of(key.substr(dot + 1)), output->dim(1),
                     split(text(file, key + ".param_names"), ','), seed(file, key)},
                    names, report);
    }
  });
}

}  // namespace
}  // namespace cairn::golden
