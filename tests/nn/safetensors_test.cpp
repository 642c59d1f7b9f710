#include "nn/safetensors.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "nn/layers.h"
#include "tensor/file.h"
#include "tests/compare.h"
#include "tests/errors.h"
#include "tests/folder.h"

using namespace cairn;
using cairn::test::Folder;
namespace fs = std::filesystem;
using nn::TensorFile;

namespace {

/// A file of a JSON header and `data` zero bytes.
std::vector<uint8_t> file_of(const std::string& header, size_t data) {
  std::vector<uint8_t> bytes(8 + header.size() + data);
  const uint64_t size = header.size();
  std::memcpy(bytes.data(), &size, 8);
  std::ranges::copy(header, bytes.begin() + 8);
  return bytes;
}

std::string refusal(const std::vector<uint8_t>& bytes) {
  return error_of(ErrorId::format, [&] { nn::parse_safetensors(bytes, "f"); });
}

/// What is said to a header with the given entries, above four bytes of data.
std::string refused(const std::string& entries) { return refusal(file_of("{" + entries + "}", 4)); }

/// An entry of a header.
std::string entry(const std::string& shape, const std::string& offsets,
                  const std::string& dtype = "F32", const std::string& name = "a") {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
         offsets + "}";
}

std::vector<nn::NamedTensor> copy_of(const std::vector<nn::NamedTensor>& state) {
  std::vector<nn::NamedTensor> copy;
  for (const auto& [name, tensor] : state) copy.push_back({name, tensor.clone()});
  return copy;
}

bool same(const std::vector<nn::NamedTensor>& a, const std::vector<nn::NamedTensor>& b) {
  return std::ranges::equal(a, b, [](const auto& x, const auto& y) {
    return x.name == y.name && same_bits(x.tensor, y.tensor);
  });
}

struct Net : nn::Sequential {
  explicit Net(uint64_t seed) {
    Random random(seed);
    append<nn::Conv2d>(2, 3, 3, random);
    append<nn::BatchNorm2d>(3);
  }
};

}  // namespace

TEST_CASE("every type, scalars, empty tensors and metadata come back as they were") {
  const Folder folder;
  TensorFile file;
  const DType types[] = {DType::f32, DType::f64, DType::f16, DType::bf16,
                         DType::i32, DType::i64, DType::u8};
  for (DType type : types) {
    const std::string t(name(type));
    Random random(3);
    file.tensors.push_back({t, random_uniform({2, 3, 5}, random, 0, 200, DType::f64).to(type)});
    file.tensors.push_back({t + ".scalar", Tensor::full({}, 7, type)});
    file.tensors.push_back({t + ".empty", Tensor::zeros({2, 0, 3}, type)});
  }
  Tensor odd = Tensor::full({3}, NAN);
  odd.data<float>()[1] = -0.0f;
  file.tensors.push_back({"not a number", odd});
  file.metadata = {{"format", "pt"}, {"quote\"and\nline", "\xc3\xa9\t"}, {"", ""}};
  nn::save_safetensors(folder / "f", file);

  const TensorFile read = nn::load_safetensors(folder / "f");
  CHECK(read.metadata == file.metadata);
  CHECK(read.tensors.size() == file.tensors.size());
  for (const auto& written : file.tensors) {
    CAPTURE(written.name);
    REQUIRE(read.find(written.name));
    CHECK(same_bits(*read.find(written.name), written.tensor));
  }
  CHECK(read.find("absent") == nullptr);
  uint64_t header = 1;
  std::memcpy(&header, read_file(folder / "f").data(), 8);
  CHECK(header % 8 == 0);  // so that the data may be mapped and used in place
}

TEST_CASE("the bytes are those of the format: a file written by hand") {
  auto bytes = file_of("{" + entry("[2]", "[1,3]", "U8", "second") + ", " +
                           entry("[]", "[0,1]", "BOOL", "first") + "}  ",
                       0);
  for (uint8_t v : {1, 8, 9}) bytes.push_back(v);
  const TensorFile file = nn::parse_safetensors(bytes, "f");
  REQUIRE(file.tensors.size() == 2);
  CHECK(file.tensors[0].name == "first");  // in the order of their data
  CHECK(file.tensors[0].tensor.shape() == Shape{});
  CHECK(file.tensors[0].tensor.item() == 1);
  CHECK(file.tensors[1].tensor.dtype() == DType::u8);
  CHECK(file.tensors[1].tensor.to_vector() == std::vector<double>{8, 9});
  CHECK(nn::parse_safetensors(file_of("{}", 0), "f").tensors.empty());
}

TEST_CASE("a file cut off anywhere is refused") {
  const Folder folder;
  nn::save_safetensors(folder / "f", {nn::export_state(Net(1)), {{"k", "v"}}});
  const auto whole = read_file(folder / "f");
  CHECK(nn::parse_safetensors(whole, "f").tensors.size() == 6);
  for (size_t n = 0; n < whole.size(); ++n)
    CHECK(refusal({whole.begin(), whole.begin() + int64_t(n)}) != "");
}

