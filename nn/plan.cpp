#include "nn/plan.h"

#include <algorithm>
#include <optional>

#include "nn/plan_trace.h"
#include "tensor/kernels/batch_norm/batch_norm.h"
#include "tensor/kernels/conv2d/prepared.h"
#include "tensor/kernels/l2_normalize/l2_normalize.h"
#include "tensor/parallel.h"

namespace cairn::nn {
namespace {

using kernels::Image;
using kernels::PreparedConv;
using Clock = std::chrono::steady_clock;

// A smaller result stays in a third-level cache until it is read: strips would gain nothing.
constexpr int64_t large_result = 4 << 20;
// What the values of one strip may take, of a third-level cache; but strips of few rows cost more
// by waiting for each other and by tiles that are not full.
constexpr int64_t strip_bytes = 16 << 20;
constexpr int64_t tile_rows = 4, least_strip_rows = 32;

/// Steps [first, last]: one step, or several that run in strips.
struct Unit {
  int first, last;
};

}  // namespace

struct Plan::Impl {
  PlanTrace t;
  std::vector<std::optional<PreparedConv<float>>> convs;
  std::vector<Unit> units;
  std::vector<int64_t> offset;  // of each buffer in the arena, in bytes; -1: not there
  std::vector<int> place;       // of each buffer: the one whose memory it shares, itself if none
  int64_t arena = 0, weight_bytes = 0;
  std::vector<PlanRow> rows;
  bool recording = false;
  std::vector<PlanEvent> events;

  // Of the run in progress.
  Tensor input, result, memory;

  Impl(Module& network, const Shape& shape) : t(trace(network, shape)) {
    for (const PlanStep& s : t.steps) {
      convs.push_back(prepare(s));
      describe(s);
    }
    find_units();
    place_buffers();
  }

  const PlanStep& step(int i) const { return t.steps[size_t(i)]; }
  const PlanBuffer& buffer(int i) const { return t.buffers[size_t(i)]; }

  std::optional<PreparedConv<float>> prepare(const PlanStep& s) {
    if (!s.convolution()) return {};
    require(s.weight.dtype() == DType::f32 && s.weight.device() == Device::cpu, ErrorId::dtype,
            "plan", "a plan runs float32 on the CPU; the weight of ", s.layer, " is ",
            s.weight.dtype(), " on ", s.weight.device());
    const PlanBuffer& out = buffer(s.output);
    if (s.op.kind == PlannedOp::conv2d) {
      auto e = kernels::check_conv2d("plan", s.seen, s.weight.shape(), s.op.geometry);
      e.oh = out.used_rows;  // nothing is computed that a crop takes away
      e.ow = out.used_columns;
      return PreparedConv<float>::forward(e, s.op.geometry, s.weight.data<float>());
    }
    auto e = kernels::check_conv2d("plan", s.op.result, s.weight.shape(), s.op.geometry);
    e.h = out.used_rows;
    e.w = out.used_columns;
    return PreparedConv<float>::transposed(e, s.op.geometry, s.weight.data<float>());
  }

  void describe(const PlanStep& s) {
    PlanRow row;
    row.layer = s.layer;
    row.op = s.name;
    if (s.residual >= 0) row.op += " + residual";
    if (s.op.relu_after) row.op += " + relu";
    row.result = s.op.result;
    row.result[1] = buffer(s.output).used_rows;
    row.result[2] = buffer(s.output).used_columns;
    const auto pixels_of = [](const Shape& s) { return double(s[0] * s[1] * s[2]); };
    double values = double(s.seen.numel()) + double(row.result.numel());
    if (s.residual >= 0) values += double(row.result.numel());
    if (s.convolution()) {
      const auto& conv = *convs.back();
      row.algorithm = std::string(name(conv.algorithm()));
      const bool down = s.op.kind == PlannedOp::conv2d;
      row.gflop = 2e-9 * pixels_of(down ? row.result : s.seen) * double(s.weight.numel());
      values += double(conv.weight_count());
      weight_bytes += conv.weight_count() * int64_t(sizeof(float));
    }
    row.mbytes = 1e-6 * sizeof(float) * values;
    rows.push_back(std::move(row));
  }

