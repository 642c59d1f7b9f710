// Scale space for the CPU, vectorised along rows.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/scale_space/cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <algorithm>

#include "tensor/kernels/loops-inl.h"
#include "tensor/kernels/scale_space/scale_space.h"
#include "tensor/parallel.h"

#ifndef CAIRN_SCALE_SPACE_TABLE
#define CAIRN_SCALE_SPACE_TABLE
namespace cairn::kernels {
namespace {

struct ScaleSpaceTable {
  /// y[i] = taps[0] x[0][i] + sum over k of taps[k] (x[-k][i] + x[k][i]), i < n; x[-radius..radius]
  /// are rows.
  void (*mix)(int64_t n, const float* const* x, const float* taps, int64_t radius, float* y);
  /// marks[i] = 1 where x = layers[4][i] is an extremum of the 3 x 3 rows, all of which begin at
  /// i - 1 = -1; else 0.
  void (*mark)(int64_t n, const float* const* layers, float threshold, uint8_t* marks);
  void (*subtract)(int64_t n, const float* a, const float* b, float* y);
  GradientRow gradient_row;
};

}  // namespace
}  // namespace cairn::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace cairn::kernels::HWY_NAMESPACE {
namespace {

void mix(int64_t n, const float* const* x, const float* taps, int64_t radius, float* y) {
  for_lanes<float>(n, [&](auto d, int64_t i) HWY_ATTR {
    auto sum = hn::Mul(hn::Set(d, taps[0]), hn::LoadU(d, x[0] + i));
    for (int64_t k = 1; k <= radius; ++k) {
      const auto both = hn::Add(hn::LoadU(d, x[-k] + i), hn::LoadU(d, x[k] + i));
      sum = hn::MulAdd(hn::Set(d, taps[k]), both, sum);
    }
    hn::StoreU(sum, d, y + i);
  });
}

void subtract(int64_t n, const float* a, const float* b, float* y) {
  for_lanes<float>(n, [&](auto d, int64_t i) HWY_ATTR {
    hn::StoreU(hn::Sub(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, y + i);
  });
}

void mark(int64_t n, const float* const* rows, float threshold, uint8_t* marks) {
  for_lanes<float>(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto value = hn::LoadU(d, rows[4] + i);
    const auto over = hn::Gt(hn::Abs(value), hn::Set(d, threshold));
    for (size_t k = 0; k < hn::Lanes(d); ++k) marks[i + int64_t(k)] = 0;
    if (hn::AllFalse(d, over)) return;
    auto most = value, least = value;
    for (int r = 0; r < 9; ++r)
      for (int64_t shift = -1; shift <= 1; ++shift) {
        const auto other = hn::LoadU(d, rows[r] + i + shift);
        most = hn::Max(most, other);
        least = hn::Min(least, other);
      }
    const auto zero = hn::Zero(d);
    const auto top = hn::And(hn::Gt(value, zero), hn::Eq(value, most));
    const auto bottom = hn::And(hn::Lt(value, zero), hn::Eq(value, least));
    const auto found = hn::And(over, hn::Or(top, bottom));
    if (hn::AllFalse(d, found)) return;
    HWY_ALIGN float flags[HWY_MAX_BYTES / sizeof(float)];
    hn::StoreU(hn::IfThenElseZero(found, hn::Set(d, 1.f)), d, flags);
    for (size_t k = 0; k < hn::Lanes(d); ++k) marks[i + int64_t(k)] = uint8_t(flags[k]);
  });
}

/// The angle by the polynomial 4.4.49 of Abramowitz and Stegun for arctan on [0, 1], reflected.
void gradients(int64_t n, const float* over, const float* here, const float* under, float* length,
               float* turns) {
  for_lanes<float>(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto dx = hn::Sub(hn::LoadU(d, here + i + 1), hn::LoadU(d, here + i - 1));
    const auto dy = hn::Sub(hn::LoadU(d, over + i), hn::LoadU(d, under + i));
    hn::StoreU(hn::Sqrt(hn::MulAdd(dx, dx, hn::Mul(dy, dy))), d, length + i);
    const auto ax = hn::Abs(dx), ay = hn::Abs(dy);
    const auto t = hn::Div(hn::Min(ax, ay), hn::Max(hn::Max(ax, ay), hn::Set(d, 1e-30f)));
    const auto t2 = hn::Mul(t, t);
    auto angle = hn::Set(d, 0.0028662257f);
    for (const float c : {-0.0161657367f, 0.0429096138f, -0.0752896400f, 0.1065626393f,
                          -0.1420889944f, 0.1999355085f, -0.3333314528f, 1.f})
      angle = hn::MulAdd(angle, t2, hn::Set(d, c));
    angle = hn::Mul(hn::Mul(angle, t), hn::Set(d, 0.159154943f));  // 1 / 2 pi
    angle = hn::IfThenElse(hn::Gt(ay, ax), hn::Sub(hn::Set(d, 0.25f), angle), angle);
    const auto zero = hn::Zero(d);
    angle = hn::IfThenElse(hn::Lt(dx, zero), hn::Sub(hn::Set(d, 0.5f), angle), angle);
    angle = hn::IfThenElse(hn::Lt(dy, zero), hn::Sub(hn::Set(d, 1.f), angle), angle);
    hn::StoreU(angle, d, turns + i);
  });
}

