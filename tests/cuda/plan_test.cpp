// What is decided before a library is called: descriptions, engines, plans, where libraries are.
#include <doctest/doctest.h>

#include <thread>

#include "tensor/cuda/conv_plan.h"
#include "tensor/cuda/library.h"
#include "tensor/cuda/plan_cache.h"
#include "tests/errors.h"

using namespace cairn;
using namespace cairn::cuda;

namespace {

ConvProblem problem(ConvKind kind = ConvKind::forward) {
  ConvProblem p;
  p.kind = kind;
  p.extents = {2, 9, 11, 3, 5, 3, 3, 5, 6};  // n h w i, o kh kw, oh ow
  p.geometry = {{2, 2}, {1, 1}, {1, 1}};
  return p;
}

Candidate candidate(EngineNotes notes, int64_t workspace) {
  return {notes, [=]() -> int64_t {
            require(workspace >= 0, ErrorId::device, "engine", "cannot be built");
            return workspace;
          }};
}

}  // namespace

TEST_CASE("a convolution is told to cuDNN in its order, with the strides of N x H x W x C") {
  const ConvGraph g = describe(problem());
  CHECK(g.tensor(uid_x).dims == std::array<int64_t, 4>{2, 3, 9, 11});
  CHECK(g.tensor(uid_x).strides == std::array<int64_t, 4>{9 * 11 * 3, 1, 11 * 3, 3});
  CHECK(g.tensor(uid_w).dims == std::array<int64_t, 4>{5, 3, 3, 3});
  CHECK(g.tensor(uid_w).strides == std::array<int64_t, 4>{27, 1, 9, 3});
  CHECK(g.tensor(uid_y).dims == std::array<int64_t, 4>{2, 5, 5, 6});
  REQUIRE(g.operations.size() == 1);
  CHECK(g.result == uid_y);
  CHECK(g.operations[0].a == uid_x);
  CHECK(g.operations[0].b == uid_w);
}

TEST_CASE("each kind names its operands and its result") {
  const ConvGraph data = describe(problem(ConvKind::data_grad));
  CHECK(data.result == uid_x);
  CHECK(data.operations[0].a == uid_y);
  CHECK(data.operations[0].b == uid_w);
  const ConvGraph weight = describe(problem(ConvKind::weight_grad));
  CHECK(weight.result == uid_w);
  CHECK(weight.operations[0].a == uid_x);
  CHECK(weight.operations[0].b == uid_y);
}

TEST_CASE("an epilogue adds residual, then bias, then the ReLU; only the last is written") {
  ConvProblem p = problem();
  p.type = DType::bf16;
  p.bias = p.residual = p.relu = true;
  const ConvGraph g = describe(p);
  REQUIRE(g.operations.size() == 4);
  CHECK(g.operations[1].kind == ConvOperation::add);
  CHECK(g.operations[1].b == uid_residual);
  CHECK(g.operations[2].b == uid_bias);
  CHECK(g.operations[3].kind == ConvOperation::relu);
  CHECK(g.operations[3].result == uid_y);
  CHECK(g.tensor(uid_bias).dims == std::array<int64_t, 4>{1, 5, 1, 1});
  for (size_t i = 0; i + 1 < g.operations.size(); ++i) {
    CHECK(g.tensor(g.operations[i].result).is_virtual);
    CHECK(g.tensor(g.operations[i].result).type == DType::f32);  // rounded once, at the end
    CHECK(g.operations[i + 1].a == g.operations[i].result);
  }
  CHECK_FALSE(g.tensor(uid_y).is_virtual);
}

TEST_CASE("what cuDNN is never asked") {
  ConvProblem p = problem(ConvKind::weight_grad);
  p.relu = true;
  CHECK(error_of(ErrorId::argument, [&] { describe(p); }) ==
        "cudnn: nothing is added to the gradient of a weight");
  p = problem();
  p.type = DType::f64;
  CHECK(error_of(ErrorId::dtype, [&] { describe(p); }) ==
        "cudnn: computes in f32 or bf16, not in f64");
  p = problem();
  p.extents.n = 0;
  CHECK(has(error_of(ErrorId::shape, [&] { describe(p); }), "there is nothing to compute"));
}

