// A plan computes what the network does, in other places.
#include "nn/plan.h"

#include <doctest/doctest.h>

#include "nn/layers.h"
#include "tensor/parallel.h"
#include "tests/compare.h"

using namespace cairn;
using namespace cairn::nn;

namespace {

Tensor picture(const Shape& shape) {
  Random random(3);
  return random_uniform(shape, random, -0.5, 0.5);
}

/// A function as a network.
struct Network : Module {
  explicit Network(std::function<Var(Network&, const Var&)> f) : body(std::move(f)) {
    Random random(5);
    conv = &child<Conv2d>("conv", 8, 8, 3, random, Conv2dGeometry{{1, 1}, {1, 1}, {1, 1}});
    norm = &child<BatchNorm2d>("norm", 8);
    up = &child<ConvTranspose2d>("up", 8, 8, 3, random, Conv2dGeometry{{2, 2}, {0, 0}, {1, 1}});
    join = &child<Conv2d>("join", 16, 8, 1, random, Conv2dGeometry{}, true);
    // Statistics that a fold must not lose.
    for (auto& [name, tensor] : state())
      if (name == "norm.running_mean" || name == "norm.running_var" || name == "norm.bias")
        for (int64_t i = 0; i < 8; ++i) tensor.data<float>()[i] = 0.5f + 0.1f * float(i);
  }
  Var forward(const Var& x) override { return body(*this, x); }
  std::function<Var(Network&, const Var&)> body;
  Conv2d *conv, *join;
  BatchNorm2d* norm;
  ConvTranspose2d* up;
};

void check_equal(Network& net, const Shape& shape) {
  CAPTURE(shape);
  const Tensor x = picture(shape);
  Plan plan(net, shape);
  NoGrad no_grad;
  const Tensor expected = net(x).value();
  for (int run = 0; run < 2; ++run) CHECK(difference(plan(x), expected) <= 5e-5);
}

Var block(Network& net, const Var& x) {
  const Var y = net.norm->after(*net.conv, x, {}, true);
  return net.norm->after(*net.conv, y, x, true);
}
/// Up, a block on the odd rows and columns too, cropped, joined with what came in.
Var u_shape(Network& net, const Var& x) {
  const Var skip = block(net, x);
  const Var down =
      conv2d(skip, Var(Tensor::full({8, 3, 3, 8}, 0.01)), {}, {{2, 2}, {1, 1}, {1, 1}});
  const Var up = block(net, net.norm->after(*net.up, down, true));
  return l2_normalize((*net.join)(concat({crop(up, x.dim(1), x.dim(2)), skip})));
}

}  // namespace

TEST_CASE("a plan equals the network: norms folded, residuals, joins, crops, at any size") {
  Network one([](Network& net, const Var& x) { return relu((*net.conv)(x)); });
  Network blocks(block);
  Network u(u_shape);
  for (const Shape& shape : {Shape{1, 1, 1, 8}, {1, 5, 7, 8}, {2, 9, 6, 8}, {1, 33, 18, 8}})
    for (Network* net : {&one, &blocks, &u}) check_equal(*net, shape);
}

TEST_CASE("a plan equals the network where large results pass in strips") {
  Network u(u_shape);
  const Shape shape{1, 402, 333, 8};
  check_equal(u, shape);
  check_equal(u, {1, 700, 1003, 8});  // four strips and more, the last one short
  check_equal(u, {2, 301, 1000, 8});
  // A value that is changed in place while it passes, and read around its place.
  Network l2([](Network& net, const Var& x) { return (*net.conv)(l2_normalize((*net.conv)(x))); });
  check_equal(l2, {1, 1500, 803, 8});
  Plan plan(u, shape);
  int strips = 0;
  for (const PlanRow& row : plan.rows()) strips += row.strip >= 0;
  CHECK(strips >= 4);
  const int64_t image = 402 * 333 * 8 * 4;
  Plan tall(u, {1, 1500, 803, 8});
  tall.record_events(true);
  tall(picture({1, 1500, 803, 8}));
  CHECK(tall.events().size() >= 3 * tall.rows().size());  // so there were strips
  CHECK(plan.arena_bytes() < 3 * image);                  // stored one by one they are eight
}

