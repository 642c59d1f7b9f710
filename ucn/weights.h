// Weight files of feature networks: safetensors whose metadata says what they are.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "nn/safetensors.h"
#include "ucn/resunet.h"

namespace cairn::ucn {

using Metadata = std::map<std::string, std::string>;

/// The network's configuration as metadata (model, inputs, outputs, normalize, statistics), and
/// back. Reading throws ErrorId::weights when something is absent or unknown.
Metadata describe(const ResUNetConfig& config);
ResUNetConfig config_from(const Metadata& metadata, const std::string& origin);

/// Writes the network atomically; `metadata` (recipe, data, ...) is added to its description,
/// and the commit that the library was built from.
void save_weights(const std::string& path, const ResUNet& network, const Metadata& metadata = {});

struct Weights {
  std::unique_ptr<ResUNet> network;  ///< in evaluation mode
  Metadata metadata;
};
/// The tensors and the metadata of a weight file: ours, or another (.pth or not), whose network
/// is recognised from its shapes. Throws ErrorId::io, ErrorId::format, ErrorId::weights.
nn::TensorFile read_weights(const std::string& path);
/// The same network with as few outputs as carry the same inner products, for matching. The last
/// layer makes C outputs of n channels and a constant, f = M (x, 1), and where n + 1 < C, M = Q R
/// with orthonormal columns in Q: then R (x, 1) has the lengths and angles of f in n + 1 numbers
/// (and zeros, to a multiple of 8). A score head's first layer takes over Q. Throws as
/// config_from().
nn::TensorFile with_fewest_outputs(nn::TensorFile file, const std::string& origin);
/// Builds the network that such a file describes and fills it.
Weights load_weights(const nn::TensorFile& file, const std::string& origin);
Weights load_weights(const std::string& path);

}  // namespace cairn::ucn
