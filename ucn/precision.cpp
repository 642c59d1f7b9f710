#include "ucn/precision.h"

#include "tensor/cuda/runtime.h"

namespace cairn::ucn {

Precision precision(const std::string& name) {
  if (name == "fp32") return Precision::fp32;
  if (name == "tf32") return Precision::tf32;
  if (name == "bf16") return Precision::bf16;
  throw Error(ErrorId::argument, "precision", cat("no '", name, "'; there is fp32, tf32, bf16"));
}

void set_precision(ResUNet& network, Precision p) {
  require(p == Precision::fp32 || network.device() == Device::cuda, ErrorId::usage, "precision",
          p == Precision::tf32 ? "tf32" : "bf16", " is for the GPU; the CPU computes in fp32");
  cuda::set_math(p == Precision::fp32 ? cuda::Math::fp32 : cuda::Math::tf32);
  network.set_image_type(p == Precision::bf16 ? DType::bf16 : DType::f32);
}

}  // namespace cairn::ucn
