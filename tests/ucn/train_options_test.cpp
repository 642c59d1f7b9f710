#include "ucn/train_options.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/data/sample_files.h"

using namespace cairn;
using namespace cairn::test;
using namespace cairn::ucn;

namespace {
TrainOptions read(const std::string& json) { return train_options_from_json(json, "c.json"); }
}  // namespace

TEST_CASE("settings come back from JSON exactly") {
  TrainOptions o;
  o.images = "a folder/\"quoted\" \xC3\xA9";
  o.model = {.model = "ResUNetBN2C", .inputs = 3, .outputs = 32, .bn_momentum = 0.1};
  o.loss.num_pos = 77;
  o.loss.radius = 0.1 + 0.2;
  o.loss.reference_masks = true;
  o.loss_name = "contrastive";
  o.seed = ~uint64_t(0);
  o.lr = 1.0 / 3;
  o.loader_threads = 3;
  const TrainOptions back = read(to_json(o));
  CHECK(to_json(back) == to_json(o));
  CHECK(back.images == o.images);
  CHECK(back.loss.radius == o.loss.radius);
  CHECK(back.lr == o.lr);
  CHECK(back.seed == o.seed);
  CHECK(back.model.inputs == 3);
  CHECK(difference(o, back) == "");
}

TEST_CASE("absent settings have their defaults; unknown or wrong ones are refused by name") {
  CHECK(read("{}").iterations == TrainOptions().iterations);
  CHECK(read("{\"lr\": 1}").lr == 1);
  CHECK(full_error_of([] { read("{\"lr\": \"high\"}"); }) ==
        "format: train: c.json: lr = \"high\" is not a value for it");
  CHECK(full_error_of([] { read("{\"batch\": 1.9}"); }) ==
        "format: train: c.json: batch = 1.9 is not a value for it");
  CHECK(has(full_error_of([] { read("{\"lr\": null}"); }), "lr = null is not a value for it"));
  CHECK(has(full_error_of([] { read("{\"seed\": -1}"); }), "seed = -1 is not a value for it"));
  CHECK(full_error_of([] { read("{\"learning\": 1}"); }) ==
        "format: train: c.json: unknown setting 'learning'");
  for (const char* text : {"", "[]", "{\"lr\": ", "null", "\xff"})
    CHECK(has(full_error_of([&] { read(text); }), "format: train: c.json is not a JSON object"));
}

TEST_CASE("settings are laid over others, and the reference's are whole") {
  const TrainOptions reference = preset("reference");
  check(reference);
  CHECK(reference.optimizer == "sgd");
  CHECK(reference.lr == 0.1);
  CHECK(reference.loss.reference_masks);
  CHECK(reference.mining_warmup == 0);
  CHECK(reference.batch == 2);
  CHECK(reference.val_every == 2000);
  const TrainOptions over = train_options_from_json("{\"lr\": 0.5}", "c.json", reference);
  CHECK(over.lr == 0.5);
  CHECK(over.optimizer == "sgd");
  CHECK(full_error_of([] { preset("mine"); }) ==
        "usage: train: there is no preset 'mine', only reference");
}

TEST_CASE("a setting that makes no sense is refused by name") {
  const auto error = [](const std::string& json) {
    return full_error_of([&] {
      TrainOptions o = read(json);
      check(o);
    });
  };
  CHECK(error("{}") == "no error");
  CHECK(error("{\"iterations\": 0}") == "usage: train: iterations must be positive, not 0");
  CHECK(error("{\"clip\": -1}") == "usage: train: clip must be 0 or more, not -1");
  CHECK(error("{\"crop\": 15}") == "usage: train: crop must be from 16 to 16384, not 15");
  CHECK(error("{\"momentum\": 1.5}") == "usage: train: momentum must be from 0 to 1, not 1.5");
  CHECK(error("{\"inputs\": 2}") == "usage: train: inputs must be 1 or 3, not 2");
  CHECK(error("{\"loader_threads\": -1}") ==
        "usage: train: loader_threads must be from 0 to 256, not -1");
  CHECK(error("{\"schedule\": \"step\"}") ==
        "usage: train: schedule is 'step', not one of cosine, exponential, constant");
  CHECK(has(error("{\"reference_masks\": true, \"loss\": \"infonce\"}"),
            "reference_masks and loss = infonce contradict each other"));
  CHECK(has(error("{\"model\": \"VGG\"}"), "model is 'VGG', not one of ResUNetBN2, "));
  CHECK(has(error("{\"recompute\": true, \"precision\": \"bf16\"}"), "recompute: images in bf16"));
  TrainOptions o;
  o.lr = NAN;
  CHECK(full_error_of([&] { check(o); }) == "usage: train: lr must be positive, not nan");
  o = {};
  o.difficulty = INFINITY;
  CHECK(has(full_error_of([&] { check(o); }), "difficulty"));
  o = {};
  o.rotation = 361;
  CHECK(full_error_of([&] { check(o); }) ==
        "usage: train: rotation must be from 0 to 360, not 361");
  o = {};
  o.difficulty = 2;
  o.bend = 0.5;
  CHECK(has(full_error_of([&] { check(o); }), "fold"));
}

TEST_CASE("what decides the result may not change; how long, where and how often may") {
  const TrainOptions before;
  TrainOptions now = before;
  now.iterations *= 2;
  now.images = "moved";
  now.checkpoint_every = now.log_every = 7;
  now.loader_threads = 4;
  now.anomaly = true;
  CHECK(difference(before, now) == "");
  now.seed = 9;
  CHECK(difference(before, now) == "seed: 0, not 9");
  now = before;
  now.optimizer = "sgd";
  CHECK(difference(before, now) == "optimizer: \"adamw\", not \"sgd\"");
  now = before;
  now.model.normalize = false;
  CHECK(difference(before, now) == "normalize: true, not false");
  now = before;
  now.colmap = now.photos = {"a", "b"};
  now.depths = {"-", "-"};
  CHECK(difference(before, now) == "");
  now.depths = {"-", "maps"};
  CHECK(difference(before, now) == "depths of reconstruction 2: none, not these");
  CHECK(difference(now, before) == "");  // of which nothing is said there
  now = before;
  now.loss.floor_positions = true;
  CHECK(difference(before, now) == "floor_positions: false, not true");
}
