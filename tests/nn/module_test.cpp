#include "nn/module.h"

#include <doctest/doctest.h>

#include "nn/layers.h"
#include "nn/optim.h"
#include "tests/compare.h"
#include "tests/errors.h"

using namespace cairn;
using Strings = std::vector<std::string>;

namespace {

/// Two branches and a head, as a ResNet names them.
class Block : public nn::Module {
 public:
  explicit Block(Random& random)
      : conv_(child<nn::Conv2d>("conv1", 3, 4, 3, random, Conv2dGeometry{{1, 1}, {1, 1}, {1, 1}})),
        norm_(child<nn::BatchNorm2d>("norm1", 4)) {}
  Var forward(const Var& x) override { return norm_(conv_(x)); }

 private:
  nn::Module &conv_, &norm_;
};

class Net : public nn::Module {
 public:
  explicit Net(Random& random)
      : scale_(parameter("scale", Tensor::full({1}, 1))),
        blocks_(child<nn::Sequential>("blocks")),
        head_(child<nn::Linear>("head", 4, 2, random)) {
    blocks_.append<Block>(random);
    blocks_.append<nn::Relu>();
  }
  Var forward(const Var& x) override { return head_(mean(blocks_(mul(x, scale_)), {1, 2})); }

 private:
  Var& scale_;
  nn::Sequential& blocks_;
  nn::Module& head_;
};

struct Fixture {
  Random random{1};
  Net net{random};
  Tensor x = random_normal({2, 5, 6, 3}, random);
};

}  // namespace

TEST_CASE_FIXTURE(Fixture,
                  "names and their order are PyTorch's: own first, then children by order") {
  Strings parameters, state;
  for (const auto& p : net.parameters()) parameters.push_back(p.name);
  for (const auto& s : net.state()) state.push_back(s.name);
  CHECK(parameters == Strings{"scale", "blocks.0.conv1.weight", "blocks.0.norm1.weight",
                              "blocks.0.norm1.bias", "head.weight", "head.bias"});
  CHECK(state == Strings{"scale", "blocks.0.conv1.weight", "blocks.0.norm1.weight",
                         "blocks.0.norm1.bias", "blocks.0.norm1.running_mean",
                         "blocks.0.norm1.running_var", "blocks.0.norm1.num_batches_tracked",
                         "head.weight", "head.bias"});
  CHECK(net.parameter_count() == 1 + 4 * 3 * 3 * 3 + 4 + 4 + 2 * 4 + 2);
}

TEST_CASE_FIXTURE(Fixture, "parameters() gives the module's own Vars, state() its own storage") {
  const Tensor before = net(x).value();
  for (auto& p : net.parameters())
    if (p.name == "head.bias") p.var.value_().data<float>()[1] = 100;
  CHECK(net(x).value().data<float>()[1] > 50);
  for (auto& s : net.state())
    if (s.name == "head.bias") s.tensor.data<float>()[1] = 0;
  CHECK(same_bits(net(x).value(), before));
}

TEST_CASE_FIXTURE(Fixture, "train and eval reach every layer: running statistics move or rest") {
  const auto statistics = [&] {
    std::vector<double> all;
    for (const auto& s : net.state())
      if (has(s.name, "running") || has(s.name, "num_batches"))
        for (double v : s.tensor.to_vector()) all.push_back(v);
    return all;
  };
  CHECK(net.training());
  const auto start = statistics();
  net.eval();
  CHECK_FALSE(net.training());
  net(x);
  CHECK(statistics() == start);
  net.train();
  net(x);
  CHECK(statistics() != start);
}

TEST_CASE_FIXTURE(Fixture, "to(f64) changes floats only, and the values stay") {
  const auto before = net.state();
  std::vector<Tensor> kept;
  for (const auto& s : before) kept.push_back(s.tensor.clone());
  net.to(DType::f64);
  const auto after = net.state();
  for (size_t i = 0; i < after.size(); ++i) {
    const bool counter = has(after[i].name, "num_batches_tracked");
    CHECK(after[i].tensor.dtype() == (counter ? DType::i64 : DType::f64));
    CHECK(after[i].tensor.to_vector() == kept[i].to_vector());
  }
  CHECK(net(x.to(DType::f64)).dtype() == DType::f64);
}

TEST_CASE_FIXTURE(Fixture, "an optimiser made before to(f64) still moves the module") {
  const auto optimizer = nn::sgd(net.parameters(), 0.1);
  sum(net(x)).backward();
  net.to(DType::f64);
  for (const auto& p : net.parameters()) CHECK_FALSE(p.var.grad().defined());
  const Tensor y = net(x.to(DType::f64)).value();
  sum(square(net(x.to(DType::f64)))).backward();
  optimizer->step();
  CHECK(difference(net(x.to(DType::f64)).value(), y) > 1e-3);
}

TEST_CASE_FIXTURE(Fixture, "every parameter receives a gradient, under its own name") {
  sum(square(net(x))).backward();
  for (const auto& p : net.parameters()) {
    CAPTURE(p.name);
    REQUIRE(p.var.grad().defined());
    CHECK(p.var.grad().shape() == p.var.shape());
  }
}

TEST_CASE_FIXTURE(Fixture, "anomaly mode names the layer by its full name") {
  for (auto& p : net.parameters())
    if (p.name == "blocks.0.conv1.weight") p.var.value_().data<float>()[0] = NAN;
  AnomalyMode anomaly;
  const std::string text = error_of(ErrorId::nan, [&] { net(x); });
  CHECK(has(text, "conv2d: the result in layer blocks.0.conv1 is nan first at [0, 0, 0, 0]"));
  CHECK(LayerScope::path().empty());  // the scopes were left
}
