#include "data/image.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tensor/random.h"
#include "tests/compare.h"
#include "tests/data/sample_files.h"

using namespace cairn;
using namespace cairn::test;

namespace {

Tensor noise(int64_t h, int64_t w, int64_t c, uint64_t seed = 1) {
  Random random(seed);
  return random_uniform({h, w, c}, random, 0, 255).to(DType::u8);
}

/// Smooth, so that JPEG changes it little.
Tensor ramp(int64_t h, int64_t w, int64_t c) {
  Tensor t = Tensor::empty({h, w, c}, DType::u8);
  for (int64_t i = 0; i < t.numel(); ++i) {
    const int64_t x = i / c % w, y = i / c / w, k = i % c;
    t.data<uint8_t>()[i] = uint8_t(40 + 2 * x + 2 * y + 10 * k);
  }
  return t;
}

Bytes bytes_of(const Tensor& t) { return {t.span<uint8_t>().begin(), t.span<uint8_t>().end()}; }

Tensor pixels(int64_t h, int64_t w, int64_t c, const std::vector<uint8_t>& values) {
  return Tensor::from({h, w, c}, values);
}

ReadOptions channels(int count) {
  ReadOptions options;
  options.channels = count;
  return options;
}

Tensor decoded(const Bytes& file, int count = 0) {
  return read_image_from_memory(file, channels(count)).pixels;
}

std::string decode_error(const Bytes& file, const ReadOptions& options = {}) {
  return full_error_of([&] { read_image_from_memory(file, options, "a.img"); });
}

void append_chunk(Bytes& file, const std::string& type, const Bytes& data) {
  const auto append = [&](uint32_t v) {
    for (int shift : {24, 16, 8, 0}) file.push_back(uint8_t(v >> shift));
  };
  append(uint32_t(data.size()));
  const size_t begin = file.size();
  file.insert(file.end(), type.begin(), type.end());
  file.insert(file.end(), data.begin(), data.end());
  uint32_t crc = ~0u;
  for (size_t i = begin; i < file.size(); ++i) {
    crc ^= file[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  append(~crc);
}

/// A PNG that claims a size, with right CRCs, and has no pixels: 57 bytes.
Bytes hollow_png(uint32_t width, uint32_t height) {
  Bytes file = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, header;
  for (const uint32_t v : {width, height})
    for (int shift : {24, 16, 8, 0}) header.push_back(uint8_t(v >> shift));
  for (const uint8_t v : {8, 0, 0, 0, 0}) header.push_back(v);
  append_chunk(file, "IHDR", header);
  append_chunk(file, "IDAT", {});
  append_chunk(file, "IEND", {});
  return file;
}

}  // namespace

TEST_CASE("a PNG gives back its pixels bit for bit, gray and colour, at odd sizes") {
  Folder folder;
  for (const int64_t c : {1, 3})
    for (const auto& [h, w] : {std::pair{1, 1}, {7, 13}, {64, 65}}) {
      const Tensor t = noise(h, w, c);
      write_png(folder / "a.jpg", t);  // the type is in the bytes, not in the name
      const Image image = read_image(folder / "a.jpg");
      CHECK(same_bits(image.pixels, t));
      CHECK(image.orientation == 1);
      CHECK(image.stored_width == w);
      CHECK(image.stored_height == h);
    }
}

TEST_CASE("a JPEG gives back nearly its pixels, and the better the higher the quality") {
  Folder folder;
  for (const int64_t c : {1, 3}) {
    const Tensor t = ramp(29, 43, c);
    write_jpeg(folder / "a.png", t, 100);
    CHECK(difference(read_image(folder / "a.png").pixels.to(DType::f64), t.to(DType::f64), true) <
          5 / 200.);
  }
  const Tensor t = noise(32, 32, 1);
  const auto loss = [&](int q) {
    return difference(decoded(encode_jpeg(t, q)).to(DType::f64), t.to(DType::f64), true);
  };
  CHECK(loss(95) < loss(20));
  CHECK(encode_jpeg(t, 95).size() > encode_jpeg(t, 20).size());
}

TEST_CASE("every kind of PNG is read: 16 bits, few bits, palette, alpha, interlaced") {
  SUBCASE("16 bits are rounded, not cut") {
    const std::vector<Bytes> rows = {{0x00, 0x81, 0x12, 0x34, 0xff, 0xff}};
    CHECK(same_bits(decoded(make_png(3, rows, {PNG_COLOR_TYPE_GRAY, 16})),
                    pixels(1, 3, 1, {1, 0x12, 255})));
  }
  SUBCASE("one bit spans black to white") {
    CHECK(same_bits(decoded(make_png(4, {{0b10110000}}, {PNG_COLOR_TYPE_GRAY, 1})),
                    pixels(1, 4, 1, {255, 0, 255, 255})));
  }
  SUBCASE("a palette becomes its colours") {
    PngKind kind{PNG_COLOR_TYPE_PALETTE, 2};
    kind.palette = {{1, 2, 3}, {40, 50, 60}, {255, 0, 255}};
    const Bytes file = make_png(3, {{0b10000100}}, kind);
    CHECK(same_bits(decoded(file), pixels(1, 3, 3, {255, 0, 255, 1, 2, 3, 40, 50, 60})));
  }
  SUBCASE("alpha is dropped") {
    CHECK(same_bits(decoded(make_png(2, {{10, 0, 20, 255}}, {PNG_COLOR_TYPE_GRAY_ALPHA, 8})),
                    pixels(1, 2, 1, {10, 20})));
    CHECK(same_bits(decoded(make_png(1, {{10, 20, 30, 0}}, {PNG_COLOR_TYPE_RGB_ALPHA, 8})),
                    pixels(1, 1, 3, {10, 20, 30})));
  }
  SUBCASE("interlaced is as plain") {
    const Tensor t = noise(11, 9, 3);
    std::vector<Bytes> rows;
    for (int64_t y = 0; y < 11; ++y)
      rows.emplace_back(t.data<uint8_t>() + y * 27, t.data<uint8_t>() + (y + 1) * 27);
    CHECK(same_bits(decoded(make_png(9, rows, {PNG_COLOR_TYPE_RGB, 8, PNG_INTERLACE_ADAM7})), t));
  }
}

TEST_CASE("a progressive JPEG is as a baseline one, and CMYK is refused with advice") {
  const Bytes rgb = bytes_of(ramp(21, 19, 3));
  CHECK(same_bits(decoded(make_jpeg(19, 21, rgb, {JCS_RGB, true, {}})),
                  decoded(make_jpeg(19, 21, rgb))));
  const std::string error = decode_error(make_jpeg(8, 8, Bytes(8 * 8 * 4, 100), {JCS_CMYK}));
  CHECK(has(error, "format: read_image: 'a.img' is a CMYK JPEG"));
  CHECK(has(error, "Hint: convert it to RGB"));
}

TEST_CASE("channels are as asked: gray is luma, colour from gray is gray thrice") {
  const Tensor rgb = ramp(16, 16, 3), gray = ramp(16, 16, 1);
  CHECK(same_bits(decoded(encode_png(rgb), 1), to_gray(rgb)));
  CHECK(same_bits(decoded(encode_png(gray), 3), to_rgb(gray)));
  CHECK(same_bits(decoded(encode_jpeg(gray), 3), to_rgb(decoded(encode_jpeg(gray)))));
  const Tensor luma = decoded(encode_jpeg(rgb), 1);
  CHECK(luma.shape() == Shape{16, 16, 1});
  CHECK(difference(luma.to(DType::f64), to_gray(rgb).to(DType::f64), true) < 4 / 200.);
  CHECK(has(full_error_of([&] { decoded(encode_png(rgb), 2); }), "channels is 2"));
}

TEST_CASE("Rec. 601 luma, rounded as PIL does") {
  // PIL: Image.new("RGB", (1, 1), color).convert("L").
  const Tensor t =
      pixels(1, 6, 3, {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 1, 2, 3, 200, 100, 50});
  CHECK(same_bits(to_gray(t), pixels(1, 6, 1, {76, 150, 29, 255, 2, 124})));
}

TEST_CASE("an EXIF orientation makes pixels upright, and to_stored leads back to the file") {
  // Stored: 0 1 2   as seen when orientation 6 turns it by 90 degrees clockwise: 3 0
  //         3 4 5                                                                4 1
  //                                                                              5 2
  const std::vector<std::vector<uint8_t>> expected = {
      {0, 1, 2, 3, 4, 5}, {2, 1, 0, 5, 4, 3}, {5, 4, 3, 2, 1, 0}, {3, 4, 5, 0, 1, 2},
      {0, 3, 1, 4, 2, 5}, {3, 0, 4, 1, 5, 2}, {5, 2, 4, 1, 3, 0}, {2, 5, 1, 4, 0, 3}};
  for (int orientation = 1; orientation <= 8; ++orientation)
    for (const bool little : {true, false}) {
      CAPTURE(orientation);
      PngKind kind{PNG_COLOR_TYPE_GRAY, 8};
      kind.exif = make_exif(orientation, little);
      const Bytes file = make_png(3, {{0, 1, 2}, {3, 4, 5}}, kind);
      const Image image = read_image_from_memory(file);
      const int64_t h = orientation >= 5 ? 3 : 2;
      CHECK(image.orientation == orientation);
      CHECK(same_bits(image.pixels, pixels(h, 5 - h, 1, expected[size_t(orientation - 1)])));
      CHECK(image.stored_width == 3);
      CHECK(image.stored_height == 2);
      for (int64_t y = 0; y < image.height(); ++y)
        for (int64_t x = 0; x < image.width(); ++x) {
          const auto [sx, sy] = image.to_stored(double(x), double(y));
          CHECK(image.pixels.data<uint8_t>()[y * image.width() + x] == 3 * sy + sx);
        }
      ReadOptions as_stored;
      as_stored.respect_exif = false;
      const Image stored = read_image_from_memory(file, as_stored);
      CHECK(same_bits(stored.pixels, pixels(2, 3, 1, expected[0])));
      CHECK(stored.to_stored(1.5, 0.5) == std::array{1.5, 0.5});
    }
}

TEST_CASE("a JPEG's EXIF is read, and one that is damaged or absurd is as none") {
  const Tensor t = ramp(8, 24, 1);
  const auto with = [&](const Bytes& exif) {
    return read_image_from_memory(make_jpeg(24, 8, bytes_of(t), {JCS_GRAYSCALE, false, exif}));
  };
  const Image upright = with(make_exif(8));
  CHECK(upright.pixels.shape() == Shape{24, 8, 1});
  CHECK(upright.to_stored(0, 0) == std::array{23., 0.});
  const Bytes good = make_exif(6);
  for (size_t cut = 1; cut < good.size() - 4; ++cut) {  // the last 4 bytes point to the next block
    CAPTURE(cut);
    CHECK(with({good.begin(), good.begin() + long(cut)}).orientation == (cut >= 22 ? 6 : 1));
  }
  for (const int absurd : {0, 9, 255}) CHECK(with(make_exif(absurd)).orientation == 1);
  Bytes far = good;
  far[4] = far[5] = far[6] = far[7] = 0xff;
  CHECK(with(far).orientation == 1);
}

TEST_CASE("what is no image is refused in one line that names the file") {
  Folder folder;
  const auto read = [&](const std::string& path) {
    return full_error_of([&] { read_image(path); });
  };
  CHECK(read(folder / "none.png") ==
        "io: read_image: cannot open '" + (folder / "none.png") + "': No such file or directory");
  CHECK(has(read(folder.path), "is a folder"));
  write_file_atomically(folder / "empty.png", "");
  CHECK(has(read(folder / "empty.png"), "format: read_image: '" + (folder / "empty.png")));
  CHECK(has(read(folder / "empty.png"), "is empty"));
  write_file_atomically(folder / "text.png", "no picture, only words");
  CHECK(has(read(folder / "text.png"), "none of a PNG, a JPEG"));
}

TEST_CASE(
    "an image cut short anywhere, or with a flipped bit in a PNG, is an error, never garbage") {
  const Bytes png = encode_png(noise(9, 9, 3)), jpeg = encode_jpeg(noise(24, 24, 3)),
              progressive = make_jpeg(24, 24, bytes_of(noise(24, 24, 3)), {JCS_RGB, true, {}});
  for (const Bytes& file : {png, jpeg, progressive})
    for (size_t size = 1; size < file.size(); size += 1 + file.size() / 150) {
      CAPTURE(size);
      const std::string error = decode_error({file.begin(), file.begin() + long(size)});
      CHECK(has(error, "format: read_image: 'a.img'"));
      CHECK(!has(error, "\n"));
    }
  for (size_t at = 8; at < png.size(); at += 3) {
    Bytes damaged = png;
    damaged[at] ^= 1;
    CAPTURE(at);
    CHECK(has(decode_error(damaged), "format: "));
  }
}

TEST_CASE("a hostile size is refused from the header, before any memory is taken") {
  const int64_t before = memory_stats(Device::cpu).live;
  reset_peak_memory(Device::cpu);
  CHECK(has(decode_error(hollow_png(60000, 60000)), "claims 60000 x 60000 pixels, more than"));
  CHECK(has(decode_error(hollow_png(0x7fffffff, 0x7fffffff)), "claims 2147483647"));
  CHECK(has(decode_error(hollow_png(0, 5)), "format: "));
  CHECK(has(decode_error(hollow_png(16000, 16000)), "has only 57 bytes"));
  Bytes exif = make_png(1, {{7}}, {PNG_COLOR_TYPE_GRAY, 8, PNG_INTERLACE_NONE, {}, make_exif(1)});
  CHECK(decode_error(exif) == "no error");
  exif[33] = 0x60;  // the chunk behind the header claims 1.5 GiB
  CHECK(has(decode_error(exif), "cut short"));
  Bytes jpeg = encode_jpeg(noise(8, 8, 1));
  for (size_t i = 0; i + 8 < jpeg.size(); ++i)
    if (jpeg[i] == 0xff && jpeg[i + 1] == 0xc0) {  // the frame header: height and width
      for (size_t j = 5; j < 9; ++j) jpeg[i + j] = 0xea;
      break;
    }
  CHECK(has(decode_error(jpeg), "claims 60138 x 60138 pixels"));
  ReadOptions small;
  small.max_pixels = 80;
  CHECK(has(decode_error(encode_png(noise(9, 9, 1)), small), "more than the 80"));
  CHECK(decode_error(encode_png(noise(8, 10, 1)), small) == "no error");
  CHECK(memory_stats(Device::cpu).peak < before + 100000);
}

TEST_CASE("an image that cannot be written leaves an error with the reason, and no file") {
  Folder folder;
  const Tensor t = noise(8, 8, 3);
  CHECK(has(full_error_of([&] { write_png(folder / "no/a.png", t); }),
            "io: write_png: cannot write"));
  CHECK(has(full_error_of([&] { write_jpeg(folder.path, t); }), "Is a directory"));
  if (std::filesystem::exists("/dev/full"))
    CHECK(has(full_error_of([&] { write_png("/dev/full", t); }), "'/dev/full': No space left"));
  CHECK(std::filesystem::is_empty(folder.path));
  CHECK(has(full_error_of([&] { encode_png(Tensor::zeros({2, 2, 3})); }), "dtype: write_png"));
  CHECK(has(full_error_of([&] { encode_png(Tensor::zeros({2, 2, 2}, DType::u8)); }), "2x2x2"));
  CHECK(has(full_error_of([&] { encode_png(Tensor::zeros({0, 2, 3}, DType::u8)); }), "shape: "));
  CHECK(has(full_error_of([&] {
              encode_jpeg(Tensor::zeros({1, 70000, 1}, DType::u8));
            }),
            "shape: "));
  CHECK(has(full_error_of([&] { encode_jpeg(t, 0); }), "quality is 0"));
}

TEST_CASE("resize_area averages exactly what each new pixel covers") {
  CHECK(same_bits(resize_area(pixels(2, 2, 1, {10, 20, 30, 41}), 1, 1), pixels(1, 1, 1, {25})));
  // 3 -> 2: each new pixel covers one and a half old ones.
  CHECK(same_bits(resize_area(pixels(1, 3, 1, {0, 90, 240}), 1, 2), pixels(1, 2, 1, {30, 190})));
  CHECK(same_bits(resize_area(pixels(3, 1, 1, {0, 90, 240}), 2, 1), pixels(2, 1, 1, {30, 190})));
  // Against the plainest double loop, at awkward sizes and in colour.
  const Tensor t = noise(31, 47, 3);
  for (const auto& [h, w] : {std::pair{17, 46}, {1, 1}, {30, 5}, {31, 3}}) {
    const Tensor result = resize_area(t, h, w);
    double worst = 0;
    for (int64_t i = 0; i < result.numel(); ++i) {
      const double sy = 31. / h, sx = 47. / w, k0 = double(i % 3);
      const double y0 = double(i / 3 / w) * sy, x0 = double(i / 3 % w) * sx;
      double sum = 0;
      for (int y = 0; y < 31; ++y)
        for (int x = 0; x < 47; ++x)
          sum += std::max(0., std::min(y0 + sy, y + 1.) - std::max(y0, double(y))) *
                 std::max(0., std::min(x0 + sx, x + 1.) - std::max(x0, double(x))) *
                 t.data<uint8_t>()[(y * 47 + x) * 3 + int(k0)];
      worst = std::max(worst, std::fabs(sum / sy / sx - result.data<uint8_t>()[i]));
    }
    CHECK(worst < 0.501);
  }
}

TEST_CASE("resize_area enlarges linearly, keeps flat images flat and the same size as it is") {
  CHECK(same_bits(resize_area(pixels(1, 2, 1, {0, 100}), 1, 4), pixels(1, 4, 1, {0, 25, 75, 100})));
  CHECK(same_bits(resize_area(pixels(1, 1, 1, {7}), 3, 2), pixels(3, 2, 1, {7, 7, 7, 7, 7, 7})));
  const Tensor flat = Tensor::full({10, 20, 3}, 255, DType::u8);
  for (const auto& [h, w] : {std::pair{3, 7}, {25, 33}, {3, 33}})
    CHECK(same_bits(resize_area(flat, h, w), Tensor::full({h, w, 3}, 255, DType::u8)));
  const Tensor t = noise(5, 6, 1);
  CHECK(same_bits(resize_area(t, 5, 6), t));
  CHECK(has(full_error_of([&] { resize_area(t, 0, 6); }), "argument: resize_area"));
}

TEST_CASE("PGM and PPM are read, with comments and 16 bits, and refused when damaged") {
  const auto read = [](const std::string& text) {
    return read_image_from_memory({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  };
  const Image gray = read("P5 # a comment\n2 1\n255\nAB");
  CHECK(gray.pixels.shape() == Shape{1, 2, 1});
  CHECK(gray.pixels.data<uint8_t>()[1] == 'B');
  const Image colour = read(std::string("P6\n1 1\n65535\n\xff\xff\x80\x00\0\0", 20));
  CHECK(colour.pixels.shape() == Shape{1, 1, 3});
  CHECK(colour.pixels.data<uint8_t>()[0] == 255);
  CHECK(colour.pixels.data<uint8_t>()[1] == 128);
  CHECK(read("P5 2 1 9 \x09\x04").pixels.data<uint8_t>()[0] == 255);
  for (const char* bad : {"P5", "P5 2", "P5 2 2 255\nABC", "P5 0 2 255\n", "P5 2 1 0\nAB",
                          "P5 2 1 70000\nABCD", "P6 x", "P5 99999999 99999999 255\n"}) {
    CAPTURE(bad);
    CHECK(error_of(ErrorId::format, [&] { read(bad); }) != "");
  }
}
