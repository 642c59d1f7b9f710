#include "ucn/trainer.h"

#include <doctest/doctest.h>
#include <fstream>

#include "nn/safetensors.h"
#include "tensor/parallel.h"
#include "tests/ucn/tiny_training.h"
#include "ucn/event_file.h"
#include "ucn/run_folder.h"
#include "ucn/run_log.h"

using namespace cairn;
using namespace cairn::test;
using namespace cairn::ucn;

namespace {

std::string contents(const std::string& path) {
  const Bytes bytes = read_file(path);
  return {bytes.begin(), bytes.end()};
}

/// The same pair every time.
struct OnePair : PairSource {
  Pair pair;
  OnePair() {
    Random random(2);
    pair = source().get(0, random);
  }
  int64_t size() const override { return 1; }
  Pair get(int64_t, Random&) const override { return pair; }
  std::string description() const override { return "one pair"; }
};

}  // namespace

TEST_CASE("a step is a function of the settings and its number") {
  Trainer a(tiny(), source()), b(tiny(), source());
  const int threads = num_threads();
  for (int i = 0; i < 3; ++i) {
    set_num_threads(1);
    const StepReport ra = a.step();
    set_num_threads(3);
    const StepReport rb = b.step();
    CHECK(ra.iteration == i + 1);
    CHECK(ra.loss == rb.loss);
    CHECK(ra.grad_norm == rb.grad_norm);
    CHECK(std::isfinite(ra.loss));
    CHECK(same(a, b));
  }
  set_num_threads(threads);
  TrainOptions other = tiny();
  other.seed = 1;
  Trainer c(other, source());
  for (int i = 0; i < 3; ++i) c.step();
  CHECK(!same(a, c));
}

TEST_CASE("recomputing activations changes memory, not a bit of the result") {
  TrainOptions o = tiny(64);
  Trainer kept(o, source<64>());
  o.recompute = true;
  Trainer again(o, source<64>());
  const auto peak = [](Trainer& t) {
    const int64_t before = memory_stats(Device::cpu).live;
    reset_peak_memory(Device::cpu);
    const double loss = t.step().loss;
    return std::pair(loss, memory_stats(Device::cpu).peak - before);
  };
  for (int i = 0; i < 2; ++i) {
    const auto [loss, memory] = peak(kept);
    const auto [loss_again, memory_again] = peak(again);
    CHECK(loss == loss_again);
    CHECK(double(memory_again) < 0.7 * double(memory));
    CHECK(same(kept, again));  // running statistics and the number of batches too
  }
}

TEST_CASE("training lowers the loss") {
  const OnePair one;
  TrainOptions o = tiny();
  o.loss.num_hn_samples = 16;
  Trainer t(o, one);
  const double first = t.step().loss;
  double last = first;
  for (int i = 0; i < 20; ++i) last = t.step().loss;
  CHECK(last < 0.85 * first);
}

TEST_CASE("a resumed run continues bit for bit, with every optimiser") {
  for (const char* optimizer : {"adamw", "sgd"}) {
    CAPTURE(optimizer);
    const Folder folder;
    TrainOptions o = tiny();
    o.optimizer = optimizer;
    o.iter_size = 2;
    Trainer whole(o, source());
    for (int i = 0; i < 3; ++i) whole.step();
    {
      Trainer first(o, source());
      for (int i = 0; i < 2; ++i) first.step();
      first.save(folder.path);
    }
    Trainer second(o, source());
    CHECK(second.resume(folder.path).found);
    CHECK(second.iteration() == 2);
    second.step();
    CHECK(same(whole, second));
  }
}

TEST_CASE("checkpoints alternate; a damaged one is named and the one before used") {
  const Folder folder;
  Trainer t(tiny(), source());
  CHECK(!has_checkpoint(folder.path));
  for (int i = 0; i < 3; ++i) {
    t.step();
    t.save(folder.path);
  }
  CHECK(has_checkpoint(folder.path));
  const std::string newest = folder / "checkpoint-a.safetensors";  // steps 1, 2, 3: a, b, a
  const Bytes whole = read_file(newest);
  const auto resumed_with = [&](const Bytes& bytes) {
    write_file_atomically(newest, bytes);
    Trainer again(tiny(), source());
    const auto r = again.resume(folder.path);
    CHECK(r.found);
    return std::pair(again.iteration(), r.damaged.size() ? r.damaged[0] : "");
  };
  CHECK(resumed_with(whole) == std::pair(int64_t(3), std::string()));
  const auto damaged = [&](const Bytes& bytes) {
    const auto resumed = resumed_with(bytes);
    CAPTURE(resumed.second);
    CHECK(resumed.first == 2);
    CHECK(has(resumed.second, newest));
  };
  damaged({});
  damaged(Bytes(whole.begin(), whole.end() - 1));
  // One bit, anywhere: in the data, a name, a setting, the number of steps.
  Random random(1);
  const std::string text(whole.begin(), whole.end());
  std::vector<size_t> places = {text.find("\"iteration\":\"") + 13, text.find("0.001") + 4,
                                text.find("blocks2.0"), whole.size() - 1};
  for (int i = 0; i < 4; ++i) places.push_back(size_t(random.below(int64_t(whole.size()))));
  for (const size_t place : places) {
    CAPTURE(place);
    Bytes bytes = whole;
    bytes[place] ^= 1;
    damaged(bytes);
  }
}

