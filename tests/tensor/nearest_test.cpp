#include "tensor/kernels/nearest/nearest.h"

#include <doctest/doctest.h>

#include "tests/tensor/grid.h"

using namespace cairn;

namespace {

void check_same(const Tensor& queries, const Tensor& database) {
  const auto fast = kernels::nearest(queries, database);
  const auto plain = kernels::reference::nearest(queries, database);
  CHECK(same_bits(fast.index, plain.index));
  CHECK(difference(fast.distance, plain.distance) == 0);
  CHECK(difference(fast.second, plain.second) == 0);
  // The same product read down its columns.
  const auto both = kernels::nearest_both(queries, database);
  CHECK(same_bits(both.forward.index, plain.index));
  CHECK(difference(both.forward.distance, plain.distance) == 0);
  CHECK(same_bits(both.back, kernels::reference::nearest(database, queries).index));
}

}  // namespace

TEST_CASE("nearest: index, distance and second are those of the plain search") {
  each_simd_target([] {
    for (DType type : {DType::f32, DType::f64})
      for (int64_t q : {0, 1, 7, 8, 9, 67})
        for (int64_t n : {1, 2, 23, 24, 25, 47, 48, 49, 211})
          for (int64_t c : {0, 1, 16, 33}) {
            CAPTURE(q);
            CAPTURE(n);
            CAPTURE(c);
            check_same(normal({q, c}, type, 1), normal({n, c}, type, 2));
          }
  });
}

TEST_CASE("nearest: a database of several slabs") {
  each_simd_target([] {
    check_same(normal({5, 16}, DType::f32, 1), normal({40000, 16}, DType::f32, 2));
    check_same(normal({700, 16}, DType::f32, 1), normal({20000, 16}, DType::f32, 2));
  });
}

TEST_CASE("nearest: rows so much alike that 8-bit codes cannot tell them apart") {
  each_simd_target([] {
    const auto alike = [](int64_t rows, uint64_t seed) {
      Random random(seed);
      return random_normal({rows, 16}, random, 1, 0.03);
    };
    check_same(alike(9, 1), alike(80000, 2));
  });
}

TEST_CASE("nearest: a row that wins only by what its 8-bit codes, or the query's, leave out") {
  // (127, 0.49, 0.49, ...) has the codes 127, 0, 0, ...; the other rows have exact codes.
  const auto winner = [](const std::vector<float>& query, const std::vector<float>& row, float x) {
    Tensor database = Tensor::zeros({60, 16});
    for (int64_t k = 0; k < 59; ++k) database.data<float>()[16 * k] = x - 1e-4f * float(k);
    std::ranges::copy(row, database.data<float>() + 59 * 16);
    check_same(Tensor::from({1, 16}, query), database);
    return kernels::nearest(Tensor::from({1, 16}, query), database).index.item();
  };
  std::vector<float> left_out(16, 0.49f), ones(16, 1);
  left_out[0] = 127;
  ones[0] = 0;
  each_simd_target([&] {
    CHECK(winner(left_out, ones, -0.003f) == 59);
    for (float& v : left_out) v /= 100;
    CHECK(winner(ones, left_out, 1.26f) == 59);
    for (float& v : left_out) v *= 100;
  });
}

TEST_CASE("nearest: among equal rows the smallest index wins, and the second is as near") {
  const Tensor row = normal({1, 16}, DType::f32, 3);
  Tensor database = normal({1000, 16}, DType::f32, 4);
  for (int64_t k : {17, 18, 300, 999})
    std::copy_n(row.data<float>(), 16, database.data<float>() + k * 16);
  each_simd_target([&] {
    const auto found = kernels::nearest(row, database);
    CHECK(found.index.data<int64_t>()[0] == 17);
    CHECK(found.distance.item() == 0);
    CHECK(found.second.item() == 0);
    // A database of one repeated row, many more than any list of candidates holds.
    const auto flat = kernels::nearest(row, Tensor::full({5000, 16}, 0.25));
    CHECK(flat.index.data<int64_t>()[0] == 0);
    CHECK(flat.distance.item() == flat.second.item());
  });
}

TEST_CASE("nearest: rows that the expanded product cannot tell apart are told apart exactly") {
  // Far from the origin a score has an error of about 1, the distances differ by much less.
  each_simd_target([] {
    Random random(5);
    Tensor database = Tensor::empty({9, 4}), queries = Tensor::empty({9, 4});
    for (int64_t i = 0; i < 36; ++i) {
      database.data<float>()[i] = 1000 + 0.25f * float(random.below(8));
      queries.data<float>()[i] = 1000 + 0.25f * float(random.below(8));
    }
    check_same(queries, database);
  });
}

TEST_CASE("nearest: rows of unlike lengths") {
  const auto scaled = [](int64_t rows, double scale, uint64_t seed) {
    Random random(seed);
    return random_normal({rows, 16}, random, 0, scale);
  };
  check_same(scaled(3000, 0.01, 1), scaled(500, 100, 2));
  check_same(scaled(500, 100, 3), scaled(3000, 0.01, 4));
}

TEST_CASE("nearest: NaN never wins, and is not hidden when there is nothing else") {
  each_simd_target([] {
    Tensor database = normal({50, 8}, DType::f32, 6);
    database.data<float>()[3] = NAN;
    const Tensor queries = normal({4, 8}, DType::f32, 7);
    check_same(queries, database);
    database.data<float>()[100] = INFINITY;
    check_same(queries, database);
    Tensor exact = Tensor::zeros({1, 8});  // the codes leave nothing of it out
    exact.data<float>()[0] = 2;
    database.data<float>()[100] = 1e25f;  // whose square is infinite
    check_same(exact, database);
    Tensor some = normal({300, 8}, DType::f32, 8);
    some.data<float>()[5] = NAN;  // in the first query
    const Tensor others = normal({200, 8}, DType::f32, 9);
    CHECK(same_bits(kernels::nearest_both(some, others).back,
                    kernels::reference::nearest(others, some).index));
    const auto found = kernels::nearest(Tensor::full({1, 8}, NAN), database);
    CHECK(found.index.data<int64_t>()[0] == 0);
    CHECK(std::isnan(found.distance.item()));
  });
}

TEST_CASE("nearest: an empty database has no nearest row") {
  const auto found = kernels::nearest(Tensor::zeros({2, 3}), Tensor::zeros({0, 3}));
  CHECK(found.index.to_vector() == std::vector<double>{-1, -1});
  CHECK(found.distance.to_vector() == std::vector<double>{INFINITY, INFINITY});
  CHECK(found.second.to_vector() == std::vector<double>{INFINITY, INFINITY});
}

TEST_CASE("nearest: equal bits at any thread count") {
  const Tensor queries = normal({300, 32}, DType::f32, 8),
               database = normal({9000, 32}, DType::f32, 9);
  CHECK(same_at_any_thread_count([&] { return kernels::nearest(queries, database).index; }));
  CHECK(same_at_any_thread_count([&] { return kernels::nearest(queries, database).second; }));
  CHECK(same_at_any_thread_count([&] { return kernels::nearest_both(queries, database).back; }));
}

TEST_CASE("nearest: names the shapes that do not fit") {
  CHECK(
      error_of([] {
        kernels::nearest(Tensor::zeros({2, 3}), Tensor::zeros({5, 4}));
      }) ==
      "nearest: the queries are 2x3 and the database 5x4; both must be matrices with equally long "
      "rows");
}
