// The C library and the C++ one over it, as programs of others call them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <thread>

#include "data/image.h"
#include "tests/folder.h"
#include "tests/ucn/some_photos.h"
#include "ucn/library/cairn.hpp"
#include "ucn/match_files.h"
#include "ucn/matcher_settings.h"
#include "ucn/photo.h"
#include "ucn/weights.h"

using namespace cairn;
using namespace cairn::test;
using ucn::Matcher;

namespace {

cairn_image view_of(const Tensor& pixels) {
  return {pixels.data<uint8_t>(), int32_t(pixels.dim(1)), int32_t(pixels.dim(0)),
          int32_t(pixels.dim(2)), 0};
}

/// A photo, and the same moved by (8, 16).
struct Two {
  Tensor whole = some_photo(112, 136, 1);
  cairn_image a = part(0, 0), b = part(8, 16);
  cairn_image part(int64_t x, int64_t y) const {
    return {whole.data<uint8_t>() + y * 136 + x, 128, 96, 1, 136};
  }
};

const Matcher::Settings quick = {{"max-keypoints", "200"}, {"no-align", "true"}};

std::string trouble(const Matcher::Settings& settings) {
  try {
    const Matcher matcher(settings);
  } catch (const ucn::Failure& e) {
    return cat(e.status, " ", e.what());
  }
  return "";
}

}  // namespace

TEST_CASE("images of any layout give the matches that their files give") {
  const Two two;
  const Matcher matcher(quick);
  const auto found = matcher.match(two.a, two.b);
  REQUIRE(found.size() > 50);
  size_t right = 0;
  for (const auto& m : found)
    right += std::abs(m.x0 - 8 - m.x1) < 1 && std::abs(m.y0 - 16 - m.y1) < 1;
  CHECK(double(right) > 0.9 * double(found.size()));
  CHECK(found.inliers() > found.size() / 2);
  CHECK(found.same_scene() > 0.5);
  CHECK(found[0].confidence >= 0);

  const auto same = [&](const Matcher::Result& other) {
    REQUIRE(other.size() == found.size());
    for (size_t k = 0; k < found.size(); ++k)
      CHECK(std::memcmp(&found[k], &other[k], 6 * sizeof(double)) == 0);
  };
  // Bottom row first; and as RGB and RGBA.
  Tensor turned = Tensor::empty({96, 128, 1}, DType::u8);
  Tensor rgb = Tensor::empty({96, 128, 3}, DType::u8),
         rgba = Tensor::empty({96, 128, 4}, DType::u8);
  for (int64_t y = 0; y < 96; ++y)
    for (int64_t x = 0; x < 128; ++x) {
      const uint8_t v = two.a.pixels[y * 136 + x];
      turned.data<uint8_t>()[(95 - y) * 128 + x] = v;
      for (int64_t c = 0; c < 3; ++c)
        rgb.data<uint8_t>()[3 * (y * 128 + x) + c] = rgba.data<uint8_t>()[4 * (y * 128 + x) + c] =
            v;
      rgba.data<uint8_t>()[4 * (y * 128 + x) + 3] = uint8_t(x);
    }
  same(matcher.match({turned.data<uint8_t>() + 95 * 128, 128, 96, 1, -128}, two.b));
  same(matcher.match(view_of(rgb), two.b));
  same(matcher.match(view_of(rgba), two.b));

  const Folder folder;
  Tensor a = Tensor::empty({96, 128, 1}, DType::u8), b = a.clone();
  for (int64_t y = 0; y < 96; ++y) {
    std::memcpy(a.data<uint8_t>() + y * 128, two.a.pixels + y * 136, 128);
    std::memcpy(b.data<uint8_t>() + y * 128, two.b.pixels + y * 136, 128);
  }
  write_png(folder / "a.png", a);
  write_png(folder / "b.png", b);
  const auto of_files = matcher.match(folder / "a.png", folder / "b.png");
  same(of_files);
  of_files.write(folder / "m.npz");
  CHECK(ucn::read_matches(folder / "m.npz").matches.size() == found.size());
}

TEST_CASE("features are unit vectors, a pixel each, and those that matching compares") {
  const Two two;
  const Matcher matcher(quick);
  const auto f = matcher.features(two.a);
  REQUIRE(f.size() == size_t(128 * 96 * matcher.channels()));
  for (size_t k = 0; k < f.size(); k += 997 * size_t(matcher.channels())) {
    double squares = 0;
    for (int c = 0; c < matcher.channels(); ++c)
      squares += double(f[k + size_t(c)]) * f[k + size_t(c)];
    CHECK(squares == doctest::Approx(1));
  }
  Tensor pixels = Tensor::empty({96, 128, 1}, DType::u8);
  for (int64_t y = 0; y < 96; ++y)
    std::memcpy(pixels.data<uint8_t>() + y * 128, two.a.pixels + y * 136, 128);
  const auto weights = ucn::MatcherSettings().load(Device::cpu);
  const Tensor expected = ucn::extract_features(*weights.network, pixels);
  CHECK(std::ranges::equal(f, expected.span<float>()));
  // Fewer than the network's outputs, with their inner products.
  CHECK(matcher.channels() == 32);
  const auto whole = ucn::load_weights(ucn::MatcherSettings().weights_file());
  const Tensor all = ucn::extract_features(*whole.network, pixels);
  const auto product = [](std::span<const float> v, size_t channels, size_t a, size_t b) {
    double sum = 0;
    for (size_t c = 0; c < channels; ++c) sum += v[a * channels + c] * v[b * channels + c];
    return sum;
  };
  for (size_t k = 0; k + 5000 < 128 * 96; k += 997)
    CHECK(product(f, 32, k, k + 5000) ==
          doctest::Approx(product(all.span<float>(), 64, k, k + 5000)).epsilon(1e-5));
}

