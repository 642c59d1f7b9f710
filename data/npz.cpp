#include "data/npz.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "tensor/file.h"
#include "tensor/zip.h"

namespace cairn {
namespace {

struct Kind {
  const char* name;
  DType type;
};
constexpr Kind kinds[] = {{"<f4", DType::f32}, {"<f8", DType::f64}, {"<i4", DType::i32},
                          {"<i8", DType::i64}, {"|u1", DType::u8},  {"|b1", DType::u8}};

using Bytes = std::vector<uint8_t>;

/// The .npy form, version 1: magic, length of the header, header, data.
Bytes to_npy(const NpzEntry& entry) {
  std::string kind, shape = "(", data;
  if (const auto* text = std::get_if<std::string>(&entry)) {
    require(std::ranges::all_of(*text, [](char c) { return c > 0; }), ErrorId::argument, "npz", "'",
            *text, "' is not ASCII");
    kind = cat("<U", text->size());
    for (const char c : *text) data += {c, 0, 0, 0};
  } else {
    const Tensor& t = std::get<Tensor>(entry);
    const auto found = std::ranges::find(kinds, t.dtype(), &Kind::type);
    require(found != std::end(kinds), ErrorId::dtype, "npz", "it has no ", t.dtype());
    kind = found->name;
    for (int64_t i = 0; i < t.rank(); ++i) shape += cat(i ? ", " : "", t.dim(i));
    shape += t.rank() == 1 ? "," : "";
    data.assign(static_cast<const char*>(t.raw()), size_t(t.nbytes()));
  }
  std::string header =
      cat("{'descr': '", kind, "', 'fortran_order': False, 'shape': ", shape, "), }");
  header.resize((header.size() + 11 + 63) / 64 * 64 - 11, ' ');
  header += '\n';
  std::string npy("\x93NUMPY\1\0", 8);
  npy += {char(header.size() & 255), char(header.size() >> 8)};
  npy += header + data;
  return {npy.begin(), npy.end()};
}

NpzEntry from_npy(const Bytes& npy, const std::string& name) {
  const auto check = [&](bool ok, const char* what) {
    require(ok, ErrorId::format, "npz", name, ": ", what);
  };
  check(npy.size() >= 12 && std::memcmp(npy.data(), "\x93NUMPY", 6) == 0, "it is no array");
  const bool wide = npy[6] > 1;
  const size_t begin = wide ? 12 : 10;
  size_t length = size_t(npy[8]) | size_t(npy[9]) << 8;
  if (wide) length |= size_t(npy[10]) << 16 | size_t(npy[11]) << 24;
  check(begin + length <= npy.size(), "its header ends too early");
  const std::string header(npy.begin() + std::ptrdiff_t(begin),
                           npy.begin() + std::ptrdiff_t(begin + length));
  const auto after = [&](const std::string& key) {
    const size_t at = header.find("'" + key + "':");
    check(at != std::string::npos, "its header lacks something");
    return header.substr(
        std::min(header.size(), header.find_first_not_of(' ', at + key.size() + 3)));
  };
  check(after("fortran_order").starts_with("False"), "it is in Fortran's order");
  const std::string descr = after("descr");
  check(descr.starts_with('\''), "its header lacks something");
  const std::string kind = descr.substr(1, descr.find('\'', 1) - 1);
  std::string text = after("shape");
  check(text.starts_with('(') && text.find(')') != std::string::npos, "its shape is none");
  text = text.substr(1, text.find(')') - 1);
  std::vector<int64_t> dims;
  const auto bytes = int64_t(npy.size() - begin - length);
  int64_t count = 1;
  for (const char* p = text.c_str(); *p;) {
    char* end = nullptr;
    const long long extent = std::strtoll(p, &end, 10);
    check(end != p && extent >= 0 && int64_t(dims.size()) < Shape::max_rank, "its shape is none");
    check(extent == 0 || count <= bytes / extent, "it is larger than its file");
    count *= extent;
    dims.push_back(extent);
    p = end + std::strspn(end, ", ");
  }
  const uint8_t* data = npy.data() + begin + length;
  if (kind.starts_with("<U")) {
    check(dims.empty() && bytes % 4 == 0 && bytes / 4 == std::atoll(kind.c_str() + 2),
          "it is no single text");
    std::string s;
    for (int64_t i = 0; i < bytes; i += 4) {
      check(data[i] < 128 && !data[i + 1] && !data[i + 2] && !data[i + 3], "its text is not ASCII");
      if (data[i]) s += char(data[i]);
    }
    return s;
  }
  const auto found = std::ranges::find(kinds, kind, &Kind::name);
  check(found != std::end(kinds), "its numbers are of a kind that is not read");
  check(count * item_size(found->type) == bytes, "its data is not as long as its shape says");
  Tensor t = Tensor::empty(Shape(std::span<const int64_t>(dims)), found->type);
  if (bytes > 0) std::memcpy(t.raw(), data, size_t(bytes));
  return t;
}

}  // namespace

NpzArchive read_npz_from_memory(std::span<const uint8_t> bytes, const std::string& name,
                                int64_t max_bytes) {
  NpzArchive entries;
  for (const ZipEntry& entry : read_zip(bytes, name, max_bytes, "npz")) {
    std::string key = entry.name;
    if (key.ends_with(".npy")) key.resize(key.size() - 4);
    entries[key] = from_npy(entry.bytes, cat("'", name, "': '", key, "'"));
  }
  return entries;
}

NpzArchive read_npz(const std::string& path, int64_t max_bytes) {
  return read_npz_from_memory(read_file(path, max_bytes, "npz"), path, max_bytes);
}

void write_npz(const std::string& path, const NpzArchive& entries) {
  std::vector<ZipEntry> arrays;
  for (const auto& [name, entry] : entries) arrays.push_back({name + ".npy", to_npy(entry)});
  write_zip(path, arrays, "npz");
}

}  // namespace cairn
