#include "ucn/event_file.h"

#include <array>
#include <cstring>

namespace cairn::ucn {
namespace {

uint32_t crc32c(const std::string& bytes) {
  static const auto table = [] {
    std::array<uint32_t, 256> t{};
    for (uint32_t i = 0; i < 256; ++i) {
      t[i] = i;
      for (int bit = 0; bit < 8; ++bit) t[i] = (t[i] & 1 ? 0x82f63b78 : 0) ^ (t[i] >> 1);
    }
    return t;
  }();
  uint32_t crc = ~uint32_t(0);
  for (const char c : bytes) crc = table[(crc ^ uint8_t(c)) & 0xff] ^ (crc >> 8);
  return ~crc;
}

template <class T>
std::string raw(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::string masked_crc(const std::string& bytes) {
  const uint32_t crc = crc32c(bytes);
  return raw(uint32_t((crc >> 15 | crc << 17) + 0xa282ead8));
}

std::string record(const std::string& event) {
  const std::string length = raw(uint64_t(event.size()));
  return length + masked_crc(length) + event + masked_crc(event);
}

// Protocol buffers: fields of a number and a kind (0: varint, 1: 8 bytes, 2: text, 5: 4 bytes).

std::string varint(uint64_t v) {
  std::string s;
  for (; v >= 0x80; v >>= 7) s += char(v | 0x80);
  return s + char(v);
}
std::string field(int number, int kind, const std::string& content) {
  return varint(uint64_t(number << 3 | kind)) +
         (kind == 2 ? varint(content.size()) : std::string()) + content;
}

}  // namespace

std::string event_file_header(double time) {
  return record(field(1, 1, raw(time)) + field(3, 2, "brain.Event:2"));
}

std::string event_record(double time, int64_t step,
                         const std::vector<std::pair<std::string, double>>& scalars) {
  std::string summary;
  for (const auto& [tag, value] : scalars)
    summary += field(1, 2, field(1, 2, tag) + field(2, 5, raw(float(value))));
  return record(field(1, 1, raw(time)) + field(2, 0, varint(uint64_t(step))) +
                field(5, 2, summary));
}

}  // namespace cairn::ucn
