// Binary PGM and PPM: the formats of old test sets.
#include <algorithm>
#include <cctype>

#include "data/codec.h"

namespace cairn::detail {

Decoded decode_pnm(std::span<const uint8_t> bytes, const ReadOptions& options,
                   const std::string& name) {
  const auto damaged = [&](bool fine) {
    require(fine, ErrorId::format, "read_image", "the PNM file '", name, "' is damaged or cut off");
  };
  size_t at = 2;
  const auto number = [&] {
    while (at < bytes.size() && (std::isspace(bytes[at]) || bytes[at] == '#'))
      if (bytes[at++] == '#')
        while (at < bytes.size() && bytes[at] != '\n') ++at;
    int64_t value = 0;
    damaged(at < bytes.size() && std::isdigit(bytes[at]));
    for (; at < bytes.size() && std::isdigit(bytes[at]) && value < (int64_t{1} << 40); ++at)
      value = 10 * value + (bytes[at] - '0');
    return value;
  };
  const int64_t width = number(), height = number(), most = number();
  check_size(width, height, options, name);
  damaged(most >= 1 && most < 65536 && at < bytes.size() && std::isspace(bytes[at]));
  ++at;  // one blank ends the header
  const int64_t channels = bytes[1] == '6' ? 3 : 1, count = width * height * channels;
  const int64_t wide = most > 255 ? 2 : 1;  // bytes of a value, the high one first
  damaged(int64_t(bytes.size() - at) >= count * wide);
  Tensor pixels = Tensor::empty({height, width, channels}, DType::u8);
  const uint8_t* from = bytes.data() + at;
  for (int64_t k = 0; k < count; ++k) {
    const int64_t v = wide == 1 ? from[k] : 256 * from[2 * k] + from[2 * k + 1];
    pixels.data<uint8_t>()[k] = uint8_t(std::min<int64_t>(255, (v * 255 + most / 2) / most));
  }
  return {pixels};
}

}  // namespace cairn::detail