TEST_CASE("a header that is too long or is not JSON is refused") {
  for (uint64_t size : {uint64_t(5), uint64_t(1) << 40, ~uint64_t(0)}) {
    std::vector<uint8_t> bytes(12, '{');
    std::memcpy(bytes.data(), &size, 8);
    CHECK(has(refusal(bytes), cat("its header claims ", size, " bytes")));
  }
  for (const char* text : {"", "null", "[]", "7", "\"a\"", "{", "{}}", "{\"a\"}", "{\"\xff\":1}"})
    CHECK(has(refusal(file_of(text, 0)), "not the JSON"));
}

TEST_CASE("a nesting bomb is refused before it is built") {
  CHECK(has(refused("\"a\":" + std::string(1'000'000, '[')), "nested too deeply"));
  CHECK(has(refused("\"a\":{\"shape\":[[]]}"), "nested too deeply"));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "\"a\":{";
  CHECK(has(refused(objects), "nested too deeply"));
}

TEST_CASE("a name that appears twice is refused, not overwritten") {
  const std::string good = entry("[1]", "[0,4]");
  CHECK(has(refused(good + "," + good), "two entries \"a\""));
  CHECK(has(refused("\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}," + good), "two entries \"k\""));
  CHECK(has(refused("\"a\":{\"shape\":[1],\"shape\":[1]}"), "two entries \"shape\""));
  // The same key in two different objects is none of that.
  CHECK(nn::parse_safetensors(
            file_of("{" + entry("[1]", "[0,2]", "F16") + "," + entry("[1]", "[2,4]", "F16", "b") +
                        ",\"__metadata__\":{\"a\":\"b\"}}",
                    4),
            "f")
            .tensors.size() == 2);
}

TEST_CASE("entries that lack something or are of another kind are refused") {
  const std::string lacks = "tensor \"a\" lacks dtype, shape or data_offsets";
  for (const char* value :
       {"1", "null", "[]", "{}", R"({"shape":[1],"data_offsets":[0,4]})",
        R"({"dtype":7,"shape":[1],"data_offsets":[0,4]})",
        R"({"dtype":"F32","data_offsets":[0,4]})",
        R"({"dtype":"F32","shape":1,"data_offsets":[0,4]})", R"({"dtype":"F32","shape":[1]})",
        R"({"dtype":"F32","shape":[1],"data_offsets":[0]})",
        R"({"dtype":"F32","shape":[1],"data_offsets":[0,4,8]})"})
    CHECK(has(refused(std::string("\"a\":") + value), lacks));
  CHECK(has(refused(entry("[1]", "[0,4]", "F8_E4M3")), "unknown dtype \"F8_E4M3\""));
  CHECK(has(refused("\"__metadata__\":[]"), "__metadata__ is not an object"));
  CHECK(has(refused("\"__metadata__\":{\"k\":1}"), "metadata \"k\" is not a string"));
}

TEST_CASE("shapes that are negative, fractional, too many or too large are refused") {
  const std::string extent = "an extent that is not a natural number";
  for (const char* shape : {"[-1]", "[1.0]", "[\"1\"]", "[null]", "[9223372036854775808]", "[1e3]",
                            "[true]", "[18446744073709551616]"})
    CHECK(has(refused(entry(shape, "[0,4]")), extent));
  const std::string two62 = "4611686018427387904";
  CHECK(has(refused(entry("[" + two62 + "]", "[0,4]")), "larger than memory"));
  CHECK(has(refused(entry("[" + two62 + ",4]", "[0,0]", "U8")), "larger than memory"));
  CHECK(has(refused(entry("[1,1,1,1,1,1,1]", "[0,4]")), "has 7 axes"));
  CHECK(has(refused(entry("[2]", "[0,4]")), "has 4 bytes, but its shape 2 needs 8"));
}

TEST_CASE("data that overlaps, leaves a gap, runs out or is left over is refused") {
  CHECK(has(refused(entry("[1]", "[4,8]")), "outside the file"));
  CHECK(has(refused(entry("[1]", "[4,0]")), "outside the file"));
  CHECK(has(refused(entry("[1]", "[18446744073709551615,3]")), "outside the file"));
  for (const char* offsets : {"[-4,0]", "[0.0,4.0]", "[0,4e0]", "[\"0\",4]", "[0,null]"})
    CHECK(has(refused(entry("[1]", offsets)), "bad data offset"));
  const auto halves = [](const char* first, const char* second) {
    return refused(entry("[1]", first, "F16", "a") + "," + entry("[1]", second, "F16", "b"));
  };
  CHECK(has(halves("[0,2]", "[0,2]"), "overlaps"));
  CHECK(has(halves("[0,2]", "[1,3]"), "the data of tensor \"b\" overlaps"));
  CHECK(has(refused(entry("[1]", "[2,4]", "F16")), "leaves a gap"));
  CHECK(has(refused(entry("[1]", "[0,2]", "F16")), "2 bytes after the last tensor"));
  CHECK(has(refused(""), "4 bytes after the last tensor"));
}

