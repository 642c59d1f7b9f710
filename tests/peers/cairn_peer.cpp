// Our side of tests/peers/cpu_peers.py: does one thing once for each line that comes in, and says
// how many seconds it took.
//
//   cairn_peer forward WEIGHTS IMAGE HEIGHT WIDTH FEATURES     IMAGE: bytes; FEATURES: floats, out
//   cairn_peer step MODEL SIDE_H SIDE_W
//   cairn_peer nearest QUERIES DATABASE CHANNELS Q.bin D.bin INDEX     floats in, int64 out
//   cairn_peer sift PHOTO OCTAVE-LAYERS CONTRAST EDGE MAX-KEYPOINTS
//   cairn_peer limits
#include <cstdio>
#include <fstream>
#include <iostream>

#include "bin/bench.h"
#include "data/image.h"
#include "data/sift/sift.h"
#include "tensor/kernels/limits/limits.h"
#include "tensor/kernels/nearest/nearest.h"
#include "ucn/weights.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

void read_into(const std::string& path, Tensor& t) {
  std::ifstream file(path, std::ios::binary);
  file.read(static_cast<char*>(t.raw()), std::streamsize(t.nbytes()));
  require(bool(file), ErrorId::io, "cairn_peer", "cannot read ", t.nbytes(), " bytes of ", path);
}

void write_from(const std::string& path, const Tensor& t) {
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(t.raw()), std::streamsize(t.nbytes()));
}

template <class F>
void serve(const F& run) {
  for (std::string line; std::getline(std::cin, line);) {
    const auto start = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    std::printf("seconds %.9f\n", time.count());
    std::fflush(stdout);
  }
}

int run(const std::vector<std::string>& a) {
  const auto number = [&](size_t i) { return int64_t(std::stoll(a.at(i))); };
  if (a.at(0) == "forward") {
    const Weights weights = load_weights(a.at(1));
    FeatureExtractor extract(*weights.network);
    Tensor image = Tensor::empty({number(3), number(4), 1}, DType::u8), features;
    read_into(a.at(2), image);
    serve([&] {
      features = {};
      features = extract(image);
    });
    write_from(a.at(5), features);
  } else if (a.at(0) == "step") {
    TrainOptions options;
    options.model = {.model = a.at(1)};
    options.loss.num_hn_samples = 40000;
    options.mining_warmup = 0;
    options.loader_threads = 0;
    const OnePair source(number(2), number(3));
    Trainer trainer(options, source);
    serve([&] { trainer.step(); });
  } else if (a.at(0) == "nearest") {
    Tensor q = Tensor::empty({number(1), number(3)}), d = Tensor::empty({number(2), number(3)});
    read_into(a.at(4), q);
    read_into(a.at(5), d);
    kernels::Nearest found;
    serve([&] { found = kernels::nearest(q, d); });
    write_from(a.at(6), found.index);
  } else if (a.at(0) == "sift") {
    const Tensor gray = read_image(a.at(1), {.channels = 1}).pixels;
    const SiftOptions options{.max_keypoints = number(5),
                              .octave_layers = int(number(2)),
                              .contrast = std::stod(a.at(3)),
                              .edge = std::stod(a.at(4))};
    serve([&] { sift(gray, options); });
  } else {
    const auto limits = kernels::measure_limits();
    std::printf("%.3f %.3f\n", limits.gflops, limits.gbytes_per_s);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "cairn_peer: %s\n", e.what());
    return 1;
  }
}
