#include <cstdio>

#include "tensor/parallel.h"
#include "tensor/tensor.h"

int main() {
  const auto t = cairn::Tensor::full({2, 3}, 1.5);
  std::printf("%g with %d threads\n", t.to_vector().back(), cairn::num_threads());
  return t.numel() == 6 ? 0 : 1;
}