TEST_CASE("problems that differ in anything have different keys") {
  const ConvProblem base = problem();
  const auto differs = [&](auto change) {
    ConvProblem other = base;
    change(other);
    CHECK(other.key() != base.key());
  };
  CHECK(problem().key() == base.key());
  differs([](ConvProblem& p) { p.kind = ConvKind::data_grad; });
  differs([](ConvProblem& p) { p.type = DType::bf16; });
  differs([](ConvProblem& p) { p.math = Math::tf32; });
  differs([](ConvProblem& p) { ++p.extents.ow; });
  differs([](ConvProblem& p) { std::swap(p.extents.h, p.extents.w); });
  differs([](ConvProblem& p) { p.geometry.dilation[1] = 2; });
  differs([](ConvProblem& p) { p.bias = true; });
  differs([](ConvProblem& p) { p.residual = true; });
  differs([](ConvProblem& p) { p.relu = true; });
  differs([](ConvProblem& p) { p.deterministic = false; });
}

TEST_CASE("fp32 refuses engines that round; no one gets a sum in less than f32") {
  ConvProblem p = problem();
  CHECK(refusal({}, p) == "");
  CHECK(refusal({.tensor_core = true}, p) != "");
  CHECK(refusal({.down_convert = true}, p) != "");
  CHECK(refusal({.winograd = true}, p) != "");
  CHECK(refusal({.nondeterministic = true}, p) == "not deterministic");
  p.math = Math::tf32;
  CHECK(refusal({.tensor_core = true}, p) == "");
  CHECK(refusal({.tensor_core = true, .down_convert = true}, p) != "");
  CHECK(refusal({.reduced_sum = true}, p) != "");
  p.type = DType::bf16;
  CHECK(refusal({.tensor_core = true}, p) == "");
  CHECK(refusal({.tensor_core = true, .reduced_sum = true}, p) != "");
  p.deterministic = false;
  CHECK(refusal({.nondeterministic = true}, p) == "");
}

TEST_CASE("the first engine that is allowed, can be built and fits the workspace is chosen") {
  std::string why;
  const ConvProblem p = problem();
  CHECK(choose({candidate({.tensor_core = true}, 0), candidate({}, -1), candidate({}, 2000),
                candidate({}, 1000), candidate({}, 0)},
               p, why, 1000) == 3);
  CHECK(why ==
        "engine 0: on tensor cores; engine 1: engine: cannot be built; engine 2: needs a workspace "
        "of 2000 bytes, the limit is 1000");
  why.clear();
  CHECK_FALSE(choose({candidate({.nondeterministic = true}, 0)}, p, why).has_value());
  CHECK(why == "engine 0: not deterministic");
}

TEST_CASE("plans: made once, the one used longest ago goes, one in use stays usable") {
  PlanCache<int, int> cache(2);
  int made = 0;
  const auto get = [&](int key) {
    return cache.get(key, [&] {
      ++made;
      return std::make_shared<int>(10 * key);
    });
  };
  const auto one = get(1);
  CHECK(*one == 10);
  get(2);
  get(1);
  CHECK(made == 2);
  get(3);  // 2 goes
  CHECK(cache.size() == 2);
  get(1);
  CHECK(made == 3);
  get(2);
  get(3);
  CHECK(made == 5);
  CHECK(*one == 10);
  CHECK_THROWS_AS(
      cache.get(9, []() -> std::shared_ptr<int> { throw Error(ErrorId::device, "", ""); }), Error);
  CHECK(cache.size() == 2);
}

TEST_CASE("plans: asked by several threads at once, each is made once") {
  PlanCache<int, int> cache(64);
  std::atomic<int> made = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int key = 0; key < 50; ++key)
        cache.get(key, [&] {
          ++made;
          return std::make_shared<int>(key);
        });
    });
  for (auto& t : threads) t.join();
  CHECK(made == 50);
}

TEST_CASE("a library that is not there, is no library or is too old says so in one line") {
  const Library absent({"libcairn-none.so.9", "libcairn-none.so.8"}, {"/nowhere"});
  CHECK_FALSE(absent.usable());
  CHECK(absent.problem() ==
        "libcairn-none.so.9 or libcairn-none.so.8 is not there (looked where the loader looks, in "
        "/nowhere)");
  Library c({"libcairn-none.so.9", "libc.so.6"});
  CHECK(c.usable());
  CHECK((c.function<unsigned(unsigned)>("sleep") != nullptr));
  CHECK(c.usable());
  CHECK((c.function<void()>("cairn_has_no_such_function") == nullptr));
  CHECK(c.problem() == "libc.so.6 is too old: it lacks cairn_has_no_such_function");
}
