// PyTorch's files: written and read again, damaged ones and bombs refused.
#include "nn/pth.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "nn/pickle.h"
#include "tensor/file.h"
#include "tensor/zip.h"
#include "tests/errors.h"
#include "tests/folder.h"

using namespace cairn;
using namespace std::string_literals;
using nn::TensorFile;

namespace {

const std::string golden = CAIRN_SOURCE_DIR "/tests/golden/files/checkpoints/";

std::vector<uint8_t> bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

std::string refusal(std::string_view pickle) {
  const auto bytes = bytes_of(pickle);
  return error_of(ErrorId::format, [&] { nn::Pickle(bytes, "p"); });
}

/// An archive of this pickle with one storage: 0, 1, 2, 3 as floats.
TensorFile archive(const std::string& pickle) {
  const test::Folder folder;
  const float numbers[] = {0, 1, 2, 3};
  const auto* storage = reinterpret_cast<const uint8_t*>(numbers);
  write_zip(folder / "x.pth",
            {{"a/data.pkl", bytes_of(pickle)}, {"a/data/0", {storage, storage + 16}}}, "test");
  return nn::load_pth(folder / "x.pth");
}
std::string refused(const std::string& pickle) {
  return error_of(ErrorId::format, [&] { archive(pickle); });
}

/// A float tensor, as text of a pickle of protocol 0: offset, sizes and strides as given.
std::string tensor(const std::string& offset, const std::string& sizes, const std::string& strides,
                   const std::string& kind = "FloatStorage", const std::string& key = "0") {
  const auto string = [](const std::string& s) { return "V" + s + "\n"; };
  const auto tuple = [](const std::string& numbers) {
    std::string s = "(";
    for (size_t at = 0; at < numbers.size();) {
      const size_t end = std::min(numbers.find(' ', at), numbers.size());
      s += "I" + numbers.substr(at, end - at) + "\n";
      at = end + 1;
    }
    return s + "t";
  };
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + string("storage") + "ctorch\n" + kind + "\n" +
         string(key) + string("cpu") + "I4\ntQI" + offset + "\n" + tuple(sizes) + tuple(strides) +
         "I00\nNtR.";
}

}  // namespace

TEST_CASE("what is written is read again, with its metadata") {
  const test::Folder folder;
  TensorFile file;
  const DType types[] = {DType::f32, DType::f64, DType::f16, DType::bf16,
                         DType::i32, DType::i64, DType::u8};
  for (const DType type : types)
    file.tensors.push_back({cat("layer.", type), Tensor::full({2, 3}, 5, type)});
  file.tensors.push_back({"scalar", Tensor::full({}, 1.5f)});
  file.tensors.push_back({"empty", Tensor::empty({0, 7})});
  file.metadata = {{"epoch", "7"},         {"big", "-123456789012"},        {"rate", "0.1"},
                   {"flag", "true"},       {"config.model", "ResUNetBN2F"}, {"config.lr", "1e-05"},
                   {"text", "line\nbreak"}};
  nn::save_pth(folder / "a.pth", file);
  const TensorFile again = nn::load_pth(folder / "a.pth");
  REQUIRE(again.tensors.size() == file.tensors.size());
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    CHECK(again.tensors[i].name == "state_dict." + file.tensors[i].name);
    CHECK(again.tensors[i].tensor.dtype() == file.tensors[i].tensor.dtype());
    CHECK(again.tensors[i].tensor.shape() == file.tensors[i].tensor.shape());
    CHECK(again.tensors[i].tensor.to_vector() == file.tensors[i].tensor.to_vector());
  }
  CHECK(again.metadata == file.metadata);
}

TEST_CASE("calls are kept, not made, and objects of unknown classes are read around") {
  const std::string evil = "(dVx\ncposix\nsystem\n(Vtouch executed\ntRsVn\nI3\ns.";
  const auto bytes = bytes_of(evil);
  const nn::Pickle pickle(bytes, "p");
  const auto& entries = pickle.root().entries;
  REQUIRE(entries.size() == 2);
  CHECK(entries[0].second->kind == nn::PickleValue::call);
  CHECK(entries[0].second->string == "posix.system");
  CHECK(entries[1].second->number == 3);
  CHECK(pickle.size() == evil.size());
  CHECK(!std::filesystem::exists("executed"));
}

