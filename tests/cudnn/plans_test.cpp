// cuDNN itself, asked on a machine without a GPU what it would do on one: every convolution of the
// networks must have a plan in every precision. In builds with CUDA.
#include <doctest/doctest.h>

#include <set>

#include "tensor/cuda/cublaslt.h"
#include "tensor/cuda/cudnn.h"
#include "tests/errors.h"
#include "ucn/resunet.h"

using namespace cairn;
using namespace cairn::cuda;

namespace {

/// An H100 in the form that cuDNN gives and takes.
const char* const h100 =
    R"({"descriptorType":38,"cudaDeviceId":0,"deviceVer":900,"driverVer":13000,)"
    R"("maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],"regsPerBlock":65536,)"
    R"("multiProcessorCount":132,"warpSize":32,"maxSharedMemoryPerBlock":49152,)"
    R"("maxSharedMemoryPerBlockOptin":232448,"reservedSharedMemoryPerBlock":1024,)"
    R"("maxRegistersPerSM":65536,"maxCtasPerSM":32,"maxThreadsPerBlock":1024,)"
    R"("maxThreadsPerSM":2048,"pciDeviceId":0,"isTccDriver":0,"supportCoopLaunch":1,)"
    R"("smClockRateKHz":1980000,"memClockRateKHz":2619000,"l2CacheSize":52428800,)"
    R"("totalGlobalMem":85000000000,"deviceName":"NVIDIA H100 80GB HBM3"})";

bool can_ask() {
  int major = 0, minor = 0;  // descriptions of devices came with 9.8
  if (std::sscanf(cudnn_status().c_str(), "cuDNN %d.%d", &major, &minor) == 2 &&
      std::pair(major, minor) >= std::pair(9, 8))
    return true;
  MESSAGE("not asked: " << cudnn_status());
  return false;
}

/// The convolutions that are not products (those with 1x1 kernels), at 480x640, each once.
std::vector<ConvProblem> problems_of(const std::string& model) {
  const auto& v = ucn::resunet_variant(model);
  std::vector<ConvProblem> all;
  std::set<ConvProblem::Key> seen;
  const auto add = [&](int64_t h, int64_t w, int64_t in, int64_t out, int64_t stride,
                       int64_t padding) {
    ConvProblem p;
    p.geometry = {{stride, stride}, {padding, padding}, {1, 1}};
    p.extents = {1,
                 h,
                 w,
                 in,
                 out,
                 3,
                 3,
                 p.geometry.output_extent(0, h, 3),
                 p.geometry.output_extent(1, w, 3)};
    if (seen.insert(p.key()).second) all.push_back(p);
  };
  int64_t h = 480, w = 640, in = 1;
  for (int level = 0; level < 4; ++level) {
    add(h, w, in, v.down[level], level ? 2 : 1, 1);
    if (level) h /= 2, w /= 2;
    in = v.down[level];
    add(h, w, in, in, 1, 1);
  }
  for (int level = 3; level > 0; --level) {  // a transposed convolution is a data gradient
    add(2 * h + 1, 2 * w + 1, v.up[level], in, 2, 0);
    h *= 2, w *= 2;
    add(h, w, v.up[level], v.up[level], 1, 1);
    in = v.up[level] + v.down[level - 1];
  }
  return all;
}

}  // namespace

TEST_CASE("cuDNN has a plan for every convolution, in every precision, on an H100") {
  if (!can_ask()) return;
  for (const char* model : {"ResUNetBN2D2", "ResUNetBN2F"})
    for (ConvProblem p : problems_of(model))
      for (auto [type, math] :
           {std::pair{DType::f32, Math::fp32}, {DType::f32, Math::tf32}, {DType::bf16, Math::fp32}})
        for (ConvKind kind : {ConvKind::forward, ConvKind::data_grad, ConvKind::weight_grad}) {
          p.type = type;
          p.math = math;
          p.kind = kind;
          const ConvReport r = conv_report(p, h100);
          CAPTURE(p.text());
          CAPTURE(r.text);
          CHECK(r.found);
          CHECK(r.workspace <= workspace_cap);
          CHECK(r.text.find("not deterministic") == std::string::npos);
          const bool tensor_cores = has(r.text, "tensor cores");
          if (type == DType::f32 && math == Math::fp32)
            CHECK_FALSE(tensor_cores);
          else if (p.extents.i > 1)
            CHECK(tensor_cores);
        }
}

TEST_CASE("cuDNN fuses what inference needs: bias, residual and ReLU after the convolution") {
  if (!can_ask()) return;
  for (DType type : {DType::f32, DType::bf16})
    for (int parts : {1, 3, 5, 7}) {
      ConvProblem p;
      p.type = type;
      p.math = Math::tf32;
      p.geometry = {{1, 1}, {1, 1}, {1, 1}};
      p.extents = {1, 120, 160, 128, 128, 3, 3, 120, 160};
      p.bias = parts & 1;
      p.residual = parts & 2;
      p.relu = parts & 4;
      const ConvReport r = conv_report(p, h100);
      CAPTURE(p.text());
      CAPTURE(r.text);
      CHECK(r.found);
    }
}

TEST_CASE("cuBLASLt is found, or it is said why not") {
  if (!cublaslt_status().starts_with("cuBLASLt ")) MESSAGE(cublaslt_status());
  CHECK_FALSE(cublaslt_status().empty());
}
