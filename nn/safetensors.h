// The safetensors file format: an 8-byte little-endian header length, a JSON header
// {name: {dtype, shape, data_offsets}, "__metadata__": {string: string}}, raw little-endian data.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "nn/module.h"

namespace cairn::nn {

struct TensorFile {
  std::vector<NamedTensor> tensors;  ///< in the order of their data; shapes as in the file
  std::map<std::string, std::string> metadata;

  /// The tensor of that name, or null.
  const Tensor* find(const std::string& name) const;
};

/// Reads a whole file. Throws ErrorId::io, or ErrorId::format naming what is wrong: lengths,
/// offsets, overlaps, gaps, unknown dtypes, sizes and names given twice are all checked before any
/// tensor is allocated. BOOL is read as u8.
TensorFile load_safetensors(const std::string& path);
TensorFile parse_safetensors(std::span<const uint8_t> bytes, const std::string& origin);

/// Writes atomically. Throws ErrorId::io when the disk is full or the folder read-only, and
/// ErrorId::argument for an undefined tensor or a name used twice.
void save_safetensors(const std::string& path, const TensorFile& file);

/// A module's state in PyTorch's layouts (4-D weights O x I x KH x KW), ready to be saved.
std::vector<NamedTensor> export_state(const Module& module);
/// Copies tensors in PyTorch's layouts into a module. Throws ErrorId::weights, naming the layer and
/// both shapes, if one is missing, superfluous, of another shape, or an integer where the model has
/// a float; the module is unchanged then.
void import_state(Module& module, const std::vector<NamedTensor>& state, const std::string& origin);

}  // namespace cairn::nn
