#include "tools/Visits.h"

#include <fmt/core.h>

#include <algorithm>
#include <tuple>

namespace fovea {

std::string grouped(int64_t number) {
  std::string text = std::to_string(number);
  for (int64_t at = int64_t(text.size()) - 3; at > (number < 0 ? 1 : 0); at -= 3) text.insert(size_t(at), ",");
  return text;
}

std::string percentage(double part, double total) { return fmt::format("{:.3g} %", total > 0 ? 100 * part / total : 0); }

std::string Visits::what() const { return fmt::format("{} at {}:{}:{}", counter.text, counter.file, counter.line, counter.column); }

std::string Visits::words() const {
  std::string text = fmt::format("visited {} of {} points ({})", grouped(points), grouped(total), percentage(double(points), double(total)));
  if (tiles) text += fmt::format("; {} tiles: {} full, {} partial, {} skipped", grouped(tiles), grouped(full), grouped(partial), grouped(tiles - full - partial));
  return text;
}

std::vector<Visits> visitsOf(const std::vector<Counter> &counters, const fovea_count *counts, const std::vector<int64_t> &extents) {
  std::vector<Visits> out;
  for (size_t k = 0; k < counters.size(); k++) {
    const Counter &c = counters[k];
    auto same = [&](const Visits &v) { return v.counter.text == c.text && v.counter.line == c.line && v.counter.column == c.column && v.counter.file == c.file; };
    auto at = std::find_if(out.begin(), out.end(), same);
    if (at == out.end()) at = out.insert(at, Visits{c});
    int64_t total = counts[k].rows;
    for (int64_t i : c.indices) total *= std::max<int64_t>(extents[size_t(i)], 0);
    at->points += counts[k].points, at->total += total;
    at->tiles += counts[k].tiles, at->full += counts[k].full, at->partial += counts[k].partial;
  }
  std::stable_sort(out.begin(), out.end(), [](const Visits &a, const Visits &b) {
    return std::tie(a.counter.file, a.counter.line, a.counter.column) < std::tie(b.counter.file, b.counter.line, b.counter.column);
  });
  return out;
}

}  // namespace fovea