  /// Whether rows of the result need only some rows of the input.
  bool by_rows(const PlanStep& s) const { return s.op.kind != PlannedOp::batch_norm; }

  /// Strips: as many steps in a row as can be, of large results, each read by no step outside.
  void find_units() {
    const int n = int(t.steps.size());
    const auto large = [&](int i) {
      return by_rows(step(i)) && buffer(step(i).output).bytes() >= large_result;
    };
    // Whether all that is made before `last` is read until then.
    const auto closed = [&](int first, int last) {
      for (int k = first; k < last; ++k) {
        const int made = step(k).output;
        if (made == step(last).output) continue;
        if (made == t.output) return false;
        for (int reader = 0; reader < n; ++reader) {
          if (reader >= first && reader <= last) continue;
          if (step(reader).residual == made || std::ranges::count(step(reader).inputs, made))
            return false;
        }
      }
      return true;
    };
    for (int first = 0; first < n;) {
      int last = first;
      // Of one scale: rows of a coarser result cost many of the finer ones twice.
      if (large(first))
        for (int end = first + 1; end < n && large(end) && rows_of(end) * 4 > rows_of(first) * 3 &&
                                  rows_of(end) * 3 < rows_of(first) * 4;
             ++end)
          if (closed(first, end)) last = end;
      if (last > first && rows_of(last) < 2 * least_strip_rows) last = first;
      if (last > first)
        for (int k = first; k <= last; ++k) rows[size_t(k)].strip = int(units.size());
      units.push_back({first, last});
      first = last + 1;
    }
  }
  int64_t rows_of(int i) const { return buffer(step(i).output).used_rows; }
  /// Whether a buffer lives only while a strip passes.
  bool passing(const Unit& unit, int made) const {
    if (made == step(unit.last).output) return false;
    for (int k = unit.first; k < unit.last; ++k)
      if (step(k).output == made) return true;
    return false;
  }

  /// Greedy by size (Pisarchyk and Lee, 2020): each buffer goes to the lowest place that is free
  /// during its life. A result takes the place of what it is added to, where that ends there.
  void place_buffers() {
    struct Life {
      int begin = -1, end = -1;  // units
    };
    std::vector<Life> life(t.buffers.size());
    const auto number = [&](const auto& touch) {
      for (int u = 0; u < int(units.size()); ++u)
        for (int k = units[size_t(u)].first; k <= units[size_t(u)].last; ++k) touch(u, step(k));
    };
    number([&](int u, const PlanStep& s) {
      const auto alive = [&](int b) {
        Life& l = life[size_t(b)];
        if (l.begin < 0) l.begin = u;
        l.end = std::max(l.end, u);
      };
      for (int b : s.inputs) alive(b);
      if (s.residual >= 0) alive(s.residual);
      alive(s.output);
    });
    place.resize(t.buffers.size());
    offset.assign(t.buffers.size(), -1);
    for (size_t b = 0; b < place.size(); ++b) place[b] = int(b);
    const auto outside = [&](int b) { return b == t.input || b == t.output; };
    number([&](int u, const PlanStep& s) {
      if (units[size_t(u)].first != units[size_t(u)].last) return;
      const int old = s.op.kind == PlannedOp::batch_norm ? s.inputs[0] : s.residual;
      if (old < 0 || outside(old) || outside(s.output) || !stored(old) || !stored(s.output)) return;
      if (s.convolution() && std::ranges::count(s.inputs, old))
        return;  // it reads around the place
      const int home = place[size_t(old)];
      if (life[size_t(old)].end != u || !(buffer(old).shape == buffer(s.output).shape)) return;
      place[size_t(s.output)] = home;
      life[size_t(home)].end = life[size_t(s.output)].end;
    });

    std::vector<int> order;
    for (int b = 0; b < int(t.buffers.size()); ++b)
      if (life[size_t(b)].begin >= 0 && place[size_t(b)] == b && !outside(b) && stored(b))
        order.push_back(b);
    std::ranges::stable_sort(order, std::greater(), [&](int b) { return buffer(b).bytes(); });
    std::vector<int> placed;
    for (int b : order) {
      std::vector<std::pair<int64_t, int64_t>> taken;  // while b lives
      for (int other : placed)
        if (life[size_t(other)].begin <= life[size_t(b)].end &&
            life[size_t(b)].begin <= life[size_t(other)].end)
          taken.emplace_back(offset[size_t(other)], offset[size_t(other)] + size(other));
      std::ranges::sort(taken);
      int64_t at = 0;
      for (const auto& [begin, end] : taken)
        if (begin < at + size(b)) at = std::max(at, end);
      offset[size_t(b)] = at;
      arena = std::max(arena, at + size(b));
      placed.push_back(b);
    }
  }
  int64_t size(int b) const { return kernels::round_up(buffer(b).bytes(), 64); }
  bool stored(int b) const {
    return std::ranges::none_of(units, [&](const Unit& u) { return passing(u, b); });
  }