ScaleSpaceTable scale_space_table() { return {mix, mark, subtract, gradients}; }

}  // namespace
}  // namespace cairn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn::kernels {
namespace {

HWY_EXPORT(scale_space_table);
ScaleSpaceTable scale_space() { return CAIRN_SIMD_DISPATCH(scale_space_table)(); }

int64_t mirrored(int64_t i, int64_t n) {
  while (n > 1 && (i < 0 || i >= n)) i = i < 0 ? -i : 2 * n - 2 - i;
  return n > 1 ? i : 0;
}

void require_image(const char* op, const Tensor& x) {
  require(x.rank() == 2 && x.dtype() == DType::f32 && !x.on_gpu(), ErrorId::shape, op,
          "it takes H x W f32 on the CPU, not ", x.shape(), " ", x.dtype());
}

}  // namespace

Tensor blur(const Tensor& image, std::span<const float> taps, Tensor* change) {
  require_image("blur", image);
  require(!taps.empty(), ErrorId::argument, "blur", "there are no taps");
  const int64_t h = image.dim(0), w = image.dim(1), r = int64_t(taps.size()) - 1;
  const auto kernels = scale_space();
  const auto mix = kernels.mix;
  Tensor y = Tensor::empty({h, w});
  const float* from = image.data<float>();
  float* to = y.data<float>();
  if (change) *change = Tensor::empty({h, w});
  float* difference = change ? change->data<float>() : nullptr;
  parallel_for(h, 32, [&](int64_t begin, int64_t end) {
    std::vector<float> line(static_cast<size_t>(w + 2 * r));  // blurred along y, with mirrored ends
    std::vector<const float*> rows(static_cast<size_t>(2 * r + 1));
    for (int64_t v = begin; v < end; ++v) {
      for (int64_t k = -r; k <= r; ++k) rows[size_t(r + k)] = from + mirrored(v + k, h) * w;
      mix(w, rows.data() + r, taps.data(), r, line.data() + r);
      for (int64_t k = 1; k <= r; ++k) {
        line[size_t(r - k)] = line[size_t(r + mirrored(-k, w))];
        line[size_t(r + w - 1 + k)] = line[size_t(r + mirrored(w - 1 + k, w))];
      }
      for (int64_t k = -r; k <= r; ++k) rows[size_t(r + k)] = line.data() + r + k;
      mix(w, rows.data() + r, taps.data(), r, to + v * w);
      if (change) kernels.subtract(w, to + v * w, from + v * w, difference + v * w);
    }
  });
  return y;
}

std::vector<int64_t> extrema(const Tensor& below, const Tensor& here, const Tensor& above,
                             float threshold, int64_t border) {
  for (const Tensor* layer : {&below, &here, &above}) {
    require_image("extrema", *layer);
    require_same_shape("extrema", *layer, here);
  }
  require(border >= 1, ErrorId::argument, "extrema", "the border is ", border);
  const int64_t w = here.dim(1), rows = here.dim(0) - 2 * border, n = w - 2 * border, grain = 32;
  if (rows <= 0 || n <= 0) return {};
  const auto mark = scale_space().mark;
  std::vector<std::vector<int64_t>> found(static_cast<size_t>(num_chunks(rows, grain)));
  parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
    std::vector<uint8_t> marks(static_cast<size_t>(n));
    for (int64_t y = begin + border; y < end + border; ++y) {
      const int64_t first = y * w + border;
      const float* all[9];
      int count = 0;
      for (const Tensor* layer : {&below, &here, &above})
        for (int64_t v = -1; v <= 1; ++v) all[count++] = layer->data<float>() + first + v * w;
      mark(n, all, threshold, marks.data());
      for (int64_t x = 0; x < n; ++x)
        if (marks[size_t(x)]) found[size_t(begin / grain)].push_back(first + x);
    }
  });
  std::vector<int64_t> result;
  for (const auto& part : found) result.insert(result.end(), part.begin(), part.end());
  return result;
}

GradientRow gradient_row() { return scale_space().gradient_row; }

}  // namespace cairn::kernels
#endif  // HWY_ONCE
