// Every pixel's nearest pixel in another image, found coarse to fine.
#pragma once

#include "tensor/tensor.h"

namespace cairn::ucn {

/// For each pixel of `from` (H0 x W0 x C) a pixel of `to` (H1 x W1 x C), H0 W0 i64, whose feature
/// is near, mostly the nearest: first among every `stride`-th pixel in x and y, exactly; then in
/// rounds among the pixels around that and those to which its neighbours' matches lead (PatchMatch,
/// Barnes et al. 2009, without its random search). Takes about 1 / stride^2 of the exact search's
/// time. The same at any thread count. Features on the CPU; stride >= 2 (ErrorId::argument).
Tensor nearest_coarse_to_fine(const Tensor& from, const Tensor& to, int64_t stride);

/// The same for any rows (Q x C): the `cells` nearest of every `stride`-th pixel of `to`, then all
/// pixels around these. Near 1 / stride^2 of the exact search's time.
Tensor nearest_by_cells(const Tensor& queries, const Tensor& to, int64_t stride, int64_t cells);

}  // namespace cairn::ucn
