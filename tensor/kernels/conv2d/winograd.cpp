#include "tensor/kernels/conv2d/winograd.h"

#include "tensor/kernels/conv2d/winograd_transforms.h"
#include "tensor/kernels/gemm/micro_kernel.h"
#include "tensor/parallel.h"

namespace cairn::kernels {
namespace {

// The transformed input of one block of tiles: about half of a second-level cache.
constexpr int64_t block_bytes = 512 << 10;

/// Copies the pixels (top, left) to (top + size, left + size), exclusive, of image n with zeros
/// around it: pixels of `channels` side by side.
template <class T>
void copy_patch(const Image<const T>& from, int64_t n, int64_t height, int64_t width, int64_t top,
                int64_t left, int64_t size, T* to) {
  for (int64_t i = 0; i < size * size; ++i, to += from.channels) {
    const int64_t r = top + i / size, c = left + i % size;
    if (r < 0 || c < 0 || r >= height || c >= width)
      std::fill_n(to, from.channels, T(0));
    else
      std::copy_n(from.at(n, r, c), from.channels, to);
  }
}

/// The results cut into tiles, row after row, image after image.
template <class T>
struct Tiles {
  Tiles(const Windows<T>& windows, const Transforms<T>& transforms)
      : x(windows),
        f(transforms),
        down(ceil_div(x.rows, f.out)),
        across(ceil_div(x.columns, f.out)) {}

  int64_t count() const { return x.batch * down * across; }

  struct Place {
    int64_t image, row, column;  // of the first result
  };
  Place operator[](int64_t i) const {
    return {i / across / down, i / across % down * f.out, i % across * f.out};
  }
  /// Calls f(first pixel, row stride, pixel stride) on the square of `size` pixels at (top, left)
  /// of an image, or on a copy of it in `copy` where it reaches beyond.
  template <class F>
  static void patch(const Image<const T>& from, int64_t n, int64_t height, int64_t width,
                    int64_t top, int64_t left, int64_t size, T* copy, const F& f) {
    if (top >= 0 && left >= 0 && top + size <= height && left + size <= width)
      return f(from.at(n, top, left), from.row, from.pixel);
    copy_patch(from, n, height, width, top, left, size, copy);
    f(static_cast<const T*>(copy), size * from.channels, from.channels);
  }
  /// Transforms what a tile sees: all channels, at v.
  void transform_input(const Place& p, T* copy, T* v, int64_t step) const {
    const int64_t top = p.row / f.out * f.step + x.tap[0][0];
    const int64_t left = p.column / f.out * f.step + x.tap[1][0];
    for (const auto& source : x.sources) {
      patch(source, p.image, x.height, x.width, top, left, f.in, copy,
            [&](const T* pixels, int64_t row, int64_t pixel) {
              f.input(pixels, row, pixel, source.channels, v, step);
            });
      v += source.channels;
    }
  }

  const Windows<T>& x;
  const Transforms<T>& f;
  int64_t down, across;
};

/// A step between numbers of at least `least` elements: whole cache lines, and no power of two, so
/// that the numbers of a tile do not share cache sets.
template <class T>
int64_t step_of(int64_t least) {
  constexpr int64_t line = 64 / int64_t(sizeof(T));
  return round_up(least, line) + line;
}

}  // namespace

template <class T>
bool is_3x3(const Windows<T>& x) {
  const auto adjacent = [](const std::vector<int64_t>& tap) {
    return tap.size() == 3 && tap[1] == tap[0] + 1 && tap[2] == tap[1] + 1;
  };
  return x.step == std::array<int64_t, 2>{1, 1} && adjacent(x.tap[0]) && adjacent(x.tap[1]);
}

template <class T>
Scratch<T> transform_weights(ConvAlgorithm algorithm, const T* packed, int64_t channels,
                             const Panels& panels) {
  const Transforms<T> f = winograd_transforms<T>(algorithm);
  const int64_t kinds = f.squared_kinds(), c = channels;
  Scratch<T> transformed(kinds * c * panels.padded());
  T* const u = transformed.data();
  const int64_t pieces = ceil_div(c, 16);  // of a panel: 16 channels each
  parallel_for(panels.count() * pieces, 8, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const int64_t p = i / pieces, width = panels.width(p), first = p * 2 * panels.lanes * c;
      const int64_t channel = i % pieces * 16, count = std::min<int64_t>(16, c - channel);
      f.weights(packed + 9 * first + channel * width, c * width, count * width,
                u + kinds * first + channel * width);
    }
  });
  return transformed;
}

