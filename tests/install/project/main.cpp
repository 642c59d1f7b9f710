// Learns y = 2 a - 3 b + 1 from eight points.
#include <cmath>
#include <cstdio>

#include "nn/layers.h"
#include "nn/optim.h"

int main() {
  cairn::Random random(1);
  const auto x = cairn::random_normal({8, 2}, random);
  auto y = cairn::Tensor::zeros({8, 1});
  for (int i = 0; i < 8; ++i)
    y.data<float>()[i] = 2 * x.data<float>()[2 * i] - 3 * x.data<float>()[2 * i + 1] + 1;

  cairn::nn::Linear model(2, 1, random);
  const auto optimizer = cairn::nn::sgd(model.parameters(), 0.1);
  double loss = INFINITY;
  for (int step = 0; step < 500; ++step) {
    optimizer->zero_grad();
    const cairn::Var error = mean(square(sub(model(x), y)));
    error.backward();
    optimizer->step();
    loss = error.item();
  }
  std::printf("loss %g\n", loss);
  return loss < 1e-6 ? 0 : 1;
}
