// The table of what computes each operation, made from the list, the tree and what was seen to run.
// UPDATE_DOCS=1 writes it into docs/operations.md.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "tensor/cuda/emulation.h"
#include "tests/autograd/samples.h"

using namespace cairn;

namespace {

const std::string root = CAIRN_SOURCE_DIR;

std::string read(const std::string& path) {
  std::ifstream file(root + "/" + path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// The kernel families that an op's file includes and that have a reference.
std::string references(const std::string& op) {
  const std::string text = read("autograd/ops/" + op + ".cpp");
  static const std::regex include("#include \"tensor/kernels/([a-z0-9_]+)/");
  std::set<std::string> families;
  for (std::sregex_iterator it(text.begin(), text.end(), include), end; it != end; ++it)
    if (std::filesystem::exists(root + "/tensor/kernels/" + (*it)[1].str() + "/reference.cpp"))
      families.insert((*it)[1].str());
  std::string found;
  for (const std::string& family : families) found += (found.empty() ? "" : ", ") + family;
  return found;
}

std::string table() {
  std::ostringstream out;
  out << "| operation | reference | CPU | CUDA kernels started | libraries asked first |\n"
         "|---|---|---|---|---|\n";
  for (const OpEntry& op : all_ops()) {
    cuda::emulation::journal();
    for (const Sample& sample : op.samples()) {
      run_both_ways(sample, 1, DType::f32);
      run_both_ways(sample, 1, DType::f32, Device::cuda);
    }
    std::string kernels, libraries;
    for (const auto& name : cuda::emulation::journal()) {
      std::string& list = name == "cuDNN" || name == "cuBLASLt" ? libraries : kernels;
      list += (list.empty() ? "" : ", ") + name;
    }
    out << "| `" << op.name << "` | " << references(op.name) << " | yes | " << kernels << " | "
        << libraries << " |\n";
  }
  return out.str();
}

}  // namespace

TEST_CASE("the table in the docs says what computes each operation") {
  const std::string begin = "<!-- made by tests/cuda/support_emulation_test.cpp -->\n",
                    end = "<!-- end -->";
  const std::string text = read("docs/operations.md"), made = table();
  const size_t from = text.find(begin), to = text.find(end);
  REQUIRE(from != std::string::npos);
  REQUIRE(to != std::string::npos);
  if (std::getenv("UPDATE_DOCS")) {
    std::ofstream(root + "/docs/operations.md")
        << text.substr(0, from) << begin << made << text.substr(to);
    return;
  }
  CHECK_MESSAGE(text.substr(from + begin.size(), to - from - begin.size()) == made,
                "run UPDATE_DOCS=1 build/tests/test_cuda -tc='the table in the docs*'");
}
