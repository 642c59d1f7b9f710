// What the programs say and draw, and to whom.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/bin/match_bench.h"
#include "ucn/match_files.h"

using namespace cairn;
using namespace cairn::test;
using nlohmann::json;

TEST_CASE("match --draw: each picture a file of its own, with a legend") {
  const Bench b;
  const Finished r =
      b.match("a.png b.png --draw points,lines,density,overlay,checkerboard,features");
  CAPTURE(r.err);
  REQUIRE(r.code == 0);
  for (const char* name : {"matches", "lines", "density", "features"}) {
    CAPTURE(name);
    const Image picture = read_image(b.folder / cat("out/", name, ".png"));
    CHECK(has(r.out, cat("out/", name, ".png\n")));
    if (std::string(name) != "features") CHECK(picture.width() == 2 * 480 + 4);
    CHECK(picture.height() > (std::string(name) == "features" ? 60 : 343));
  }
  for (const char* name : {"overlay", "checkerboard"})
    CHECK(read_image(b.folder / cat("out/", name, ".png")).width() == 480);

  // Other photos: no homography fits, and the picture of the others goes.
  write_png(b.folder / "c.png", some_photo(60, 84, 7));
  const Finished other = b.match("a.png c.png --support 0 --draw overlay");
  CHECK(other.code == 0);
  CHECK(has(other.out, "overlay                  not drawn: no homography fits\n"));
  CHECK(!std::filesystem::exists(b.folder / "out/overlay.png"));
  CHECK(!has(other.out, "overlay.png"));

  std::filesystem::remove_all(b.folder / "out");
  CHECK(b.match("a.png b.png --draw none").code == 0);
  CHECK(files_ending(b.folder / "out", ".png").empty());
  for (const char* bad : {"points,circles", "none,lines"})
    CHECK(b.match(cat("a.png b.png --draw ", bad)).failed_in_one_line(2));
  const std::string twice = b.match("a.png b.png --draw points,points").out;
  CHECK(twice.find("matches.png") == twice.rfind("matches.png"));
  CHECK(json::parse(b.match("a.png c.png --support 0 --draw overlay --json").out)["not_drawn"] ==
        json{"overlay"});
}

TEST_CASE("--json says the same to programs, --quiet nothing") {
  const Bench b;
  const Finished r = b.match("a.png b.png --json --verify homography");
  REQUIRE(r.code == 0);
  const json j = json::parse(r.out);
  const ucn::MatchFile file = ucn::read_matches(b.folder / "out/matches.csv");
  CHECK(j["matches"] == file.matches.size());
  CHECK(j["left_after"]["support"] == file.matches.size());
  CHECK(j["inliers"] == file.matches.size());
  CHECK(j["geometry"] == "homography");
  CHECK(j["matrix"].size() == 9);
  CHECK(j["a"]["path"] == "a.png");
  CHECK(j["a"]["width"] == 84);
  CHECK(j["files"] == json{"out/matches.csv", "out/matches.png"});
  CHECK(j["seconds"].contains("matching"));
  CHECK(!json::parse(b.match("a.png b.png --json --verify none").out).contains("same_scene"));

  const Finished quiet = b.match("a.png b.png --quiet");
  CHECK(quiet.code == 0);
  CHECK(quiet.out == "");
  CHECK(quiet.err == "");
  CHECK(b.match("absent.png b.png --quiet").failed_in_one_line(1));

  std::filesystem::create_directories(b.folder / "photos");
  for (const char* name : {"a.png", "b.png"})
    std::filesystem::copy_file(b.folder / name, b.folder / cat("photos/", name));
  b.write("photos/broken.png", {1, 2, 3});
  const std::string folder =
      "cd '" + b.folder.path.string() +
      "'; exec match --folder photos --out all --weights weights.safetensors "
      "--keypoints corners ";
  const json all = json::parse(run(folder + "--json --report all/page.html").out);
  CHECK(all["photos"] == 3);
  CHECK(all["matched_pairs"] == 1);
  REQUIRE(all["unreadable"].size() == 1);
  CHECK(has(all["unreadable"][0]["why"].get<std::string>(), "broken.png"));
  CHECK(all["files"] == json{"all/pairs.csv", "all/database.db", "all/page.html"});
  CHECK(json::parse(run(folder + "--json --shard 1/2").out)["part"] == "1/2");
  const Finished silent = run(folder + "--quiet");
  CHECK(silent.code == 0);
  CHECK(silent.out == "");
  CHECK(has(silent.err, "broken.png"));
  CHECK(run(folder + "--draw lines").failed_in_one_line(2));
  CHECK(b.match("a.png b.png --quiet --json").failed_in_one_line(2));
  CHECK(b.match("a.png b.png --explain --json").failed_in_one_line(2));
}