template <class T>
void winograd(ConvAlgorithm algorithm, const Windows<T>& x, const T* transformed, int64_t outputs,
              const Pixels<T>& y) {
  const Transforms<T> f = winograd_transforms<T>(algorithm);
  const MicroKernel<T> kernel = micro_kernel<T>();
  const Panels panels{outputs, kernel.lanes};
  const int64_t numbers = f.squared_numbers(), kinds = f.squared_kinds(), c = x.channels();

  const Tiles<T> tiles(x, f);
  const int64_t rows = kernel.rows(outputs);
  const int64_t fit = block_bytes / (numbers * c * int64_t(sizeof(T)));
  const int64_t block = std::max<int64_t>(rows, fit / rows * rows);
  const int64_t blocks = ceil_div(tiles.count(), block);
  const int64_t groups = panel_groups(panels.count(), blocks, block * numbers * c * outputs);

  parallel_for(blocks * groups, 1, [&](int64_t task, int64_t) {
    const int64_t begin = task / groups * block, count = std::min(block, tiles.count() - begin);
    const int64_t slack = std::max(kernel.one_vector_rows, kernel.two_vector_rows) * c;
    const int64_t width = 2 * panels.lanes;
    const int64_t v_step = step_of<T>(count * c), sum_step = step_of<T>(count * width);
    Scratch<T> inputs(numbers * v_step + slack), sums(numbers * sum_step), copy(numbers * c);
    T *const v = inputs.data(), *const sum = sums.data(), *const border = copy.data();
    for (int64_t i = 0; i < count; ++i)
      tiles.transform_input(tiles[begin + i], border, v + i * c, v_step);
    Tile<T> product;
    const int64_t start = 0;
    product.a_step = c;
    product.run_offset = &start;
    product.runs = 1;
    product.run_length = c;
    const int64_t group = task % groups, first = group * panels.count() / groups;
    for (int64_t p = first; p < (group + 1) * panels.count() / groups; ++p) {
      const int64_t o = p * width, padded = panels.width(p), most = kernel.rows(padded);
      product.columns = product.c_step = padded;
      for (int64_t k = 0; k < numbers; ++k) {
        const int64_t kind = f.kind[k / f.numbers] * f.kinds + f.kind[k % f.numbers];
        product.b = transformed + kinds * o * c + kind * c * padded;
        for (int64_t i = 0; i < count; i += most) {
          product.rows = std::min(most, count - i);
          product.a = v + k * v_step + i * c;
          product.c = sum + k * sum_step + i * padded;
          kernel.multiply(product);
        }
      }
      OutputTile<T> out;
      out.row = y.row;
      out.pixel = y.pixel;
      out.bias = y.bias ? y.bias + o : nullptr;
      out.relu = y.relu;
      for (int64_t i = 0; i < count; ++i) {
        const auto place = tiles[begin + i];
        const int64_t at = place.image * y.image + place.row * y.row + place.column * y.pixel + o;
        out.y = y.y + at;
        out.residual =
            y.residual ? y.residual + at + place.image * (y.residual_image - y.image) : nullptr;
        out.rows = std::min(f.out, x.rows - place.row);
        out.columns = std::min(f.out, x.columns - place.column);
        f.output(sum + i * padded, sum_step, panels.columns(p), out);
      }
    }
  });
}