TEST_CASE("a run without an intact checkpoint is not thrown away") {
  const Folder folder;
  Trainer t(tiny(), source());
  CHECK(!t.resume(folder.path).found);  // nothing there: begin anew
  write_file_atomically(folder / "checkpoint-a.safetensors", "half");
  const std::string error = full_error_of([&] { t.resume(folder.path); });
  CHECK(error.starts_with("format: resume: no checkpoint can be used: "));
  CHECK(has(error, "checkpoint-a.safetensors"));
}

TEST_CASE("other settings and other photos are refused by name") {
  const Folder folder;
  Trainer t(tiny(), source());
  t.save(folder.path);
  TrainOptions o = tiny();
  o.lr = 0.5;
  CHECK(full_error_of([&] { Trainer(o, source()).resume(folder.path); }) ==
        "usage: resume: the run was made with lr: 0.001, not 0.5");
  CHECK(full_error_of([&] { Trainer(tiny(), OnePair()).resume(folder.path); }) ==
        "usage: resume: the run was made with 3 photos or pairs, not 1");
  o = tiny();
  o.iterations = 1000;
  o.images = "moved";
  CHECK(Trainer(o, source()).resume(folder.path).found);
}

TEST_CASE("a loss that is not finite names the op, the layer, the step and the seed") {
  TrainOptions o = tiny();
  o.seed = 7;
  o.lr = 1e30;
  o.schedule = "constant";
  for (const bool anomaly : {false, true}) {
    o.anomaly = anomaly;
    Trainer t(o, source());
    t.step();
    const auto before = nn::export_state(t.network());
    const std::string error = full_error_of([&] { t.step(); });
    CAPTURE(error);
    CHECK(error.starts_with("nan: train: step 2 of seed 7: conv2d: "));
    CHECK(has(error, " in layer "));
    CHECK(t.iteration() == 1);
    for (size_t i = 0; i < before.size(); ++i)
      if (!has(before[i].name, "running") && !has(before[i].name, "num_batches"))
        CHECK(same_bits(before[i].tensor, nn::export_state(t.network())[i].tensor));
  }
  OnePair broken;
  broken.pair.image0 = Tensor::full(broken.pair.image0.shape(), NAN);
  Trainer t(tiny(), broken);
  const std::string error = full_error_of([&] { t.step(); });
  CAPTURE(error);
  CHECK(error.starts_with("nan: train: step 1 of seed 0: "));
}

TEST_CASE("looking how well features match leaves the run as it is") {
  Trainer a(tiny(), source()), b(tiny(), source());
  Random random(4);
  const Pair pair = source().get(1, random);
  const Evaluation h = a.evaluate(std::span(&pair, 1));
  CHECK(h.alike > 0);
  CHECK(h.alike <= 1.0001);
  CHECK(h.hit >= 0);
  CHECK(h.hit <= 1);
  CHECK(same(a, b));
  CHECK(a.step().loss == b.step().loss);
}

TEST_CASE("weights are saved with each checkpoint and say what made them") {
  const Folder folder;
  TrainOptions o = tiny();
  Trainer t(o, source());
  t.step();
  t.save(folder.path);
  const Weights w = load_weights(folder / "weights.safetensors");
  CHECK(w.metadata.at("iterations") == "1");
  CHECK(w.metadata.at("recipe") == to_json(o));
  CHECK(w.metadata.at("data") == source().description());
  CHECK(same_bits(w.network->state()[0].tensor, t.network().state()[0].tensor));
}

