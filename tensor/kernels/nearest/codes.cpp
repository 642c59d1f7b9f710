// A row is written as x = scale * code + residual, codes in -127..127. Then for two rows
//   a b = scale_a scale_b (code_a code_b) + e,   |e| <= |residual_a| |b| + |a - residual_a|
//   |residual_b|
// (Cauchy-Schwarz), and code_a code_b takes a quarter of the instructions of a b. What can not pass
// the query's threshold by this bound is done with; of the others the score is computed in float.
// So the result is that of the float search, whatever the data.
#define HWY_WANT_AVX3_DL  // which has VNNI, the byte dot product
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/nearest/codes.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>

#include "tensor/kernels/loops-inl.h"
#include "tensor/kernels/nearest/codes.h"
#include "tensor/parallel.h"

#ifndef CAIRN_NEAREST_CODES
#define CAIRN_NEAREST_CODES
namespace cairn::kernels {
namespace {

constexpr int64_t panel_rows = 48, block_queries = 8;  // 8 x 3 accumulators of 16 lanes
constexpr int64_t group = 4;                           // bytes that are multiplied together

/// panel_rows or block_queries rows side by side.
struct Codes {
  Codes(int64_t count, int64_t side, int64_t c)
      : width(side),
        groups(num_chunks(c, 16) * 16 / group),
        bytes(size_t(num_chunks(count, side) * side * groups * group)),
        scale(size_t(num_chunks(count, side) * side)),
        residual(scale.size()),
        sum(scale.size()) {}

  uint8_t* of(int64_t row) {
    return bytes.data() + (row / width * groups * width + row % width) * group;
  }

  int64_t width, groups;
  std::vector<uint8_t> bytes;          ///< [row / width][channel / 4][row % width][4]
  std::vector<float> scale, residual;  ///< of each row; the length of the residual
  std::vector<int32_t> sum;            ///< of a row's codes
};

/// What a block of queries is compared with, and where it stands.
struct Scan {
  int64_t groups;
  const uint8_t *queries, *panel;
  const float *scale, *start;  ///< of the panel's rows
  const float* query_scale;
  const int32_t* query_sum;
  float limit[block_queries];
};

struct CodesTable {
  /// Codes of one row; `flip` is xored on each byte: 0 leaves code + 128, 128 makes it signed.
  void (*encode)(int64_t c, const float* x, int64_t width, uint8_t flip, uint8_t* to, float& scale,
                 float& residual, int32_t& sum) = nullptr;
  /// For each query the rows whose score by codes is above the limit, as bits.
  void (*passing)(const Scan& scan, uint64_t* passed) = nullptr;
  float (*dot)(int64_t c, const float* a, const float* b) = nullptr;
};

}  // namespace
}  // namespace cairn::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace cairn::kernels::HWY_NAMESPACE {
namespace {

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
void encode(int64_t c, const float* x, int64_t width, uint8_t flip, uint8_t* to, float& scale,
            float& residual, int32_t& sum) {
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<int32_t, decltype(d)> di;
  const hn::Rebind<uint8_t, decltype(d)> bytes;
  const auto part = [&](int64_t i) HWY_ATTR {  // zeros past the end
    return hn::MaskedLoad(hn::FirstN(d, size_t(std::min<int64_t>(16, c - i))), d, x + i);
  };
  auto most = hn::Zero(d);
  for (int64_t i = 0; i < c; i += 16) {
    const auto v = hn::Abs(part(i));
    most = hn::IfThenElse(hn::Gt(v, most), v, most);  // which no NaN passes
  }
  scale = hn::GetLane(hn::MaxOfLanes(d, most)) / 127;
  const auto inverse = hn::Set(d, scale > 0 ? 1 / scale : 0), step = hn::Set(d, scale);
  auto square = hn::Zero(d);
  auto codes = hn::Zero(di);
  for (int64_t i = 0; i < c; i += 16) {
    const auto v = part(i);
    const auto code =
        hn::Clamp(hn::NearestInt(hn::Mul(v, inverse)), hn::Set(di, -127), hn::Set(di, 127));
    const auto off = hn::NegMulAdd(hn::ConvertTo(d, code), step, v);
    square = hn::MulAdd(off, off, square);
    codes = hn::Add(codes, code);
    HWY_ALIGN uint8_t out[16];
    hn::Store(hn::Xor(hn::DemoteTo(bytes, hn::Add(code, hn::Set(di, 128))), hn::Set(bytes, flip)),
              bytes, out);
    for (int64_t g = 0; g < 4; ++g, to += width * group) std::memcpy(to, out + g * group, group);
  }
  residual = std::sqrt(hn::GetLane(hn::SumOfLanes(d, square)));
  sum = hn::GetLane(hn::SumOfLanes(di, codes));
}

/// sum += the products of four unsigned and four signed bytes, in each lane. As an instruction: g++
/// copies the accumulators of the intrinsic to and fro.
template <class V>
HWY_INLINE void add_products(V& sum, const V unsigned_bytes, const V signed_bytes) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(unsigned_bytes.raw), "v"(signed_bytes.raw));
}

