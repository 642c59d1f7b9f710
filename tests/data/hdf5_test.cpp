// HDF5 files that we write.
#include "data/hdf5.h"

#include <doctest/doctest.h>

#include "tensor/file.h"
#include "tests/errors.h"
#include "tests/folder.h"

using namespace cairn;
using namespace cairn::test;

TEST_CASE("data sets come back from the groups that their names make") {
  const Folder folder;
  const std::string path = folder / "a.h5";
  {
    Hdf5Writer writer(path);
    writer.add("photos/1.png/keypoints", Tensor::from({2, 2}, std::vector<float>{1, 2, 3.5, 4}));
    writer.add("photos/1.png/size", Tensor::from({2}, std::vector<int64_t>{5, 1LL << 40}));
    writer.add("empty", Tensor::zeros({0, 2}, DType::i32));
    CHECK(error_of([&] { writer.add("empty", Tensor::zeros({1})); }) != "");
    CHECK(!std::filesystem::exists(path));
    writer.commit();
  }
  const auto read =
      read_hdf5(path, {{"photos/1.png/keypoints", 9}, {"photos/1.png/size", 9}, {"empty", 9}});
  CHECK(read[0].shape() == Shape{2, 2});
  CHECK(read[0].data<double>()[2] == 3.5);
  CHECK(read[1].data<double>()[1] == double(1LL << 40));
  CHECK(read[2].shape() == Shape{0, 2});
  const auto before = read_file(path);
  { Hdf5Writer given_up(path); }  // without commit() the older file stays
  CHECK(read_file(path) == before);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path), {}) == 1);
  CHECK(has(error_of(ErrorId::io, [&] { Hdf5Writer(folder / "no/a.h5"); }), "cannot write"));
}
