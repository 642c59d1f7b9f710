// convert: weight files from PyTorch's form to safetensors and back.
#include <cmath>
#include <filesystem>

#include "bin/program.h"
#include "nn/pth.h"
#include "ucn/reference_checkpoint.h"
#include "ucn/weights.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

struct Arguments {
  std::string in, out;
  bool half = false, all = false;
};

void describe(const nn::TensorFile& file, const std::string& path, bool all) {
  int64_t numbers = 0;
  for (const auto& t : file.tensors) numbers += t.tensor.numel();
  std::printf("%s: ", path.c_str());
  if (!all)
    std::printf("%s, %s inputs, %s outputs; ", file.metadata.at("model").c_str(),
                file.metadata.at("inputs").c_str(), file.metadata.at("outputs").c_str());
  std::printf("%zu tensors of %lld numbers\n", file.tensors.size(), (long long)numbers);
}

int convert(const Arguments& a) {
  const bool to_pth = a.out.ends_with(".pth");
  require(to_pth || a.out.ends_with(".safetensors"), ErrorId::usage, "convert", "'", a.out,
          "' is neither a .safetensors nor a .pth file");
  std::error_code ignored;
  require(!std::filesystem::equivalent(a.in, a.out, ignored), ErrorId::usage, "convert",
          "IN and OUT are the same file");
  nn::TensorFile file = a.all ? nn::load_tensors(a.in) : read_weights(a.in);
  require(!file.tensors.empty(), ErrorId::format, "convert", "'", a.in, "' holds no tensor");
  if (!a.all) load_weights(file, a.in);  // so that it is known to fit
  for (auto& t : file.tensors) {
    if (!a.half || t.tensor.dtype() != DType::f32) continue;
    for (const float v : t.tensor.span<float>())
      require(!(std::fabs(v) >= 65520 && std::isfinite(v)), ErrorId::argument, "convert", t.name,
              " has the value ", v, ", too large for 16 bits");
    t.tensor = t.tensor.to(DType::f16);
  }
  describe(file, a.in, a.all);
  if (to_pth)
    nn::save_pth(a.out, a.all ? file : to_reference(file, a.in));
  else
    nn::save_safetensors(a.out, file);
  std::printf("%s is written.\n", a.out.c_str());
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Converts weights: PyTorch's .pth files (as Open-UCN writes them) to safetensors and back.\n"
      "Nothing that a .pth file asks to run is run.",
      "convert");
  app.footer(
      "convert ResUNetBN2C.pth weights.safetensors\tOpen-UCN's, for match --model\n"
      "convert run/weights.safetensors weights.pth\tfor PyTorch");
  Arguments a;
  return run_program(
      app, argc, argv,
      [&] {
        app.option_defaults()->always_capture_default();
        app.option_defaults()->group("Files");
        app.add_option("IN", a.in, "a .pth or .safetensors file")->required();
        app.add_option("OUT", a.out, "the file to write; its ending says which form")->required();
        app.option_defaults()->group("What");
        app.add_flag("--half", a.half, "floats of 16 bits: half the size");
        app.add_flag("--all", a.all, "every tensor of any file, not only a network's weights");
      },
      [&] { return convert(a); });
}