TEST_CASE("the help fits a terminal and names the defaults; the version is the project's") {
  for (const std::string program : {"match", "train", "eval"}) {
    const Finished r = run("exec " + program + " --help");  // eval is the shell's too
    CHECK(r.code == 0);
    CHECK(r.err == "");
    CHECK(has(r.out, "Usage: " + program));
    std::istringstream lines(r.out);
    int in_group = 0;
    for (std::string line; std::getline(lines, line); ++in_group) {
      CAPTURE(line);
      CHECK(line.size() <= 100);
      if (line.empty()) in_group = 0;
      CHECK(in_group <= 22);
    }
    const std::string cmake = contents(std::string(CAIRN_SOURCE_DIR) + "/CMakeLists.txt");
    const size_t at = cmake.find("project(cairn VERSION ") + 22;
    CHECK(run("exec " + program + " --version").out ==
          program + " (cairn) " + cmake.substr(at, cmake.find(' ', at) - at) + "\n");
  }
  CHECK(has(run("match --help").out, "longer photos are reduced to it; 0: never [1024]"));
  CHECK(has(run("train --help").out, "optimiser steps [10000]"));
}

TEST_CASE("nothing is coloured but on a terminal, and there not against the user's will") {
  const std::string escape = "\033[";
  CHECK(!has(run("match --help").out, escape));
  CHECK(!has(run("match --mode x").err, escape));
  // script(1) gives the command a terminal.
  if (run("command -v script").code != 0) return;
  const auto on_terminal = [](const std::string& environment) {
    return run("exec script -qec 'env " + environment + " match --help' /dev/null </dev/null").out;
  };
  CHECK(has(on_terminal("TERM=xterm"), escape + "1mUsage:"));
  CHECK(has(on_terminal("TERM=xterm NO_COLOR="), escape));  // set, but empty
  CHECK(!has(on_terminal("TERM=xterm NO_COLOR=1"), escape));
  CHECK(!has(on_terminal("TERM=dumb"), escape));
}

TEST_CASE("shells complete options and their values; the manual has every option") {
  const Finished bash = run("exec match --completion bash");
  REQUIRE(bash.code == 0);
  const auto completed = [&](const std::string& words, int at) {
    return run("bash -c '" + bash.out + " COMP_WORDS=(" + words +
               "); COMP_CWORD=" + std::to_string(at) + "; _cairn_match; echo ${COMPREPLY[*]}'")
        .out;
  };
  CHECK(completed("match --sc", 1) == "--scale --scales\n");
  CHECK(completed("match a b --verify h", 4) == "homography\n");
  CHECK(completed("match --mode all", 2) == "all all_all\n");
  CHECK(completed("match photo", 1) == "\n");  // files are left to the shell
  CHECK(completed("match a b --draw", 3) == "--draw\n");
  CHECK(completed("match --draw o", 2) == "overlay\n");
  const std::string zsh = run("exec match --completion zsh").out;
  CHECK(zsh.starts_with("#compdef cairn-match"));
  CHECK(has(zsh,
            "'--verify[by RANSAC\\: none, homography, fundamental or essential "
            "\\[fundamental\\]]:value:(none homography fundamental essential)'"));
  CHECK(has(zsh, "'--json[print what there is to say as one JSON object, for programs]' "));
  CHECK(run("exec match --completion fish").failed_in_one_line(2));
  CHECK(run("exec prepare show --completion bash").failed_in_one_line(2));
  CHECK(run("match --help >/dev/full").failed_in_one_line(1));
  CHECK(!has(run("train --help").out, "BOOLEAN"));
  for (const std::string program : {"match", "train", "eval", "convert", "bench", "prepare show"}) {
    const std::string page = run("exec " + program + " --man").out,
                      help = run("exec " + program + " --help").out;
    CHECK(page.starts_with(".TH CAIRN-"));
    for (size_t at = 0; (at = help.find("\n  --", at)) != std::string::npos; ++at) {
      std::string name = help.substr(at + 3, help.find(' ', at + 3) - at - 3), escaped;
      CAPTURE(name);
      for (const char c : name) escaped += c == '-' ? "\\-" : std::string(1, c);
      CHECK(has(page, "\\fB" + escaped + "\\fR"));
    }
  }
}

TEST_CASE("match --explain prints how the network ran, --trace writes a timeline") {
  const Finished f = bench().match("a.png b.png --explain --trace timeline.json");
  REQUIRE(f.code == 0);
  CHECK(f.out.find("\nblocks1.0.conv1 ") != std::string::npos);
  CHECK(f.out.find("\ntotal ") != std::string::npos);
  CHECK(f.out.find("GFLOP/s of multiply-adds") != std::string::npos);
  const auto trace = nlohmann::json::parse(contents(bench().folder / "timeline.json"));
  int convolutions = 0, stages = 0;
  for (const auto& e : trace["traceEvents"]) {
    CHECK(e["ph"] == "X");
    CHECK(e["dur"].get<double>() >= 0);
    convolutions += e["args"].value("operation", "").starts_with("conv2d");
    stages += e["tid"] == 0;
  }
  CHECK(convolutions >= 2 * 14);
  CHECK(stages >= 8);
  CHECK(bench().match("a.png b.png --trace missing/timeline.json").failed_in_one_line(1));
}
