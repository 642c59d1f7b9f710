// The gradient check itself: ops that are wrong in one way each must not pass.
#include "autograd/gradcheck.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops.h"
#include "tensor/kernels/elementwise/elementwise.h"

using namespace cairn;

namespace {

enum class Fault { none, factor, missing, nan, second_input, one_element };

/// y = a^2 b, whose backward has one fault.
struct Product {
  static constexpr auto name = "product";
  Fault fault;

  static Tensor forward(Saved& s, Inputs x) {
    s.keep(x[0], x[1]);
    return kernels::mul(kernels::square(x[0]), x[1]);
  }
  Grads backward(const Saved& s, const Tensor& dy) const {
    Tensor da = kernels::affine(kernels::mul(kernels::mul(s[0], s[1]), dy), 2, 0);
    Tensor db = kernels::mul(kernels::square(s[0]), dy);
    switch (fault) {
      case Fault::none:
        break;
      case Fault::factor:
        return {kernels::affine(da, 1 + 1e-4, 0), db};
      case Fault::missing:
        return {Tensor(), db};
      case Fault::nan:
        return {Tensor::full(da.shape(), NAN, da.dtype()), db};
      case Fault::second_input:
        return {da, da};
      case Fault::one_element:
        da.data<double>()[da.numel() - 1] += 1e-3;
    }
    return {da, db};
  }
  static Samples samples() { return {}; }
};

Sample sample(Fault fault, const Shape& shape = {3, 4}) {
  return {"", {{shape}, {shape}}, [=](const std::vector<Var>& v) {
            return apply(Product{fault}, {v[0], v[1]});
          }};
}

}  // namespace

TEST_CASE("gradcheck: a right gradient passes") {
  const auto r = gradcheck(sample(Fault::none), 1);
  CHECK(r.ok);
  CHECK(r.worst < 1e-7);
  CHECK(r.where.empty());
  CHECK(gradcheck(sample(Fault::none, {20, 20}), 1).ok);
  CHECK(gradcheck(sample(Fault::none, {0, 4}), 1).ok);
}

TEST_CASE("gradcheck: a wrong one does not, and the input is named") {
  for (Fault fault : {Fault::factor, Fault::missing, Fault::one_element}) {
    CAPTURE(int(fault));
    const auto r = gradcheck(sample(fault), 1);
    CHECK_FALSE(r.ok);
    CHECK(r.worst > 1e-6);
    CHECK(r.where.find("input 0, element ") == 0);
  }
  CHECK(gradcheck(sample(Fault::second_input), 1).where.find("input 1, element ") == 0);
}

TEST_CASE("gradcheck: NaN is worse than any number, whatever comes after it") {
  const auto r = gradcheck(sample(Fault::nan), 1);
  CHECK_FALSE(r.ok);
  CHECK(r.worst == INFINITY);
}

TEST_CASE("gradcheck: one wrong element of many is found by the random direction") {
  int found = 0;
  for (uint64_t seed = 1; seed <= 3; ++seed)
    found += !gradcheck(sample(Fault::one_element, {30, 30}), seed).ok;
  CHECK(found == 3);
}

TEST_CASE("gradcheck: a result that depends on nothing does not pass") {
  const Sample constant{"", {{{3}}}, [](const std::vector<Var>& v) { return v[0].detach(); }};
  CHECK_FALSE(gradcheck(constant, 1).ok);
}
