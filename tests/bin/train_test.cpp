#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "nn/pth.h"
#include "tensor/file.h"
#include "tests/bin/command.h"
#include "tests/ucn/some_photos.h"
#include "ucn/weights.h"

using namespace cairn;
using namespace cairn::test;

namespace {

constexpr const char* tiny =
    " --crop 32 --outputs 8 --correspondences 60 --num-pos 20 --num-hn-samples 64 --log-every 2";

/// A folder with photos in photos/; train runs in it.
struct Place {
  Folder folder;
  Place() {
    std::filesystem::create_directories(folder / "photos");
    write_photos(folder / "photos", 3);
  }
  std::string line(const std::string& arguments, const std::string& before = "") const {
    return "cd '" + folder.path.string() + "'; " + before + " exec train " + arguments;
  }
  Finished train(const std::string& arguments, const std::string& before = "") const {
    return run(line(arguments, before));
  }
  /// A new run in `out` with the tiny settings.
  Finished fresh(const std::string& out, const std::string& more, const std::string& before = "") {
    return train("--images photos --out " + out + tiny + " " + more, before);
  }
  std::string file(const std::string& name) const { return contents(folder / name); }
  bool exists(const std::string& name) const { return std::filesystem::exists(folder / name); }
};

void cut(const std::string& path) {
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
}

/// Changes one byte in the middle.
void flip(const std::string& path) {
  Bytes bytes = read_file(path);
  bytes[bytes.size() / 2] ^= 1;
  write_file_atomically(path, bytes);
}

}  // namespace

TEST_CASE("train makes weights, checkpoints and a log, and says how far it is") {
  Place p;
  const Finished r = p.fresh("run", "--iterations 4 --checkpoint-every 2");
  CHECK(r.code == 0);
  CHECK(r.err == "");
  for (const char* said : {"4/4", "loss", "hit", "lr", "s/step", "left", "3 photos"}) {
    CAPTURE(said);
    CHECK(has(r.out, said));
  }
  const ucn::Weights w = ucn::load_weights(p.folder / "run/weights.safetensors");
  CHECK(w.network->config().outputs == 8);
  CHECK(w.metadata.at("iterations") == "4");
  CHECK(has(w.metadata.at("data"), "3 photos"));

  std::istringstream log(p.file("run/log.jsonl"));
  std::vector<int64_t> iterations;
  for (std::string line; std::getline(log, line);) {
    const auto j = nlohmann::json::parse(line);
    iterations.push_back(j.at("iteration"));
    for (const char* key : {"loss", "positive", "negative", "lr", "grad_norm", "hit_ratio"})
      CHECK(j.at(key).is_number());
  }
  CHECK(iterations == std::vector<int64_t>{2, 4});
  CHECK(nlohmann::json::parse(p.file("run/config.json")).at("crop") == 32);
  CHECK(files_ending(p.folder / "run", ".tmp").empty());
}

TEST_CASE("the number of threads does not change a bit of the weights, nor a checkpoint more") {
  Place p;
  p.fresh("one", "--iterations 4 --threads 1 --loader-threads 0");
  p.fresh("three", "--iterations 4 --threads 3 --loader-threads 2");
  p.fresh("again", "--iterations 4 --threads 1 --checkpoint-every 1 --seed 1");
  const auto model = [&](const std::string& run) {
    const auto network = ucn::load_weights(p.folder / (run + "/weights.safetensors")).network;
    std::string bytes;
    for (const auto& t : network->state())
      bytes.append(static_cast<const char*>(t.tensor.raw()), size_t(t.tensor.nbytes()));
    return bytes;
  };
  CHECK(model("one") == model("three"));
  CHECK(model("one") != model("again"));  // another seed
}

TEST_CASE("train does not write over a run unless told to continue it") {
  Place p;
  REQUIRE(p.fresh("run", "--iterations 2").code == 0);
  const std::string weights = p.file("run/weights.safetensors"), log = p.file("run/log.jsonl");
  const Finished r = p.fresh("run", "--iterations 2");
  CHECK(r.failed_in_one_line(2));
  CHECK(has(r.err, "holds a training run. Hint: continue it with --resume"));
  CHECK(p.file("run/weights.safetensors") == weights);

  // Continued when it is done already: the same weights again.
  CHECK(p.train("--resume --out run").code == 0);
  CHECK(p.file("run/weights.safetensors") == weights);
  CHECK(p.file("run/log.jsonl") == log);
  // More iterations are more of the same run; other settings are not.
  const Finished other = p.train("--resume --out run --lr 0.5");
  CHECK(other.failed_in_one_line(2));
  CHECK(has(other.err, "lr: 0.001, not 0.5"));
  CHECK(p.train("--resume --out run --iterations 3").code == 0);
  CHECK(ucn::load_weights(p.folder / "run/weights.safetensors").metadata.at("iterations") == "3");
  // The folder may move, but not change.
  std::filesystem::rename(p.folder / "photos", p.folder / "moved");
  CHECK(p.train("--resume --out run --images moved").code == 0);
  std::filesystem::remove(p.folder / "moved/photo-2.png");
  const Finished fewer = p.train("--resume --out run --images moved");
  CHECK(fewer.failed_in_one_line(2));
  CHECK(has(fewer.err, "3 photos or pairs, not 2"));
}

