#include "nn/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "tensor/file.h"
#include "tensor/kernels/layout/layout.h"

namespace cairn::nn {
namespace {

using json = nlohmann::json;

static_assert(std::endian::native == std::endian::little, "tensor files are little-endian");

constexpr std::pair<const char*, DType> dtypes[] = {
    {"F32", DType::f32}, {"F64", DType::f64}, {"F16", DType::f16}, {"BF16", DType::bf16},
    {"I32", DType::i32}, {"I64", DType::i64}, {"U8", DType::u8},   {"BOOL", DType::u8}};

template <class... Parts>
[[noreturn]] void bad(const std::string& origin, const Parts&... parts) {
  throw Error(ErrorId::format, "safetensors", cat(origin, ": ", parts...));
}

/// A string of the file for an error's one line: quoted, its control characters escaped.
std::string quoted(const std::string& text) {
  return json(text.substr(0, 200)).dump(-1, ' ', false, json::error_handler_t::replace);
}

/// The header as JSON. Deep nesting and keys that appear twice are refused while parsing, because
/// the JSON library would build the first and silently drop the second.
json parse_header(std::span<const uint8_t> bytes, const std::string& origin) {
  std::array<std::set<std::string>, 3> keys;  // of the objects that are open, by depth
  const auto watch = [&](int depth, json::parse_event_t event, const json& value) {
    const bool opens =
        event == json::parse_event_t::object_start || event == json::parse_event_t::array_start;
    if (opens && depth > 2) bad(origin, "the header is nested too deeply");
    if (event == json::parse_event_t::object_start) keys[size_t(depth)].clear();
    if (event == json::parse_event_t::key &&
        !keys[size_t(depth) - 1].insert(value.get<std::string>()).second)
      bad(origin, "the header has two entries ", quoted(value));
    return true;
  };
  json header = json::parse(bytes.begin(), bytes.end(), watch, false);
  if (!header.is_object()) bad(origin, "the header is not the JSON of a safetensors file");
  return header;
}

struct Entry {
  std::string name;
  DType type;
  Shape shape;
  uint64_t begin, end;
};

Entry read_entry(const std::string& key, const json& j, uint64_t data_size,
                 const std::string& origin) {
  const std::string name = quoted(key);
  if (!j.is_object() || !j.contains("dtype") || !j["dtype"].is_string() || !j.contains("shape") ||
      !j["shape"].is_array() || !j.contains("data_offsets") || !j["data_offsets"].is_array() ||
      j["data_offsets"].size() != 2)
    bad(origin, "tensor ", name, " lacks dtype, shape or data_offsets");
  const std::string type = j["dtype"];
  const auto known = std::ranges::find_if(dtypes, [&](auto& d) { return type == d.first; });
  if (known == std::end(dtypes))
    bad(origin, "tensor ", name, " has the unknown dtype ", quoted(type));
  Entry e{key, known->second, {}, 0, 0};

  std::vector<int64_t> dims;
  int64_t bytes = item_size(e.type);
  for (const json& d : j["shape"]) {
    if (!d.is_number_unsigned() || d.get<uint64_t>() > uint64_t(INT64_MAX))
      bad(origin, "tensor ", name, " has an extent that is not a natural number");
    dims.push_back(d.get<int64_t>());
    if (__builtin_mul_overflow(bytes, dims.back(), &bytes))
      bad(origin, "tensor ", name, " is larger than memory");
  }
  if (dims.size() > size_t(Shape::max_rank))
    bad(origin, "tensor ", name, " has ", dims.size(), " axes");
  e.shape = Shape(dims);
  for (const json& o : j["data_offsets"])
    if (!o.is_number_unsigned()) bad(origin, "tensor ", name, " has a bad data offset");
  e.begin = j["data_offsets"][0];
  e.end = j["data_offsets"][1];
  if (e.begin > e.end || e.end > data_size)
    bad(origin, "the data of tensor ", name, " lies outside the file (truncated?)");
  if (e.end - e.begin != uint64_t(bytes))
    bad(origin, "tensor ", name, " has ", e.end - e.begin, " bytes, but its shape ", e.shape,
        " needs ", bytes);
  return e;
}

bool is_integer(const Tensor& t) {
  return t.dtype() == DType::i64 || t.dtype() == DType::i32 || t.dtype() == DType::u8;
}

}  // namespace

const Tensor* TensorFile::find(const std::string& name) const {
  const auto it = std::ranges::find(tensors, name, &NamedTensor::name);
  return it == tensors.end() ? nullptr : &it->tensor;
}

TensorFile parse_safetensors(std::span<const uint8_t> bytes, const std::string& origin) {
  uint64_t header_size = 0;
  if (bytes.size() < 8)
    bad(origin, "too short (", bytes.size(), " bytes) to be a safetensors file");
  std::memcpy(&header_size, bytes.data(), 8);
  if (header_size > std::min<uint64_t>(bytes.size() - 8, 100'000'000))
    bad(origin, "not a safetensors file, or truncated: its header claims ", header_size, " bytes");
  const json header = parse_header(bytes.subspan(8, header_size), origin);
  const auto data = bytes.subspan(8 + header_size);

  TensorFile file;
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") {
      entries.push_back(read_entry(name, value, data.size(), origin));
      continue;
    }
    if (!value.is_object()) bad(origin, "__metadata__ is not an object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) bad(origin, "metadata ", quoted(key), " is not a string");
      file.metadata[key] = text;
    }
  }
  std::ranges::stable_sort(entries, {}, [](const Entry& e) { return std::pair(e.begin, e.end); });
  uint64_t next = 0;
  for (const Entry& e : entries) {
    if (e.begin != next)
      bad(origin, "the data of tensor ", quoted(e.name), " overlaps or leaves a gap");
    next = e.end;
  }
  if (next != data.size()) bad(origin, data.size() - next, " bytes after the last tensor");
  for (const Entry& e : entries) {
    Tensor t = Tensor::empty(e.shape, e.type);
    if (e.end > e.begin) std::memcpy(t.raw(), data.data() + e.begin, e.end - e.begin);
    file.tensors.push_back({e.name, std::move(t)});
  }
  return file;
}

