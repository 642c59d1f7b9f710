#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>

#include "nn/pth.h"
#include "nn/pth_storages.h"
#include "tensor/zip.h"

namespace cairn::nn {
namespace {

/// Writes a pickle of protocol 2.
class Writer {
 public:
  std::string bytes = "\x80\2";

  void number(int64_t v) {
    if (v >= 0 && v < 256)
      put('K', v, 1);
    else if (v == int32_t(v))
      put('J', v, 4);
    else
      bytes += "\x8a\x08", raw(v, 8);
  }
  void real(double v) {
    uint64_t bits;
    std::memcpy(&bits, &v, sizeof v);
    bytes += 'G';
    for (int i = 7; i >= 0; --i) bytes += char(bits >> (8 * i));
  }
  void text(std::string_view s) {
    put('X', int64_t(s.size()), 4);
    bytes += s;
  }
  void boolean(bool v) { bytes += v ? '\x88' : '\x89'; }
  void name(const char* module, const char* name) { bytes += cat('c', module, '\n', name, '\n'); }
  void tuple(const Shape& shape) {
    bytes += '(';
    for (int64_t i = 0; i < shape.rank(); ++i) number(shape[i]);
    bytes += 't';
  }
  /// _rebuild_tensor_v2(storage, 0, sizes, strides, False, OrderedDict())
  void tensor(const Tensor& t, const std::string& key) {
    const auto kind = std::ranges::find(storage_kinds, t.dtype(), &StorageKind::type);
    name("torch._utils", "_rebuild_tensor_v2");
    bytes += "((";
    text("storage");
    name("torch", kind->name);
    text(key);
    text("cpu");
    number(t.numel());
    bytes += "tQ";
    number(0);
    tuple(t.shape());
    std::vector<int64_t> strides(size_t(t.rank()), 1);
    for (size_t i = strides.size(); i-- > 1;) strides[i - 1] = strides[i] * t.shape()[int64_t(i)];
    bytes += '(';
    for (const int64_t s : strides) number(s);
    bytes += 't';
    boolean(false);
    name("collections", "OrderedDict");
    bytes += ")RtR";
  }
  void value(const std::string& s) {
    int64_t n = 0;
    double v = 0;
    const auto whole = [&](auto& number) {
      const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), number);
      return error == std::errc() && end == s.data() + s.size();
    };
    if (s == "true" || s == "false")
      boolean(s == "true");
    else if (whole(n))
      number(n);
    else if (whole(v))
      real(v);
    else
      text(s);
  }

 private:
  void raw(int64_t v, int n) {
    for (int i = 0; i < n; ++i) bytes += char(uint64_t(v) >> (8 * i));
  }
  void put(char code, int64_t v, int n) {
    bytes += code;
    raw(v, n);
  }
};

}  // namespace

void save_pth(const std::string& path, const TensorFile& file) {
  std::vector<ZipEntry> entries{{"archive/data.pkl", {}}, {"archive/byteorder", {}}};
  const auto bytes_of_text = [](std::string_view s) {
    return std::vector<uint8_t>(s.begin(), s.end());
  };
  entries[1].bytes = bytes_of_text("little");
  Writer w;
  w.bytes += "}(";
  w.text("state_dict");
  w.bytes += "}(";
  for (const auto& [name, tensor] : file.tensors) {
    const std::string key = std::to_string(entries.size() - 2);
    w.text(name);
    w.tensor(tensor, key);
    const auto* data = static_cast<const uint8_t*>(tensor.raw());
    entries.push_back({"archive/data/" + key, {data, data + tensor.nbytes()}});
  }
  w.bytes += 'u';
  std::map<std::string, std::map<std::string, std::string>> groups;
  for (const auto& [key, value] : file.metadata) {
    const size_t dot = key.find('.');
    if (dot != std::string::npos) {
      groups[key.substr(0, dot)][key.substr(dot + 1)] = value;
      continue;
    }
    w.text(key);
    w.value(value);
  }
  for (const auto& [group, values] : groups) {
    w.text(group);
    w.bytes += "}(";
    for (const auto& [key, value] : values) {
      w.text(key);
      w.value(value);
    }
    w.bytes += 'u';
  }
  w.bytes += "u.";
  entries[0].bytes = bytes_of_text(w.bytes);
  entries.push_back({"archive/version", bytes_of_text("3\n")});
  write_zip(path, entries, "pth");
}

}  // namespace cairn::nn
