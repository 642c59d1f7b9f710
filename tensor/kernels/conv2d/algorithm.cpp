#include "tensor/kernels/conv2d/algorithm.h"

#include <atomic>
#include <cstdlib>
#include <string>

#include "tensor/error.h"

namespace cairn::kernels {
namespace {

constexpr struct {
  ConvAlgorithm algorithm;
  std::string_view name;
} algorithms[] = {{ConvAlgorithm::automatic, "auto"},
                  {ConvAlgorithm::direct, "direct"},
                  {ConvAlgorithm::winograd2, "winograd2"},
                  {ConvAlgorithm::winograd4, "winograd4"}};

ConvAlgorithm from_environment() {
  const char* text = std::getenv("CAIRN_CONV");
  if (!text || !*text) return ConvAlgorithm::automatic;
  for (const auto& a : algorithms)
    if (text == a.name) return a.algorithm;
  throw Error(ErrorId::argument, "conv2d",
              cat("CAIRN_CONV is '", text, "'; there is auto, direct, winograd2, winograd4"));
}

std::atomic<ConvAlgorithm>& current() {
  static std::atomic<ConvAlgorithm> algorithm{from_environment()};
  return algorithm;
}

/// Vector instructions of the transforms, as compiled: for one vector of input channels of a tile,
/// of output channels, and of weights (one channel, one vector of outputs, packing included).
struct TransformCost {
  ConvAlgorithm algorithm;
  int64_t m, input, output, weights;
};
constexpr TransformCost transforms[] = {{ConvAlgorithm::winograd2, 2, 70, 60, 80},
                                        {ConvAlgorithm::winograd4, 4, 290, 230, 200}};
// To start a tile of the micro-kernel from zero and to write it, for each vector of results.
constexpr int64_t finish = 3;

}  // namespace

std::string_view name(ConvAlgorithm algorithm) { return algorithms[int(algorithm)].name; }
void set_conv_algorithm(ConvAlgorithm algorithm) { current() = algorithm; }
ConvAlgorithm conv_algorithm() { return current(); }

ConvAlgorithm cheapest(const ConvWork& w) {
  const auto vectors = [&](int64_t channels) { return (channels + w.lanes - 1) / w.lanes; };
  const int64_t in = vectors(w.inputs), out = vectors(w.outputs);
  ConvAlgorithm best = ConvAlgorithm::direct;
  int64_t least = w.batch * w.rows * w.columns * out * (9 * w.inputs + finish);
  for (const auto& [algorithm, m, input, output, weights] : transforms) {
    const int64_t tiles = w.batch * ((w.rows + m - 1) / m) * ((w.columns + m - 1) / m);
    const int64_t products = (m + 2) * (m + 2) * out * (w.inputs + finish);
    const int64_t cost = tiles * (products + input * in + output * out) + weights * w.inputs * out;
    if (cost >= least) continue;
    least = cost;
    best = algorithm;
  }
  return best;
}

}  // namespace cairn::kernels
