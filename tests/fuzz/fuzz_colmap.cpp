// libFuzzer (`make fuzz`): whatever the bytes, a reconstruction is read or Error is thrown. The
// first byte says which form, the next two how long the first two of the three files are.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "data/colmap/pairs.h"

using namespace cairn;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  std::span<const uint8_t> rest(data + 3, size - 3);
  std::array<std::span<const uint8_t>, 3> files;
  for (size_t i = 0; i < 3; ++i) {
    files[i] = rest.first(i < 2 ? std::min<size_t>(8 * data[1 + i], rest.size()) : rest.size());
    rest = rest.subspan(files[i].size());
  }
  try {
    const ColmapModel model = parse_colmap_model(files, data[0] & 1);
    for (const PosedImage& image : model.images) {
      for (double r : image.rotation)
        if (!std::isfinite(r)) std::abort();
      for (const Observation& o : image.observations) reprojection_error(model, image, o);
    }
    find_colmap_pairs(model, {.min_shared = 1});
  } catch (const Error& error) {
    if (error.id() != ErrorId::format) std::abort();
  }
  return 0;
}
