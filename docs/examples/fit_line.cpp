// The smallest training run: learn y = 2 a - 3 b + 1 from eight points.
//
// A Tensor is data. A Var is a Tensor that remembers how it was made, so that backward() can tell
// each parameter in which direction the loss falls; an optimiser then moves the parameters.
#include <cstdio>

#include "nn/layers.h"
#include "nn/optim.h"

using namespace cairn;

int main() {
  Random random(1);
  const Tensor x = random_normal({8, 2}, random);  // eight points (a, b), one per row
  Tensor y = Tensor::zeros({8, 1});
  for (int i = 0; i < 8; ++i) {
    const float a = x.data<float>()[2 * i], b = x.data<float>()[2 * i + 1];
    y.data<float>()[i] = 2 * a - 3 * b + 1;
  }

  nn::Linear model(2, 1, random);  // y = x W' + c, with random W and c = 0 at first
  const auto optimizer = nn::sgd(model.parameters(), 0.1);
  double loss = 0;
  for (int step = 0; step < 300; ++step) {
    optimizer->zero_grad();
    const Var error = mean(square(model(x) - y));
    error.backward();  // fills in the gradient of every parameter
    optimizer->step();
    loss = error.item();
    if (step % 50 == 0) std::printf("step %3d  loss %.6f\n", step, loss);
  }

  for (const auto& p : model.parameters()) {
    std::printf("%-6s =", p.name.c_str());
    for (double v : p.var.value().to_vector()) std::printf(" %.4f", v);
    std::printf("\n");
  }
  return loss < 1e-6 ? 0 : 1;
}
