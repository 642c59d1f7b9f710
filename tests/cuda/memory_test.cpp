// Memory of the GPU: what is counted, reserved for recorded work, and sent ahead.
#include "tensor/device.h"

#include "tensor/graph.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/upload.h"
#include "tests/cuda/gpu.h"

using namespace cairn;

TEST_CASE("gpu tensors: aligned, counted, and not readable by the CPU") {
  empty_cache(Device::cuda);
  const int64_t before = memory_stats(Device::cuda).live;
  {
    const Tensor t = Tensor::zeros({1000}, DType::f32, Device::cuda);
    CHECK(reinterpret_cast<uintptr_t>(t.device_raw()) % 256 == 0);
    CHECK(memory_stats(Device::cuda).live == before + 4096);
    CHECK(error_of(ErrorId::device, [&] { t.data<float>(); }) ==
          "tensor: the elements are on the GPU. Hint: to(Device::cpu) copies them");
    CHECK(error_of(ErrorId::device, [&] { kernels::add(t, Tensor::zeros({1000})); }) ==
          "add: the operands are on cuda and cpu");
  }
  CHECK(memory_stats(Device::cuda).live == before);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which end the program
TEST_CASE("gpu memory: what cannot be had is an error that says what is live") {
  const Tensor t = Tensor::empty({3, 1000}, DType::f32, Device::cuda);
  const std::string text =
      error_of(ErrorId::memory, [] { allocate(Device::cuda, int64_t(1) << 61); });
  CHECK(has(text, "on the GPU"));
  CHECK(has(text, "the largest live blocks:"));
  CHECK(has(text, " of 12032 bytes"));
}
#endif

TEST_CASE("gpu copies: assign_ between all devices, and only what fits") {
  const Tensor x = normal({5, 3}, DType::f32, 1), gpu = there(x);
  Tensor cpu_copy = Tensor::zeros({5, 3}),
         gpu_copy = Tensor::zeros({5, 3}, DType::f32, Device::cuda);
  gpu_copy.assign_(gpu);
  cpu_copy.assign_(gpu_copy);
  CHECK(same_bits(cpu_copy, x));
  CHECK(same_bits(here(gpu.clone()), x));
  CHECK(error_of([&] {
          gpu_copy.assign_(Tensor::zeros({3, 5}));
        }) == "assign_: the elements are 5x3 f32, those given 3x5 f32");
}

TEST_CASE("recorded work gives what direct work gives, each time, in memory of its own") {
  Tensor x = there(normal({300}, DType::f32, 1)), y;
  const auto work = [&] {
    const Tensor doubled = kernels::add(x, x);
    y = kernels::relu(kernels::mul(doubled, kernels::square(doubled)));
  };
  const Graph graph(work);
  const int64_t live = memory_stats(Device::cuda).live;
  const Tensor kept = y;
  for (uint64_t seed : {1, 2, 3}) {
    const Tensor input = normal({300}, DType::f32, seed);
    x.assign_(input);
    // Others may not get the memory in between: were it free, this would be it.
    Tensor other = Tensor::full({300}, NAN, DType::f32, Device::cuda);
    graph.launch();
    const Tensor recorded = here(kept);
    work();
    CHECK(same_bits(recorded, here(y)));
    for (double v : here(other).to_vector()) CHECK(std::isnan(v));
  }
  y = {};
  CHECK(memory_stats(Device::cuda).live == live);
}

TEST_CASE("recorded work must not look at values, and a failed recording leaves memory usable") {
  const Tensor x = there(normal({3}, DType::f32, 1));
  CHECK(error_of(ErrorId::device, [&] { Graph([&] { kernels::add(x, x).to_vector(); }); }) ==
        "cuda: a copy to the host cannot be recorded");
  CHECK(here(kernels::add(x, x)).numel() == 3);
  const Graph again([&] { kernels::add(x, x); });
  again.launch();
}

TEST_CASE("an upload replaces tensors by twins of the same elements, several times over") {
  Uploader upload(Device::cuda);
  std::vector<Tensor> earlier;
  for (uint64_t k = 0; k < 5; ++k) {
    const Tensor a = normal({3 + int64_t(k * 40), 5}, DType::f32, k), b = Tensor::zeros({0, 2}),
                 c = normal({7}, DType::f64, k);
    Tensor ua = a, ub = b, uc = c;
    Tensor* all[] = {&ua, &ub, &uc};
    upload(all);
    CHECK(ua.on_gpu());
    CHECK(ub.shape() == b.shape());
    CHECK(same_bits(here(ua), a));
    CHECK(same_bits(here(uc), c));
    if (k > 0) CHECK(same_bits(here(earlier[0]), earlier[1]));  // the last one is still whole
    earlier = {uc, c};
  }
  Tensor stays = Tensor::zeros({2});
  Tensor* one[] = {&stays};
  Uploader nowhere(Device::cpu);
  nowhere(one);
  CHECK_FALSE(stays.on_gpu());
}
