// libFuzzer (`make fuzz`): whatever the bytes, read_image either gives an image or throws Error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "data/image.h"

using namespace cairn;

namespace {

void read(std::span<const uint8_t> bytes, int channels) {
  ReadOptions options;
  options.channels = channels;
  options.max_pixels = 1 << 20;  // larger ones only cost time
  try {
    const Image image = read_image_from_memory(bytes, options);
    // Every upright pixel has a place in the stored grid.
    for (const double x : {0., double(image.width() - 1)})
      for (const double y : {0., double(image.height() - 1)}) {
        const auto [sx, sy] = image.to_stored(x, y);
        if (sx < 0 || sy < 0 || sx >= double(image.stored_width) ||
            sy >= double(image.stored_height))
          std::abort();
      }
  } catch (const Error& error) {
    if (error.id() != ErrorId::format) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const int channels : {0, 1, 3}) read({data, size}, channels);
  return 0;
}
