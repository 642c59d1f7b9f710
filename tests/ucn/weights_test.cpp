#include "ucn/weights.h"

#include <doctest/doctest.h>

#include "nn/safetensors.h"
#include "tensor/kernels/gemm/gemm.h"
#include "tests/compare.h"
#include "tests/data/sample_files.h"
#include "ucn/score_head.h"

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

TEST_CASE("the fewest outputs have the lengths and angles of all of them, and the head's opinion") {
  Random random(2);
  const Tensor image = random_normal({1, 24, 32, 1}, random);
  for (const bool normalize : {true, false}) {
    const ResUNet network({.outputs = 40, .normalize = normalize, .score_head = true}, random);
    nn::TensorFile file{nn::export_state(network), describe(network.config())};
    for (auto& t : file.tensors)  // which begins as zeros
      if (t.name == "final.bias") t.tensor = random_normal({40}, random);
    Weights all = load_weights(file, "here");
    Weights few = load_weights(with_fewest_outputs(file, "here"), "here");
    CHECK(few.network->config().outputs == 24);  // of 16 channels and a constant
    NoGrad no_grad;
    const Tensor f = (*all.network)(Var(image)).value().reshape({24 * 32, 40});
    const Tensor g = (*few.network)(Var(image)).value().reshape({24 * 32, 24});
    CHECK(difference(kernels::matmul(g, g, false, true), kernels::matmul(f, f, false, true), true) <
          2e-6);
    CHECK(difference(score_map(*few.network->score_head(), g.reshape({24, 32, 24})),
                     score_map(*all.network->score_head(), f.reshape({24, 32, 40}))) < 1e-5);
  }
}

TEST_CASE("where all outputs are needed, or the file fits no network, it stays as it is") {
  Random random(3);
  const auto outputs = [&](nn::TensorFile file) {
    const auto same = with_fewest_outputs(file, "here");
    for (size_t i = 0; i < file.tensors.size(); ++i)
      CHECK(same_bits(file.tensors[i].tensor, same.tensors[i].tensor));
    return same.metadata.at("outputs");
  };
  const auto file = [&](const ResUNetConfig& c) {
    return nn::TensorFile{nn::export_state(ResUNet(c, random)), describe(c)};
  };
  CHECK(outputs(file({.outputs = 24})) == "24");
  CHECK(outputs(file({.model = "ResUNetBN2B", .outputs = 64})) == "64");
  nn::TensorFile lie = file({.outputs = 40});
  lie.metadata["outputs"] = "41";
  CHECK(outputs(lie) == "41");
  lie = file({.outputs = 40, .score_head = true});
  for (auto& t : lie.tensors)
    if (t.name == "score.reduce.weight") t.tensor = Tensor::zeros({8, 39, 1, 1});
  CHECK(outputs(lie) == "40");
  for (const Tensor& wrong : {Tensor::zeros({0, 40, 1, 1}), Tensor::zeros({40})}) {
    for (auto& t : lie.tensors)
      if (t.name == "score.reduce.weight") t.tensor = wrong;
    CHECK(outputs(lie) == "40");
  }
  for (const Tensor& wrong :
       {Tensor::zeros({40, 8, 1, 1}), Tensor::zeros({40, 16, 1, 1}, DType::i64)}) {
    lie = file({.outputs = 40});
    for (auto& t : lie.tensors)
      if (t.name == "final.weight") t.tensor = wrong;
    CHECK(outputs(lie) == "40");
  }
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
