// Work on the GPU that is recorded once and then started as a whole: one call for a network.
#pragma once

#include <functional>
#include <memory>

#include "tensor/device.h"

namespace cairn {

/// What `work` starts on the GPU, recorded. Every launch() reads and writes the same memory as the
/// recording: keep the tensors that go in and come out, and copy between them and others with
/// Tensor::assign_(). The work must not look at values.
class Graph {
 public:
  explicit Graph(const std::function<void()>& work);
  void launch() const;

 private:
  Reservation memory_;
  std::shared_ptr<void> recorded_;
};

}  // namespace cairn
