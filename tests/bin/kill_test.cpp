// A training that is stopped in any way and resumed ends in the bytes of one that was not.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tensor/random.h"
#include "tests/bin/command.h"
#include "tests/ucn/some_photos.h"

using namespace cairn;
using namespace cairn::test;

namespace {

constexpr const char* settings =
    "--images photos --iterations 18 --crop 32 --outputs 8"
    " --correspondences 60 --num-pos 20 --num-hn-samples 64 --log-every 1 --out ";

const std::string often = " --checkpoint-every 1";

/// Photos, and a run that nobody disturbs.
struct Undisturbed {
  Folder folder;
  std::string weights;
  int64_t milliseconds = 0;  ///< that it took
  Undisturbed() {
    std::filesystem::create_directories(folder / "photos");
    write_photos(folder / "photos", 3);
    const auto start = std::chrono::steady_clock::now();
    REQUIRE(run(train(std::string(settings) + "undisturbed" + often)).code == 0);
    milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(
                       std::chrono::steady_clock::now() - start)
                       .count();
    weights = contents(folder / "undisturbed/weights.safetensors");
  }
  std::string train(const std::string& arguments) const {
    return "cd '" + folder.path.string() + "'; exec train " + arguments;
  }
  /// The run `out` has ended as it should.
  void check(const std::string& out) const {
    CHECK(contents(folder / (out + "/weights.safetensors")) == weights);
    CHECK(files_ending(folder / out, ".tmp").empty());
    std::istringstream log(contents(folder / (out + "/log.jsonl")));
    int64_t iteration = 0;
    for (std::string line; std::getline(log, line);)
      CHECK(nlohmann::json::parse(line).at("iteration") == ++iteration);
    CHECK(iteration == 18);
  }
};

const Undisturbed& undisturbed() {
  static const Undisturbed u;
  return u;
}

}  // namespace

TEST_CASE("kill -9 at 50 random moments loses no more than the steps since the last checkpoint") {
  const Undisturbed& u = undisturbed();
  Random random(1);
  int killed = 0, finished = 0;
  while (killed < 50) {
    // Everything is given each time, as by someone who presses arrow-up.
    const std::string out = cat("killed-", finished);
    Command train(u.train(std::string(settings) + out + " --resume" + often));
    const auto end = std::chrono::steady_clock::now() +
                     std::chrono::milliseconds(random.below(u.milliseconds / 3));
    train.until([&] { return std::chrono::steady_clock::now() > end; });
    train.send(SIGKILL);
    if (train.wait().code == 128 + SIGKILL)
      ++killed;
    else
      u.check(cat("killed-", finished++));
  }
  CHECK(run(u.train(std::string(settings) + cat("killed-", finished) + " --resume" + often)).code ==
        0);
  u.check(cat("killed-", finished));
}

TEST_CASE("kill -9 while a checkpoint or the weights are being written leaves whole files") {
  const Undisturbed& u = undisturbed();
  int during = 0;
  for (int round = 0; round < 6; ++round) {
    Command train(
        u.train(round == 0 ? std::string(settings) + "torn" + often : "--resume --out torn"));
    // Wait for a step of this process, so that every round moves on.
    const auto size = [&] {
      std::error_code error;
      const auto bytes = std::filesystem::file_size(u.folder / "torn/log.jsonl", error);
      return error ? 0 : bytes;
    };
    const std::string half = round % 2 ? "weights" : "checkpoint";
    train.until([&] { return size() > 0; });
    const auto begun = size();
    train.until([&] { return size() > begun; });
    train.until([&] {
      const auto left = files_ending(u.folder / "torn", ".tmp");
      return std::ranges::any_of(left, [&](const auto& name) { return name.starts_with(half); });
    });
    train.send(SIGKILL);
    train.wait();
    during += !files_ending(u.folder / "torn", ".tmp").empty();
  }
  CHECK(during >= 1);
  CHECK(run(u.train("--resume --out torn")).code == 0);
  u.check("torn");
}

TEST_CASE("Ctrl-C saves and exits cleanly") {
  const Undisturbed& u = undisturbed();
  for (const int signal : {SIGINT, SIGTERM}) {
    const std::string out = signal == SIGINT ? "interrupted" : "terminated";
    Command train(u.train(settings + out + often));
    REQUIRE(train.until([&] {
      std::error_code error;
      return std::filesystem::file_size(u.folder / (out + "/log.jsonl"), error) > 0 && !error;
    }));
    train.send(signal);
    const Finished r = train.wait();
    CHECK(r.code == 0);
    CHECK(r.err == "");
    CHECK(has(r.out, "everything is saved. --resume continues."));
    CHECK(run(u.train("--resume --out " + out)).code == 0);
    u.check(out);
  }
}

TEST_CASE("a run without a checkpoint is begun anew, and two trainings do not share a folder") {
  const Undisturbed& u = undisturbed();
  Command train(u.train(std::string(settings) + "shared --checkpoint-every 1000"));
  REQUIRE(train.until([&] { return std::filesystem::exists(u.folder / "shared/log.jsonl"); }));
  const Finished second = run(u.train("--resume --out shared"));
  CHECK(second.failed_in_one_line(1));
  CHECK(has(second.err, "another training is writing to 'shared'"));
  train.send(SIGKILL);
  train.wait();
  REQUIRE(!std::filesystem::exists(u.folder / "shared/checkpoint-a.safetensors"));
  const Finished r = run(u.train("--resume --out shared" + often));
  CHECK(r.code == 0);
  CHECK(has(r.out, "No checkpoint in shared yet: starting anew."));
  u.check("shared");
}
