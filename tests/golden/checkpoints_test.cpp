// PyTorch's checkpoints: read without running anything, and the networks in them.
#include <filesystem>

#include "nn/pth.h"
#include "tests/golden/golden.h"
#include "ucn/weights.h"

namespace cairn::golden {
namespace {

namespace fs = std::filesystem;

void check_outputs(const TensorFile& file, Report& report) {
  for (const auto& name : before(file, ".output")) {
    report.begin(name);
    const Tensor input =
        filled("input", shape_of(text(file, "input_shape")), -0.5, 0.5, seed(file, name));
    const auto weights = ucn::load_weights(report.beside(name + ".pth"));
    weights.network->to(device());
    NoGrad no_grad;
    const Tensor ours = (*weights.network)(to_nhwc(input, DType::f32)).value();
    report.compare("output", to_pytorch(ours), find(file, name + ".output"), 1e-4);
  }
}

void check_tensors(const TensorFile& file, Report& report) {
  const fs::path here = fs::path(report.beside("x")).parent_path();
  for (const auto& entry : fs::directory_iterator(here)) {
    const std::string name = entry.path().filename();
    if (!name.ends_with(".pth") || !(name.starts_with("tiny_") || name.starts_with("evil_")))
      continue;
    report.begin(name);
    const TensorFile ours = nn::load_pth(entry.path());
    for (const auto& [key, golden] : file.tensors) {
      const Tensor t = find(ours, "state_dict." + key);
      if (t.numel() != golden.numel())
        report.fail(cat(key, " has ", t.numel(), " elements"));
      else
        report.compare(key, t.reshape(golden.shape()), golden, 0);
    }
    if (ours.tensors.size() != file.tensors.size())
      report.fail(cat("has ", ours.tensors.size(), " tensors"));
  }
  CHECK(!fs::exists("executed-by-pickle"));
}

}  // namespace

TEST_CASE("checkpoints hold the networks and tensors that PyTorch says") {
  check_files(".checkpoint", [](const TensorFile& file, Report& report) {
    if (file.metadata.contains("input_shape"))
      check_outputs(file, report);
    else
      check_tensors(file, report);
  });
}

}  // namespace cairn::golden
