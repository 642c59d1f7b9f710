// Memory: what a step takes is measured, and kept below a limit.
#include "ucn/memory_limit.h"

#include <doctest/doctest.h>

#include "tests/errors.h"
#include "tests/ucn/tiny_training.h"

using namespace cairn;
using namespace cairn::test;
using namespace cairn::ucn;

namespace {

constexpr int64_t side = 64;
TrainOptions batch_of_2() {
  TrainOptions o = tiny(side);
  o.batch = 2;
  return o;
}

int64_t peak(const TrainOptions& o) { return memory_of_step(o, source<side>(), Device::cpu).peak; }

/// The peak with views of another size than source<side>() has.
int64_t peak_with_crop(TrainOptions o, int64_t crop) {
  HomographyPairsOptions views;
  o.crop = views.views.height = views.views.width = crop;
  views.correspondences = 50;
  const Folder folder;
  write_photos(folder.path, 3);
  return memory_of_step(o, HomographyPairs(folder.path, views), Device::cpu).peak;
}

TrainOptions fit(int64_t bytes) {
  return fit_memory(batch_of_2(), source<side>(), Device::cpu, bytes);
}

}  // namespace

TEST_CASE("a step's memory is what its layers keep, and recomputing takes less") {
  TrainOptions o = batch_of_2();
  const StepMemory all = memory_of_step(o, source<side>(), Device::cpu);
  int64_t kept = 0, most = 0;
  bool stem = false;
  for (const LayerMemory& l : all.layers) {
    kept += l.kept;
    most = std::max(most, l.peak);
    stem |= l.layer == "conv1" && l.kept > 0;
  }
  CHECK(stem);
  CHECK(kept > all.peak / 4);
  CHECK(most <= all.peak);
  CHECK(has(to_text(all), "whole step, at most"));
  o.recompute = true;
  CHECK(double(peak(o)) < 0.8 * double(all.peak));
}

TEST_CASE("a limit is met by recomputing, then by splitting the batch, or refused with advice") {
  const TrainOptions asked = batch_of_2();
  TrainOptions recomputed = asked, split = asked;
  recomputed.recompute = split.recompute = true;
  split.batch = 1;
  split.iter_size = 2;
  const int64_t whole = peak(asked), less = peak(recomputed), least = peak(split);
  const auto same = [](const TrainOptions& a, const TrainOptions& b) {
    return to_json(a) == to_json(b);
  };
  CHECK(same(fit(2 * whole), asked));
  CHECK(same(fit((whole + less) / 2), recomputed));
  CHECK(least < less);
  const TrainOptions smallest = fit(least + least / 20);
  CHECK(smallest.batch * smallest.iter_size == 2);
  CHECK(peak(smallest) <= least + least / 10);
  // Weights and their moments alone are most of it here; a step of half the crop needs not be less
  // than those.
  Random random(0);
  const int64_t weights = 24 * ResUNet(asked.model, random).parameter_count();
  const int64_t too_little = (std::max(peak_with_crop(split, side / 2), weights) + least) / 2;
  const std::string error = error_of(ErrorId::usage, [&] { fit(too_little); });
  CHECK(has(error, "a step with one pair of 64 x 64 px takes"));
  // The advice is good.
  const size_t at = error.find("--crop ");
  REQUIRE(at != std::string::npos);
  const int64_t advised = std::atoll(error.c_str() + at + 7);
  CHECK(advised < side);
  CHECK(peak_with_crop(split, advised) <= too_little);
}