  Tensor tensor(int b) const {
    if (b == t.input) return input;
    if (b == t.output) return result;
    return Tensor::within(memory, offset[size_t(place[size_t(b)])], buffer(b).shape, DType::f32);
  }

  Image<float> image(int b) const {
    const Shape& s = buffer(b).shape;
    return kernels::dense(tensor(b).data<float>(), s[1], s[2], s[3]);
  }

  /// Where the values of a strip are while it passes.
  struct Band {
    std::optional<kernels::Scratch<float>> memory;
    int64_t capacity = 0, top = 0, end = 0;  // rows: room, first and after last there
  };

  /// The rows [begin, end) of step i's result, from what `where` says each buffer is.
  template <class Where>
  void run_rows(int i, int64_t begin, int64_t end, const Where& where) {
    const auto start = Clock::now();
    const PlanStep& s = step(i);
    if (s.convolution()) {
      std::vector<Image<const float>> from;
      for (int b : s.inputs) from.push_back(constant(where(b)));
      kernels::ImageEpilogue<float> e;
      e.bias = s.bias.defined() ? s.bias.data<float>() : nullptr;
      if (s.residual >= 0) e.residual = constant(where(s.residual));
      e.relu = s.op.relu_after;
      convs[size_t(i)]->run(from, where(s.output), e, begin, end);
    } else {  // l2_normalize, in place: whole rows, which are dense
      const Image<float> x = where(s.inputs[0]), y = where(s.output);
      for (int64_t n = 0; n < s.op.result[0]; ++n) {
        float* const to = y.at(n, begin, 0);
        if (s.inputs[0] != s.output) std::copy_n(x.at(n, begin, 0), (end - begin) * y.row, to);
        const std::shared_ptr<void> here(std::shared_ptr<void>(), to);  // not owned
        Tensor part = Tensor::within(here, 0, {(end - begin) * s.op.result[2], s.op.result[3]},
                                     DType::f32, Device::cpu);
        kernels::l2_normalize_(part, s.op.eps);
      }
    }
    note(i, start);
  }
  static Image<const float> constant(const Image<float>& i) {
    return {i.x, i.channels, i.pixel, i.row, i.image, i.top};
  }

  void note(int i, Clock::time_point start) {
    const auto end = Clock::now();
    rows[size_t(i)].seconds += std::chrono::duration<double>(end - start).count();
    if (recording) events.push_back({i, start, end});
  }

