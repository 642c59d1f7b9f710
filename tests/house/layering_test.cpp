// The house of docs: which floor may include which, and what the library never does.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <string>
#include <vector>

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

namespace {

/// Each floor and the floors it may include.
const std::map<std::string, Strings> below = {
    {"tensor", {}},
    {"autograd", {"tensor"}},
    {"nn", {"tensor", "autograd"}},
    {"data", {"tensor"}},
    {"ucn", {"tensor", "autograd", "nn", "data"}},
    {"bin", {"tensor", "autograd", "nn", "data", "ucn"}},
};

/// "file:line: what is wrong" for every broken rule in the C++ and CUDA files below root's floors.
Strings violations(const fs::path& root) {
  static const std::regex include(R"(^\s*#\s*include\s*"(([^/"]+)/?[^"]*)\")");
  static const std::regex speech(
      R"(<iostream>|\bstd::(cout|cerr|clog|exit|_Exit|quick_exit|abort|terminate)\b|\b(printf|puts)\()");
  Strings found;
  for (const auto& [floor, allowed] : below) {
    if (!fs::exists(root / floor)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / floor)) {
      const auto kind = entry.path().extension();
      if (kind != ".h" && kind != ".cpp" && kind != ".cu" && kind != ".cuh") continue;
      std::ifstream file(entry.path());
      std::string line;
      for (int number = 1; std::getline(file, line); ++number) {
        const auto report = [&](const std::string& what) {
          found.push_back(fs::relative(entry.path(), root).generic_string() + ":" +
                          std::to_string(number) + ": " + what);
        };
        const std::string code = line.substr(0, line.find("//"));
        std::smatch match;
        if (std::regex_search(code, match, include)) {
          const std::string path = match[1], floor_of = match[2];
          if (floor_of != floor && std::count(allowed.begin(), allowed.end(), floor_of) == 0)
            report("must not include " + path);
          else if (!fs::exists(root / path))
            report("there is no " + path);
        }
        if (floor != "bin" && std::regex_search(code, match, speech))
          report("only bin/ may print or exit: " + match.str());
      }
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// A small tree that goes when the test ends.
struct Tree {
  fs::path root = fs::temp_directory_path() / ("cairn-layering-" + std::to_string(::getpid()));
  Tree() = default;
  Tree(const Tree&) = delete;
  ~Tree() { fs::remove_all(root); }
  void write(const std::string& path, const std::string& text) const {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  }
};

}  // namespace

TEST_CASE("in this tree arrows point down, and the library neither prints nor exits") {
  const fs::path root = CAIRN_SOURCE_DIR;
  REQUIRE(fs::exists(root / "tensor/tensor.h"));
  for (const auto& v : violations(root)) FAIL_CHECK(v);
}

TEST_CASE("an arrow that points up or sideways is found, also in the depth of a folder") {
  const Tree tree;
  for (const char* floor : {"tensor", "autograd", "nn", "data", "ucn"})
    tree.write(std::string(floor) + "/a.h", "");
  tree.write("tensor/kernels/gemm/gemm.cu", "#include \"tensor/a.h\"\n#include \"autograd/a.h\"\n");
  tree.write("data/b.cpp", "  #  include \"nn/a.h\"\n");
  tree.write("nn/b.h", "#include \"data/a.h\"\n// #include \"ucn/a.h\"\n");
  tree.write("ucn/b.cpp", "#include \"data/a.h\"\n#include \"nn/a.h\"\n#include <nn/a.h>\n");
  CHECK(violations(tree.root) ==
        Strings{"data/b.cpp:1: must not include nn/a.h", "nn/b.h:1: must not include data/a.h",
                "tensor/kernels/gemm/gemm.cu:2: must not include autograd/a.h"});
}

TEST_CASE("an include is written from the root of the tree, and its file is there") {
  const Tree tree;
  tree.write("tensor/a.h", "");
  tree.write("tensor/b.h",
             "#include \"a.h\"\n#include \"tensor/gone.h\"\n#include \"tests/c.h\"\n");
  CHECK(violations(tree.root) == Strings{"tensor/b.h:1: must not include a.h",
                                         "tensor/b.h:2: there is no tensor/gone.h",
                                         "tensor/b.h:3: must not include tests/c.h"});
}

TEST_CASE("printing and exiting are found below bin, and only there") {
  const Tree tree;
  const std::string speech = "#include <iostream>\nvoid f() { std::exit(1); }\n";
  tree.write("bin/a.cpp", speech);
  tree.write("nn/a.cpp", speech + "int n = snprintf(0, 0, \"\");\nint m = printf(\"\");\n");
  CHECK(violations(tree.root) == Strings{"nn/a.cpp:1: only bin/ may print or exit: <iostream>",
                                         "nn/a.cpp:2: only bin/ may print or exit: std::exit",
                                         "nn/a.cpp:4: only bin/ may print or exit: printf("});
}
