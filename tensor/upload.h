// A batch's way to the GPU: one copy from pinned memory that runs beside the work.
#pragma once

#include <memory>
#include <span>

#include "tensor/cuda/runtime.h"
#include "tensor/tensor.h"

namespace cairn {

/// Uploads take turns between two places in memory. The tensors of one may be used by work that is
/// started until the next upload: the one after that writes to their place, and its copy waits for
/// work that was started before the upload in between, but not for what has been started since.
class Uploader {
 public:
  explicit Uploader(Device device) : device_(device) {}

  /// Replaces each tensor on the CPU by its twin on the device; work started later waits for the
  /// copy, this function does not. On the CPU nothing happens.
  void operator()(std::span<Tensor* const> tensors);

 private:
  struct Place {
    std::shared_ptr<void> pinned, device;
    int64_t capacity = 0;
    cuda::Mark copied;
  };
  Device device_;
  Place places_[2];
  int turn_ = 0;
  cuda::Mark last_upload_;  // in the order of the work
};

}  // namespace cairn
