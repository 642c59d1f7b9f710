// Bilinear sampling for the CPU: positions in parallel; backwards, pixels in parallel.
#include <algorithm>
#include <vector>

#include "tensor/kernels/bilinear/bilinear.h"
#include "tensor/kernels/bilinear/taps.h"
#include "tensor/kernels/rows/group.h"
#include "tensor/parallel.h"

namespace cairn::kernels {
namespace {

void check(const char* op, const Shape& x, DType type, const Tensor& positions) {
  require(x.rank() == 3, ErrorId::shape, op, "the image is ", x, ", not H x W x C");
  require(positions.rank() == 2 && positions.dim(1) == 2, ErrorId::shape, op, "the positions are ",
          positions.shape(), ", not K x 2");
  require(positions.dtype() == type, ErrorId::dtype, op, "the image is ", type,
          ", the positions are ", positions.dtype());
  require(positions.dim(0) == 0 || (x[0] > 0 && x[1] > 0), ErrorId::shape, op,
          "there is nothing to sample in the empty image ", x);
}

}  // namespace

Tensor bilinear_sample(const Tensor& x, const Tensor& positions) {
  check("bilinear_sample", x.shape(), x.dtype(), positions);
  require_same_device("bilinear_sample", x, positions);
  if (x.on_gpu()) return cuda::bilinear_sample(x, positions);
  const int64_t h = x.dim(0), w = x.dim(1), c = x.dim(2);
  Tensor y = Tensor::empty({positions.dim(0), c}, x.dtype());
  dispatch_float(x.dtype(), "bilinear_sample", [&]<class T>() {
    const T *px = x.data<T>(), *pp = positions.data<T>();
    T* py = y.data<T>();
    const int64_t grain = std::max<int64_t>(1, 4096 / std::max<int64_t>(c, 1));
    parallel_for(positions.dim(0), grain, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        const Taps<T> t = taps(pp + 2 * k, h, w);
        for (int64_t j = 0; j < c; ++j) {
          T sum = 0;
          for (size_t i = 0; i < 4; ++i) sum += t.weight[i] * px[t.pixel[i] * c + j];
          py[k * c + j] = sum;
        }
      }
    });
  });
  return y;
}

Tensor bilinear_sample_backward(const Tensor& dy, const Tensor& positions, const Shape& x_shape) {
  const char* op = "bilinear_sample_backward";
  check(op, x_shape, dy.dtype(), positions);
  const int64_t h = x_shape[0], w = x_shape[1], c = x_shape[2], k = positions.dim(0);
  require(dy.shape() == Shape({k, c}), ErrorId::shape, op, "dy is ", dy.shape(), ", not ",
          Shape({k, c}));
  require_same_device(op, dy, positions);
  if (dy.on_gpu()) return cuda::bilinear_sample_backward(dy, positions, x_shape);
  Tensor dx = Tensor::zeros(x_shape, dy.dtype());
  dispatch_float(dy.dtype(), op, [&]<class T>() {
    // Item 4 k + i is tap i of position k; grouped by pixel, each pixel belongs to one thread.
    std::vector<int64_t> pixel(size_t(4 * k));
    std::vector<T> weight(size_t(4 * k));
    for (int64_t i = 0; i < k; ++i) {
      const Taps<T> t = taps(positions.data<T>() + 2 * i, h, w);
      std::ranges::copy(t.pixel, pixel.begin() + 4 * i);
      std::ranges::copy(t.weight, weight.begin() + 4 * i);
    }
    const RowGroups groups = group_by_row(pixel, h * w);
    const T* pd = dy.data<T>();
    T* to = dx.data<T>();
    const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(c, 1));
    parallel_for(h * w, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = groups.start[size_t(begin)]; i < groups.start[size_t(end)]; ++i) {
        const int64_t item = groups.order[size_t(i)], row = pixel[size_t(item)];
        for (int64_t j = 0; j < c; ++j)
          to[row * c + j] += weight[size_t(item)] * pd[item / 4 * c + j];
      }
    });
  });
  return dx;
}

}  // namespace cairn::kernels