void passing(const Scan& scan, uint64_t* passed) {
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<int32_t, decltype(d)> di;
  using V = hn::VFromD<decltype(di)>;
  V s0[block_queries], s1[block_queries], s2[block_queries];
  HWY_UNROLL(8)
  for (int i = 0; i < block_queries; ++i)
    s0[i] = s1[i] = s2[i] = hn::Set(di, -128 * scan.query_sum[i]);
  const auto load = [&](const uint8_t* p)
                        HWY_ATTR { return hn::LoadU(di, reinterpret_cast<const int32_t*>(p)); };
  const uint8_t *block = scan.queries, *panel = scan.panel;
  for (int64_t g = 0; g < scan.groups; ++g) {
    const V b0 = load(panel), b1 = load(panel + 64), b2 = load(panel + 128);
    HWY_UNROLL(8)
    for (int i = 0; i < block_queries; ++i) {
      int32_t four;
      std::memcpy(&four, block + i * group, group);
      const V a = hn::Set(di, four);
      add_products(s0[i], b0, a);
      add_products(s1[i], b1, a);
      add_products(s2[i], b2, a);
    }
    panel += panel_rows * group;
    block += block_queries * group;
  }
  HWY_UNROLL(8)
  for (int i = 0; i < block_queries; ++i) {
    const auto scale = hn::Set(d, scan.query_scale[i]), limit = hn::Set(d, scan.limit[i]);
    const auto above = [&](V sum, int64_t at) HWY_ATTR {
      const auto product = hn::Mul(hn::ConvertTo(d, sum), hn::LoadU(d, scan.scale + at));
      const auto score = hn::MulAdd(product, scale, hn::LoadU(d, scan.start + at));
      return uint64_t(hn::Gt(score, limit).raw) << at;
    };
    passed[i] = above(s0[i], 0) | above(s1[i], 16) | above(s2[i], 32);
  }
}

float dot(int64_t c, const float* a, const float* b) {
  return sum_lanes<float>(c, [&](auto d, int64_t i) HWY_ATTR {
    return hn::Mul(hn::LoadU(d, a + i), hn::LoadU(d, b + i));
  });
}

CodesTable codes_table() { return {encode, passing, dot}; }
#else
CodesTable codes_table() { return {}; }
#endif

}  // namespace
}  // namespace cairn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn::kernels {
namespace {
HWY_EXPORT(codes_table);
CodesTable codes() { return CAIRN_SIMD_DISPATCH(codes_table)(); }
}  // namespace

// Fewer channels leave too little to save; more could overflow what the bounds assume.
bool can_search_by_codes(int64_t c) { return c >= 8 && c <= 1024 && codes().encode; }

namespace {

/// Rows on both sides of the search: their codes, the rows themselves, and |row|^2.
struct Rows {
  const float* x;
  int64_t count, c;
  const float* squares;
  const float* of(int64_t row) const { return x + row * c; }
};

void encode(const CodesTable& kernels, const Rows& rows, uint8_t flip, Codes& to) {
  parallel_for(rows.count, 256, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      kernels.encode(rows.c, rows.of(r), to.width, flip, to.of(r), to.scale[size_t(r)],
                     to.residual[size_t(r)], to.sum[size_t(r)]);
  });
}

/// The part of the database that meets all queries before the next part.
struct Slab {
  Rows rows;
  int64_t first;  ///< the number of its first row
  Codes codes;
  std::vector<float> start;        ///< -|row|^2 / 2; minus infinity, which never passes, for no row
  float longest_square, residual;  ///< of its rows, the most

