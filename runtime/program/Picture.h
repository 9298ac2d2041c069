// A small canvas: rectangles, text, PNG.
#ifndef FOVEA_RUNTIME_PROGRAM_PICTURE_H
#define FOVEA_RUNTIME_PROGRAM_PICTURE_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::program {

struct Color {
  uint8_t red, green, blue;
  bool operator==(const Color &) const = default;
};

// From white (0) to a dark violet (1), in 200 steps of equal lightness as the eye sees it (Ottosson's OKLab).
Color ramp(double value);

class Picture {
public:
  Picture(int width, int height, Color background);

  void fill(int x, int y, int width, int height, Color color);
  // `x`, `y` is the upper left corner. `up`: turned to run upwards, the corner is then the lower left one.
  void write(int x, int y, std::string_view text, Color color, bool up = false);
  // Width of a line of text; its height is `textHeight`.
  static int widthOf(std::string_view text);
  static constexpr int textHeight = 18, capitalHeight = 14;

  // The file's bytes.
  std::string png() const;

private:
  int width, height;
  std::vector<Color> palette;   // at most 256; what comes later is drawn in the nearest
  std::vector<uint8_t> pixels;  // [height, width], into the palette

  uint8_t indexOf(Color color);
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_PICTURE_H