TEST_CASE("loss = score trains the head alone, on weights with or without one") {
  const Folder folder;
  Trainer before(tiny(), source());
  before.step();
  before.save(folder.path);
  const auto weights = nn::load_safetensors(folder / "weights.safetensors");
  TrainOptions o = tiny();
  o.loss_name = "score";
  o.lr = 0.01;
  Trainer t(o, source());
  t.begin_with(weights, "w");
  const auto start = nn::export_state(t.network());
  const double first = t.step().loss;
  double last = 0;
  for (int k = 0; k < 60; ++k) last = t.step().loss;
  CHECK(last < first);
  int changed = 0;
  for (const auto& [its_name, tensor] : nn::export_state(t.network())) {
    const std::string name = its_name;
    CAPTURE(name);
    const auto old = std::ranges::find(start, name, &nn::NamedTensor::name)->tensor;
    if (has(name, "score."))
      changed += !same_bits(tensor, old);
    else
      CHECK(same_bits(tensor, old));
  }
  CHECK(changed == 6);
  t.save(folder.path);
  const auto scored = nn::load_safetensors(folder / "weights.safetensors");
  CHECK(scored.metadata.at("score_head") == "true");
  CHECK(load_weights(folder / "weights.safetensors").network->score_head());
  Trainer on(o, source());
  on.begin_with(scored, "w");
  CHECK(same_bits(nn::export_state(on.network()).back().tensor, scored.tensors.back().tensor));
  Trainer features(tiny(), source());  // whose features will change, and so leave the head behind
  features.begin_with(scored, "w");
  CHECK(!features.network().score_head());
}

TEST_CASE("loss = distill learns a teacher's features, and begins with the layers they share") {
  const Folder folder;
  TrainOptions o = tiny();
  o.model.image_statistics = true;
  Trainer teacher(o, source());
  for (int k = 0; k < 5; ++k) teacher.step();
  teacher.save(folder.path);
  const auto layer = [](Trainer& t, const char* name) {
    const auto state = nn::export_state(t.network());
    return std::ranges::find(state, name, &nn::NamedTensor::name)->tensor;
  };
  o.loss_name = "distill";
  o.teacher = folder / "weights.safetensors";
  Trainer twin(o, source());
  CHECK(twin.step().loss < 1e-6);

  o.model.model = "ResUNetSlim";
  Trainer student(o, source());
  CHECK(same_bits(layer(student, "conv4.weight"), layer(teacher, "conv4.weight")));
  CHECK(same_bits(layer(student, "blocks4.0.bn1.weight"), layer(teacher, "blocks4.0.bn1.weight")));
  CHECK(layer(student, "conv2_tr.weight").numel() < layer(teacher, "conv2_tr.weight").numel());
  const double first = student.step().loss;
  double last = 0;
  for (int k = 0; k < 39; ++k) last = student.step().loss;
  CHECK(first > 0.05);
  CHECK(last < 0.5 * first);

  const Folder run;
  student.save(run.path);
  Trainer later(o, source());
  CHECK(later.resume(run.path).found);
  CHECK(same(later, student));
  teacher.step();
  teacher.save(folder.path);  // another teacher in the same place
  Trainer misled(o, source());
  CHECK(has(full_error_of([&] { misled.resume(run.path); }), "another teacher"));

  TrainOptions wrong = o;
  wrong.model.outputs = 7;
  CHECK(has(full_error_of([&] { Trainer(wrong, source()); }), "--outputs 8"));
  wrong = o;
  wrong.model.normalize = false;
  CHECK(has(full_error_of([&] { Trainer(wrong, source()); }), "unit length"));
  for (const char* loss : {"distill", "infonce"}) {
    wrong = o;
    wrong.loss_name = loss;
    if (wrong.loss_name == "distill") wrong.teacher.clear();
    CHECK(has(full_error_of([&] { Trainer(wrong, source()); }), "go together"));
  }
}

TEST_CASE("averaged weights are what is validated and saved, and are resumed bit for bit") {
  const Folder folder;
  TrainOptions o = tiny();
  o.ema = 0.9;
  Trainer t(o, source());
  std::vector<double> expected;  // the average of one parameter, by hand
  const auto first = [&] { return t.network().parameters()[0].var.value().to_vector(); };
  expected = first();
  for (int step = 1; step <= 3; ++step) {
    t.step();
    const double kept = std::min(0.9, (1.0 + step) / (10.0 + step));
    const auto now = first();
    for (size_t i = 0; i < now.size(); ++i) expected[i] = kept * expected[i] + (1 - kept) * now[i];
  }
  const auto trained = first();
  t.save(folder.path);
  CHECK(first() == trained);  // which goes on from where it was
  CHECK(full_error_of([&] { t.save(folder / "absent"); }).starts_with("io: "));
  CHECK(full_error_of([&] { t.keep_best(folder / "absent", {.hit = 1}); }).starts_with("io: "));
  CHECK(first() == trained);
  CHECK(t.best_hit_ratio() < 0);
  const Weights w = load_weights(folder / "weights.safetensors");
  const auto saved = w.network->parameters()[0].var.value().to_vector();
  for (size_t i = 0; i < saved.size(); ++i) CHECK(std::fabs(saved[i] - expected[i]) <= 1e-6);
  Trainer again(o, source());
  CHECK(again.resume(folder.path).found);
  t.step();
  again.step();
  t.save(folder.path);
  const auto one = contents(folder / "weights.safetensors");
  again.save(folder.path);
  CHECK(contents(folder / "weights.safetensors") == one);
}

