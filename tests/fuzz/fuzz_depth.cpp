// libFuzzer (`make fuzz`): whatever the bytes, a depth map is read or Error is thrown.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "data/colmap/depth.h"

using namespace cairn;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const Tensor depth = parse_depth_map({data, size}, "depth");
    const Camera camera{&camera_models()[0], 4, 4, {4, 2, 2}};
    PosedImage image;
    image.rotation = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    const DepthView view{&camera, &image, &depth};
    for (double x = -1; x < 5; x += 0.5) follow_depth(view, view, {x, 4 - x}, 1);
  } catch (const Error& error) {
    if (error.id() != ErrorId::format) std::abort();
  }
  return 0;
}
