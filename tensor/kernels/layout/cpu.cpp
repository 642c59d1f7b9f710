// Moving elements on the CPU: whatever the type, bytes are copied.
#include <algorithm>
#include <cstring>

#include "tensor/kernels/layout/blocks.h"
#include "tensor/kernels/layout/layout.h"
#include "tensor/parallel.h"

namespace cairn::kernels {
namespace {

const char* bytes_of(const Tensor& t) { return static_cast<const char*>(t.raw()); }
char* bytes_of(Tensor& t) { return static_cast<char*>(t.raw()); }

/// The rows of a copy for one thread.
int64_t row_grain(int64_t bytes) { return std::max<int64_t>(1, 131072 / bytes); }

/// Fills y with the top-left part that it has in common with x, and zeros around that.
void copy_top_left(const Tensor& x, Tensor& y) {
  if (y.numel() == 0) return;
  const int64_t pixel = x.dim(3) * item_size(x.dtype()), height = y.dim(1);
  const int64_t from_row = x.dim(2) * pixel, to_row = y.dim(2) * pixel;
  if (y.on_gpu())
    return cuda::copy_block({y.dim(0), std::min(x.dim(1), height), std::min(from_row, to_row),
                             x.dim(1) * from_row, from_row, height * to_row, to_row},
                            x, 0, y, 0);
  const char* const from = bytes_of(x);
  char* const to = bytes_of(y);
  parallel_for(y.dim(0) * height, row_grain(to_row), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t image = r / height, row = r % height;
      const int64_t common = row < x.dim(1) ? std::min(from_row, to_row) : 0;
      if (common > 0)
        std::memcpy(to + r * to_row, from + (image * x.dim(1) + row) * from_row, size_t(common));
      std::memset(to + r * to_row + common, 0, size_t(to_row - common));
    }
  });
}

void require_images(const char* op, const Tensor& x) {
  require(x.rank() == 4, ErrorId::shape, op, "the input is ", x.shape(), ", not N x H x W x C");
}

}  // namespace

Tensor concat(std::span<const Tensor> parts) {
  require(!parts.empty(), ErrorId::argument, "concat", "there is nothing to join");
  require(parts[0].rank() >= 1, ErrorId::shape, "concat", "scalars have no axis to join along");
  Shape shape = parts[0].shape();
  shape[-1] = 0;
  for (const Tensor& part : parts) {
    require_same_dtype("concat", parts[0], part);
    Shape expected = parts[0].shape();
    if (part.rank() == shape.rank()) expected[-1] = part.dim(-1);
    require(part.shape() == expected, ErrorId::shape, "concat", "the parts are ", parts[0].shape(),
            " and ", part.shape(), "; only the last extent may differ");
    shape[-1] += part.dim(-1);
  }
  Tensor y = Tensor::empty(shape, parts[0].dtype(), parts[0].device());
  if (y.numel() == 0) return y;
  const int64_t size = item_size(y.dtype()), stride = shape[-1] * size;
  if (y.on_gpu()) {
    int64_t offset = 0;
    for (const Tensor& part : parts) {
      const int64_t width = part.dim(-1) * size;
      cuda::copy_block({1, y.numel() / shape[-1], width, 0, width, 0, stride}, part, 0, y, offset);
      offset += width;
    }
    return y;
  }
  // Row by row, so that the result is written once from front to back.
  char* const to = bytes_of(y);
  parallel_for(y.numel() / shape[-1], row_grain(stride), [&](int64_t begin, int64_t end) {
    char* at = to + begin * stride;
    for (int64_t r = begin; r < end; ++r) {
      for (const Tensor& part : parts) {
        const int64_t width = part.dim(-1) * size;
        std::memcpy(at, bytes_of(part) + r * width, size_t(width));
        at += width;
      }
    }
  });
  return y;
}

Tensor slice_channels(const Tensor& x, int64_t begin, int64_t count) {
  require(x.rank() >= 1, ErrorId::shape, "slice_channels", "a scalar has no channels");
  const int64_t c = x.dim(-1);
  require(begin >= 0 && count >= 0 && begin <= c && count <= c - begin, ErrorId::index,
          "slice_channels", count, " channels from ", begin, " on are not among the ", c, " of ",
          x.shape());
  Shape shape = x.shape();
  shape[-1] = count;
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  if (y.numel() == 0) return y;
  const int64_t size = item_size(x.dtype()), width = count * size;
  if (y.on_gpu()) {
    cuda::copy_block({1, x.numel() / c, width, 0, c * size, 0, width}, x, begin * size, y, 0);
    return y;
  }
  const char* const from = bytes_of(x) + begin * size;
  char* const to = bytes_of(y);
  parallel_for(x.numel() / c, row_grain(width), [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r)
      std::memcpy(to + r * width, from + r * c * size, size_t(width));
  });
  return y;
}