TEST_CASE("what was not verified has no geometry, and says so") {
  const Two two;
  auto settings = quick;
  settings.push_back({"verify", "none"});
  const auto found = Matcher(settings).match(two.a, two.b);
  CHECK(found.inliers() == 0);
  CHECK(found.same_scene() == -1);
  CHECK(found[0].inlier);
}

TEST_CASE("settings that make no sense are named") {
  CHECK(trouble({{"colour", "red"}}) == "1 match: there is no setting 'colour'");
  CHECK(trouble({{"ratio", "-1"}}) == "1 match: ratio must be positive, not -1");
  CHECK(trouble({{"mode", "some"}}) == "1 match: mode must be keypoints, all or all_all, not some");
  CHECK(trouble({{"scales", "1,0"}}) == "1 match: scales must be above 0 and at most 8, not 0");
  CHECK(trouble({{"focal", "1,2,3"}}) == "1 match: focal must be at most 2 numbers, not 1,2,3");
  CHECK(trouble({{"max-keypoints", "3.5"}}) ==
        "1 match: max-keypoints must be a whole number, not 3.5");
  CHECK(trouble({{"no-exif", "yes"}}) == "1 match: no-exif must be true or false, not yes");
  CHECK(trouble({{"device", "tpu"}}) == "1 device: it must be auto, cpu, cuda or cuda:N, not tpu");
  CHECK(trouble({{"mode", "keypoints"}, {"coarse", "4"}}).starts_with("1 match: --coarse is for"));
  CHECK(trouble({{"model", "/nowhere.safetensors"}}).starts_with("2 match: --model"));
  for (const auto& s : ucn::matcher_settings()) {  // what is shown as a default can be set
    ucn::MatcherSettings scratch;
    const std::string value = s.get(scratch);
    if (!value.empty()) CHECK(s.set(scratch, value) == "");
  }
}

TEST_CASE("what a C program may do wrong is an error with a message, not a crash") {
  cairn_matcher* matcher = nullptr;
  cairn_matches* matches = nullptr;
  const auto fails = [&](cairn_status status, cairn_status expected, const char* what) {
    CHECK(status == expected);
    CHECK(std::string(cairn_error_message()) == what);
    CHECK(matches == nullptr);
  };
  fails(cairn_matcher_create(nullptr, 1, &matcher), CAIRN_ERROR_ARGUMENT,
        "cairn: the settings are NULL");
  fails(cairn_matcher_create(nullptr, 0, nullptr), CAIRN_ERROR_ARGUMENT,
        "cairn: the place for the matcher is NULL");
  const char* bad[] = {"mode"};
  fails(cairn_matcher_create(bad, 1, &matcher), CAIRN_ERROR_ARGUMENT,
        "cairn: the setting 'mode' is not name=value");
  CHECK(matcher == nullptr);
  const char* none[] = {nullptr};
  fails(cairn_matcher_create(none, 1, &matcher), CAIRN_ERROR_ARGUMENT, "cairn: a setting is NULL");
  fails(cairn_match_files(nullptr, "a", "b", &matches), CAIRN_ERROR_ARGUMENT,
        "cairn: the matcher is NULL");

  REQUIRE(cairn_matcher_create(nullptr, 0, &matcher) == CAIRN_OK);
  const Two two;
  matches = reinterpret_cast<cairn_matches*>(&matcher);  // is made NULL
  fails(cairn_match_files(matcher, "/absent.png", "/absent.png", &matches), CAIRN_ERROR_IO,
        "read_image: cannot open '/absent.png': No such file or directory");
  fails(cairn_match_files(matcher, nullptr, "b", &matches), CAIRN_ERROR_ARGUMENT,
        "cairn: the first photo is NULL");
  cairn_image image = two.a;
  image.channels = 2;
  fails(cairn_match_images(matcher, &two.a, &image, &matches), CAIRN_ERROR_ARGUMENT,
        "cairn: an image has 1, 3 or 4 channels, not 2");
  image = two.a;
  image.stride = 100;
  fails(cairn_match_images(matcher, &two.a, &image, &matches), CAIRN_ERROR_ARGUMENT,
        "cairn: a stride of 100 bytes, with 128 in a row");
  image = two.a;
  image.height = 0;
  fails(cairn_match_images(matcher, &image, &two.a, &matches), CAIRN_ERROR_ARGUMENT,
        "cairn: an image of 128 x 0 px");
  image.pixels = nullptr;
  fails(cairn_match_images(matcher, &image, &two.a, &matches), CAIRN_ERROR_ARGUMENT,
        "cairn: the pointer to pixels is NULL");
  image = two.a;
  image.stride = ptrdiff_t{1} << 62;
  CHECK(cairn_match_images(matcher, &image, &two.a, &matches) == CAIRN_ERROR_ARGUMENT);
  CHECK(cairn_set_threads(0) == CAIRN_ERROR_ARGUMENT);
  CHECK(cairn_matches_write(nullptr, "x.csv") == CAIRN_ERROR_ARGUMENT);
  CHECK(cairn_train(nullptr, "run", nullptr, nullptr, nullptr) == CAIRN_ERROR_ARGUMENT);
  CHECK(cairn_dense_features(matcher, &two.a, nullptr) == CAIRN_ERROR_ARGUMENT);

  CHECK(cairn_matches_count(nullptr) == 0);
  CHECK(cairn_matches_points(nullptr) == nullptr);
  CHECK(cairn_matches_same_scene(nullptr) == -1);
  CHECK(cairn_matches_geometry(nullptr, nullptr) == 0);
  CHECK(cairn_feature_channels(nullptr) == 0);
  cairn_matches_destroy(nullptr);
  cairn_matcher_destroy(nullptr);
  cairn_matcher_destroy(matcher);
}

