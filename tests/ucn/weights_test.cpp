#include "ucn/weights.h"

#include <doctest/doctest.h>

#include "nn/safetensors.h"
#include "tests/compare.h"
#include "tests/data/sample_files.h"

using namespace cairn;
using namespace cairn::test;
using namespace cairn::ucn;

TEST_CASE("weights come back bit for bit, with what was said about them") {
  const Folder folder;
  const ResUNetConfig config{.model = "ResUNetBN2C",
                             .inputs = 3,
                             .outputs = 8,
                             .normalize = false,
                             .image_statistics = true};
  Random random(1);
  const ResUNet network(config, random);
  save_weights(folder / "w.safetensors", network, {{"data", "some photos"}});
  const Weights w = load_weights(folder / "w.safetensors");
  CHECK(w.network->config().model == "ResUNetBN2C");
  CHECK(w.network->config().inputs == 3);
  CHECK(w.network->config().outputs == 8);
  CHECK(w.network->config().normalize == false);
  CHECK(w.network->config().image_statistics);
  CHECK(!w.network->training());
  CHECK(w.metadata.at("data") == "some photos");
  CHECK(w.metadata.at("input_range") == "x / 255 - 0.5");
  const auto before = network.state(), after = w.network->state();
  REQUIRE(before.size() == after.size());
  for (size_t i = 0; i < before.size(); ++i) {
    CHECK(before[i].name == after[i].name);
    CHECK(same_bits(before[i].tensor, after[i].tensor));
  }
}

TEST_CASE("a weight file holds PyTorch's names and order of axes") {
  const Folder folder;
  Random random(1);
  const ResUNet network({.outputs = 8}, random);
  save_weights(folder / "w.safetensors", network);
  const auto file = nn::load_safetensors(folder / "w.safetensors");
  REQUIRE(file.find("conv2.weight") != nullptr);
  CHECK(file.find("conv2.weight")->shape() == Shape{32, 16, 3, 3});  // out, in, h, w
  CHECK(file.find("conv4_tr.weight")->shape() == Shape{128, 128, 3, 3});
  CHECK(file.find("norm1.running_mean")->shape() == Shape{16});
  CHECK(file.find("final.bias")->shape() == Shape{8});
}

TEST_CASE("weights of another network are refused by layer and shape") {
  const Folder folder;
  Random random(1);
  const std::string path = folder / "w.safetensors";
  const auto with = [&](const Metadata& lie, const std::string& without = "") {
    nn::TensorFile file{nn::export_state(ResUNet({.outputs = 8}, random)),
                        describe({.outputs = 8})};
    for (const auto& [key, value] : lie) file.metadata[key] = value;
    std::erase_if(file.tensors, [&](const auto& t) { return t.name == without; });
    file.metadata.erase(without);
    nn::save_safetensors(path, file);
    return full_error_of([&] { load_weights(path); });
  };
  CHECK(with({}) == "no error");
  const std::string start = "weights: weights: " + path + ": ";
  const auto says = [&](const std::string& error, const std::string& what) {
    CAPTURE(error);
    CHECK(error.starts_with(start));
    CHECK(has(error, what));
  };
  says(with({{"model", "ResUNetBN2C"}}),
       "layer conv1.weight is 16x1x3x3, but the model expects 32x1x3x3");
  says(with({{"outputs", "9"}}), "layer final.weight is 8x16x1x1, but the model expects 9x16x1x1");
  says(with({}, "norm3.bias"), "layer norm3.bias is missing");
  says(with({}, "model"), "the metadata lacks 'model'");
  says(with({{"model", "VGG"}}), "unknown model 'VGG'");
  says(with({{"inputs", "0"}}), "inputs = '0'");
  says(with({{"outputs", "64 "}}), "outputs = '64 '");
  says(with({{"normalize", "maybe"}}), "normalize = 'maybe'");
  CHECK(has(full_error_of([&] { load_weights(folder / "missing"); }), "No such file"));
}