TEST_CASE("the best weights of all validations are kept, also by a resumed run") {
  const Folder folder;
  Trainer t(tiny(), source());
  t.step();
  t.keep_best(folder.path, {.hit = 0.5});
  CHECK(load_weights(folder / "best.safetensors").metadata.at("hit_ratio") == "0.5");
  t.step();
  t.keep_best(folder.path, {.hit = 0.4});
  CHECK(load_weights(folder / "best.safetensors").metadata.at("iterations") == "1");
  t.save(folder.path);
  Trainer again(tiny(), source());
  again.resume(folder.path);
  CHECK(again.best_hit_ratio() == 0.5);
  again.keep_best(folder.path, {.hit = 0.6});
  CHECK(load_weights(folder / "best.safetensors").metadata.at("iterations") == "2");
}

TEST_CASE("event files are TensorBoard's, byte for byte") {
  const auto hex = [](const std::string& bytes) {
    std::string text;
    for (const char c : bytes) {
      char two[3];
      std::snprintf(two, sizeof two, "%02x", unsigned(uint8_t(c)));
      text += two;
    }
    return text;
  };
  // As tensorboard 2.20's own writer writes them.
  CHECK(hex(event_file_header(1234.5)) ==
        "1800000000000000a37f4b220900000000004a93401a0d627261696e2e4576656e743a3265b8d3fb");
  CHECK(hex(event_record(1234.5, 300, {{"train/loss", 0.5}, {"val/hit_ratio", 0.25}})) ==
        "3700000000000000e7e8ca590900000000004a934010ac022a290a110a0a747261696e2f6c6f7373150000003f"
        "0a140a0d76616c2f6869745f726174696f150000803e8b136e7b");
}

TEST_CASE("curves show every kind of value that there is, and none that is not finite") {
  std::vector<LogLine> lines;
  for (int64_t i = 1; i <= 5; ++i)
    lines.push_back({i, {{"loss", i == 3 ? NAN : 1.0 / double(i)}, {"val_hit_ratio", 0.1}}});
  const std::string svg = draw_curves(lines);
  CHECK(has(svg, ">loss<"));
  CHECK(has(svg, ">hit ratio<"));
  CHECK(!has(svg, ">learning rate<"));
  CHECK(!has(svg, "nan"));
  CHECK(!has(svg, "inf"));
  const size_t curve = svg.find("<polyline");
  CHECK(std::count(svg.begin() + std::ptrdiff_t(curve),
                   svg.begin() + std::ptrdiff_t(svg.find("/>", curve)), ',') == 4);
  CHECK(draw_curves({}).ends_with("</svg>\n"));
}

TEST_CASE("the log of a resumed run has each line once") {
  const Folder folder;
  const std::string path = folder / "log.jsonl";
  {
    RunLog log(folder.path, 0);
    for (int64_t i = 1; i <= 4; ++i) log.write(i, {{"loss", 1.0 / double(i)}});
  }
  std::ofstream(path, std::ios::app) << "{\"iteration\": 5, \"lo";  // killed while writing
  {
    RunLog log(folder.path, 2);
    log.write(3, {{"loss", NAN}});
  }
  const Bytes bytes = read_file(path);
  CHECK(std::string(bytes.begin(), bytes.end()) ==
        "{\"iteration\":1,\"loss\":1.0}\n{\"iteration\":2,\"loss\":0.5}\n"
        "{\"iteration\":3,\"loss\":null}\n");
  std::string events = event_file_header(0);
  for (const auto& [step, loss] : {std::pair(1, 1.0), {2, 0.5}, {3, double(NAN)}})
    events += event_record(0, step, {{"train/loss", loss}});
  CHECK(contents(folder / "events.out.tfevents.cairn") == events);
  CHECK(has(full_error_of([&] { RunLog(folder / "no", 0); }), "no/log.jsonl"));
}

TEST_CASE("a run's folder is made, held by one, and swept of what a killed run left") {
  const Folder folder;
  const std::string path = folder / "deep/run";
  {
    const RunFolder held(path);
    CHECK(has(full_error_of([&] { RunFolder second(path); }), "another training is writing to"));
  }
  for (const char* name : {"weights.safetensors.12-0.tmp", "checkpoint-a.safetensors.12-1.tmp",
                           "notes.tmp", "weights.safetensors"})
    write_file_atomically(path + "/" + name, "x");
  const RunFolder again(path);
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path))
    names.push_back(entry.path().filename());
  std::ranges::sort(names);
  CHECK(names == std::vector<std::string>{"notes.tmp", "weights.safetensors"});
  CHECK(has(full_error_of([&] { RunFolder below(path + "/notes.tmp/x"); }),
            "cannot make the folder"));
  CHECK(has(full_error_of([&] { RunFolder file(path + "/notes.tmp"); }), "cannot make the folder"));
}
