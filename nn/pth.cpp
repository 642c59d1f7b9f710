#include "nn/pth.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <set>

#include "nn/pickle.h"
#include "nn/pth_storages.h"
#include "tensor/file.h"
#include "tensor/zip.h"

namespace cairn::nn {
namespace {

using Value = PickleValue;
using Bytes = std::span<const uint8_t>;

constexpr int64_t max_bytes = int64_t{1} << 36;

/// A dtype's little-endian integers as i32.
int32_t widened(const uint8_t* p, int64_t item_size) {
  return item_size == 1 ? int8_t(p[0]) : int16_t(uint16_t(p[0]) | uint16_t(p[1]) << 8);
}

/// From the tree of a pickle to tensors and texts under their paths.
class Reader {
 public:
  Reader(const std::string& origin, int64_t file_bytes)
      : origin_(origin), left_(16 * file_bytes + (1 << 20)) {}

  /// Where each storage's bytes are, by its key.
  std::map<std::string, Bytes> storages;

  void read(const Value& value) { walk(value, "", 0); }
  TensorFile result;

  /// The storage that a reference means: its key, its kind and, in the older form, where in it a
  /// view begins.
  struct Storage {
    std::string key;
    const StorageKind* kind;
    int64_t first = 0;
  };
  Storage storage(const Value& reference) const {
    const auto bad = [&]() -> const Value& { fail("a storage is not described as PyTorch does"); };
    const Value& id = reference.kind == Value::persistent ? *reference.items[0] : bad();
    if (id.kind != Value::sequence || id.items.size() < 5 || !id.items[0]->is_text("storage") ||
        id.items[1]->kind != Value::name || id.items[2]->kind != Value::text)
      bad();
    const std::string& name = id.items[1]->string;
    const auto kind = std::ranges::find_if(storage_kinds, [&](const StorageKind& k) {
      return name == cat("torch.", k.name) || name == cat("torch.storage.", k.name);
    });
    if (kind == std::end(storage_kinds)) fail(cat("a tensor is of the kind ", name));
    Storage s{id.items[2]->string, kind};
    if (id.items.size() > 5 && id.items[5]->kind == Value::sequence &&
        id.items[5]->items.size() == 3)
      s.first = integer(*id.items[5]->items[1]);
    if (s.first < 0) bad();
    return s;
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorId::format, "pth", cat(origin_, ": ", what));
  }

 private:
  int64_t integer(const Value& v) const {
    if (v.kind != Value::integer) fail("a tensor's size is no number");
    return v.number;
  }
  std::vector<int64_t> integers(const Value& v) const {
    if (v.kind != Value::sequence || v.items.size() > size_t(Shape::max_rank))
      fail(cat("a tensor has ", v.items.size(), " dimensions"));
    std::vector<int64_t> all;
    for (const Value* item : v.items) all.push_back(integer(*item));
    return all;
  }

  /// _rebuild_tensor(storage, offset, sizes, strides), and _v2 with more after these.
  Tensor tensor(const std::vector<const Value*>& arguments) {
    if (arguments.size() < 4) fail("a tensor is not described as PyTorch does");
    const Storage from = storage(*arguments[0]);
    const int64_t offset = integer(*arguments[1]);
    const auto sizes = integers(*arguments[2]), strides = integers(*arguments[3]);
    if (sizes.size() != strides.size()) fail("a tensor has more sizes than strides");
    const auto found = storages.find(from.key);
    if (found == storages.end()) fail(cat("the storage '", from.key, "' is missing"));
    const int64_t item = from.kind->item_size, held = int64_t(found->second.size()) / item;
    // How many elements, and the last that any index means; neither is let overflow.
    int64_t count = 1, last = offset < 0 ? held : std::min(offset, held);
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (sizes[i] < 0 || strides[i] < 0) fail("a tensor has a negative size or stride");
      count = sizes[i] == 0 || count == 0 ? 0
              : count > left_ / sizes[i]  ? left_ + 1
                                          : count * sizes[i];
      if (sizes[i] <= 1) continue;
      last = strides[i] > held / (sizes[i] - 1)
                 ? held
                 : std::min(held, last + (sizes[i] - 1) * strides[i]);
    }
    if (count > 0 && (from.first > held || last + from.first >= held))
      fail(cat("a tensor reaches beyond its storage '", from.key, "'"));
    take(count > left_ ? count : count * item_size(from.kind->type));
    Tensor t = Tensor::empty(Shape(std::span<const int64_t>(sizes)), from.kind->type);
    const uint8_t* data = found->second.data() + (count ? (from.first + offset) * item : 0);
    auto* out = static_cast<uint8_t*>(t.raw());
    const int64_t step = item_size(from.kind->type);
    std::vector<int64_t> index(sizes.size());
    for (int64_t i = 0, at = 0; i < count; ++i, out += step) {
      if (step == item)
        std::memcpy(out, data + at * item, size_t(item));
      else {
        const int32_t wide = widened(data + at * item, item);
        std::memcpy(out, &wide, sizeof wide);
      }
      for (size_t d = sizes.size(); d-- > 0;) {
        at += strides[d];
        if (++index[d] < sizes[d]) break;
        at -= strides[d] * sizes[d];
        index[d] = 0;
      }
    }
    return t;
  }

