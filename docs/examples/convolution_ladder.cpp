// From the plain loop to Winograd: one 3x3 convolution, rung by rung, each checked against the
// reference and timed. docs/ladder.md tells the story.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <vector>

#include "tensor/kernels/conv2d/algorithm.h"
#include "tensor/kernels/conv2d/conv2d.h"
#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tensor/simd.h"

using namespace cairn;

namespace {

constexpr int64_t height = 60, width = 84, channels = 64;  // of the image and of the result
constexpr int64_t taps = 9, wide = width + 2;              // a border of zeros around the image

using Image = std::vector<float>;  // rows x columns x channels

Image with_border(const float* x) {
  Image padded(size_t((height + 2) * wide * channels));
  for (int64_t r = 0; r < height; ++r)
    std::copy_n(x + r * width * channels, width * channels,
                padded.begin() + ((r + 1) * wide + 1) * channels);
  return padded;
}

/// Rung 1: the definition. w is outputs x taps x inputs.
void naive(const Image& x, const float* w, float* y) {
  for (int64_t r = 0; r < height; ++r)
    for (int64_t c = 0; c < width; ++c)
      for (int64_t o = 0; o < channels; ++o) {
        float sum = 0;
        for (int64_t t = 0; t < taps; ++t)
          for (int64_t i = 0; i < channels; ++i)
            sum += x[size_t(((r + t / 3) * wide + c + t % 3) * channels + i)] *
                   w[(o * taps + t) * channels + i];
        y[(r * width + c) * channels + o] = sum;
      }
}

/// The weights as taps x inputs x outputs: neighbours in memory go to neighbouring results.
std::vector<float> outputs_last(const float* w) {
  std::vector<float> packed(size_t(taps * channels * channels));
  for (int64_t o = 0; o < channels; ++o)
    for (int64_t k = 0; k < taps * channels; ++k)
      packed[size_t(k * channels + o)] = w[o * taps * channels + k];
  return packed;
}

/// Rung 2: loops in another order. The innermost one runs along results and weights, and the
/// compiler makes vectors of it.
void reordered(const Image& x, const std::vector<float>& w, float* y) {
  for (int64_t r = 0; r < height; ++r)
    for (int64_t c = 0; c < width; ++c) {
      float* sum = y + (r * width + c) * channels;
      std::fill_n(sum, channels, 0.f);
      for (int64_t t = 0; t < taps; ++t)
        for (int64_t i = 0; i < channels; ++i) {
          const float a = x[size_t(((r + t / 3) * wide + c + t % 3) * channels + i)];
          const float* b = w.data() + (t * channels + i) * channels;
          for (int64_t o = 0; o < channels; ++o) sum[o] += a * b[o];
        }
    }
}

// The same code for several instruction sets, chosen when the program starts; a product and the sum
// it goes into may be one instruction.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define EVERY_MACHINE                                                         \
  __attribute__((target_clones("avx512f", "default"), optimize("fp-contract=" \
                                                               "fast")))
#else
#define EVERY_MACHINE
#endif

/// Rung 3: a tile of sums in registers. A weight that was loaded serves `pixels` pixels, a value of
/// the image two vectors of results, and sums meet memory once.
constexpr int64_t pixels = 12, lanes = 16;
typedef float Vector __attribute__((vector_size(lanes * sizeof(float))));
typedef Vector Anywhere __attribute__((aligned(4), may_alias));  // in memory, at any address

EVERY_MACHINE void tiled(const Image& x, const std::vector<float>& w, float* y) {
  for (int64_t r = 0; r < height; ++r)
    for (int64_t o = 0; o < channels; o += 2 * lanes)
      for (int64_t c = 0; c < width; c += pixels) {
        Vector sum[pixels][2] = {};
        for (int64_t t = 0; t < taps; ++t) {
          const float* a = x.data() + ((r + t / 3) * wide + c + t % 3) * channels;
          for (int64_t i = 0; i < channels; ++i) {
            const Anywhere* b =
                reinterpret_cast<const Anywhere*>(w.data() + (t * channels + i) * channels + o);
            const Vector b0 = b[0], b1 = b[1];
#pragma GCC unroll 12
            for (int64_t p = 0; p < pixels; ++p) {
              sum[p][0] += a[p * channels + i] * b0;
              sum[p][1] += a[p * channels + i] * b1;
            }
          }
        }
#pragma GCC unroll 12
        for (int64_t p = 0; p < pixels; ++p) {  // unrolled, or the sums would live in memory
          Anywhere* const to = reinterpret_cast<Anywhere*>(y + (r * width + c + p) * channels + o);
          to[0] = sum[p][0];
          to[1] = sum[p][1];
        }
      }
}
static_assert(width % pixels == 0 && channels % (2 * lanes) == 0);

/// Rungs 4 to 6: what the library does.
void library(const Tensor& x, const Tensor& w, kernels::ConvAlgorithm algorithm, float* y) {
  kernels::set_conv_algorithm(algorithm);
  const Tensor result = kernels::conv2d(x, w, {{1, 1}, {1, 1}, {1, 1}});
  std::copy_n(result.data<float>(), result.numel(), y);
}

}  // namespace

int main() {
  set_num_threads(1);
  Random random(1);
  const Tensor x = random_normal({1, height, width, channels}, random);
  const Tensor w = random_normal({channels, 3, 3, channels}, random, 0, 0.05);
  const Tensor expected =
      kernels::reference::conv2d(x.to(DType::f64), w.to(DType::f64), {{1, 1}, {1, 1}, {1, 1}});
  const Image padded = with_border(x.data<float>());
  const std::vector<float> packed = outputs_last(w.data<float>());
  const float* const plain = w.data<float>();

  using kernels::ConvAlgorithm;
  const struct {
    const char* name;
    std::function<void(float*)> run;
  } rungs[] = {
      {"1 naive", [&](float* y) { naive(padded, plain, y); }},
      {"2 reordered", [&](float* y) { reordered(padded, packed, y); }},
      {"3 a tile in registers", [&](float* y) { tiled(padded, packed, y); }},
      {"4 direct", [&](float* y) { library(x, w, ConvAlgorithm::direct, y); }},
      {"5 Winograd F(2x2, 3x3)", [&](float* y) { library(x, w, ConvAlgorithm::winograd2, y); }},
      {"6 Winograd F(4x4, 3x3)", [&](float* y) { library(x, w, ConvAlgorithm::winograd4, y); }},
  };
  std::printf("%ldx%ld, %ld channels, one thread, %s\n%-26s %10s %12s\n", long(height), long(width),
              long(channels), simd_target().c_str(), "", "GFLOP/s", "error");
  bool right = true;
  for (const auto& rung : rungs) {
    std::vector<float> y(size_t(height * width * channels));
    double best = 1e9;
    for (int i = 0; i < 5; ++i) {
      const auto start = std::chrono::steady_clock::now();
      rung.run(y.data());
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
      best = std::min(best, time.count());
    }
    double error = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      const double e = std::fabs(double(y[i]) - expected.data<double>()[i]);
      if (!(e <= error)) error = e;  // NaN too
    }
    right = right && error < 1e-4;  // of results of size one
    std::printf("%-26s %10.1f %12.1e\n", rung.name,
                2e-9 * double(height * width * channels * channels * taps) / best, error);
  }
  return right ? 0 : 1;
}
