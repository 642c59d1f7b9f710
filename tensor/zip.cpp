#include "tensor/zip.h"

#include <zip.h>

#include <memory>

#include "tensor/error.h"
#include "tensor/file.h"

namespace cairn {
namespace {

/// What libzip hands out, given back.
template <class T, void (*close)(T*)>
using Handle = std::unique_ptr<T, decltype([](T* p) { close(p); })>;
void close_file(zip_file_t* f) { zip_fclose(f); }

}  // namespace

std::vector<ZipEntry> read_zip(std::span<const uint8_t> bytes, const std::string& name,
                               int64_t max_bytes, std::string_view op) {
  const auto fail = [&](const std::string& what) -> Error {
    return {ErrorId::format, op, cat("'", name, "': ", what)};
  };
  if (bytes.empty()) throw fail("it is empty");
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
  const Handle<zip_t, zip_discard> archive(source ? zip_open_from_source(source, ZIP_RDONLY, &error)
                                                  : nullptr);
  if (!archive) {
    if (source) zip_source_free(source);
    throw fail("it is not an archive, or damaged");
  }
  std::vector<ZipEntry> entries;
  for (zip_int64_t i = 0; i < zip_get_num_entries(archive.get(), 0); ++i) {
    zip_stat_t stat;
    if (zip_stat_index(archive.get(), zip_uint64_t(i), 0, &stat) != 0 ||
        !(stat.valid & ZIP_STAT_SIZE) || !(stat.valid & ZIP_STAT_NAME))
      throw fail("an entry is damaged");
    const std::string key = stat.name;
    if (stat.size > uint64_t(max_bytes))
      throw fail(
          cat("'", key, "' would take ", stat.size, " bytes; at most ", max_bytes, " make sense"));
    max_bytes -= int64_t(stat.size);
    const Handle<zip_file_t, close_file> file(zip_fopen_index(archive.get(), zip_uint64_t(i), 0));
    std::vector<uint8_t> content(stat.size);
    if (!file || zip_fread(file.get(), content.data(), stat.size) != zip_int64_t(stat.size))
      throw fail(cat("'", key, "' is damaged"));
    uint8_t more;
    if (zip_fread(file.get(), &more, 1) != 0) throw fail(cat("'", key, "' is damaged"));
    entries.push_back({key, std::move(content)});
  }
  return entries;
}

void write_zip(const std::string& path, const std::vector<ZipEntry>& entries, std::string_view op) {
  zip_error_t error;
  zip_error_init(&error);
  const auto check = [&](bool ok) {
    require(ok, ErrorId::io, op, "'", path, "' cannot be packed");
  };
  zip_source_t* buffer = zip_source_buffer_create(nullptr, 0, 0, &error);
  check(buffer != nullptr);
  zip_source_keep(buffer);  // closing the archive gives up one of two holds
  const Handle<zip_source_t, zip_source_free> packed(buffer);
  Handle<zip_t, zip_discard> archive(zip_open_from_source(buffer, ZIP_TRUNCATE, &error));
  check(archive != nullptr);
  for (const ZipEntry& entry : entries) {
    zip_source_t* source =
        zip_source_buffer(archive.get(), entry.bytes.data(), entry.bytes.size(), 0);
    const zip_int64_t i = zip_file_add(archive.get(), entry.name.c_str(), source, ZIP_FL_ENC_UTF_8);
    check(i >= 0 &&
          zip_set_file_compression(archive.get(), zip_uint64_t(i), ZIP_CM_STORE, 0) == 0 &&
          zip_file_set_dostime(archive.get(), zip_uint64_t(i), 0, 0x21, 0) == 0);
  }
  check(zip_close(archive.get()) == 0);
  (void)archive.release();
  check(zip_source_open(packed.get()) == 0 && zip_source_seek(packed.get(), 0, SEEK_END) == 0);
  std::vector<uint8_t> bytes(size_t(zip_source_tell(packed.get())));
  check(zip_source_seek(packed.get(), 0, SEEK_SET) == 0 &&
        zip_source_read(packed.get(), bytes.data(), bytes.size()) == zip_int64_t(bytes.size()));
  zip_source_close(packed.get());
  write_file_atomically(path, bytes, op);
}

}  // namespace cairn