  void walk(const Value& v, const std::string& path, int depth) {
    if (depth > 32) fail("it is nested too deeply");
    if (--visits_ < 0 || path.size() > 4096) fail("it has too many parts");
    const auto below = [&](const std::string& key) {
      return path.empty() ? key : path + "." + key;
    };
    const auto said = [&](const std::string& text) {
      take(int64_t(path.size() + text.size()));
      result.metadata[path] = text;
    };
    switch (v.kind) {
      case Value::none:
      case Value::name:
      case Value::persistent:
        return;
      case Value::boolean:
        return said(v.number ? "true" : "false");
      case Value::integer:
        return said(std::to_string(v.number));
      case Value::real:
        return said(to_text(v.real_number));
      case Value::text:
        return said(v.string);
      case Value::sequence:
        for (size_t i = 0; i < v.items.size(); ++i)
          walk(*v.items[i], below(std::to_string(i)), depth + 1);
        return;
      case Value::dictionary:
        return walk_entries(v, below, depth);
      case Value::call:
        break;
    }
    if (!v.items[0] || v.items[0]->kind != Value::sequence)
      fail(cat("a call of ", v.string, " has no arguments"));
    const auto& arguments = v.items[0]->items;
    if (v.string == "torch._utils._rebuild_tensor" ||
        v.string == "torch._utils._rebuild_tensor_v2") {
      if (!names_.insert(path).second) fail(cat("it has two tensors at ", path));
      take(int64_t(path.size()));
      result.tensors.push_back({path, tensor(arguments)});
    } else if (v.string == "torch._utils._rebuild_parameter" && !arguments.empty()) {
      walk(*arguments[0], path, depth + 1);
    } else if (v.string == "numpy.core.multiarray.scalar" ||
               v.string == "numpy._core.multiarray.scalar") {
      if (arguments.size() == 2) said(numpy_scalar(*arguments[0], *arguments[1]));
    } else if (v.string.starts_with("torch._utils._rebuild")) {
      fail(cat(path, " is a tensor that is not read: ", v.string));
    } else {
      walk_entries(v, below, depth);  // of an unknown class: its attributes
      if (v.state) walk(*v.state, path, depth + 1);
    }
  }
  template <class Below>
  void walk_entries(const Value& v, const Below& below, int depth) {
    for (const auto& [key, value] : v.entries)
      if (key->kind == Value::text || key->kind == Value::integer)
        walk(*value, below(key->kind == Value::text ? key->string : std::to_string(key->number)),
             depth + 1);
  }

  static std::string to_text(double v) {
    char text[32];
    return {text, std::to_chars(text, text + sizeof text, v).ptr};
  }
  /// A number of numpy's: dtype("f8", ...) and its bytes, which Python 3 writes as text in latin-1.
  static std::string numpy_scalar(const Value& dtype, const Value& bytes) {
    std::string kind, raw;
    if (dtype.kind == Value::call && !dtype.items[0]->items.empty())
      kind = dtype.items[0]->items[0]->string;
    const Value* text = &bytes;
    if (bytes.kind == Value::call && bytes.string == "_codecs.encode" &&
        !bytes.items[0]->items.empty())
      text = bytes.items[0]->items[0];
    for (size_t i = 0; i < text->string.size(); ++i) {
      const auto c = uint8_t(text->string[i]);
      const bool two = c >= 0xc0 && text != &bytes && i + 1 < text->string.size();
      raw += two ? char((c & 3) << 6 | (uint8_t(text->string[++i]) & 0x3f)) : char(c);
    }
    const auto as = [&]<class T>(T value) {
      if (raw.size() != sizeof value) return std::string();
      std::memcpy(&value, raw.data(), sizeof value);
      if constexpr (std::is_floating_point_v<T>)
        return to_text(double(value));
      else
        return std::to_string(value);
    };
    if (kind == "f8") return as(double());
    if (kind == "f4") return as(float());
    if (kind == "i8") return as(int64_t());
    if (kind == "i4") return as(int32_t());
    return "";
  }

