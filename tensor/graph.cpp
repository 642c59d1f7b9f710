#include "tensor/graph.h"

#include "tensor/cuda/runtime.h"

namespace cairn {

Graph::Graph(const std::function<void()>& work)
    : memory_(Device::cuda), recorded_(cuda::record(work)) {
  memory_.close();
}

void Graph::launch() const { cuda::start_recorded(recorded_); }

}  // namespace cairn
