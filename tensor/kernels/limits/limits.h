// What this machine can do at most, measured: the scale that other measurements are held against.
#pragma once

namespace cairn::kernels {

struct MachineLimits {
  double gflops = 0;        ///< float32 multiply-adds from registers, two FLOP each, all threads
  double gbytes_per_s = 0;  ///< copying 64 MB, bytes read plus bytes written
};
/// Takes about a tenth of a second.
MachineLimits measure_limits();

}  // namespace cairn::kernels
