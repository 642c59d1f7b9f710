// What a network does to an image, as a list of steps on buffers.
#pragma once

#include <string>
#include <vector>

#include "autograd/op.h"
#include "nn/module.h"

namespace cairn::nn {

/// An image that a step writes. `used` is the part that is read later: the top-left rows and
/// columns.
struct PlanBuffer {
  Shape shape;  // N x H x W x C
  int64_t used_rows = 0, used_columns = 0;

  int64_t row() const { return shape[2] * shape[3]; }  // elements
  int64_t bytes() const { return shape.numel() * int64_t(sizeof(float)); }
};

struct PlanStep {
  PlannedOp op;
  std::string name, layer;
  std::vector<int> inputs;  // buffers whose channels follow each other
  Shape seen;               // of the input: its top-left part, all channels
  int residual = -1;        // a buffer
  int output = -1;
  Tensor weight, bias, gamma, beta;

  bool convolution() const {
    return op.kind == PlannedOp::conv2d || op.kind == PlannedOp::conv_transpose2d;
  }
};

struct PlanTrace {
  std::vector<PlanBuffer> buffers;
  std::vector<PlanStep> steps;
  int input = 0, output = 0;  // buffers
};

/// Nothing is computed but what depends on weights alone. Throws ErrorId::graph.
PlanTrace trace(Module& network, const Shape& input);

}  // namespace cairn::nn
