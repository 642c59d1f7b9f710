#include "data/text.h"

#include <algorithm>
#include <cctype>

namespace cairn {
namespace {

constexpr double cell_width = 8, cell_height = 12, gap = 4;

/// Strokes of a letter, parted by blanks: each a chain of points on a grid of 8 x 12, two
/// hexadecimal digits a point, x right and y down.
const char* strokes(char letter) {
  static constexpr std::pair<char, const char*> font[] = {
      {'A', "0c408c 1979"},
      {'B', "0c005071745606 56777a5c0c"},
      {'C', "826020020a2c6c8a"},
      {'D', "0c0050828a5c0c"},
      {'E', "80000c8c 0666"},
      {'F', "80000c 0666"},
      {'G', "826020020a2c6c8a8656"},
      {'H', "000c 808c 0686"},
      {'I', "404c"},
      {'J', "808a6c2c0a"},
      {'K', "000c 8006 268c"},
      {'L', "000c8c"},
      {'M', "0c0047808c"},
      {'N', "0c008c80"},
      {'O', "2060828a6c2c0a0220"},
      {'P', "0c006082846606"},
      {'Q', "2060828a6c2c0a0220 598d"},
      {'R', "0c006082846606 468c"},
      {'S', "82602002042666888a6c2c0a"},
      {'T', "0080 404c"},
      {'U', "000a2c6c8a80"},
      {'V', "004c80"},
      {'W', "002c436c80"},
      {'X', "008c 800c"},
      {'Y', "004680 464c"},
      {'Z', "00800c8c"},
      {'0', "2060828a6c2c0a0220"},
      {'1', "13404c 1c7c"},
      {'2', "02206082840c8c"},
      {'3', "00804565878a6c2c0a"},
      {'4', "6c600989"},
      {'5', "80000565878a6c2c0a"},
      {'6', "826020020a2c6c8a87652507"},
      {'7', "00802c"},
      {'8', "260402206082846626080a2c6c8a8866"},
      {'9', "0a2c6c8a82602002052767 6785"},
      {'.', "4b4c"},
      {',', "4a3d"},
      {':', "4445 4b4c"},
      {'+', "1777 444a"},
      {'-', "1777"},
      {'=', "1575 1979"},
      {'/', "800c"},
      {'%', "800c 1031130110 6a8a8c6c6a"},
      {'(', "6033396c"},
      {')', "2053592c"},
  };
  const char upper = char(std::toupper(static_cast<unsigned char>(letter)));
  for (const auto& [name, text] : font)
    if (name == upper) return text;
  return "";
}

double digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

}  // namespace

double text_width(const std::string& text, double height) {
  return std::max(0.0, double(text.size()) * (cell_width + gap) - gap) * height / cell_height;
}

void draw_text_(Tensor& image, const std::string& text, double x, double y, double height,
                Color color) {
  const double unit = height / cell_height, pen = std::max(1.0, height / 8);
  for (const char letter : text) {
    const char* at = strokes(letter);
    const auto place = [&](const char* p) {
      return std::array{x + unit * digit(p[0]), y + unit * digit(p[1])};
    };
    for (bool down = false; *at; at += 2, down = true) {
      if (*at == ' ') ++at, down = false;
      const auto [px, py] = place(at);
      if (down) {
        const auto [qx, qy] = place(at - 2);
        draw_line_(image, qx, qy, px, py, pen, color);
      }
      draw_disc_(image, px, py, pen / 2, color);  // round ends and corners
    }
    x += (cell_width + gap) * unit;
  }
}

}  // namespace cairn
