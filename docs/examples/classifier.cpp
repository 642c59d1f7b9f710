// A small convolutional classifier: is the shape in a noisy 16 x 16 image a disc, a square, a cross
// or a ring? The images are drawn here, so nothing has to be downloaded.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "nn/layers.h"
#include "nn/optim.h"

using namespace cairn;

namespace {

constexpr int64_t size = 16, classes = 4;

struct Batch {
  Tensor images;  // N x 16 x 16 x 1: images are always batch, height, width, channels
  std::vector<int64_t> labels;
};

bool inside(int64_t label, double x, double y, double r) {
  const double distance = std::hypot(x, y), ax = std::fabs(x), ay = std::fabs(y);
  switch (label) {
    case 0:
      return distance < r;
    case 1:
      return ax < 0.9 * r && ay < 0.9 * r;
    case 2:
      return (ax < 0.35 * r || ay < 0.35 * r) && ax < r && ay < r;
    default:
      return distance < r && distance > 0.55 * r;
  }
}

/// Shapes of random kind, place, size and brightness, on noise.
Batch draw(int64_t n, Random& random) {
  Batch batch{random_normal({n, size, size, 1}, random, 0, 0.2), {}};
  float* pixel = batch.images.data<float>();
  for (int64_t i = 0; i < n; ++i) {
    batch.labels.push_back(random.below(classes));
    const double cx = random.uniform(5, 10), cy = random.uniform(5, 10);
    const double r = random.uniform(3.5, 5), bright = random.uniform(0.6, 1.2);
    for (int64_t y = 0; y < size; ++y)
      for (int64_t x = 0; x < size; ++x, ++pixel)
        if (inside(batch.labels.back(), double(x) - cx, double(y) - cy, r)) *pixel += float(bright);
  }
  return batch;
}

/// Three convolutions, of which two halve the image; then the mean over all pixels is classified.
class Classifier : public nn::Module {
 public:
  explicit Classifier(Random& random)
      : features_(child<nn::Sequential>("features")),
        head_(child<nn::Linear>("head", 32, classes, random)) {
    int64_t in = 1;
    for (int64_t out : {8, 16, 32}) {
      const int64_t stride = in == 1 ? 1 : 2;
      features_.append<nn::Conv2d>(in, out, 3, random,
                                   Conv2dGeometry{{stride, stride}, {1, 1}, {1, 1}});
      features_.append<nn::BatchNorm2d>(out);
      features_.append<nn::Relu>();
      in = out;
    }
  }

 private:
  Var forward(const Var& x) override { return head_(mean(features_(x), {1, 2})); }
  nn::Sequential& features_;
  nn::Linear& head_;
};

/// Cross entropy: minus the mean log-probability of the right class.
Var cross_entropy(const Var& scores, const std::vector<int64_t>& labels) {
  Tensor right = Tensor::zeros(scores.shape());  // 1 at the right class of each row
  for (size_t i = 0; i < labels.size(); ++i)
    right.data<float>()[int64_t(i) * classes + labels[i]] = 1;
  return scale(sum(log_softmax(scores) * right), -1.0 / double(labels.size()));
}

double accuracy(nn::Module& model, const Batch& batch) {
  NoGrad no_grad;
  model.eval();  // batch norm uses its running statistics
  const std::vector<double> scores = model(batch.images).value().to_vector();
  model.train();
  int64_t right = 0;
  for (size_t i = 0; i < batch.labels.size(); ++i) {
    const auto row = scores.begin() + int64_t(i) * classes;
    right += std::max_element(row, row + classes) - row == batch.labels[i];
  }
  return double(right) / double(batch.labels.size());
}

}  // namespace

int main() {
  Random random(1);
  Classifier model(random);
  std::printf("%s\n", nn::summary(model, {1, size, size, 1}).c_str());

  const Batch unseen = draw(500, random);
  constexpr int steps = 500;
  const auto optimizer = nn::adam(model.parameters(), 0);
  const auto schedule = nn::cosine_lr(0.01, steps);
  for (int step = 0; step < steps; ++step) {
    const Batch batch = draw(32, random);
    optimizer->zero_grad();
    const Var loss = cross_entropy(model(batch.images), batch.labels);
    loss.backward();
    optimizer->lr = schedule(step);
    optimizer->step();
    if (step % 100 == 0) std::printf("step %3d  loss %.3f\n", step, loss.item());
  }
  const double rate = accuracy(model, unseen);
  std::printf("%.1f %% of 500 images it never saw\n", 100 * rate);
  return rate > 0.95 ? 0 : 1;
}