  /// A norm by running moments, or by the image's own.
  void run_norm(int i) {
    const auto start = Clock::now();
    const PlanStep& s = step(i);
    const Tensor x = tensor(s.inputs[0]);
    Tensor y = tensor(s.output);
    kernels::BatchMoments m{s.op.running_mean, s.op.running_var, {}};
    if (m.mean.defined())
      m.invstd = kernels::inverse_deviation(m.variance, s.op.eps);
    else
      m = kernels::batch_moments(x, s.op.eps);
    const Tensor residual = s.residual >= 0 ? tensor(s.residual) : Tensor();
    if (place[size_t(s.output)] != place[size_t(s.inputs[0])]) y.assign_(x);
    kernels::batch_norm_(y, s.gamma, s.beta, m.mean, m.invstd, residual, s.op.relu_after);
    note(i, start);
  }

  /// A unit of several steps, strip by strip.
  void run_strips(const Unit& unit) {
    const int count = unit.last - unit.first + 1;
    std::vector<Band> bands(t.buffers.size());
    int64_t row_bytes = 1;
    for (int k = unit.first; k < unit.last; ++k)
      if (passing(unit, step(k).output))
        row_bytes +=
            buffer(step(k).output).shape[0] * buffer(step(k).output).row() * int64_t(sizeof(float));
    const int64_t rows_at_once =
        std::max<int64_t>(strip_bytes / row_bytes / tile_rows * tile_rows, least_strip_rows);

    const auto where = [&](int b) {
      if (!passing(unit, b)) return image(b);
      const Band& band = bands[size_t(b)];
      const Shape& s = buffer(b).shape;
      return Image<float>{const_cast<float*>(band.memory->data()), s[3],    s[3], buffer(b).row(),
                          band.capacity * buffer(b).row(),         band.top};
    };
    // The next row that each step makes, and the one before which it stops in this strip.
    std::vector<int64_t> next(size_t(count), -1), stop(size_t(count), 0);
    const int64_t end = rows_of(unit.last);
    for (int64_t row = 0; row < end; row += rows_at_once) {
      const int64_t last_row = std::min(end, row + rows_at_once);
      std::ranges::fill(stop, 0);
      std::vector<int64_t> first(size_t(count), INT64_MAX);
      stop.back() = last_row;
      first.back() = row;
      for (int k = count - 1; k >= 0; --k) {
        const int i = unit.first + k;
        // Full tiles, the same as without strips.
        stop[size_t(k)] = std::min(rows_of(i), kernels::round_up(stop[size_t(k)], multiple_of(i)));
        const int64_t from = next[size_t(k)] >= 0 ? next[size_t(k)] : first[size_t(k)];
        const auto [low, high] = seen_rows(i, from, stop[size_t(k)]);
        const auto ask = [&](int b, int64_t from_row, int64_t to_row) {
          for (int maker = k - 1; maker >= 0; --maker) {
            if (step(unit.first + maker).output != b) continue;
            first[size_t(maker)] = std::min(first[size_t(maker)], from_row);
            stop[size_t(maker)] = std::max(stop[size_t(maker)], to_row);
            return;
          }
        };
        for (int b : step(i).inputs) ask(b, low, high);
        if (step(i).residual >= 0) ask(step(i).residual, from, stop[size_t(k)]);
      }
      for (int k = 0; k < count; ++k)
        if (next[size_t(k)] < 0)
          next[size_t(k)] =
              first[size_t(k)] / multiple_of(unit.first + k) * multiple_of(unit.first + k);
      for (int k = 0; k < count; ++k) {
        const int i = unit.first + k;
        if (stop[size_t(k)] <= next[size_t(k)]) continue;
        if (passing(unit, step(i).output))
          make_room(bands[size_t(step(i).output)], buffer(step(i).output),
                    needed_from(unit, step(i).output, next), stop[size_t(k)]);
        run_rows(i, next[size_t(k)], stop[size_t(k)], where);
        next[size_t(k)] = stop[size_t(k)];
      }
    }
  }

