// Convolution by cuDNN. In builds with real CUDA; elsewhere convolve() is always false.
#pragma once

#include <string>

#include "tensor/cuda/conv_plan.h"

namespace cairn::cuda {

/// "cuDNN 9.19.0", or why it cannot be used, on one line.
const std::string& cudnn_status();

/// Starts the problem on the library's stream, all pointers on the GPU, dense and in Cairn's order:
///   forward      result y, of a = x and b = w
///   data_grad    result dx, of a = dy and b = w
///   weight_grad  result dw, of a = x and b = dy
/// False, with nothing done, when cuDNN has no way to do it that the problem allows, is not there
/// or is not to be used; that is remembered, so asking again is cheap. The first call of a problem
/// makes its plan. Throws ErrorId::device when cuDNN fails at work, ErrorId::memory without a
/// workspace.
bool convolve(const ConvProblem& problem, void* result, const void* a, const void* b,
              const void* bias = nullptr, const void* residual = nullptr);

/// What convolve() would run on a GPU that need not be there: the engine, what it is said to do and
/// its workspace, or why there is none. `device` is cuDNN's JSON of a device's properties.
struct ConvReport {
  bool found = false;
  int64_t workspace = 0;
  std::string text;
};
ConvReport conv_report(const ConvProblem& problem, const std::string& device);

}  // namespace cairn::cuda