TEST_CASE("an error stays on one line, whatever the file's names hold") {
  const std::string text = refused(entry("[1]", "[0,2]", "F32", R"(x\n\u001b[31m)"));
  CHECK(text.find('\n') == std::string::npos);
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(refused(entry("[1]", "[0,2]", "F32", std::string(100'000, 'x'))).size() < 1000);
}

TEST_CASE("saving refuses what could not be read back, and the old file stays") {
  const Folder folder;
  const TensorFile old{{{"a", Tensor::full({2}, 1)}}, {}};
  nn::save_safetensors(folder / "f", old);
  const Tensor t = Tensor::zeros({1});
  const auto refuses = [&](std::vector<nn::NamedTensor> tensors) {
    return error_of(ErrorId::argument, [&] { nn::save_safetensors(folder / "f", {tensors, {}}); });
  };
  CHECK(has(refuses({{"x", t}, {"x", t}}), "the name x is taken"));
  CHECK(has(refuses({{"__metadata__", t}}), "is taken"));
  CHECK(has(refuses({{"x", {}}}), "x is undefined"));
  CHECK(same(nn::load_safetensors(folder / "f").tensors, old.tensors));
  CHECK(std::distance(fs::directory_iterator(folder.path), {}) == 1);
}

TEST_CASE("a full disk or a missing folder is said, and a missing file too") {
  const Folder folder;
  if (fs::exists("/dev/full"))
    error_of(ErrorId::io, [&] {
      nn::save_safetensors("/dev/full", {{{"a", Tensor::zeros({9})}}, {}});
    });
  error_of(ErrorId::io, [&] { nn::save_safetensors(folder / "no/f", {}); });
  CHECK(has(error_of(ErrorId::io, [&] { nn::load_safetensors(folder / "f"); }), folder / "f"));
}

TEST_CASE("metadata of any bytes can be written: what is not UTF-8 is replaced") {
  const Folder folder;
  nn::save_safetensors(folder / "f", {{}, {{"path", "a\xff"}}});
  CHECK(nn::load_safetensors(folder / "f").metadata.at("path") == "a\xef\xbf\xbd");
}

TEST_CASE("image weights are O x I x KH x KW in the file, O x KH x KW x I in the module") {
  Net net(1);
  const auto exported = nn::export_state(net);
  const Tensor file = exported[0].tensor, own = net.state()[0].tensor;
  CHECK(exported[0].name == "0.weight");
  CHECK(own.shape() == Shape{3, 3, 3, 2});
  CHECK(file.shape() == Shape{3, 2, 3, 3});
  for (int64_t o = 0; o < 3; ++o)
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t h = 0; h < 3; ++h)
        for (int64_t w = 0; w < 3; ++w)
          CHECK(file.data<float>()[((o * 2 + i) * 3 + h) * 3 + w] ==
                own.data<float>()[((o * 3 + h) * 3 + w) * 2 + i]);
  CHECK_FALSE(exported[1].tensor.same_storage(net.state()[1].tensor));
}

TEST_CASE("import_state undoes export_state, in any order and from half precision") {
  Net a(1), b(2);
  a(Tensor::full({1, 4, 4, 2}, 1));  // moves the running statistics
  auto exported = nn::export_state(a);
  std::ranges::reverse(exported);
  nn::import_state(b, exported, "f");
  CHECK(same(a.state(), b.state()));
  for (auto& e : exported)
    if (e.tensor.dtype() == DType::f32) e.tensor = e.tensor.to(DType::f16);
  nn::import_state(b, exported, "f");
  CHECK(b.state()[0].tensor.dtype() == DType::f32);
  CHECK(difference(b.state()[0].tensor, a.state()[0].tensor) < 1e-3);
}

TEST_CASE("weights that do not fit name the layer and both shapes; the module stays as it was") {
  Net net(1);
  const auto before = copy_of(net.state());
  const auto refused = [&](auto&& change) {
    auto state = nn::export_state(Net(2));
    change(state);
    const std::string text =
        error_of(ErrorId::weights, [&] { nn::import_state(net, state, "w.safetensors"); });
    CHECK(same(net.state(), before));
    return text;
  };
  CHECK(has(refused([](auto& s) {
              s[0].tensor = Tensor::zeros({3, 1, 3, 3});
            }),
            "w.safetensors: layer 0.weight is 3x1x3x3, but the model expects 3x2x3x3"));
  CHECK(has(refused([](auto& s) { s[0].tensor = Tensor::zeros({3, 18}); }), "is 3x18"));
  CHECK(has(refused([](auto& s) { s[2].tensor = Tensor::zeros({4}); }),
            "layer 1.bias is 4, but the model expects 3"));
  CHECK(has(refused([](auto& s) { s.pop_back(); }), "layer 1.num_batches_tracked is missing"));
  CHECK(has(refused([](auto& s) {
              s.push_back({"head.weight", Tensor::zeros({2, 5})});
            }),
            "layer head.weight (2x5) is not in the model"));
  CHECK(has(refused([](auto& s) { s.back().tensor = Tensor::zeros({}); }),
            "layer 1.num_batches_tracked is f32, but the model expects i64"));
}
