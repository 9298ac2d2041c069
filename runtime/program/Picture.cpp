#include "runtime/program/Picture.h"

#include "runtime/program/Font.h"
#include "runtime/support/Text.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <stb/stb_image_write.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <numbers>

namespace fovea::program {

namespace {

constexpr int scale = 2;  // pixels of one dot of the font

// What the font has: ASCII. Other characters are written as their number.
std::string drawable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    size_t length = std::max<size_t>(codePointLength(text), 1);
    auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
    if (length == 1) {
      result += byte(0) < 32 || byte(0) > 126 ? '?' : text[0];
    } else {
      uint32_t code = byte(0) & (0x7Fu >> length);
      for (size_t at = 1; at < length; ++at)
        code = code << 6 | (byte(at) & 0x3Fu);
      char number[16];
      std::snprintf(number, sizeof number, "U+%04X", code);
      result += number;
    }
    text.remove_prefix(length);
  }
  return result;
}

// A letter's columns that have dots, and those of the space.
struct Letter {
  int first, width;
  const uint8_t *columns;
  bool dot(int column, int row) const { return column >= first && column < first + width && row >= 0 && row < 8 && columns[column] >> row & 1; }
};

Letter letterFor(char c) {
  const uint8_t *columns = font[c - 32];
  int first = 0, last = 4;
  while (first < 4 && !columns[first])
    ++first;
  while (last > first && !columns[last])
    --last;
  return c == ' ' ? Letter{0, 4, columns} : Letter{first, last - first + 1, columns};
}

uint8_t encodeChannel(double linear) {
  linear = std::clamp(linear, 0.0, 1.0);
  double value = linear <= 0.0031308 ? 12.92 * linear : 1.055 * std::pow(linear, 1 / 2.4) - 0.055;
  return uint8_t(std::lround(255 * value));
}

// Ottosson 2020, "A perceptual color space for image processing".
Color fromOklch(double lightness, double chroma, double hue) {
  double a = chroma * std::cos(hue * std::numbers::pi / 180), b = chroma * std::sin(hue * std::numbers::pi / 180);
  double l = std::pow(lightness + 0.3963377774 * a + 0.2158037573 * b, 3);
  double m = std::pow(lightness - 0.1055613458 * a - 0.0638541728 * b, 3);
  double s = std::pow(lightness - 0.0894841775 * a - 1.2914855480 * b, 3);
  return {encodeChannel(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s), encodeChannel(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
          encodeChannel(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)};
}

}  // namespace

Color ramp(double value) {
  static const std::vector<Color> colors = [] {
    std::vector<Color> colors;
    for (int step = 0; step < 200; ++step) {
      double at = step / 199.0;
      colors.push_back(fromOklch(0.985 - 0.725 * at, 0.125 * std::sin(std::numbers::pi * 0.85 * std::pow(at, 0.8)), 222 + 62 * at));
    }
    return colors;
  }();
  return colors[value > 0 ? size_t(std::lround(199 * std::min(value, 1.0))) : 0];
}

Picture::Picture(int width, int height, Color background) : width(width), height(height), pixels(size_t(width) * size_t(height)) {
  palette.push_back(background);
}

uint8_t Picture::indexOf(Color color) {
  auto found = std::find(palette.begin(), palette.end(), color);
  if (found == palette.end() && palette.size() < 256)
    found = palette.insert(found, color);
  if (found == palette.end())
    found = std::min_element(palette.begin(), palette.end(), [&](Color a, Color b) {
      auto far = [&](Color c) { return std::abs(c.red - color.red) + std::abs(c.green - color.green) + std::abs(c.blue - color.blue); };
      return far(a) < far(b);
    });
  return uint8_t(found - palette.begin());
}

void Picture::fill(int x, int y, int w, int h, Color color) {
  uint8_t index = indexOf(color);
  int left = std::max(x, 0), right = std::min(x + w, width);
  for (int row = std::max(y, 0); row < std::min(y + h, height) && left < right; ++row) {
    uint8_t *line = &pixels[size_t(row) * size_t(width)];
    std::fill(line + left, line + right, index);
  }
}

int Picture::widthOf(std::string_view text) {
  int dots = 0;
  for (char c : drawable(text))
    dots += letterFor(c).width + 1;
  return scale * std::max(dots - 1, 0);
}

void Picture::write(int x, int y, std::string_view text, Color color, bool up) {
  int left = 0;
  auto put = [&](int column, int row, int size) {
    if (up)
      fill(x + row, y - left - column - size, size, size, color);
    else
      fill(x + left + column, y + row, size, size, color);
  };
  for (char c : drawable(text)) {
    Letter letter = letterFor(c);
    for (int column = 0; column < 5; ++column)
      for (int row = 0; row < 8; ++row) {
        int atX = (column - letter.first) * scale, atY = row * scale;
        if (letter.dot(column, row)) {
          put(atX, atY, scale);
          continue;
        }
        // Where two dots meet at a corner alone, the empty corner between them is half filled: slanted strokes look smooth.
        for (int across : {-1, 1})
          for (int down : {-1, 1})
            if (letter.dot(column + across, row) && letter.dot(column, row + down) && !letter.dot(column + across, row + down))
              put(atX + (across > 0 ? scale / 2 : 0), atY + (down > 0 ? scale / 2 : 0), scale / 2);
      }
    left += (letter.width + 1) * scale;
  }
}

// One byte a pixel, which stb_image_write itself does not write: chunks by hand (PNG, ISO/IEC 15948), compression by stb.
std::string Picture::png() const {
  std::string file = "\x89PNG\r\n\x1A\n";
  auto number = [](uint32_t value) {
    return std::string{char(value >> 24), char(value >> 16), char(value >> 8), char(value)};
  };
  auto chunk = [&](const char *name, const std::string &data) {
    std::string body = name + data;
    file += number(uint32_t(data.size())) + body + number(stbiw__crc32(reinterpret_cast<unsigned char *>(body.data()), int(body.size())));
  };
  constexpr char depthAndKind[] = {8, 3, 0, 0, 0};  // bits, palette, deflate, filters, not interlaced
  chunk("IHDR", number(uint32_t(width)) + number(uint32_t(height)) + std::string(depthAndKind, 5));
  std::string colors;
  for (Color color : palette)
    colors += {char(color.red), char(color.green), char(color.blue)};
  chunk("PLTE", colors);
  std::string rows;
  for (int row = 0; row < height; ++row) {
    rows += '\0';  // no filter
    rows.append(reinterpret_cast<const char *>(&pixels[size_t(row) * size_t(width)]), size_t(width));
  }
  int size = 0;
  unsigned char *packed = stbi_zlib_compress(reinterpret_cast<unsigned char *>(rows.data()), int(rows.size()), &size, 5);
  if (!packed)
    throw std::bad_alloc();
  chunk("IDAT", std::string(reinterpret_cast<char *>(packed), size_t(size)));
  STBIW_FREE(packed);
  chunk("IEND", "");
  return file;
}

}  // namespace fovea::program
