// Open-UCN's checkpoints: every network is recognised, and comes back as it was.
#include "ucn/reference_checkpoint.h"

#include <doctest/doctest.h>

#include "nn/pth.h"
#include "tests/errors.h"
#include "tests/folder.h"
#include "ucn/weights.h"

using namespace cairn;
using namespace cairn::ucn;

TEST_CASE("every variant is recognised from its shapes alone") {
  for (const ResUNetVariant& variant : resunet_variants()) {
    CAPTURE(variant.name);
    nn::TensorFile file;
    const auto add = [&](const std::string& name, int64_t out, int64_t in) {
      file.tensors.push_back({"module." + name + ".weight", Tensor::empty({out, in, 1, 1})});
    };
    for (int64_t level = 0; level < 4; ++level)
      add(cat("conv", level + 1), variant.down[level], level ? 1 : 3);
    for (int64_t level = 1; level < 4; ++level)
      add(cat("conv", level + 1, "_tr"), 1, variant.up[level]);
    add("conv1_tr", variant.up[0], 1);
    add("final", 5, 1);
    if (variant.depth > 1) add("blocks1.1.conv1", 1, 1);
    const ResUNetConfig config = recognise(file, "module.", "f");
    CHECK(config.model == variant.name);
    CHECK(config.inputs == 3);
    CHECK(config.outputs == 5);
    file.tensors.front().tensor = Tensor::empty({7, 1, 1, 1});
    CHECK(has(error_of(ErrorId::weights, [&] { recognise(file, "module.", "f"); }),
              "of no ResUNet that is known"));
  }
}

TEST_CASE("weights go to a .pth file and back, bit for bit") {
  const test::Folder folder;
  Random random(1);
  const ResUNet network({.model = "ResUNetBN2F",
                         .inputs = 3,
                         .outputs = 8,
                         .normalize = false,
                         .image_statistics = true},
                        random);
  save_weights(folder / "a.safetensors", network, {{"iterations", "12"}});
  const auto weights = read_weights(folder / "a.safetensors");
  nn::save_pth(folder / "a.pth", to_reference(weights, "a"));
  const auto pth = nn::load_pth(folder / "a.pth");
  CHECK(pth.metadata.at("config.model") == "ResUNetBN2F");
  CHECK(pth.metadata.at("config.model_n_out") == "8");
  auto config = pth;
  config.metadata["scheduler.base_lrs.0"] = "0.25";
  config.metadata["config.sgd_momentum"] = "0.9";  // which the reference has, and does not use
  config.metadata["optimizer.param_groups.0.momentum"] = "0.5";
  config.metadata["config.num_pos_per_batch"] = "77";
  const TrainOptions settings = settings_of(config, "a", preset("reference"));
  CHECK(settings.lr == 0.25);
  CHECK(settings.momentum == 0.5);
  CHECK(settings.loss.num_pos == 77);
  CHECK(settings.model.outputs == 8);
  CHECK(!settings.model.normalize);
  const auto again = read_weights(folder / "a.pth");
  CHECK(again.metadata == weights.metadata);
  REQUIRE(again.tensors.size() == weights.tensors.size());
  for (const auto& t : weights.tensors)
    CHECK(again.find(t.name)->to_vector() == t.tensor.to_vector());
  CHECK(!load_weights(folder / "a.pth").network->config().normalize);
}

TEST_CASE("a training checkpoint's momentum goes to the parameters by their order") {
  nn::TensorFile pth;
  pth.tensors = {{"optimizer.state.0.momentum_buffer", Tensor::full({2}, 1.f)},
                 {"optimizer.state.2.momentum_buffer", Tensor::full({3}, 2.f)}};
  pth.metadata = {{"epoch", "7"},
                  {"scheduler.gamma", "0.99"},
                  {"scheduler.base_lrs.0", "0.1"},
                  {"scheduler.last_epoch", "6"}};
  const ReferenceTraining t = training_of(pth, {"a", "b", "c"}, "f");
  CHECK(t.epoch == 7);
  TrainOptions settings;
  CHECK(error_of(ErrorId::weights, [&] { settings_of(pth, "f", settings); }) != "");  // no weights
  CHECK(t.last_epoch == 6);
  REQUIRE(t.momentum.size() == 2);
  CHECK(t.momentum.at("a").numel() == 2);
  CHECK(t.momentum.at("c").numel() == 3);
  for (const char* bad : {"-1", "4611686018427387904"}) {
    auto damaged = pth;
    damaged.metadata["scheduler.last_epoch"] = bad;
    CHECK(has(error_of(ErrorId::weights, [&] { training_of(damaged, {"a"}, "f"); }), "epoch"));
  }
  pth.metadata["epoch"] = "seven";
  CHECK(has(error_of(ErrorId::weights, [&] { training_of(pth, {"a"}, "f"); }), "it has no epoch"));
}

TEST_CASE("files that hold no weights say so") {
  const test::Folder folder;
  nn::TensorFile file{{{"a.weight", Tensor::empty({1})}}, {}};
  nn::save_pth(folder / "a.pth", file);
  CHECK(has(error_of(ErrorId::weights, [&] { load_weights(folder / "a.pth"); }),
            "it holds no weights of a ResUNet"));
}
