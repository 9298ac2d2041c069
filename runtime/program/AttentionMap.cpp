#include "runtime/program/AttentionMap.h"

#include "runtime/program/Picture.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace fovea::program {

namespace {

constexpr Color white{255, 255, 255}, ink{32, 33, 40}, pale{120, 122, 134}, frame{178, 180, 190}, line{236, 237, 241};
constexpr int margin = 20, gap = 8;
constexpr int mostPixels = 4000;   // of a side of the grid
constexpr int leastWidth = 420;

std::string shown(const std::string &token) { return token == " " ? "' '" : token.substr(0, 40); }

int widest(const std::vector<std::string> &labels) {
  int width = 0;
  for (const std::string &label : labels)
    width = std::max(width, Picture::widthOf(shown(label)));
  return width;
}

int cellSize(size_t count, int wanted) { return std::clamp(mostPixels / std::max<int>(int(count), 1), 1, wanted); }

std::vector<std::string> wrap(const std::string &text, int width, size_t most) {
  std::vector<std::string> lines;
  std::string rest = text;
  while (!rest.empty() && lines.size() < most) {
    size_t end = rest.size();
    while (end > 1 && Picture::widthOf(std::string_view(rest).substr(0, end)) > width) {
      size_t space = rest.rfind(' ', end - 1);
      end = space == std::string::npos || space == 0 ? end - 1 - end / 16 : space;
    }
    lines.push_back(rest.substr(0, end));
    rest.erase(0, end);
    rest.erase(0, rest.find_first_not_of(' ') == std::string::npos ? rest.size() : rest.find_first_not_of(' '));
  }
  if (!rest.empty() && !lines.empty())
    lines.back() += " ...";
  return lines;
}

std::string rounded(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2g", value);
  return text;
}

}  // namespace

std::string draw(const AttentionMap &map) {
  const int rows = int(map.rows.size()), columns = int(map.columns.size());
  float largest = 0;
  for (const auto &row : map.values)
    for (float value : row)
      if (std::isfinite(value))
        largest = std::max(largest, value);
  const double scale = largest > 0 ? double(largest) : 1;

  // Columns are as wide as their labels where that is not much, else the labels stand upright.
  const int columnLabels = widest(map.columns), rowLabels = std::max(widest(map.rows), Picture::widthOf("output"));
  const bool upright = columnLabels > 44;
  const int cellWidth = cellSize(map.columns.size(), upright ? 30 : std::max(30, columnLabels + 10)), cellHeight = cellSize(map.rows.size(), 30);
  const int gridWidth = cellWidth * columns, gridHeight = cellHeight * rows;
  const int barWidth = 16, barLabels = Picture::widthOf("0.0001");
  const int body = rowLabels + gap + gridWidth + 3 * gap + barWidth + gap + barLabels;
  const int width = std::max(body, leastWidth) + 2 * margin;

  std::string head = map.heads <= 1 ? "" : map.head < 0 ? ", mean of " + std::to_string(map.heads) + " heads" : ", head " + std::to_string(map.head);
  std::vector<std::string> title = wrap(map.input, width - 2 * margin - Picture::widthOf("-> "), 2);
  std::vector<std::string> output = wrap(map.output, width - 2 * margin - Picture::widthOf("-> "), 3);
  const int pitch = Picture::textHeight + 6;
  const int top = margin + int(title.size() + std::max<size_t>(output.size(), 1) + 1) * pitch + 2 * gap;
  const int labelsHeight = pitch + (upright ? columnLabels : Picture::capitalHeight) + gap;
  const int left = margin + rowLabels + gap, gridTop = top + labelsHeight;
  const int height = gridTop + std::max(gridHeight, 80) + margin;
  Picture picture(width, height, white);

  int y = margin;
  for (const std::string &text : title) {
    picture.write(margin, y, text, ink);
    y += pitch;
  }
  picture.write(margin, y, "->", pale);
  for (const std::string &text : output) {
    picture.write(margin + Picture::widthOf("-> "), y, text, ink);
    y += pitch;
  }
  y = margin + int(title.size() + std::max<size_t>(output.size(), 1)) * pitch;
  picture.write(margin, y, map.trace + head, pale);

  picture.write(left, top, map.across, pale);
  picture.write(margin, gridTop - gap - Picture::capitalHeight, "output", pale);
  // Where cells are smaller than text, every so many labels.
  const int everyColumn = (Picture::capitalHeight + 4 + cellWidth - 1) / cellWidth, everyRow = (Picture::capitalHeight + 2 + cellHeight - 1) / cellHeight;
  for (int column = 0; column < columns; column += upright || cellWidth < 20 ? everyColumn : 1) {
    std::string label = shown(map.columns[size_t(column)]);
    if (upright)
      picture.write(left + column * cellWidth + (cellWidth - Picture::capitalHeight) / 2, gridTop - gap, label, ink, true);
    else
      picture.write(left + column * cellWidth + (cellWidth - Picture::widthOf(label)) / 2 + 1, gridTop - gap - Picture::capitalHeight, label, ink);
  }
  for (int row = 0; row < rows; row += everyRow) {
    std::string label = shown(map.rows[size_t(row)]);
    picture.write(left - gap - Picture::widthOf(label), gridTop + row * cellHeight + (cellHeight - Picture::capitalHeight) / 2, label, ink);
  }

  picture.fill(left - 1, gridTop - 1, gridWidth + 2, gridHeight + 2, frame);
  for (int row = 0; row < rows; ++row)
    for (int column = 0; column < columns; ++column) {
      int x = left + column * cellWidth, cellTop = gridTop + row * cellHeight;
      picture.fill(x, cellTop, cellWidth, cellHeight, cellWidth >= 8 && cellHeight >= 8 ? line : white);
      int separator = cellWidth >= 8 && cellHeight >= 8 ? 1 : 0;
      picture.fill(x, cellTop, cellWidth - separator, cellHeight - separator, ramp(double(map.values[size_t(row)][size_t(column)]) / scale));
    }

  const int barHeight = std::max(80, std::min(gridHeight, 240)), barLeft = left + gridWidth + 3 * gap;
  picture.fill(barLeft - 1, gridTop - 1, barWidth + 2, barHeight + 2, frame);
  for (int step = 0; step < barHeight; ++step)
    picture.fill(barLeft, gridTop + step, barWidth, 1, ramp(1 - double(step) / double(barHeight - 1)));
  picture.write(barLeft + barWidth + gap, gridTop, rounded(scale), pale);
  picture.write(barLeft + barWidth + gap, gridTop + barHeight - Picture::capitalHeight, "0", pale);
  return picture.png();
}

}  // namespace fovea::program
