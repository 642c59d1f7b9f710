// PyTorch's .pth files: torch.save's zip archives and the form before 1.6.
#pragma once

#include <span>
#include <string>

#include "nn/safetensors.h"

namespace cairn::nn {

/// True if the bytes begin as a .pth file does.
bool is_pth(std::span<const uint8_t> bytes);

/// The tensors of such a file under their path in it, like state_dict.conv1.weight or
/// optimizer.state.0.momentum_buffer, row-major whatever their strides; numbers and texts as
/// metadata, like epoch or config.lr. Nothing in the file is run: objects of classes that are not
/// known are left out but for their attributes. bool is read as u8, i8 and i16 as i32. Throws
/// ErrorId::io, and ErrorId::format when it is damaged, asks for more memory than its tensors can
/// have, or is of a kind that is not read.
TensorFile load_pth(const std::string& path);
/// The same, or a safetensors file: as its first bytes, else its name says.
TensorFile load_tensors(const std::string& path);
TensorFile parse_pth(std::span<const uint8_t> bytes, const std::string& origin);

/// Writes an archive that PyTorch (1.6 or later) loads, also with weights_only=True: a dictionary
/// of the tensors under state_dict, and of the metadata, where a.b is b in a dictionary a; what
/// reads as a number or as true or false becomes one.
void save_pth(const std::string& path, const TensorFile& file);

}  // namespace cairn::nn
