// convert, as a person would use it.
#include <doctest/doctest.h>

#include "nn/pth.h"
#include "tensor/file.h"
#include "tests/bin/command.h"
#include "tests/folder.h"
#include "ucn/weights.h"

using namespace cairn;
using namespace cairn::test;

namespace {

/// A folder with the weights of a small network in w.safetensors; convert runs in it.
struct Place {
  Folder folder;
  Place() {
    Random random(1);
    const ucn::ResUNet network({.outputs = 8}, random);
    ucn::save_weights(folder / "w.safetensors", network);
  }
  Finished convert(const std::string& arguments) const {
    return run("cd '" + folder.path.string() + "'; exec convert " + arguments);
  }
};

}  // namespace

TEST_CASE("weights go to PyTorch's form and back") {
  const Place p;
  const Finished there = p.convert("w.safetensors w.pth");
  CHECK(there.code == 0);
  CHECK(has(there.out, "ResUNetBN2F, 1 inputs, 8 outputs; "));
  CHECK(p.convert("w.pth again.safetensors").code == 0);
  CHECK(contents(p.folder / "again.safetensors") == contents(p.folder / "w.safetensors"));
  CHECK(
      run("cd '" + p.folder.path.string() + "'; cat w.pth | exec convert /dev/stdin p.safetensors")
          .code == 0);
  CHECK(contents(p.folder / "p.safetensors") == contents(p.folder / "w.safetensors"));
  CHECK(p.convert("--half w.pth half.safetensors").code == 0);
  const auto half = std::filesystem::file_size(p.folder / "half.safetensors");
  const auto whole = std::filesystem::file_size(p.folder / "w.safetensors");
  CHECK(double(half) < 0.52 * double(whole));
  CHECK(ucn::load_weights(p.folder / "half.safetensors").network->config().outputs == 8);
}

TEST_CASE("a score head, which the reference's networks do not have, stays behind") {
  const Place p;
  Random random(1);
  ucn::save_weights(p.folder / "s.safetensors",
                    ucn::ResUNet({.outputs = 8, .score_head = true}, random));
  CHECK(p.convert("s.safetensors s.pth").code == 0);
  for (const auto& t : nn::load_pth(p.folder / "s.pth").tensors) CHECK(!has(t.name, "score"));
  CHECK(p.convert("s.pth back.safetensors").code == 0);
  CHECK(!ucn::load_weights(p.folder / "back.safetensors").network->score_head());
  CHECK(p.convert("--half s.safetensors half.safetensors").code == 0);
  CHECK(ucn::load_weights(p.folder / "half.safetensors").network->score_head());
}

TEST_CASE("every tensor of any file is converted with --all") {
  const Place p;
  nn::save_pth(p.folder / "x.pth", {{{"a", Tensor::full({3}, 1e30f)}}, {{"model", "resnet"}}});
  CHECK(p.convert("--all x.pth x.safetensors").code == 0);
  const auto file = nn::load_tensors(p.folder / "x.safetensors");
  CHECK(file.find("state_dict.a")->to_vector() == std::vector<double>(3, double(1e30f)));
  CHECK(file.metadata.at("model") == "resnet");
  CHECK(has(p.convert("--all --half x.pth y.safetensors").err, "too large for 16 bits"));
}

TEST_CASE("convert says in a line what is wrong, and damages nothing") {
  const Place p;
  const std::string before = contents(p.folder / "w.safetensors");
  nn::save_pth(p.folder / "empty.pth", {});
  nn::save_pth(p.folder / "other.pth", {{{"a", Tensor::full({3}, 1.f)}}, {}});
  write_file_atomically(p.folder / "text.pth", std::string_view("not a checkpoint"));
  for (const char* line :
       {"", "w.safetensors", "w.safetensors w.onnx", "w.safetensors ./w.safetensors"})
    CHECK(p.convert(line).failed_in_one_line(2));
  for (const char* line :
       {"none.pth x.safetensors", "other.pth x.safetensors", "--all empty.pth x.safetensors",
        "text.pth x.safetensors", "w.safetensors none/x.pth"})
    CHECK(p.convert(line).failed_in_one_line(1));
  CHECK(has(p.convert("text.pth x.safetensors").err, "it is no file of PyTorch's torch.save"));
  CHECK(contents(p.folder / "w.safetensors") == before);
  CHECK(p.folder.entries() == 4);
}
