#include "tensor/kernels/gemm/panels.h"

#include "tensor/parallel.h"

namespace cairn::kernels {

template <class T>
Scratch<T> pack_weights(const T* w, const TapMatrices& m, int64_t channels, const Panels& panels) {
  const int64_t taps = int64_t(m.tap.size()), depth = taps * channels;
  Scratch<T> packed(depth * panels.padded());
  if (depth == 0) return packed;
  T* const begin = packed.data();
  const int64_t grain = std::max<int64_t>(1, (1 << 14) / (channels * 2 * panels.lanes));
  parallel_for(panels.count() * taps, grain, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const int64_t p = i / taps, width = panels.width(p), columns = panels.columns(p);
      T* out = begin + p * 2 * panels.lanes * depth + i % taps * channels * width;
      const T* in = w + m.tap[size_t(i % taps)] + p * 2 * panels.lanes * m.output_stride;
      if (columns < width) std::fill_n(out, channels * width, T(0));
      if (m.output_stride == 1) {
        for (int64_t c = 0; c < channels; ++c)
          std::copy_n(in + c * m.channel_stride, columns, out + c * width);
      } else {
        for (int64_t o = 0; o < columns; ++o)
          for (int64_t c = 0; c < channels; ++c)
            out[c * width + o] = in[c * m.channel_stride + o * m.output_stride];
      }
    }
  });
  return packed;
}

int64_t panel_groups(int64_t panels, int64_t tasks, int64_t work) {
  if (tasks >= enough_tasks || work <= small_task) return 1;
  return std::min(panels, ceil_div(enough_tasks, tasks));
}

template Scratch<float> pack_weights(const float*, const TapMatrices&, int64_t, const Panels&);
template Scratch<double> pack_weights(const double*, const TapMatrices&, int64_t, const Panels&);

}  // namespace cairn::kernels