Tensor crop(const Tensor& x, int64_t height, int64_t width) {
  require_images("crop", x);
  require(height >= 0 && height <= x.dim(1) && width >= 0 && width <= x.dim(2), ErrorId::shape,
          "crop", height, " x ", width, " does not lie in ", x.shape());
  if (height == x.dim(1) && width == x.dim(2)) return x;
  Tensor y = Tensor::empty({x.dim(0), height, width, x.dim(3)}, x.dtype(), x.device());
  copy_top_left(x, y);
  return y;
}

Tensor uncrop(const Tensor& x, int64_t height, int64_t width) {
  require_images("uncrop", x);
  require(height >= x.dim(1) && width >= x.dim(2), ErrorId::shape, "uncrop", x.shape(),
          " does not fit ", height, " x ", width);
  if (height == x.dim(1) && width == x.dim(2)) return x;
  const Shape shape{x.dim(0), height, width, x.dim(3)};
  Tensor y =
      x.on_gpu() ? Tensor::zeros(shape, x.dtype(), Device::cuda) : Tensor::empty(shape, x.dtype());
  copy_top_left(x, y);
  return y;
}

Tensor permute(const Tensor& x, const std::vector<int>& order) {
  const int rank = x.rank();
  require(int(order.size()) == rank, ErrorId::shape, "permute", order.size(), " axes for ",
          x.shape());
  Shape shape = x.shape(), step = x.shape();  // of y; step[i]: elements of x per step of axis i
  std::vector<bool> seen(static_cast<size_t>(rank));
  for (int i = 0; i < rank; ++i) {
    const int from = order[size_t(i)] < 0 ? order[size_t(i)] + rank : order[size_t(i)];
    require(from >= 0 && from < rank && !seen[size_t(from)], ErrorId::index, "permute", "axis ",
            order[size_t(i)], " is absent from ", x.shape(), " or named twice");
    seen[size_t(from)] = true;
    shape[i] = x.dim(from);
    step[i] = 1;
    for (int inner = from + 1; inner < rank; ++inner) step[i] *= x.dim(inner);
  }
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  if (y.numel() == 0) return y;
  if (rank == 0) return x;
  if (y.on_gpu()) {
    cuda::gather_strided(x, y, {step.begin(), step.end()});
    return y;
  }
  // The plane of y spanned by its last axis and by the one along which x is contiguous is copied in
  // square tiles, so that reading and writing both use whole cache lines. Each plane is an outer
  // index over the other axes.
  int along = rank - 1;
  for (int i = rank - 1; i >= 0; --i)
    if (step[i] == 1 && shape[i] > 1) along = i;
  const bool rows = along == rank - 1;
  std::vector<int64_t> y_step(static_cast<size_t>(rank), 1);
  for (int i = rank - 2; i >= 0; --i) y_step[size_t(i)] = y_step[size_t(i) + 1] * shape[i + 1];
  const int64_t n = shape[-1], m = rows ? 1 : shape[along];
  const int64_t stride = step[-1], y_stride = y_step[size_t(along)];
  constexpr int64_t tile = 32;
  const int64_t strips = num_chunks(m, tile);
  dispatch_all(x.dtype(), [&]<class T>() {
    const T* px = x.data<T>();
    T* py = y.data<T>();
    const int64_t unit = n * std::min(m, tile);
    parallel_for(y.numel() / (n * m) * strips, std::max<int64_t>(1, 16384 / unit),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t u = begin; u < end; ++u) {
                     int64_t rest = u / strips, from = 0, to = 0;
                     for (int axis = rank - 2; axis >= 0; --axis) {
                       if (axis == along) continue;
                       from += rest % shape[axis] * step[axis];
                       to += rest % shape[axis] * y_step[size_t(axis)];
                       rest /= shape[axis];
                     }
                     if (rows && stride == 1) {
                       std::copy_n(px + from, n, py + to);
                       continue;
                     }
                     const int64_t j0 = u % strips * tile, j1 = std::min(m, j0 + tile);
                     for (int64_t i0 = 0; i0 < n; i0 += tile)
                       for (int64_t j = j0; j < j1; ++j)
                         for (int64_t i = i0; i < std::min(n, i0 + tile); ++i)
                           py[to + j * y_stride + i] = px[from + j + i * stride];
                   }
                 });
  });
  return y;
}

}  // namespace cairn::kernels