  void take(int64_t bytes) {
    if (bytes > left_) fail("its content would take far more memory than the file");
    left_ -= bytes;
  }

  const std::string& origin_;
  int64_t left_;  // bytes that tensors and texts may still take
  int visits_ = 1 << 20;
  std::set<std::string> names_;
};

TensorFile parse_archive(Bytes bytes, const std::string& origin) {
  Reader reader(origin, int64_t(bytes.size()));
  // PyTorch does not compress; what unpacks to far more than it is was not made by it.
  const auto entries = read_zip(bytes, origin, 16 * int64_t(bytes.size()) + (1 << 20), "pth");
  const ZipEntry* tree = nullptr;
  for (const ZipEntry& e : entries) {
    if (e.name.ends_with("/data.pkl") || e.name == "data.pkl") tree = &e;
    if (e.name.ends_with("/byteorder") && std::ranges::equal(e.bytes, std::string_view("big")))
      reader.fail("its numbers are big-endian");
    const size_t data = e.name.find("/data/");
    if (data != std::string::npos) reader.storages[e.name.substr(data + 6)] = e.bytes;
  }
  if (!tree) reader.fail("it is an archive, but not of PyTorch's: it has no data.pkl");
  const Pickle pickle(tree->bytes, origin);
  reader.read(pickle.root());
  return std::move(reader.result);
}

/// Five pickles (a magic number, the version, the system, the tree, the keys of the storages), then
/// each storage: the number of its elements and these.
TensorFile parse_legacy(Bytes bytes, const std::string& origin) {
  Reader reader(origin, int64_t(bytes.size()));
  Bytes rest = bytes;
  const auto next = [&] {
    Pickle pickle(rest, origin);
    rest = rest.subspan(pickle.size());
    return pickle;
  };
  const Pickle magic = next();
  if (magic.root().kind != Value::integer || uint64_t(magic.root().number) != 0xa86a20f9469cfc6c)
    reader.fail("it is a pickle, but not of PyTorch's");
  next();
  next();
  const Pickle tree = next(), keys = next();
  // The kinds of the storages are known only from where they are used.
  std::map<std::string, const StorageKind*> kinds;
  for (const Value& v : tree.values()) {
    if (v.kind != Value::persistent) continue;
    const auto s = reader.storage(v);
    kinds[s.key] = s.kind;
  }
  for (const Value* key : keys.root().items) {
    const auto kind = kinds.find(key->string);
    if (kind == kinds.end()) reader.fail(cat("the storage '", key->string, "' is of no tensor"));
    if (rest.size() < 8) reader.fail("it ends too early");
    uint64_t count;
    std::memcpy(&count, rest.data(), sizeof count);
    rest = rest.subspan(8);
    const auto item = uint64_t(kind->second->item_size);
    if (count > rest.size() / item) reader.fail("it ends within a storage");
    reader.storages[key->string] = rest.first(count * item);
    rest = rest.subspan(count * item);
  }
  reader.read(tree.root());
  return std::move(reader.result);
}

}  // namespace

bool is_pth(Bytes bytes) {
  const auto begins = [&](std::string_view magic) {
    return bytes.size() >= magic.size() &&
           std::equal(magic.begin(), magic.end(), bytes.begin(),
                      [](char a, uint8_t b) { return uint8_t(a) == b; });
  };
  for (const char* magic : {"PK\3\4", "\x80\2\x8a\n", "\x80\3\x8a\n", "\x80\4\x95", "\x80\5\x95"})
    if (begins(magic)) return true;
  return false;
}

TensorFile parse_pth(Bytes bytes, const std::string& origin) {
  require(is_pth(bytes), ErrorId::format, "pth", origin, ": it is no file of PyTorch's torch.save");
  return bytes[0] == 'P' ? parse_archive(bytes, origin) : parse_legacy(bytes, origin);
}

TensorFile load_pth(const std::string& path) {
  return parse_pth(read_file(path, max_bytes, "pth"), path);
}

TensorFile load_tensors(const std::string& path) {
  const auto bytes = read_file(path, max_bytes, "weights");
  return is_pth(bytes) || path.ends_with(".pth") ? parse_pth(bytes, path)
                                                 : parse_safetensors(bytes, path);
}

}  // namespace cairn::nn
