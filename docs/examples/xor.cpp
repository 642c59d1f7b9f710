// Exclusive or: the classical problem that no single layer solves. Two layers with a ReLU between
// them do. The network is a class of its own, and what it learned is saved and read back.
#include <cstdio>

#include "nn/layers.h"
#include "nn/optim.h"
#include "nn/safetensors.h"

using namespace cairn;

namespace {

/// A network registers its layers in its constructor; their names are those in a weight file.
class Xor : public nn::Module {
 public:
  explicit Xor(Random& random)
      : hidden_(child<nn::Linear>("hidden", 2, 8, random)),
        output_(child<nn::Linear>("output", 8, 1, random)) {}

 private:
  Var forward(const Var& x) override { return output_(relu(hidden_(x))); }
  nn::Linear &hidden_, &output_;
};

}  // namespace

int main() {
  const Tensor x = Tensor::from({4, 2}, std::vector<float>{0, 0, 0, 1, 1, 0, 1, 1});
  const Tensor y = Tensor::from({4, 1}, std::vector<float>{0, 1, 1, 0});

  Random random(1);
  Xor model(random);
  const auto optimizer = nn::adam(model.parameters(), 0.05);
  for (int step = 0; step < 500; ++step) {
    optimizer->zero_grad();
    mean(square(model(x) - y)).backward();
    optimizer->step();
  }

  const std::string path = "xor.safetensors";
  nn::save_safetensors(path, {nn::export_state(model), {{"made by", "the xor example"}}});
  Xor copy(random);  // other random values, until the file's replace them
  nn::import_state(copy, nn::load_safetensors(path).tensors, path);
  std::remove(path.c_str());

  NoGrad no_grad;  // only results are wanted now, no gradients
  const std::vector<double> learned = copy(x).value().to_vector();
  bool right = true;
  for (int i = 0; i < 4; ++i) {
    std::printf("%d xor %d = %.3f\n", i / 2, i % 2, learned[size_t(i)]);
    right = right && (learned[size_t(i)] > 0.5) == (i / 2 != i % 2);
  }
  return right ? 0 : 1;
}
