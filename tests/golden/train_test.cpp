// A short training: two networks' worth of losses and parameters after some steps of SGD.
#include "nn/optim.h"
#include "tests/golden/golden.h"
#include "tests/golden/pairs.h"
#include "ucn/resunet.h"

namespace cairn::golden {
namespace {

Results train(const TensorFile& file, const std::string& kind) {
  const auto& m = file.metadata;
  const uint64_t fill_seed = seed(file);
  const int64_t iter_size = int64_t(number(m, "iter_size", 1));
  Random random(0);
  ucn::ResUNet model({.model = text(file, "model", "ResUNetBN2F"),
                      .outputs = int64_t(number(m, "n_out", 64)),
                      .bn_momentum = number(m, "bn_momentum", 0.05)},
                     random);
  fill_model(model, fill_seed);
  model.to(DType::f64);
  model.to(device());
  const double lr = number(m, "lr", 0.1);
  const auto optimizer = nn::sgd(model.parameters(), lr,
                                 {.momentum = number(m, "momentum", 0.8),
                                  .dampening = number(m, "dampening", 0),
                                  .weight_decay = number(m, "weight_decay", 1e-4)});
  const auto schedule = nn::exponential_lr(lr, number(m, "exp_gamma", 1));
  const auto image = [&](const char* which, int64_t i) {
    const Shape size = shape_of(text(file, cat(which, "_size")));
    return Var(to_nhwc(filled(cat(which, ".", i), {1, 1, size[0], size[1]}, -0.5, 0.5, fill_seed),
                       DType::f64));
  };

  std::vector<double> losses;
  for (int64_t step = 0; step < find(file, kind + ".losses").dim(0); ++step) {
    optimizer->zero_grad();
    optimizer->lr = schedule(step);
    double positive = 0, negative = 0;
    for (int64_t i = step * iter_size; i < (step + 1) * iter_size; ++i) {
      const Var f0 = model(image("image0", i)), f1 = model(image("image1", i));
      const auto terms = loss(kind, f0, f1, {correspondences(find(file, cat("pairs.", i)))},
                              {draws_of(file, "", i)}, loss_options(m));
      scale(add(terms.positive, terms.negative), 1 / double(iter_size)).backward();
      positive += terms.positive.item() / double(iter_size);
      negative += terms.negative.item() / double(iter_size);
    }
    losses.insert(losses.end(), {positive, negative});
    optimizer->step();
  }

  Results r;
  r["losses"] = Tensor::from({int64_t(losses.size() / 2), 2}, losses);
  std::map<std::string, Tensor> parameters;
  for (const auto& s : model.state()) {
    r["state." + s.name] = s.tensor;
    parameters[s.name] = s.tensor;
  }
  Digest digest;
  for (const auto& name : split(text(file, "param_names"), ','))
    digest.add(name, parameters.at(name), fill_seed);
  r["param_norm"] = Digest::tensor(digest.norms);
  r["param_probe"] = Digest::tensor(digest.probes);
  return r;
}

TEST_CASE("training in double follows the reference, step by step") {
  check_files(".losses", [](const TensorFile& file, Report& report) {
    for (const auto& kind : before(file, ".losses")) {
      report.begin(kind);
      const Results ours = train(file, kind);
      for (const auto& t : file.tensors) {
        if (!t.name.starts_with(kind + ".")) continue;
        const std::string name = t.name.substr(kind.size() + 1);
        if (!ours.contains(name))
          report.fail(name + " is not in our model");
        else
          report.compare(name, ours.at(name), t.tensor, 1e-9);
      }
    }
  });
}

}  // namespace
}  // namespace cairn::golden
