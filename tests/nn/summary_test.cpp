#include <doctest/doctest.h>

#include <sstream>

#include "nn/layers.h"
#include "tests/errors.h"

using namespace cairn;

namespace {

/// The words of each line.
std::vector<std::vector<std::string>> words(const std::string& text) {
  std::vector<std::vector<std::string>> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    std::istringstream split(line);
    lines.emplace_back();
    for (std::string word; split >> word;) lines.back().push_back(word);
  }
  return lines;
}

using Line = std::vector<std::string>;

struct Small {
  Random random{1};
  nn::Sequential net;
  nn::BatchNorm2d* norm = nullptr;
  Small() {
    net.append<nn::Conv2d>(3, 20, 3, random, Conv2dGeometry{{2, 2}, {1, 1}, {1, 1}}, true);
    norm = &net.append<nn::BatchNorm2d>(20);
    net.append<nn::ConvTranspose2d>(20, 10, 3, random, Conv2dGeometry{{2, 2}, {0, 0}, {1, 1}});
  }
};

}  // namespace

TEST_CASE_FIXTURE(Small, "a small net's shapes, parameters and MFLOP, by hand") {
  const auto lines = words(nn::summary(net, {1, 20, 30, 3}));
  REQUIRE(lines.size() == 5);
  CHECK(lines[0] == Line{"layer", "operation", "result", "parameters", "MFLOP"});
  // 10 x 15 x 20 results, each of 27 products and as many sums; 20 x 28 parameters.
  CHECK(lines[1] == Line{"0", "conv2d", "1x10x15x20", "560", "0.16"});
  CHECK(lines[2] == Line{"1", "batch_norm", "1x10x15x20", "40", "0.00"});
  // 10 x 15 x 20 inputs, each spread over 9 x 10 results.
  CHECK(lines[3] == Line{"2", "conv_transpose2d", "1x21x31x10", "1800", "0.54"});
  CHECK(lines[4] == Line{"total", "1x20x30x3", "in", "2400", "0.70"});
}

TEST_CASE("a layer of several operations counts its parameters once; matrix products count") {
  Random random(1);
  nn::Sequential net;
  net.append<nn::Linear>(100, 50, random);
  const auto lines = words(nn::summary(net, {8, 100}));
  REQUIRE(lines.size() == 4);
  CHECK(lines[1] == Line{"0", "matmul", "8x50", "5050", "0.08"});
  CHECK(lines[2] == Line{"0", "add", "8x50", "0.00"});
  CHECK(lines[3] == Line{"total", "8x100", "in", "5050", "0.08"});
}

TEST_CASE("a layer by itself has a summary too, in double as well") {
  Random random(1);
  nn::Conv2d conv(2, 4, 1, random);
  conv.to(DType::f64);
  const auto lines = words(nn::summary(conv, {1, 5, 5, 2}));
  REQUIRE(lines.size() == 3);
  CHECK(lines[1] == Line{"conv2d", "1x5x5x4", "8", "0.00"});
}

TEST_CASE_FIXTURE(Small, "a summary leaves modes, statistics and observers as they were") {
  int events = 0;
  const OpObserver before = set_op_observer([&](const OpEvent&) { ++events; });
  norm->eval();  // frozen, in a net that trains
  nn::summary(net, {1, 8, 8, 3});
  error_of(ErrorId::shape, [&] { nn::summary(net, {1, 8, 8, 4}); });
  CHECK(events == 0);
  CHECK(net.training());
  CHECK_FALSE(norm->training());
  relu(Tensor::zeros({1}));
  CHECK(events == 1);
  set_op_observer(before);
  for (const auto& s : net.state())
    if (s.name == "1.num_batches_tracked") CHECK(s.tensor.item() == 0);
}
