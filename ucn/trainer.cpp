#include "ucn/trainer.h"

#include <array>
#include <chrono>
#include <cmath>
#include <numeric>
#include <utility>

#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/reduce/reduce.h"
#include "tensor/kernels/rows/rows.h"
#include "ucn/precision.h"
#include "ucn/score_head.h"

namespace cairn::ucn {
namespace {

// Streams of one seed: the loader takes stream k for its sample k.
constexpr uint64_t init_stream = uint64_t(1) << 62, loss_stream = uint64_t(1) << 61;

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::unique_ptr<nn::Optimizer> make_optimizer(const TrainOptions& o,
                                              std::vector<nn::NamedParameter> parameters) {
  if (o.optimizer == "sgd")
    return nn::sgd(std::move(parameters), o.lr,
                   {.momentum = o.momentum, .weight_decay = o.weight_decay});
  const nn::AdamOptions adam{.weight_decay = o.weight_decay};
  return o.optimizer == "adam" ? nn::adam(std::move(parameters), o.lr, adam)
                               : nn::adamw(std::move(parameters), o.lr, adam);
}

Tensor stack(const std::vector<Pair>& pairs, Tensor Pair::*image) {
  const Shape& one = (pairs[0].*image).shape();
  Tensor all = Tensor::empty({int64_t(pairs.size()), one[0], one[1], one[2]});
  for (size_t i = 0; i < pairs.size(); ++i) {
    require_same_shape("train", pairs[i].*image, pairs[0].*image);
    std::ranges::copy((pairs[i].*image).span<float>(),
                      all.data<float>() + int64_t(i) * one.numel());
  }
  return all;
}

}  // namespace

Trainer::Trainer(const TrainOptions& options, const PairSource& source, Device device)
    : options_(options),
      source_(source),
      device_(device),
      upload_(device),
      data_(source.description()) {
  check(options_);
  options_.model.score_head = options_.loss_name == "score";
  Random random(options_.seed, init_stream);
  network_ = std::make_unique<ResUNet>(options_.model, random);
  if (!options_.teacher.empty()) take_teacher();
  network_->to(device);
  set_precision(*network_, precision(options_.precision));
  network_->set_recompute(options_.recompute);
  trained_ = network_->parameters();
  if (network_->score_head())
    std::erase_if(trained_, [](const auto& p) { return !p.name.starts_with(ScoreHead::prefix); });
  optimizer_ = make_optimizer(options_, trained_);
  restart_average();
}

std::vector<nn::NamedTensor> Trainer::averageable() const {
  std::vector<nn::NamedTensor> state = network_->state();
  std::erase_if(state, [](const nn::NamedTensor& t) { return t.tensor.dtype() == DType::i64; });
  return state;
}

void Trainer::restart_average() {
  averaged_.clear();
  if (options_.ema > 0)
    for (const auto& [name, tensor] : averageable()) averaged_.push_back({name, tensor.clone()});
}

double Trainer::learning_rate() const {
  if (options_.schedule == "cosine")
    return nn::cosine_lr(options_.lr, options_.iterations,
                         std::min(options_.warmup, options_.iterations / 10))(iteration_);
  if (options_.schedule == "exponential")
    return nn::step_lr(options_.lr, options_.exp_gamma, options_.train_max_iter)(iteration_);
  return options_.lr;
}

int64_t Trainer::pixels_searched(int64_t step) const {
  constexpr double first = 64;
  const double all = double(options_.loss.num_hn_samples);
  const int64_t steps = options_.mining_warmup;
  if (step >= steps || all <= first || options_.loss_name == "infonce")
    return options_.loss.num_hn_samples;
  return std::llround(first * std::pow(all / first, double(step) / double(steps)));
}

Trainer::Batch Trainer::make_batch(int64_t step) {
  Batch batch{step, 0, {}};
  std::vector<Tensor*> tensors;
  LossOptions loss = options_.loss;
  loss.num_hn_samples = pixels_searched(step);
  for (int64_t m = 0; m < options_.iter_size; ++m) {
    std::vector<Pair> pairs;
    for (int64_t b = 0; b < options_.batch; ++b) pairs.push_back(loader_->next());
    MicroBatch pass{stack(pairs, &Pair::image0), stack(pairs, &Pair::image1), {}};
    for (int64_t b = 0; b < options_.batch; ++b) {
      const Pair& pair = pairs[size_t(b)];
      const TrueMatches matches{pair.positions0, pair.positions1};
      batch.positives += matches.count();
      Random random(options_.seed,
                    loss_stream + uint64_t((step * options_.iter_size + m) * options_.batch + b));
      const Shape &s0 = pass.images0.shape(), &s1 = pass.images1.shape();
      const LossDraws draws = draw_for_loss(matches.count(), s0, s1, loss, random);
      pass.inputs.push_back(
          prepare_loss(matches, draws, s0, s1, b, loss, loss_named(options_.loss_name)));
    }
    batch.passes.push_back(std::move(pass));
  }
  for (MicroBatch& pass : batch.passes) {
    tensors.insert(tensors.end(), {&pass.images0, &pass.images1});
    for (LossInputs& in : pass.inputs) in.for_each([&](Tensor& t) { tensors.push_back(&t); });
  }
  upload_(tensors);
  return batch;
}

void Trainer::fetch_ahead() {
  try {
    next_ = make_batch(iteration_ + 1);
  } catch (...) {
    next_error_ = std::current_exception();  // of the next step, not of this one
  }
}

LossTerms Trainer::loss_of(const MicroBatch& pass) {
  const Loss loss = loss_named(options_.loss_name);
  const auto fixed = [&](ResUNet& network) {
    NoGrad no_grad;
    return std::array{network(pass.images0).value(), network(pass.images1).value()};
  };
  if (loss == Loss::score) {
    const auto [features0, features1] = fixed(*network_);
    return score_loss(*network_->score_head(), features0, features1, pass.inputs, options_.loss);
  }
  std::array<Tensor, 2> taught;  // before the tape is there, which takes memory
  if (loss == Loss::distill) {
    const LayerScope scope("teacher");
    taught = fixed(*teacher_);
  }
  const Var features0 = (*network_)(pass.images0), features1 = (*network_)(pass.images1);
  if (loss == Loss::distill) return distillation(features0, features1, taught[0], taught[1]);
  return compute_loss(loss, features0, features1, pass.inputs, options_.loss);
}

std::vector<LossTerms> Trainer::accumulate(const Batch& batch) {
  optimizer_->zero_grad();
  std::vector<LossTerms> all;
  for (const MicroBatch& pass : batch.passes) {
    const LossTerms terms = loss_of(pass);
    const Var total = scale(terms.total(options_.loss), 1 / double(options_.iter_size));
    if (total.requires_grad()) total.backward();
    all.push_back({terms.positive.detach(), terms.negative.detach()});
  }
  return all;
}

namespace {

/// What every gradient is multiplied by so that their norm is at most `most`; NaN when the norm or
/// a loss is not finite. Nothing waits for it.
Tensor gradient_scale(const Tensor& norm, double most, const std::vector<LossTerms>& losses) {
  using namespace kernels;
  const auto nan_if_not_finite = [](const Tensor& x) { return affine(x.to(DType::f64), 0, 0); };
  const Tensor limit = Tensor::full({}, most, DType::f64, norm.device());
  Tensor scale = add(clamp(div(limit, norm), 0, 1), nan_if_not_finite(norm));
  for (const LossTerms& l : losses)
    for (const Var& term : {l.positive, l.negative})
      scale = add(scale, nan_if_not_finite(term.value()));
  return scale;
}

}  // namespace

StepReport Trainer::step() {
  const int64_t per_step = options_.batch * options_.iter_size;
  if (!loader_)
    loader_ = std::make_unique<Loader>(source_, options_.seed, iteration_ * per_step,
                                       options_.loader_threads);
  const auto start = Clock::now();
  StepReport report;
  if (next_error_) std::rethrow_exception(std::exchange(next_error_, nullptr));
  const Batch batch = next_ ? std::move(*next_) : make_batch(iteration_);
  next_.reset();
  report.data_seconds = seconds_since(start);
  report.positives = batch.positives;

  const auto named = [&](const std::string& what) {
    return Error(ErrorId::nan, "train",
                 cat("step ", iteration_ + 1, " of seed ", options_.seed, ": ", what),
                 "a smaller --lr or --clip helps most often");
  };
  network_->train(!network_->score_head());  // features stay as they are in matching
  try {
    std::optional<AnomalyMode> anomaly;
    if (options_.anomaly) anomaly.emplace();
    const std::vector<LossTerms> losses = accumulate(batch);
    const Tensor norm = nn::grad_norm(trained_).to(device_);
    optimizer_->lr = report.lr = learning_rate();
    optimizer_->step(gradient_scale(norm, options_.clip > 0 ? options_.clip : INFINITY, losses));
    optimizer_->zero_grad();

    if (device_ == Device::cuda && iteration_ + 1 < options_.iterations) {
      const auto fetching = Clock::now();
      fetch_ahead();
      report.data_seconds += seconds_since(fetching);
    }
    for (const LossTerms& l : losses) {
      report.positive += l.positive.item() / double(options_.iter_size);
      report.negative += l.negative.item() / double(options_.iter_size);
    }
    report.loss = report.positive + options_.loss.neg_weight * report.negative;
    report.grad_norm = norm.item();
    if (!std::isfinite(report.loss) || !std::isfinite(report.grad_norm)) {
      AnomalyMode look_closer;  // again, to name the op and the layer
      accumulate(batch);
      throw named("the loss or a gradient is not finite");
    }
  } catch (const Error& e) {
    if (e.id() != ErrorId::nan || std::string_view(e.what()).starts_with("train:")) throw;
    throw named(e.what());
  }
  report.iteration = ++iteration_;
  if (!averaged_.empty()) average();
  report.step_seconds = seconds_since(start);
  return report;
}

/// The average follows the network more closely at first, when it moves fast.
void Trainer::average() {
  const double done = double(iteration_);
  const double kept = std::min(options_.ema, (1 + done) / (10 + done));
  const auto state = averageable();
  for (size_t i = 0; i < averaged_.size(); ++i) {
    Tensor& mean = averaged_[i].tensor;
    mean.assign_(kernels::add(kernels::affine(mean, kept, 0),
                              kernels::affine(state[i].tensor, 1 - kept, 0)));
  }
}

void Trainer::swap_averaged() {
  auto state = averaged_.empty() ? averaged_ : averageable();
  for (size_t i = 0; i < averaged_.size(); ++i) {
    const Tensor kept = state[i].tensor.clone();
    state[i].tensor.assign_(averaged_[i].tensor);
    averaged_[i].tensor.assign_(kept);
  }
}

/// All of a pair, or the quarter in image 0 of which the head expects most.
std::array<Tensor, 2> Trainer::watched_positions(const Tensor& features0, const Pair& pair) const {
  const int64_t all = pair.positions0.dim(0), some = (all + 3) / 4;
  if (!network_->score_head()) return {pair.positions0, pair.positions1};
  const std::vector<float> scores =
      scores_at(score_map(*network_->score_head(), features0), pair.positions0);
  std::vector<int64_t> order(size_t(all), 0);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater{}, [&](int64_t k) { return scores[size_t(k)]; });
  order.resize(size_t(some));
  const Tensor best = Tensor::from({some}, order);
  return {kernels::gather_rows(pair.positions0, best), kernels::gather_rows(pair.positions1, best)};
}

Evaluation Trainer::evaluate(std::span<const Pair> pairs) {
  NoGrad no_grad;
  network_->eval();
  const Averaged averaged(*this);
  const auto features = [&](const Tensor& image) {
    const Tensor one = image.reshape({1, image.dim(0), image.dim(1), image.dim(2)});
    const Tensor f = (*network_)(one.to(device_)).value();
    return f.reshape({f.dim(1), f.dim(2), f.dim(3)});
  };
  Evaluation mean;
  for (const Pair& pair : pairs) {
    const Tensor f0 = features(pair.image0), f1 = features(pair.image1);
    const auto [p0, p1] = watched_positions(f0, pair);
    const HitRatios r = hit_ratios(f0, f1, p0, p1, options_.loss.radius);
    double square = 0;
    for (const double v : kernels::sum(f0, {0, 1}).to_vector()) square += v * v;
    mean.alike += std::sqrt(square) / double(f0.dim(0) * f0.dim(1)) / double(pairs.size());
    mean.hit += r.hit / double(pairs.size());
    mean.reciprocity += r.reciprocity / double(pairs.size());
    mean.reciprocity_hit += r.reciprocity_hit / double(pairs.size());
  }
  return mean;
}

}  // namespace cairn::ucn