TEST_CASE("a plan normalises rows wherever they come from") {
  Network input([](Network&, const Var& x) { return l2_normalize(x); });
  Network twice([](Network& net, const Var& x) {
    const Var y = (*net.conv)(x);
    return (*net.join)(concat({l2_normalize(y), y}));
  });
  Network again(
      [](Network& net, const Var& x) { return l2_normalize(l2_normalize((*net.conv)(x))); });
  for (Network* net : {&input, &twice, &again}) check_equal(*net, {1, 9, 14, 8});
}

TEST_CASE("a plan normalises by the image's own moments where the network does") {
  Network u(u_shape);
  u.norm->own_moments = true;
  check_equal(u, {1, 21, 34, 8});
  check_equal(u, {1, 300, 333, 8});
}

TEST_CASE("the bits of a plan are equal at 1, 2 and 5 threads") {
  const int before = num_threads();
  Network u(u_shape);
  const Tensor x = picture({1, 700, 1003, 8});
  Plan plan(u, x.shape());
  set_num_threads(1);
  const Tensor y = plan(x);
  for (int threads : {2, 5}) {
    set_num_threads(threads);
    CHECK(same_bits(plan(x), y));
  }
  set_num_threads(before);
}

TEST_CASE("a plan tells what it runs") {
  Network u(u_shape);
  Plan plan(u, {1, 8, 8, 8});
  std::vector<std::string> ops;
  for (const PlanRow& row : plan.rows()) ops.push_back(row.op);
  CHECK(ops == std::vector<std::string>{"conv2d + relu", "conv2d + residual + relu", "conv2d",
                                        "conv_transpose2d + relu", "conv2d + relu",
                                        "conv2d + residual + relu", "conv2d", "l2_normalize"});
  CHECK(plan.rows()[0].layer == "conv");
  CHECK(plan.rows()[0].gflop == doctest::Approx(2e-9 * 8 * 8 * 9 * 8 * 8));
  // The block on the way up: its last result is cropped from 9 to 8 rows and columns.
  CHECK(plan.rows()[4].result == Shape{1, 9, 9, 8});
  CHECK(plan.rows()[5].result == Shape{1, 8, 8, 8});
  plan.record_events(true);
  plan(picture({1, 8, 8, 8}));
  CHECK(plan.events().size() == ops.size());
}

TEST_CASE("what a plan cannot do is named") {
  const auto message = [](const auto& body, const Shape& shape) {
    Network net(body);
    try {
      Plan(net, shape);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(message([](Network&, const Var& x) { return square(x); }, {1, 4, 4, 8}) ==
        "square: a plan has no way to run it");
  CHECK(message([](Network&, const Var& x) { return x; }, {1, 4, 4, 8}) ==
        "plan: the network does nothing");
  CHECK(message([](Network& n, const Var& x) { return crop((*n.conv)(x), 2, 2); }, {1, 4, 4, 8}) ==
        "plan: a plan joins and crops only what a convolution reads");
  CHECK(message(
            [](Network&, const Var&) {
              return relu(Var(picture({1, 4, 4, 8})));
            },
            {1, 4, 4, 8}) == "relu: a plan knows only values that come from the network's input");
  CHECK(message([](Network& n, const Var& x) { return (*n.join)(crop((*n.conv)(x), 5, 4)); },
                {1, 4, 4, 8}) == "crop: 5x4 does not fit into 1x4x4x8");
  CHECK(message(
            [](Network& n, const Var& x) {
              return (*n.join)(concat({x, (*n.up)(x)}));
            },
            {1, 4, 4, 8}) == "concat: the parts are 1x4x4x8 and 1x9x9x8");
  Network net(block);
  Plan plan(net, {1, 4, 4, 8});
  CHECK_THROWS_WITH_AS(plan(picture({1, 4, 5, 8})),
                       "plan: the input is 1x4x5x8, but the plan is for 1x4x4x8", Error);
  net.to(DType::f64);
  CHECK_THROWS_AS(Plan(net, {1, 4, 4, 8}), Error);
}