TEST_CASE("a damaged checkpoint is passed over for the one before; without any the run stays") {
  Place p;
  REQUIRE(p.fresh("whole", "--iterations 6 --checkpoint-every 2").code == 0);
  const std::string weights = p.file("whole/weights.safetensors");
  // Steps 2, 4, 6 went to a, b, a. The newest goes back to step 4.
  for (const auto damage : {cut, flip}) {
    std::filesystem::copy(p.folder / "whole", p.folder / "run");
    damage(p.folder / "run/checkpoint-a.safetensors");
    const Finished r = p.train("--resume --out run");
    CHECK(r.failed_in_one_line(0));  // one line, but done
    CHECK(has(r.err, "run/checkpoint-a.safetensors"));
    CHECK(has(r.out, "Resuming after step 4."));
    CHECK(p.file("run/weights.safetensors") == weights);
    std::filesystem::remove_all(p.folder / "run");
  }
  cut(p.folder / "whole/checkpoint-a.safetensors");
  flip(p.folder / "whole/checkpoint-b.safetensors");
  const std::string b = p.file("whole/checkpoint-b.safetensors");
  const Finished r = p.train("--resume --out whole");
  CAPTURE(r.err);
  CHECK(r.failed_in_one_line(1));
  CHECK(has(r.err, "checkpoint-a.safetensors"));
  CHECK(has(r.err, "checkpoint-b.safetensors"));
  CHECK(p.file("whole/checkpoint-b.safetensors") == b);
  CHECK(p.file("whole/weights.safetensors") == weights);

  write_file_atomically(p.folder / "whole/config.json", "{\"lr\": ");
  CHECK(has(p.train("--resume --out whole").err, "whole/config.json"));
}

TEST_CASE("settings come from a preset, a file and the flags, in that order; flags contradict") {
  Place p;
  write_file_atomically(p.folder / "c.json",
                        std::string_view("{\"lr\": 0.02, \"weight_decay\": 0.5}"));
  REQUIRE(p.fresh("run",
                  "--preset reference --model ResUNetBN2F --config c.json --lr 0.03 "
                  "--iterations 2")
              .code == 0);
  const auto j = nlohmann::json::parse(p.file("run/config.json"));
  CHECK(j["optimizer"] == "sgd");
  CHECK(j["weight_decay"] == 0.5);
  CHECK(j["lr"] == 0.03);
  CHECK(j["log_every"] == 2);
  // A rate that ends the run at once, with its settings written.
  CHECK(p.fresh("epochs",
                "--batch-size 1 --save-freq-epoch 10 --max-epoch 30 --train-max-iter 200 "
                "--val-epoch-freq 20 "
                "--no-batch-negatives --lr 1e30 --use-color true "
                "--normalize-feature false --use-ratio-test true --scheduler ExpLR --optimizer SGD")
            .code == 1);
  const auto epochs = nlohmann::json::parse(p.file("epochs/config.json"));
  CHECK(epochs["iterations"] == 6000);
  CHECK(epochs["val_every"] == 4000);
  CHECK(epochs["checkpoint_every"] == 2000);
  CHECK(epochs["batch_negatives"] == false);
  CHECK(epochs["inputs"] == 3);
  CHECK(epochs["normalize"] == false);
  CHECK(epochs["yfcc_ratio"] == 0.75);
  CHECK(epochs["schedule"] == "exponential");
  CHECK(epochs["optimizer"] == "sgd");
  for (const char* line :
       {"--max-epoch 1 --iterations 5 --out new", "--limit-memory 1 --out new --crop 32",
        "--limit-memory -1 --out new", "--resume --preset reference", "--resume --init x",
        "--init x --model y", "--resume --config c.json", "--preset mine"})
    CHECK(p.train("--images photos " + std::string(line) + (has(line, "--out") ? "" : " --out run"))
              .failed_in_one_line(2));
  CHECK(!p.exists("new"));
  CHECK(has(p.train("--out run --resume --init x").err,
            "contradict each other: the run has weights"));
}

