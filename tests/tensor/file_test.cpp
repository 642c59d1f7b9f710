#include "tensor/file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/errors.h"
#include "tests/folder.h"

using namespace cairn;
using cairn::test::Folder;
namespace fs = std::filesystem;

namespace {

std::string text_of(const std::string& path) {
  const auto bytes = read_file(path);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

TEST_CASE("what is written is read back, empty and beyond the buffer too") {
  Folder folder;
  for (size_t size : {size_t{0}, size_t{1}, size_t{3} << 20}) {
    const std::string text(size, 'x');
    write_file_atomically(folder / "a", text);
    CHECK(text_of(folder / "a") == text);
  }
  CHECK(folder.entries() == 1);
}

TEST_CASE("a file appears only when committed, and an abandoned one leaves nothing") {
  Folder folder;
  write_file_atomically(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write("new");
    CHECK(text_of(folder / "a") == "old");
  }
  CHECK(text_of(folder / "a") == "old");
  CHECK(folder.entries() == 1);
  AtomicFile file(folder / "a");
  file.write("new");
  file.commit();
  CHECK(text_of(folder / "a") == "new");
  CHECK_THROWS_AS(file.write("more"), Error);
  CHECK(folder.entries() == 1);
}

TEST_CASE("a link stays a link and permissions are kept") {
  Folder folder;
  write_file_atomically(folder / "real", "old");
  ::chmod((folder / "real").c_str(), 0640);
  fs::create_symlink("real", folder / "link");
  write_file_atomically(folder / "link", "new");
  CHECK(fs::is_symlink(folder / "link"));
  CHECK(text_of(folder / "real") == "new");
  CHECK(int(fs::status(folder / "real").permissions()) == 0640);
}

TEST_CASE("failures name the path and the reason") {
  Folder folder;
  const std::string missing = folder / "no/such";
  CHECK(error_of(ErrorId::io, [&] { read_file(missing); }) ==
        "read_file: cannot open '" + missing + "': No such file or directory");
  CHECK(has(error_of(ErrorId::io, [&] { read_file(folder.path); }), "is a folder"));
  CHECK(has(error_of(ErrorId::io, [&] { write_file_atomically(missing, "x"); }),
            "No such file or directory"));
  CHECK(has(error_of(ErrorId::io, [&] { write_file_atomically(folder.path, "x"); }),
            "Is a directory"));
  if (fs::exists("/dev/full"))
    CHECK(has(error_of(ErrorId::io, [&] { write_file_atomically("/dev/full", "x"); }),
              "No space left"));

  write_file_atomically(folder / "ten", "0123456789");
  CHECK(has(error_of(ErrorId::io, [&] { read_file(folder / "ten", 9); }), "more than the 9"));
  CHECK(read_file(folder / "ten", 10).size() == 10);
  if (::geteuid() != 0) {  // root writes everywhere
    fs::permissions(folder.path, fs::perms::owner_read | fs::perms::owner_exec);
    CHECK(has(error_of(ErrorId::io, [&] { write_file_atomically(folder / "b", "x"); }),
              "Permission denied"));
    fs::permissions(folder.path, fs::perms::owner_all);
  }
  CHECK(folder.entries() == 1);
}