template <class T>
void winograd_weights(ConvAlgorithm algorithm, const Windows<T>& x, const T* dy, int64_t outputs,
                      T* dw, const TapMatrices& matrices) {
  const Transforms<T> f = winograd_transforms<T>(algorithm);
  const MicroKernel<T> kernel = micro_kernel<T>();
  const Panels panels{outputs, kernel.lanes};
  const int64_t numbers = f.squared_numbers(), c = x.channels(), width = 2 * panels.lanes;
  const int64_t dy_row = x.columns * outputs;
  const Tiles<T> tiles(x, f);

  // Both sides of a block of tiles are transformed, then multiplied, number by number and panel by
  // panel, and added to sums (panel after panel, numbers x channels x width). Where these are
  // small, tasks take chunks of tiles, with sums of their own and blocks that stay in the
  // second-level cache. Where not, all share one set of sums and divide each block, which is then
  // larger, so that the sums are not visited often. Either way their order depends on sizes alone.
  const int64_t size = numbers * c * panels.padded();
  const bool alone = size * int64_t(sizeof(T)) <= block_bytes / 2;
  const int64_t chunks = alone ? std::clamp<int64_t>(tiles.count() / 256, 1, 32) : 1;
  const int64_t chunk = ceil_div(tiles.count(), chunks);
  const int64_t bytes_of_tile = numbers * (c + panels.padded()) * int64_t(sizeof(T));
  const int64_t block =
      std::clamp<int64_t>((alone ? block_bytes : 16 * block_bytes) / bytes_of_tile,
                          std::min<int64_t>(16, chunk), chunk);
  Scratch<T> sums(num_chunks(tiles.count(), chunk) * size);
  T* const all_sums = sums.data();
  parallel_for(tiles.count(), chunk, [&](int64_t first, int64_t last) {
    const int64_t v_step = step_of<T>(block * c), d_step = step_of<T>(block * width);
    const int64_t slack = std::max(kernel.one_vector_rows, kernel.two_vector_rows);
    Scratch<T> inputs(numbers * v_step + slack), gradients(panels.count() * numbers * d_step);
    T *const v = inputs.data(), *const d = gradients.data();
    T* const sum = all_sums + first / chunk * size;
    for (int64_t begin = first; begin < last; begin += block) {
      const int64_t count = std::min(block, last - begin);
      parallel_for(count, 16, [&](int64_t from, int64_t to) {
        Scratch<T> copy(numbers * std::max(c, width));
        T* const border = copy.data();
        for (int64_t i = from; i < to; ++i) {
          const auto place = tiles[begin + i];
          tiles.transform_input(place, border, v + i * c, v_step);
          for (int64_t p = 0; p < panels.count(); ++p) {
            const Image<const T> from{dy + p * width, panels.columns(p), outputs, dy_row,
                                      x.rows * dy_row};
            Tiles<T>::patch(from, place.image, x.rows, x.columns, place.row, place.column, f.out,
                            border, [&](const T* pixels, int64_t row, int64_t pixel) {
                              f.output_back(pixels, row, pixel, from.channels,
                                            d + p * numbers * d_step + i * panels.width(p), d_step);
                            });
          }
        }
      });
      parallel_for(numbers * panels.count(), 1, [&](int64_t task, int64_t) {
        const int64_t p = task / numbers, k = task % numbers, padded = panels.width(p);
        const int64_t start = 0;
        Tile<T> product;
        product.across_pixels = false;
        product.a_step = c;
        product.run_offset = &start;
        product.runs = 1;
        product.run_length = count;
        product.b = d + (p * numbers + k) * d_step;
        product.columns = product.c_step = padded;
        const int64_t rows = kernel.rows(padded);
        for (int64_t i = 0; i < c; i += rows) {
          product.rows = std::min(rows, c - i);
          product.a = v + k * v_step + i;
          product.c = sum + numbers * p * width * c + (k * c + i) * padded;
          product.residual = begin > first ? product.c : nullptr;
          kernel.multiply(product);
        }
      });
    }
  });

  parallel_for(panels.count() * c, 16, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const int64_t p = i / c, channel = i % c, padded = panels.width(p),
                    columns = panels.columns(p);
      T* const at = all_sums + numbers * p * width * c + channel * padded;
      for (int64_t other = 1; other < num_chunks(tiles.count(), chunk); ++other)
        for (int64_t k = 0; k < numbers; ++k)
          for (int64_t o = k * c * padded; o < k * c * padded + columns; ++o)
            at[o] += at[other * size + o];
      f.weights_back(at, c * padded, columns, at);
      for (int64_t tap = 0; tap < 9; ++tap) {
        T* const to_w = dw + matrices.tap[size_t(tap)] + channel * matrices.channel_stride +
                        p * width * matrices.output_stride;
        for (int64_t o = 0; o < columns; ++o)
          to_w[o * matrices.output_stride] = at[tap * c * padded + o];
      }
    }
  });
}

#define CAIRN_INSTANTIATE(T)                                                                     \
  template bool is_3x3(const Windows<T>&);                                                       \
  template Scratch<T> transform_weights(ConvAlgorithm, const T*, int64_t, const Panels&);        \
  template void winograd(ConvAlgorithm, const Windows<T>&, const T*, int64_t, const Pixels<T>&); \
  template void winograd_weights(ConvAlgorithm, const Windows<T>&, const T*, int64_t, T*,        \
                                 const TapMatrices&);
CAIRN_INSTANTIATE(float)
CAIRN_INSTANTIATE(double)
#undef CAIRN_INSTANTIATE

}  // namespace cairn::kernels
