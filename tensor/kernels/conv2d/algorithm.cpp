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
                  {ConvAlgorithm::winograd4, "winograd4"},
                  {ConvAlgorithm::winograd_up, "winograd_up"}};

ConvAlgorithm from_environment() {
  const char* text = std::getenv("CAIRN_CONV");
  if (!text || !*text) return ConvAlgorithm::automatic;
  for (const auto& a : algorithms)
    if (text == a.name && a.algorithm != ConvAlgorithm::winograd_up) return a.algorithm;
  throw Error(ErrorId::argument, "conv2d",
              cat("CAIRN_CONV is '", text, "'; there is auto, direct, winograd2, winograd4"));
}

std::atomic<ConvAlgorithm>& current() {
  static std::atomic<ConvAlgorithm> algorithm{from_environment()};
  return algorithm;
}

/// Vector instructions of the transforms, as compiled: for one vector of input channels of a tile
/// of `out` x `out` results, of output channels, and of weights (one channel, one vector of
/// outputs, packing included).
struct TransformCost {
  ConvAlgorithm algorithm;
  int64_t numbers, out, input, output, weights;
};
constexpr TransformCost squares[] = {{ConvAlgorithm::winograd2, 16, 2, 70, 60, 80},
                                     {ConvAlgorithm::winograd4, 36, 4, 290, 230, 200}};
constexpr TransformCost up{ConvAlgorithm::winograd_up, 49, 6, 150, 280, 120};
// To start a tile of the micro-kernel from zero and to write it, for each vector of results.
constexpr int64_t finish = 3;

}  // namespace

std::string_view name(ConvAlgorithm algorithm) { return algorithms[int(algorithm)].name; }
void set_conv_algorithm(ConvAlgorithm algorithm) {
  require(algorithm != ConvAlgorithm::winograd_up, ErrorId::argument, "conv2d",
          "winograd_up is for transposed convolutions; they take it with winograd2 and winograd4");
  current() = algorithm;
}
ConvAlgorithm conv_algorithm() { return current(); }

namespace {

int64_t vectors(const ConvWork& w, int64_t channels) { return (channels + w.lanes - 1) / w.lanes; }

int64_t cost_of(const TransformCost& f, const ConvWork& w) {
  const int64_t in = vectors(w, w.inputs), out = vectors(w, w.outputs);
  const int64_t tiles =
      w.batch * ((w.rows + f.out - 1) / f.out) * ((w.columns + f.out - 1) / f.out);
  return tiles * (f.numbers * out * (w.inputs + finish) + f.input * in + f.output * out) +
         f.weights * w.inputs * out;
}

}  // namespace

ConvAlgorithm cheapest(const ConvWork& w) {
  ConvAlgorithm best = ConvAlgorithm::direct;
  int64_t least = w.batch * w.rows * w.columns * vectors(w, w.outputs) * (9 * w.inputs + finish);
  for (const TransformCost& f : squares)
    if (const int64_t cost = cost_of(f, w); cost < least) {
      least = cost;
      best = f.algorithm;
    }
  return best;
}

ConvAlgorithm cheapest_up(const ConvWork& w) {
  // A quarter of the results has four taps, a half two, a quarter one.
  const int64_t direct =
      w.batch * w.rows * w.columns * vectors(w, w.outputs) * (9 * w.inputs / 4 + finish);
  return cost_of(up, w) < direct ? up.algorithm : ConvAlgorithm::direct;
}

}  // namespace cairn::kernels
