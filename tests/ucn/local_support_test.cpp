// Matches are kept where their neighbours move as they do.
#include "ucn/local_support.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tensor/random.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

constexpr double width = 640, height = 480;

using Matches = std::vector<PointPair>;
using Map = std::array<double, 4>;  // row-major, about (200, 150), which it takes to (320, 240)

PointPair moved(const Map& map, double x, double y) {
  const double dx = x - 200, dy = y - 150;
  return {x, y, 320 + map[0] * dx + map[1] * dy, 240 + map[2] * dx + map[3] * dy};
}
/// side x side of them, `step` px apart in photo 0.
Matches grid(const Map& map, int side, double step) {
  Matches matches;
  for (int i = 0; i < side; ++i)
    for (int j = 0; j < side; ++j)
      matches.push_back(
          moved(map, 200 + step * (j - (side - 1) / 2.0), 150 + step * (i - (side - 1) / 2.0)));
  return matches;
}
Matches random_matches(int count) {
  Random random(5);
  Matches matches;
  for (int k = 0; k < count; ++k)
    matches.push_back({random.uniform(0, width), random.uniform(0, height),
                       random.uniform(0, width), random.uniform(0, height)});
  return matches;
}

std::vector<bool> kept(const Matches& matches, const LocalSupportOptions& o = {}) {
  return locally_supported(matches, width, width, o);
}
int64_t count(const std::vector<bool>& flags) { return std::ranges::count(flags, true); }

}  // namespace

TEST_CASE("of many wrong matches and a few that agree, those that agree are kept") {
  Matches matches = grid({1.2, -0.5, 0.4, 0.9}, 5, 18);
  const size_t right = matches.size();
  const Matches wrong = random_matches(150);
  matches.insert(matches.end(), wrong.begin(), wrong.end());
  const auto flags = kept(matches);
  CHECK(std::all_of(flags.begin(), flags.begin() + int64_t(right), [](bool f) { return f; }));
  CHECK(count(flags) <= int64_t(right) + 3);  // of 150 wrong ones
  CHECK(count(kept(wrong)) == 0);
}

TEST_CASE("a surface may bend, which no single map of the photos explains") {
  Matches matches;
  for (double y = 30; y < 450; y += 24)
    for (double x = 30; x < 600; x += 24)
      matches.push_back({x, y, x + 25 * std::sin(y / 60), y + 20 * std::cos(x / 70)});
  CHECK(count(kept(matches)) == int64_t(matches.size()));
}

TEST_CASE("maps that no smooth surface gives do not count") {
  const struct {
    const char* name;
    Map map;
    bool plausible;
  } cases[] = {{"as it is", {1, 0, 0, 1}, true},
               {"a quarter turn", {0, -1, 1, 0}, true},
               {"2.5 times as large", {2.5, 0, 0, 2.5}, true},
               {"3.5 times as large", {3.5, 0, 0, 3.5}, false},
               {"3.5 times smaller", {1 / 3.5, 0, 0, 1 / 3.5}, false},
               {"from the side", {0.35, 0, 0, 1}, true},
               {"from too far to the side", {0.2, 0, 0, 1}, false},
               {"in a mirror", {-1, 0, 0, 1}, false}};
  for (const auto& c : cases) {
    CAPTURE(std::string(c.name));
    const Matches matches = grid(c.map, 5, 25);
    CHECK(count(kept(matches, {.apart = 0.002})) == (c.plausible ? 25 : 0));
  }
}

TEST_CASE("a part of a photo, pixel by pixel, is no enlargement") {
  Matches matches;
  for (double y = 10; y < 300; y += 25)
    for (double x = 10; x < 380; x += 25) matches.push_back({x + 900, y + 700, x, y});
  const auto n = int64_t(matches.size());
  CHECK(count(locally_supported(matches, 2000, 400, {})) == n);
  for (PointPair& m : matches) m = {m.x0 * 4, m.y0 * 4, m.x1, m.y1};
  CHECK(count(locally_supported(matches, 8000, 400, {})) == 0);
}

TEST_CASE("swapping the photos gives the same") {
  Matches matches = grid({0.6, -0.2, 0.3, 0.8}, 6, 19.7), swapped;
  const Matches wrong = random_matches(100);
  matches.insert(matches.end(), wrong.begin(), wrong.end());
  for (const PointPair& m : matches) swapped.push_back({m.x1, m.y1, m.x0, m.y0});
  const auto there = locally_supported(matches, 640, 500, {});
  CHECK(count(there) >= 30);
  CHECK(locally_supported(swapped, 500, 640, {}) == there);
}

TEST_CASE(
    "a match needs two neighbours for the map and `least` to follow it, at places of their own") {
  const double places[6][2] = {{200, 150}, {220, 150}, {200, 170},
                               {225, 172}, {178, 160}, {190, 130}};
  const Map map{1.1, 0.1, 0, 1};
  Matches six;
  for (const auto& [x, y] : places) six.push_back(moved(map, x, y));
  const Matches five(six.begin(), six.end() - 1);
  CHECK(count(kept(six)) == 6);
  CHECK(count(kept(five)) == 0);
  CHECK(count(kept(five, {.least = 2})) == 5);

  Matches crowd = five;  // the last one again and again, within a few px
  for (int k = 1; k <= 5; ++k) crowd.push_back(moved(map, 178 + 0.5 * k, 160));
  CHECK(count(kept(crowd)) == 0);

  Matches far = random_matches(150);  // and one that lies too far away to be a neighbour
  far.insert(far.end(), six.begin(), six.end());
  CHECK(count(kept(far)) == 6);
  far.back() = moved(map, 200, 150 + 2.1 * 0.15 * width);
  CHECK(count(kept(far)) == 0);
  CHECK(kept({}).empty());
}

TEST_CASE("where matches are few, neighbours may be far") {
  CHECK(count(kept(grid({0.9, 0.1, -0.1, 0.9}, 5, 90))) == 25);
}
