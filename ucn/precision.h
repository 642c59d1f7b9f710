// How exactly a network is computed on a GPU.
#pragma once

#include <string>

#include "ucn/resunet.h"

namespace cairn::ucn {

/// fp32: products and sums in float32. tf32: the factors of convolutions and products are rounded
/// to TF32's 10 bits, for the tensor cores; everything else is float32. bf16: images between layers
/// and the factors of convolutions are bfloat16; parameters, sums, statistics, features and losses
/// are float32.
enum class Precision { fp32, tf32, bf16 };

/// "fp32", "tf32" or "bf16"; throws ErrorId::argument for another name.
Precision precision(const std::string& name);

/// From now on the network computes so; what it says of float32 products holds for the whole
/// process. Throws ErrorId::usage when the network is on the CPU, which computes in fp32 alone.
void set_precision(ResUNet& network, Precision precision);

}  // namespace cairn::ucn