TEST_CASE("threads may share a matcher, and have messages of their own") {
  const Two two;
  const Matcher matcher(quick);
  const size_t expected = matcher.match(two.a, two.b).size();
  std::vector<std::thread> threads;
  size_t sizes[3] = {};
  std::string messages[3];
  for (size_t t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      sizes[t] = matcher.match(two.a, two.b).size();
      const std::string absent = cat("/absent-", t, ".png");
      try {
        matcher.match(absent, absent);
      } catch (const ucn::Failure& e) {
        messages[t] = e.what();
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (size_t t = 0; t < 3; ++t) {
    CHECK(sizes[t] == expected);
    CHECK(messages[t].find(cat("/absent-", t, ".png")) != std::string::npos);
  }
}

TEST_CASE("a folder of photos becomes a model; a run that is stopped goes on") {
  const Folder folder;
  std::filesystem::create_directories(folder / "photos");
  write_photos(folder / "photos", 3);
  const std::string settings = R"({"iterations": 6, "crop": 32, "outputs": 8,
                                   "correspondences": 50, "num_pos": 20, "log_every": 2})";
  std::vector<int64_t> steps;
  const auto run = [&](int64_t last) {
    ucn::train(folder / "photos", folder / "run", settings, [&](const cairn_training_step& s) {
      CHECK(s.iterations == 6);
      CHECK(std::isfinite(s.loss));
      steps.push_back(s.iteration);
      return s.iteration < last;
    });
  };
  run(4);
  run(100);
  CHECK(steps == std::vector<int64_t>{1, 2, 3, 4, 5, 6});
  CHECK(std::filesystem::exists(folder / "run/log.jsonl"));
  const Two two;
  const Matcher matcher({{"model", folder / "run/weights.safetensors"}, {"no-align", "true"}});
  CHECK(matcher.channels() == 8);
  CHECK(matcher.match(two.a, two.a).size() > 20);  // a photo and itself

  // Weights that no checkpoint goes with are left alone; others decide the network.
  std::filesystem::create_directories(folder / "precious");
  std::filesystem::copy_file(folder / "run/weights.safetensors",
                             folder / "precious/weights.safetensors");
  CHECK_THROWS_WITH_AS(ucn::train(folder / "photos", folder / "precious", settings),
                       doctest::Contains("no checkpoint to continue from"), ucn::Failure);
  const std::string more = R"({"iterations": 1, "crop": 32, "num_pos": 20, "init": ")" +
                           (folder / "run/weights.safetensors") + "\"}";
  ucn::train(folder / "photos", folder / "more", more);
  CHECK(Matcher({{"model", folder / "more/weights.safetensors"}}).channels() == 8);

  const auto fails = [&](const std::string& text, const std::string& images) {
    try {
      ucn::train(images, folder / "other", text);
    } catch (const ucn::Failure& e) {
      return int(e.status);
    }
    return 0;
  };
  CHECK(fails("{\"iterations\": \"many\"}", folder / "photos") == CAIRN_ERROR_FORMAT);
  CHECK(fails("{\"speed\": 1}", folder / "photos") == CAIRN_ERROR_FORMAT);
  CHECK(fails("{\"lr\": -1}", folder / "photos") == CAIRN_ERROR_ARGUMENT);
  CHECK(fails("{}", folder / "absent") == CAIRN_ERROR_IO);
}
