#include "tensor/kernels/scale_space/scale_space.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tensor/kernels/elementwise/elementwise.h"
#include "tests/tensor/grid.h"

using namespace cairn;

TEST_CASE("blur is the sum over the mirrored image, also where the filter is longer than that") {
  each_simd_target([] {
    for (int64_t h : {1, 2, 5, 40})
      for (int64_t w : {1, 3, 17, 70})
        for (size_t radius : {0, 1, 4, 9}) {
          CAPTURE(h);
          CAPTURE(w);
          CAPTURE(radius);
          const Tensor x = normal({h, w}, DType::f32, 1);
          std::vector<float> taps;
          for (size_t k = 0; k <= radius; ++k) taps.push_back(0.3f / float(k + 1));
          Tensor change;
          const Tensor y = kernels::blur(x, taps, &change);
          CHECK(difference(y, kernels::reference::blur(x, taps)) <= 1e-5);
          CHECK(same_bits(change, kernels::sub(y, x)));
        }
  });
}

TEST_CASE("extrema are the pixels not exceeded by 26 neighbours, ties included") {
  each_simd_target([] {
    for (int64_t w : {3, 19, 130})
      for (float threshold : {0.f, 1.f}) {
        Tensor layers[3];
        for (uint64_t k = 0; k < 3; ++k) {
          layers[k] = normal({70, w}, DType::f32, k);
          for (float& v : layers[k].span<float>()) v = std::round(2 * v);  // ties, and many zeros
        }
        const auto found = kernels::extrema(layers[0], layers[1], layers[2], threshold, 1);
        CHECK(found == kernels::reference::extrema(layers[0], layers[1], layers[2], threshold, 1));
        if (w > 3) CHECK(!found.empty());
      }
  });
  const Tensor small = Tensor::full({8, 9}, 5);
  CHECK(kernels::extrema(small, small, small, 1, 4).empty());
  CHECK(kernels::extrema(small, small, small, 1, 3) ==
        std::vector<int64_t>{30, 31, 32, 39, 40, 41});
}

TEST_CASE("the direction of a gradient is counted from x upwards, in turns") {
  each_simd_target([] {
    const int64_t n = 400;
    Tensor rows[3];
    for (uint64_t k = 0; k < 3; ++k) rows[k] = normal({n + 2}, DType::f32, k);
    float* here = rows[1].data<float>();
    here[4] = here[6];  // dx = 0
    std::fill_n(here + 20, 8, 1.f);
    for (Tensor* row : {&rows[0], &rows[2]}) std::fill_n(row->data<float>() + 20, 8, 2.f);  // flat
    std::vector<float> length(n), turns(n), plain_length(n), plain_turns(n);
    kernels::gradient_row()(n, rows[0].data<float>() + 1, here + 1, rows[2].data<float>() + 1,
                            length.data(), turns.data());
    kernels::reference::gradient_row(n, rows[0].data<float>() + 1, here + 1,
                                     rows[2].data<float>() + 1, plain_length.data(),
                                     plain_turns.data());
    for (size_t i = 0; i < size_t(n); ++i) {
      CHECK(std::fabs(length[i] - plain_length[i]) <= 1e-5 * (1 + plain_length[i]));
      CHECK(turns[i] >= 0);
      CHECK(turns[i] <= 1);
      const float off = std::fabs(turns[i] - plain_turns[i]);
      CHECK(std::min(off, 1 - off) <= 2e-6f);
    }
  });
}

TEST_CASE("scale space: equal bits at any thread count") {
  const Tensor x = normal({150, 90}, DType::f32, 1);
  const float taps[] = {0.4f, 0.2f, 0.1f};
  CHECK(same_at_any_thread_count([&] { return kernels::blur(x, taps); }));
  CHECK(same_at_any_thread_count([&] {
    const auto found = kernels::extrema(x, x, x, 0, 1);
    return Tensor::from({int64_t(found.size())}, found);
  }));
}
