// For those who call CUDA's own libraries; in builds with real CUDA only.
#pragma once

#include <cuda_runtime_api.h>

#include <string_view>

namespace cairn::cuda {

/// The stream of all kernels and copies. Throws ErrorId::device when there is no device.
cudaStream_t stream();
/// Throws ErrorId::device, naming `what` failed and why, unless the code says success.
void check(cudaError_t code, std::string_view what);

}  // namespace cairn::cuda