TensorFile load_safetensors(const std::string& path) {
  return parse_safetensors(read_file(path, int64_t(1) << 36, "safetensors"), path);
}

void save_safetensors(const std::string& path, const TensorFile& file) {
  json header = json::object();
  if (!file.metadata.empty()) header["__metadata__"] = file.metadata;
  uint64_t offset = 0;
  for (const auto& [name, t] : file.tensors) {
    const auto known = std::ranges::find(dtypes, t.dtype(), &std::pair<const char*, DType>::second);
    require(t.defined(), ErrorId::argument, "safetensors", "the tensor ", name, " is undefined");
    require(!header.contains(name) && name != "__metadata__", ErrorId::argument, "safetensors",
            "the name ", name, " is taken");
    header[name] = {{"dtype", known->first},
                    {"shape", std::vector<int64_t>(t.shape().begin(), t.shape().end())},
                    {"data_offsets", {offset, offset + uint64_t(t.nbytes())}}};
    offset += uint64_t(t.nbytes());
  }
  // Metadata may hold a path of any bytes; JSON holds Unicode only.
  std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t size = text.size();
  AtomicFile out(path, "safetensors");
  out.write(&size, 8);
  out.write(text);
  for (const auto& named : file.tensors)
    out.write(named.tensor.raw(), size_t(named.tensor.nbytes()));
  out.commit();
}

std::vector<NamedTensor> export_state(const Module& module) {
  auto state = module.state();
  for (auto& s : state) {
    const Tensor t = s.tensor.to(Device::cpu);
    s.tensor = t.rank() == 4 ? kernels::permute(t, {0, 3, 1, 2}) : t.clone();
  }
  return state;
}

void import_state(Module& module, const std::vector<NamedTensor>& given,
                  const std::string& origin) {
  const auto fail = [&](const auto&... parts) {
    throw Error(ErrorId::weights, "weights", cat(origin, ": ", parts..., "."),
                "were the weights trained with another model, number of outputs or kind of input?");
  };
  auto state = module.state();
  std::vector<Tensor> sources;
  for (const auto& [name, own] : state) {
    const auto it = std::ranges::find(given, name, &NamedTensor::name);
    if (it == given.end()) fail("layer ", name, " is missing");
    Tensor t = it->tensor;
    const Shape& s = own.shape();
    const Shape expected = s.rank() == 4 ? Shape{s[0], s[3], s[1], s[2]} : s;
    if (!(t.shape() == expected))
      fail("layer ", name, " is ", t.shape(), ", but the model expects ", expected);
    if (is_integer(t) != is_integer(own))
      fail("layer ", name, " is ", t.dtype(), ", but the model expects ", own.dtype());
    t = t.to(own.dtype());
    sources.push_back(s.rank() == 4 ? kernels::permute(t, {0, 2, 3, 1}) : t);
  }
  for (const auto& g : given)
    if (std::ranges::find(state, g.name, &NamedTensor::name) == state.end())
      fail("layer ", g.name, " (", g.tensor.shape(), ") is not in the model");
  for (size_t i = 0; i < state.size(); ++i) state[i].tensor.assign_(sources[i]);
}

}  // namespace cairn::nn