  void take(const CodesTable& kernels, const Rows& part, int64_t from) {
    rows = part;
    first = from;
    encode(kernels, rows, 0, codes);
    std::ranges::fill(start, -std::numeric_limits<float>::infinity());
    longest_square = residual = 0;
    for (int64_t r = 0; r < rows.count; ++r) {
      start[size_t(r)] = -0.5f * rows.squares[r];
      longest_square = std::max(longest_square, rows.squares[r]);
      residual = std::max(residual, codes.residual[size_t(r)]);
    }
  }
};

/// Offers the slab's rows to the queries of the blocks from `begin` to `end`. Returns how many
/// scores were computed in float.
int64_t search_slab(const CodesTable& kernels, const Rows& queries, Codes& query_codes, Slab& slab,
                    int64_t begin, int64_t end, ShortList<float>* lists) {
  // What a score in float may exceed that by codes; both are rounded, as the list's margin allows.
  const auto margin_of = [&](int64_t i) {
    const float own = query_codes.residual[size_t(i)];
    const float bound = own * std::sqrt(slab.longest_square) +
                        (std::sqrt(queries.squares[i]) + own) * slab.residual;
    const float margin = 1.001f * bound + lists[i].margin;
    return margin >= 0 ? margin : std::numeric_limits<float>::infinity();  // NaN: open all
  };
  std::vector<float> margins;
  for (int64_t i = begin * block_queries; i < std::min(queries.count, end * block_queries); ++i)
    margins.push_back(margin_of(i));

  int64_t opened = 0;
  for (int64_t row = 0; row < slab.rows.count; row += panel_rows)
    for (int64_t b = begin; b < end; ++b) {
      const int64_t query = b * block_queries,
                    count = std::min(block_queries, queries.count - query);
      Scan scan{query_codes.groups,
                query_codes.of(query),
                slab.codes.of(row),
                slab.codes.scale.data() + row,
                slab.start.data() + row,
                query_codes.scale.data() + query,
                query_codes.sum.data() + query,
                {}};
      for (int64_t i = 0; i < count; ++i)
        scan.limit[i] =
            lists[query + i].threshold - margins[size_t(query + i - begin * block_queries)];
      uint64_t passed[block_queries];
      kernels.passing(scan, passed);
      for (int64_t i = 0; i < count; ++i)
        for (uint64_t left = passed[i]; left; left &= left - 1, ++opened) {
          const int64_t r = row + std::countr_zero(left);
          ShortList<float>& list = lists[query + i];
          const float score = kernels.dot(queries.c, queries.of(query + i), slab.rows.of(r)) +
                              slab.start[size_t(r)];
          if (score > list.threshold) list.insert(score, slab.first + r);
        }
    }
  return opened;
}

}  // namespace

int64_t search_by_codes(const float* queries, int64_t q, const float* database, int64_t n,
                        int64_t c, const std::vector<float>& query_squares,
                        const std::vector<float>& squares, std::vector<ShortList<float>>& lists) {
  const CodesTable kernels = codes();
  const Rows from{queries, q, c, query_squares.data()};
  Codes query_codes(q, block_queries, c);
  encode(kernels, from, 128, query_codes);

  constexpr int64_t slab_bytes = 1 << 19;
  const int64_t panel_bytes = query_codes.groups * group * panel_rows;
  const int64_t slab_panels =
      std::clamp<int64_t>(slab_bytes / panel_bytes, 1, num_chunks(n, panel_rows));
  const int64_t slab_rows = slab_panels * panel_rows;
  Slab slab{{}, 0, {slab_rows, panel_rows, c}, std::vector<float>(size_t(slab_rows)), 0, 0};
  for (int64_t first = 0; first < n; first += slab_rows) {
    slab.take(kernels,
              {database + first * c, std::min(slab_rows, n - first), c, squares.data() + first},
              first);
    std::atomic<int64_t> opened = 0;  // counts, so their order does not matter
    parallel_for(num_chunks(q, block_queries), 64 / block_queries, [&](int64_t begin, int64_t end) {
      opened += search_slab(kernels, from, query_codes, slab, begin, end, lists.data());
    });
    if (opened > q * slab.rows.count / 32) return first + slab.rows.count;
  }
  return n;
}

}  // namespace cairn::kernels
#endif  // HWY_ONCE