TEST_CASE("a pickle that is damaged is refused") {
  CHECK(refusal("") == "pickle: p, byte 0: it ends too early");
  CHECK(has(refusal("t."), "there is no mark"));
  CHECK(has(refusal("."), "the stack is empty"));
  CHECK(has(refusal("(."), "the stack is empty"));
  CHECK(has(refusal("I12"), "it ends within a line"));
  CHECK(has(refusal("Ix\n."), "a number is none"));
  CHECK(has(refusal("h\7."), "it recalls what it never kept"));
  CHECK(has(refusal("I1\nI2\na."), "it appends to no list"));
  CHECK(has(refusal("I1\nI2\nI3\ns."), "it fills no dictionary"));
  CHECK(has(refusal("I1\n)R."), "it calls what is no class or function"));
  CHECK(has(refusal("\x80\x09."), "newer protocol"));
  CHECK(has(refusal("\xff"), "there is no instruction 255"));
  CHECK(has(refusal("X\xff\xff\xff\x7f"), "it ends too early"));
}

TEST_CASE("tensors are views of a storage, with an offset and strides") {
  const auto values = [](const std::string& pickle) {
    return archive(pickle).tensors.at(0).tensor.to_vector();
  };
  CHECK(values(tensor("0", "4", "1")) == std::vector<double>{0, 1, 2, 3});
  CHECK(values(tensor("1", "3", "1")) == std::vector<double>{1, 2, 3});
  CHECK(values(tensor("0", "2 2", "1 2")) == std::vector<double>{0, 2, 1, 3});
  CHECK(values(tensor("3", "2 2", "0 0")) == std::vector<double>{3, 3, 3, 3});
  CHECK(values(tensor("9", "0 2", "2 1")).empty());
}

TEST_CASE("a tensor that asks for what is not there is refused") {
  CHECK(has(refused(tensor("1", "4", "1")), "reaches beyond its storage '0'"));
  CHECK(has(refused(tensor("0", "3", "2")), "reaches beyond"));
  CHECK(has(refused(tensor("0", "2", "1152921504606846976")), "reaches beyond"));
  CHECK(has(refused(tensor("-1", "2", "1")), "reaches beyond"));
  const char* huge = "9223372036854775807";
  CHECK(has(refused(tensor(huge, "2", "1")), "reaches beyond"));
  CHECK(has(refused(tensor(huge, "1", huge)), "reaches beyond"));
  CHECK(archive(tensor("0", "0 0", cat(huge, " ", huge))).tensors.size() == 1);
  CHECK(has(refused(tensor("0", "-2", "1")), "negative size"));
  CHECK(has(refused(tensor("0", "2", "1 1")), "more sizes than strides"));
  CHECK(has(refused(tensor("0", "1073741824 1073741824", "0 0")), "far more memory"));
  CHECK(has(refused(tensor("0", "1 1 1 1 1 1 1 1 1 1 1 1", "1")), "12 dimensions"));
  CHECK(has(refused(tensor("0", "4", "1", "QuantStorage")), "of the kind torch.QuantStorage"));
  CHECK(has(refused(tensor("0", "4", "1", "FloatStorage", "7")), "storage '7' is missing"));
  // Ten lists of ten of ten of ...: 10^12 parts.
  std::string laughs = "(lp0\n0";
  for (int level = 1; level <= 12; ++level) {
    laughs += "(";
    for (int i = 0; i < 10; ++i) laughs += cat("g", level - 1, "\n");
    laughs += cat("lp", level, "\n0");
  }
  CHECK(has(refused(laughs + "g12\n."), "too many parts"));
  // A long text under a long key, a thousand times; and two tensors of one name.
  std::string long_one(100000, 'k');
  std::string many = cat("(dV", long_one, "\n(");
  for (int i = 0; i < 3000; ++i) many += i ? "h\0"s : cat("V", long_one, "\nq\0"s);
  CHECK(has(refused(many + "ls."), "too many parts"));
  many.replace(3, 100000, "k");
  CHECK(has(refused(many + "ls."), "far more memory"));
  const std::string one = tensor("0", "4", "1");
  const std::string twice = one.substr(0, one.size() - 1);
  CHECK(has(refused("(dVk\n" + twice + "sVk\n" + twice + "s."), "two tensors at k"));
  CHECK(has(refusal(std::string(2000000, 'N')), "too many values"));
  CHECK(has(refused("(lp0\ng0\na."), "nested too deeply"));  // a list within itself
}

TEST_CASE("files that end anywhere too early are refused") {
  for (const char* name : {"tiny_zip.pth", "tiny_legacy.pth"}) {
    const auto whole = read_file(golden + name);
    for (size_t length = 0; length < whole.size(); length += 7) {
      CAPTURE(length);
      CHECK(error_of(ErrorId::format,
                     [&] { nn::parse_pth(std::span(whole).first(length), "cut"); }) != "");
    }
  }
  CHECK(error_of(ErrorId::io, [&] { nn::load_pth(golden + "none.pth"); }) != "");
}
