// NumPy's archives: written so that numpy reads them, read back, damaged ones refused.
#include "data/npz.h"

#include <doctest/doctest.h>

#include "tensor/file.h"
#include "tests/compare.h"
#include "tests/errors.h"
#include "tests/folder.h"

using namespace cairn;

namespace {

const std::string fuzz = CAIRN_SOURCE_DIR "/tests/fuzz/fuzz_npz/";

NpzArchive some() {
  return {{"matrix", Tensor::from({2, 3}, std::vector<double>{1, 2, 3, 4, 5, 6})},
          {"vector", Tensor::from({3}, std::vector<int64_t>{7, -8, 9})},
          {"number", Tensor::full({}, 2.5)},
          {"none", Tensor::zeros({0, 4}, DType::u8)},
          {"text", std::string("a/b.jpg")}};
}

}  // namespace

TEST_CASE("what is written is read back, and the same gives the same bytes") {
  const test::Folder folder;
  const NpzArchive entries = some();
  write_npz(folder / "a.npz", entries);
  write_npz(folder / "b.npz", entries);
  CHECK(read_file(folder / "a.npz") == read_file(folder / "b.npz"));
  CHECK(folder.entries() == 2);
  const NpzArchive back = read_npz(folder / "a.npz");
  REQUIRE(back.size() == entries.size());
  for (const auto& [name, entry] : entries) {
    const std::string key = name;
    CAPTURE(key);
    if (const auto* text = std::get_if<std::string>(&entry))
      CHECK(std::get<std::string>(back.at(name)) == *text);
    else
      CHECK(same_bits(std::get<Tensor>(back.at(name)), std::get<Tensor>(entry)));
  }
}

TEST_CASE("an archive has the bytes of numpy.save in its entries") {
  const test::Folder folder;
  write_npz(folder / "a.npz", {{"x", Tensor::from({2}, std::vector<double>{1, 2})}});
  const auto bytes = read_file(folder / "a.npz");
  const std::string all(bytes.begin(), bytes.end());
  const std::string npy = std::string("\x93NUMPY\x01\0\x76\0", 10) +
                          "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }" +
                          std::string(60, ' ') + "\n";
  CHECK(all.find("x.npy" + npy) != std::string::npos);
}

TEST_CASE("numpy's own archives are read, compressed ones too") {
  const NpzArchive packed = read_npz(fuzz + "packed.npz");  // by numpy.savez_compressed
  CHECK(std::get<Tensor>(packed.at("a")).shape() == Shape{2, 3});
  CHECK(std::get<Tensor>(packed.at("a")).to_vector() == std::vector<double>{0, 1, 2, 3, 4, 5});
  CHECK(std::get<Tensor>(packed.at("b")).item() == 1);
  CHECK(std::get<Tensor>(packed.at("c")).dtype() == DType::u8);
  CHECK(std::get<std::string>(packed.at("d")) == "text");
  CHECK(std::get<Tensor>(packed.at("e")).shape() == Shape{0, 4});
}

TEST_CASE("damaged archives, and those that would unpack to too much, are refused") {
  const auto whole = read_file(fuzz + "packed.npz");
  for (size_t length = 0; length < whole.size(); length += 7)
    CHECK(error_of(ErrorId::format, [&] {
            read_npz_from_memory({whole.data(), length}, "cut");
          }) != "");
  int refused = 0;
  for (size_t at = 0; at < whole.size(); at += 3) {
    auto bent = whole;
    bent[at] ^= 0x55;
    try {
      read_npz_from_memory(bent, "bent");
    } catch (const Error& e) {
      CHECK(e.id() == ErrorId::format);
      ++refused;
    }
  }
  CHECK(refused > 50);
  const test::Folder folder;
  write_npz(folder / "big.npz", {{"x", Tensor::zeros({1000})}});
  CHECK(read_npz(folder / "big.npz", 5000).size() == 1);
  const auto big = read_file(folder / "big.npz");
  CHECK(error_of(ErrorId::format, [&] {
          read_npz_from_memory(big, "big", 4000);
        }).find("'x.npy' would take 4128 bytes; at most 4000") != std::string::npos);
  CHECK(error_of(ErrorId::io, [&] { read_npz(folder / "none.npz"); }).find("none.npz") !=
        std::string::npos);
}
