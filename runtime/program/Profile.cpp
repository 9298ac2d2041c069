#include "runtime/program/Profile.h"

#include <algorithm>
#include <cstdio>
#include <tuple>

namespace fovea::program {

namespace {

struct Row {
  std::string stage, what, place;
  fovea_operation cost{};
};

std::string number(const char *format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// Giga per second, where there is anything to count.
std::string rate(int64_t amount, int64_t nanoseconds) { return amount > 0 && nanoseconds > 0 ? number("%.1f", double(amount) / double(nanoseconds)) : "-"; }

// The first `left` columns lie to the left, the others to the right.
std::string grid(const std::vector<std::vector<std::string>> &rows, size_t left) {
  std::vector<size_t> widths(rows.front().size());
  for (const auto &row : rows)
    for (size_t column = 0; column < row.size(); ++column)
      widths[column] = std::max(widths[column], row[column].size());
  std::string text;
  for (const auto &row : rows) {
    std::string line;
    for (size_t column = 0; column < row.size(); ++column) {
      std::string blanks(widths[column] - row[column].size(), ' ');
      line += (column ? "  " : "") + (column < left ? row[column] + blanks : blanks + row[column]);
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

}  // namespace

Profile::Profile(const Table &table) : names(table.operations), operations(names.size()), start(table.startProfile) {
  for (const char *name : {"load", "encode", "step", weights, search})
    spans[name];
  if (start)
    start(operations.data());
}

Profile::~Profile() {
  if (start)
    start(nullptr);
}

void Profile::add(const std::string &name, std::chrono::nanoseconds time) {
  Span &span = spans.at(name);
  ++span.calls;
  span.nanoseconds += time.count();
}

std::string Profile::text() const {
  // Layers that are alike are the same text of the model: one row.
  std::map<std::tuple<std::string, std::string, std::string>, fovea_operation> together;
  std::map<std::string, int64_t> inside;  // of each stage, what its operations took
  for (size_t number = 0; number < names.size(); ++number) {
    const OperationName &name = names[number];
    const fovea_operation &cost = operations[number];
    fovea_operation &sum = together[{name.stage, name.what, name.place}];
    sum = {sum.calls + cost.calls, sum.nanoseconds + cost.nanoseconds, sum.flops + cost.flops, sum.bytes + cost.bytes};
    inside[name.stage] += cost.nanoseconds;
  }
  std::vector<Row> rows;
  for (const auto &[key, cost] : together)
    if (cost.calls > 0)
      rows.push_back({std::get<0>(key), std::get<1>(key), std::get<2>(key), cost});
  auto other = [&](const char *span, const char *what, int64_t elsewhere) {
    const Span &whole = spans.at(span);
    if (whole.calls > 0)
      rows.push_back({span, what, "", {whole.calls, std::max<int64_t>(0, whole.nanoseconds - elsewhere), 0, 0}});
  };
  for (const char *stage : {"load", "encode", "step"})
    other(stage, "all else", inside[stage]);
  other(weights, "read and laid out", spans.at("load").nanoseconds);
  other(search, "choices, moves", spans.at("encode").nanoseconds + spans.at("step").nanoseconds);
  std::stable_sort(rows.begin(), rows.end(), [](const Row &a, const Row &b) { return a.cost.nanoseconds > b.cost.nanoseconds; });

  int64_t total = 0;
  for (const Row &row : rows)
    total += row.cost.nanoseconds;
  std::vector<std::vector<std::string>> cells{{"stage", "operation", "at", "calls", "seconds", "share", "GFLOP", "GFLOP/s", "GB/s"}};
  for (const auto &[stage, what, place, cost] : rows)
    cells.push_back({stage, what, place, std::to_string(cost.calls), number("%.3f", double(cost.nanoseconds) * 1e-9),
                     number("%.1f %%", 100.0 * double(cost.nanoseconds) / double(std::max<int64_t>(total, 1))), cost.flops > 0 ? number("%.6f", double(cost.flops) * 1e-9) : "-",
                     rate(cost.flops, cost.nanoseconds), rate(cost.bytes, cost.nanoseconds)});
  return grid(cells, 3);
}

}  // namespace fovea::program