TEST_CASE("weights are begun with; a checkpoint of Open-UCN's is taken up") {
  Place p;
  REQUIRE(p.fresh("run", "--iterations 2").code == 0);
  const Finished more = p.train(
      "--images photos --init run/weights.safetensors --out more "
      "--crop 32 --iterations 1 --lr 1e-9 --schedule constant");
  CHECK(more.code == 0);
  CHECK(has(more.out, "8 outputs"));  // as in the file
  REQUIRE(run("cd '" + p.folder.path.string() + "'; convert run/weights.safetensors w.pth").code ==
          0);
  auto pth = nn::load_pth(p.folder / "w.pth");
  for (auto& t : pth.tensors) t.name = t.name.substr(t.name.find('.') + 1);
  pth.metadata["epoch"] = "3";
  pth.metadata["scheduler.gamma"] = "0.5";
  pth.metadata["scheduler.base_lrs"] = "0.25";
  nn::save_pth(p.folder / "epoch.pth", pth);
  const Finished taken = p.train(
      "--images photos --resume epoch.pth --out taken --crop 32 "
      "--iterations 6001 --num-pos 20 --correspondences 60");
  CHECK(taken.code == 0);
  CHECK(has(taken.out, "Going on from epoch.pth after step 6000."));
  CHECK(has(taken.out, "6001/6001"));
  CHECK(nlohmann::json::parse(p.file("taken/config.json"))["optimizer"] == "sgd");
  CHECK(p.train("--out taken --resume --iterations 6002").code == 0);
  CHECK(p.train("--images photos --resume w.pth --out third").failed_in_one_line(1));  // no epoch
}

TEST_CASE("a network that tells nothing apart, and a loss that has no gradient, are named once") {
  Place p;
  // Weights whose features are the same everywhere: the last layer has its bias alone.
  REQUIRE(p.fresh("run", "--iterations 1").code == 0);
  auto weights = nn::load_safetensors(p.folder / "run/weights.safetensors");
  for (auto& t : weights.tensors) {
    if (t.name == "final.weight") t.tensor = Tensor::zeros(t.tensor.shape());
    if (t.name == "final.bias") t.tensor = Tensor::full(t.tensor.shape(), 1.f);
  }
  nn::save_safetensors(p.folder / "same.safetensors", weights);
  const std::string line =
      "--images photos --crop 32 --iterations 4 --log-every 1 --num-pos 20 "
      "--num-hn-samples 64 --init same.safetensors --schedule constant";
  const Finished same = p.train(line + " --out a --lr 1e-30");
  CHECK(same.code == 0);
  CHECK(has(same.err, "train: step 1: all features are alike; "));
  CHECK(std::ranges::count(same.err, '\n') == 1);
  const Finished dead = p.train(line + " --out b --pos-thresh 5 --neg-thresh 0");
  CHECK(has(dead.err, "every gradient is 0"));
}

TEST_CASE("weights without a checkpoint are neither trained over nor begun anew") {
  Place p;
  REQUIRE(p.fresh("run", "--iterations 2").code == 0);
  std::filesystem::remove(p.folder / "run/checkpoint-a.safetensors");
  const std::string weights = p.file("run/weights.safetensors");
  const Finished r = p.train("--resume --out run");
  CHECK(r.failed_in_one_line(2));
  CHECK(has(r.err, "holds weights, but no checkpoint to continue from"));
  CHECK(p.fresh("run", "--iterations 2").failed_in_one_line(2));
  CHECK(p.file("run/weights.safetensors") == weights);
}

TEST_CASE("held-out scenes are validated on, the best weights kept, the curves drawn") {
  Place p;
  const Finished r = p.fresh("run", "--iterations 4 --held-out 0.34 --val-every 2 --ema 0.9");
  CHECK(r.code == 0);
  CHECK(has(r.out, "       2  held out: hit "));
  CHECK(has(r.out, "  (the best so far)"));
  CHECK(has(r.out, "For a model card: ResUNetBN2F, 8 outputs, 4 steps"));
  const auto best = ucn::load_weights(p.folder / "run/best.safetensors");
  CHECK(best.metadata.contains("hit_ratio"));
  int64_t validations = 0;
  std::istringstream log(p.file("run/log.jsonl"));
  for (std::string line; std::getline(log, line);)
    validations += nlohmann::json::parse(line).contains("val_hit_ratio");
  CHECK(validations == 2);
  CHECK(has(p.file("run/curves.svg"), ">held out<"));
  CHECK(has(p.file("run/events.out.tfevents.cairn"), "val/hit_ratio"));
}

