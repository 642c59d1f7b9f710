#include "tensor/kernels/rows/rows.h"

#include <doctest/doctest.h>

#include <vector>

#include "tests/tensor/grid.h"

using namespace cairn;
namespace reference = kernels::reference;

namespace {

Tensor random_index(int64_t k, int64_t rows) {
  Random random(11);
  Tensor index = Tensor::empty({k}, DType::i64);
  for (int64_t& i : index.span<int64_t>()) i = random.below(rows);
  return index;
}

}  // namespace

TEST_CASE("rows: gather, scatter and distance as the reference") {
  each_simd_target([] {
    for (DType type : {DType::f32, DType::f64})
      for (int64_t k : {0, 1, 7, 500})
        for (int64_t rows : {1, 5, 3000})
          for (int64_t c : {0, 1, 3, 15, 16, 17, 64}) {
            CAPTURE(k);
            CAPTURE(rows);
            CAPTURE(c);
            const Tensor index = random_index(k, rows), x = normal({rows, c}, type, 1);
            const Tensor a = normal({k, c}, type, 2), b = normal({k, c}, type, 3);
            const Tensor dd = normal({k}, type, 4);
            CHECK(same_bits(kernels::gather_rows(x, index), reference::gather_rows(x, index)));
            CHECK(same_bits(kernels::scatter_add_rows(a, index, rows),
                            reference::scatter_add_rows(a, index, rows)));
            CHECK(difference(kernels::row_distance2(a, b), reference::row_distance2(a, b)) <=
                  tolerance(type));
            CHECK(difference(kernels::row_distance2_backward(a, b, dd),
                             reference::row_distance2_backward(a, b, dd)) <= tolerance(type));
          }
  });
}

TEST_CASE("rows: the nearest of those listed, as the reference") {
  each_simd_target([] {
    for (DType type : {DType::f32, DType::f64})
      for (int64_t k : {0, 1, 9})
        for (int64_t c : {1, 16, 33}) {
          CAPTURE(k);
          CAPTURE(c);
          Tensor lists = random_index(200 * k, 50).reshape({200, k});
          for (int64_t i = 0; i < lists.numel(); i += 3) lists.data<int64_t>()[i] = -1;
          const Tensor queries = normal({200, c}, type, 1), database = normal({50, c}, type, 2);
          CHECK(same_bits(kernels::nearest_listed(queries, database, lists),
                          reference::nearest_listed(queries, database, lists)));
        }
  });
  const Tensor twice = Tensor::from({1, 2}, std::vector<int64_t>{2, 0});
  CHECK(kernels::nearest_listed(Tensor::zeros({1, 3}), Tensor::zeros({3, 3}), twice).item() == 2);
  CHECK(error_of([&] {
          kernels::nearest_listed(Tensor::zeros({1, 3}), Tensor::zeros({2, 3}), twice);
        }) == "nearest_listed: row 2 is listed, but there are 2");
}

TEST_CASE("rows: any element type is gathered") {
  const Tensor x = Tensor::from<uint8_t>({3, 2}, std::vector<uint8_t>{1, 2, 3, 4, 5, 6});
  const Tensor index = Tensor::from<int64_t>({2}, std::vector<int64_t>{2, 0});
  CHECK(kernels::gather_rows(x, index).to_vector() == std::vector<double>{5, 6, 1, 2});
}

TEST_CASE("rows: near-equal rows keep the digits of their distance") {
  Tensor a = Tensor::full({1, 16}, 1000), b = Tensor::full({1, 16}, 1000);
  b.data<float>()[5] = 1000.0625f;
  each_simd_target([&] { CHECK(kernels::row_distance2(a, b).item() == 0.00390625); });
}

TEST_CASE("rows: equal bits at any thread count") {
  const Tensor index = random_index(5000, 700), x = normal({5000, 33}, DType::f32, 5);
  CHECK(same_at_any_thread_count([&] { return kernels::scatter_add_rows(x, index, 700); }));
  CHECK(same_at_any_thread_count([&] { return kernels::gather_rows(x, index); }));
  CHECK(same_at_any_thread_count([&] { return kernels::row_distance2(x, x); }));
}

TEST_CASE("rows: an index outside is named, also when nothing is there") {
  const auto index = [](int64_t i) {
    return Tensor::from<int64_t>({2}, std::vector<int64_t>{0, i});
  };
  CHECK(error_of([&] {
          kernels::gather_rows(Tensor::zeros({3, 2}), index(3));
        }) == "gather_rows: index[1] is 3, but there are 3 rows");
  CHECK(error_of([&] {
          kernels::scatter_add_rows(Tensor::zeros({2, 2}), index(-1), 3);
        }) == "scatter_add_rows: index[1] is -1, but there are 3 rows");
  CHECK(error_of([&] {
          kernels::gather_rows(Tensor::zeros({0, 2}), index(0));
        }) == "gather_rows: index[0] is 0, but there are 0 rows");
  CHECK(error_of([&] {
          kernels::scatter_add_rows(Tensor::zeros({4, 2}), index(1), 3);
        }) == "scatter_add_rows: 2 indices for 4 rows");
  CHECK(error_of([&] {
          kernels::gather_rows(Tensor::zeros({3, 2}), Tensor::zeros({2}));
        }) == "gather_rows: the index is f32, not i64");
}