  int64_t multiple_of(int i) const {
    return step(i).convolution() ? convs[size_t(i)]->row_multiple() : 1;
  }
  std::array<int64_t, 2> seen_rows(int i, int64_t begin, int64_t end) const {
    if (step(i).convolution()) return convs[size_t(i)]->rows_seen(begin, end);
    return {begin, end};
  }
  /// The first row of a passing buffer that its readers, or its maker, still touch.
  int64_t needed_from(const Unit& unit, int b, const std::vector<int64_t>& next) const {
    int64_t row = INT64_MAX;
    for (int i = unit.first; i <= unit.last; ++i) {
      const int64_t at = next[size_t(i - unit.first)];
      const PlanStep& s = step(i);
      if (s.output == b || s.residual == b) row = std::min(row, at);
      if (at < rows_of(i) && std::ranges::count(s.inputs, b))
        row = std::min(row, seen_rows(i, at, rows_of(i))[0]);
    }
    return row;
  }
  /// Keeps the rows from `top` on and makes room before `end`.
  static void make_room(Band& band, const PlanBuffer& b, int64_t top, int64_t end) {
    const int64_t images = b.shape[0], row = b.row();
    end = std::max(end, band.end);  // a step in place asks for less than its maker made
    top = band.memory ? std::max(top, band.top) : top;
    const int64_t kept = std::max<int64_t>(0, band.end - top);
    if (!band.memory || end - top > band.capacity) {
      kernels::Scratch<float> larger(images * (end - top) * row);
      for (int64_t n = 0; n < images && kept > 0; ++n)
        std::copy_n(band.memory->data() + (n * band.capacity + top - band.top) * row, kept * row,
                    larger.data() + n * (end - top) * row);
      band.memory.emplace(std::move(larger));
      band.capacity = end - top;
    } else if (end - band.top > band.capacity) {
      for (int64_t n = 0; n < images; ++n) {
        float* const x = band.memory->data() + n * band.capacity * row;
        std::move(x + (top - band.top) * row, x + (top - band.top + kept) * row, x);
      }
    } else {
      top = band.top;
    }
    band.top = top;
    band.end = end;
  }

  Tensor run(const Tensor& x) {
    require(x.dtype() == DType::f32 && x.device() == Device::cpu, ErrorId::dtype, "plan",
            "a plan runs float32 on the CPU, not ", x.dtype(), " on ", x.device());
    require(x.shape() == buffer(t.input).shape, ErrorId::shape, "plan", "the input is ", x.shape(),
            ", but the plan is for ", buffer(t.input).shape);
    input = x;
    result = Tensor::empty(buffer(t.output).shape);
    memory = Tensor::empty({std::max<int64_t>(1, arena)}, DType::u8);
    events.clear();
    for (PlanRow& row : rows) row.seconds = 0;
    for (const Unit& unit : units) {
      if (step(unit.first).op.kind == PlannedOp::batch_norm)
        run_norm(unit.first);
      else if (unit.first == unit.last)
        run_rows(unit.first, 0, rows_of(unit.first), [&](int b) { return image(b); });
      else
        run_strips(unit);
    }
    input = memory = {};
    return std::move(result);
  }
};

Plan::Plan(Module& network, const Shape& input) : impl_(std::make_unique<Impl>(network, input)) {}
Plan::~Plan() = default;
Plan::Plan(Plan&&) noexcept = default;
Plan& Plan::operator=(Plan&&) noexcept = default;
Tensor Plan::operator()(const Tensor& x) { return impl_->run(x); }
const std::vector<PlanRow>& Plan::rows() const { return impl_->rows; }
const std::vector<PlanEvent>& Plan::events() const { return impl_->events; }
void Plan::record_events(bool on) { impl_->recording = on; }
int64_t Plan::arena_bytes() const { return impl_->arena; }
int64_t Plan::weight_bytes() const { return impl_->weight_bytes; }

}  // namespace cairn::nn
