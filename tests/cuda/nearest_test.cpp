#include "tensor/kernels/nearest/nearest.h"

#include "tests/cuda/gpu.h"

using namespace cairn;

namespace {

void check_same(const Tensor& queries, const Tensor& database) {
  const auto gpu = kernels::nearest(there(queries), there(database));
  const auto plain = kernels::reference::nearest(queries, database);
  CHECK(same_bits(here(gpu.index), plain.index));
  CHECK(difference(here(gpu.distance), plain.distance) == 0);
  CHECK(difference(here(gpu.second), plain.second) == 0);
}

}  // namespace

TEST_CASE("gpu nearest: index, distance and second are those of the plain search") {
  for (DType type : {DType::f32, DType::f64})
    for (int64_t q : {0, 1, 127, 130})
      for (int64_t n : {1, 2, 128, 129, 700})
        for (int64_t c : {1, 7, 8, 33, 64, 70}) {
          if (q > 1 && n > 129 && c > 8 && type == DType::f64) continue;  // long in the emulation
          CAPTURE(q);
          CAPTURE(n);
          CAPTURE(c);
          check_same(normal({q, c}, type, 1), normal({n, c}, type, 2));
        }
}

TEST_CASE("gpu nearest: few queries share a database between blocks, and join what they found") {
  check_same(normal({3, 4}, DType::f32, 1), normal({5000, 4}, DType::f32, 2));
}

TEST_CASE("gpu nearest: among equal rows the smallest index wins, and the second is as near") {
  const Tensor row = normal({1, 16}, DType::f32, 3);
  Tensor database = normal({1000, 16}, DType::f32, 4);
  for (int64_t k : {17, 18, 300, 999})
    std::copy_n(row.data<float>(), 16, database.data<float>() + k * 16);
  const auto found = kernels::nearest(there(row), there(database));
  CHECK(found.index.item() == 17);
  CHECK(found.distance.item() == 0);
  CHECK(found.second.item() == 0);
  const auto flat = kernels::nearest(there(row), there(Tensor::full({3000, 16}, 0.25)));
  CHECK(flat.index.item() == 0);
  CHECK(flat.distance.item() == flat.second.item());
}

TEST_CASE("gpu nearest: rows that the expanded product cannot tell apart are told apart exactly") {
  // Far from the origin a score has an error of about 1, the distances differ by much less. Two
  // rows are in the hands of each thread, as many as it keeps.
  Random random(5);
  Tensor database = normal({256, 4}, DType::f32, 6), queries = Tensor::empty({9, 4});
  for (float& v : queries.span<float>()) v = 1000 + 0.25f * float(random.below(8));
  for (int64_t row = 0; row < 256; row += 64)
    for (int64_t i = 0; i < 4; ++i)
      database.data<float>()[row * 4 + i] = 1000 + 0.25f * float(random.below(8));
  const auto gpu = kernels::nearest(there(queries), there(database));
  const auto plain = kernels::reference::nearest(queries, database);
  CHECK(difference(here(gpu.distance), plain.distance) == 0);
}

TEST_CASE("gpu nearest: NaN never wins, and is not hidden when there is nothing else") {
  Tensor database = normal({50, 8}, DType::f32, 6);
  database.data<float>()[3] = NAN;
  check_same(normal({4, 8}, DType::f32, 7), database);
  const auto found = kernels::nearest(there(Tensor::full({1, 8}, NAN)), there(database));
  CHECK(found.index.item() == 0);
  CHECK(std::isnan(found.distance.item()));
}

TEST_CASE("gpu nearest: an empty database has no nearest row") {
  const auto found = kernels::nearest(there(Tensor::zeros({2, 3})), there(Tensor::zeros({0, 3})));
  CHECK(found.index.to_vector() == std::vector<double>{-1, -1});
  CHECK(found.distance.to_vector() == std::vector<double>{INFINITY, INFINITY});
}