TEST_CASE("broken photos are named and counted, and the rest is trained on") {
  Place p;
  write_file_atomically(p.folder / "photos/empty.png", "");
  write_file_atomically(p.folder / "photos/page.jpg", "<html>");
  write_png(p.folder / "photos/tiny.png", some_photo(3, 5, 0));
  const Finished r = p.fresh("run", "--iterations 8");
  CHECK(r.code == 0);
  for (const char* name : {"empty.png", "page.jpg", "tiny.png", "(3 so far)"}) {
    CAPTURE(name);
    CHECK(has(r.err, name));
  }
  CHECK(std::ranges::count(r.err, '\n') == 3);
}

TEST_CASE("train says in one line why it cannot begin, and leaves nothing behind") {
  Place p;
  std::filesystem::create_directories(p.folder / "empty");
  std::filesystem::create_directories(p.folder / "broken");
  write_file_atomically(p.folder / "broken/a.jpg", "no image");
  for (const std::string images : {"missing", "empty", "broken", "photos/photo-0.png"}) {
    const Finished r = p.train("--out run --images " + images);
    CAPTURE(r.err);
    CHECK(r.failed_in_one_line(1));
    CHECK(has(r.err, "'" + images + "'"));
  }
  for (const std::string out : {"/proc/nothing", "photos/photo-0.png", "photos/photo-0.png/run"}) {
    const Finished r = p.train("--images photos --out " + out);
    CAPTURE(r.err);
    CHECK(r.failed_in_one_line(1));
    CHECK(has(r.err, "'" + out + "'"));
  }
  const std::pair<const char*, const char*> usage[] = {
      {"--out run", "--images"},
      {"--images photos", "--out"},
      {"--out run --resume", "holds no run"},
      {"--out run --images photos --model VGG", "'VGG'"},
      {"--out run --images photos --lr nan", "lr must be positive"},
      {"--out run --images photos --lr", "--lr"},
      {"--out run --images photos --iterations 0", "iterations"},
      {"--out run --images photos --crop 8", "crop"},
      {"--out run --images photos --batch -1", "batch"},
      {"--out run --images photos --warmup -1", "warmup"},
      {"--out run --images photos --seed -1", "seed"},
      {"--out run --images photos --loader-threads 100000", "loader_threads"},
      {"--out run --images photos --optimizer lion", "'lion'"},
      {"--out run --images photos --device tpu", "tpu"}};
  for (const auto& u : usage) {
    CAPTURE(u.first);
    const Finished r = p.train(u.first);
    CAPTURE(r.err);
    CHECK(r.failed_in_one_line(2));
    CHECK(has(r.err, u.second));
  }
  CHECK(!p.exists("run"));
}

TEST_CASE("a loss that is not finite ends the run by name; what was saved stays") {
  Place p;
  const Finished r = p.fresh("run", "--iterations 9 --lr 1e30 --seed 5 --checkpoint-every 1");
  CAPTURE(r.err);
  CHECK(r.failed_in_one_line(1));
  CHECK(has(r.err, "train: step 2 of seed 5: "));
  CHECK(has(r.err, " in layer "));
  CHECK(p.exists("run/checkpoint-a.safetensors"));
}

TEST_CASE("a full disk ends the run in one line; the checkpoint before stays whole") {
  Place p;
  REQUIRE(p.fresh("run", "--iterations 2").code == 0);
  const std::string a = p.file("run/checkpoint-a.safetensors"),
                    weights = p.file("run/weights.safetensors");
  const Finished r = p.train("--resume --out run --iterations 4", "ulimit -f 2000;");
  CAPTURE(r.err);
  CHECK(r.failed_in_one_line(1));
  CHECK(has(r.err, "cannot write 'run/checkpoint-b.safetensors'"));
  CHECK(p.file("run/checkpoint-a.safetensors") == a);
  CHECK(p.file("run/weights.safetensors") == weights);
  CHECK(files_ending(p.folder / "run", ".tmp").empty());
}

TEST_CASE("with --on-disk-full continue a run goes on, and saves when there is room again") {
  Place p;
  REQUIRE(p.fresh("run", "--iterations 2").code == 0);
  const std::string a = p.file("run/checkpoint-a.safetensors");
  const std::string line = "--resume --out run --iterations 6 --checkpoint-every 1";
  const Finished r = p.train(line + " --on-disk-full continue", "ulimit -f 2000;");
  CHECK(r.code == 1);  // the last one cannot be put off
  CHECK(has(r.err, "step 3: "));
  CHECK(has(r.err, "; the run goes on"));
  CHECK(has(r.err, "step 5: "));
  CHECK(p.file("run/checkpoint-a.safetensors") == a);
  CHECK(p.train(line).code == 0);
  std::istringstream log(p.file("run/log.jsonl"));
  int64_t iteration = 0;
  for (std::string text; std::getline(log, text);)
    CHECK(nlohmann::json::parse(text).at("iteration") == (iteration += 2));
  CHECK(iteration == 6);
}
