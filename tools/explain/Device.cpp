#include "tools/explain/Device.h"

#include "tools/explain/Live.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

namespace fovea {

using namespace core;

namespace {

// The function is the version of a kernel that lists extents, if there is more than one.
std::string placed(const Function &k, const Where &where) {
  std::string text = where.file.empty() ? "the kernel's own" : fmt::format("{}:{}:{}", where.file, where.line, where.column);
  if (where.function.size() > k.name.size() && where.function.starts_with(k.name + ".")) text += fmt::format(" ({})", where.function.substr(k.name.size() + 1));
  return text;
}

// "threads 16 x 16 x 1, shared memory 26112" of each nest, from the lines before its code.
std::map<std::string, std::string> launchesOf(const std::string &code) {
  std::map<std::string, std::string> found;
  std::istringstream lines(code);
  const std::string launch = "// launch ", nest = "// fovea_nest_";
  std::string name;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(nest)) name = line.substr(3);
    if (!line.starts_with(launch)) continue;
    std::string how = line.substr(line.find(": ") + 2);
    if (size_t at = how.find("shared memory "); at != std::string::npos) how = how.substr(0, at) + how.substr(at + 14) + " bytes of shared memory";
    found[name] += (found[name].empty() ? "" : "; ") + how;
  }
  return found;
}

// Lines that are equal but for their number.
class Counted {
 public:
  void add(const std::string &line) {
    auto at = std::find_if(lines.begin(), lines.end(), [&](const auto &known) { return known.first == line; });
    if (at == lines.end()) lines.emplace_back(line, 1);
    else at->second++;
  }
  void append(const char *what, std::vector<std::string> &to) const {
    for (const auto &[line, count] : lines) to.push_back(fmt::format("{:<9} {}{}", what, line, count > 1 ? fmt::format(" ({} times)", count) : ""));
  }

 private:
  std::vector<std::pair<std::string, size_t>> lines;
};

// The axes of C argument `n`.
const std::vector<IndexId> &axesOf(const Function &k, size_t n) { return n < k.parameters.size() ? k.tensors[k.parameters[n].id].axes : k.results[n - k.parameters.size()].axes; }

std::string sizeOf(const Function &k, const Temporary &memory, const std::vector<int64_t> &extents) {
  if (!memory.known) return "of a size that the host computes";
  int64_t bytes = memory.bytes;
  std::string product;
  bool whole = true;
  for (auto [argument, axis] : memory.extents) {
    const IndexId index = axesOf(k, argument)[axis];
    product += "*" + extentName(k, index);
    whole &= !extents.empty() && extents[index] >= 0 && !__builtin_mul_overflow(bytes, extents[index], &bytes);
  }
  std::string text = fmt::format("{}{} bytes", memory.bytes, product);
  if (whole && !product.empty()) text += fmt::format(" = {}", bytes);
  return text;
}

std::string wordsOf(const Launch &launch) {
  const std::string reduced = fmt::format(", {} reduced", launch.reduced), loops = fmt::format("{} loop{}", launch.points, launch.points == 1 ? "" : "s");
  if (launch.tile) return fmt::format("tiles of {} x {} points of {}{}, both sides through shared memory", launch.tile->rows, launch.tile->columns, loops, reduced);
  if (launch.threads > 1) return fmt::format("{} threads fold each point of {}{}", launch.threads, loops, reduced);
  return fmt::format("{}{}", launch.points ? "a thread for each point of " + loops : "one thread computes", launch.reduced ? reduced + " inside" : "");
}

}  // namespace

std::string launchWords(const std::vector<Launch> &launches) {
  auto count = [&](auto is) { return size_t(std::count_if(launches.begin(), launches.end(), is)); };
  const size_t looped = count([](const Launch &l) { return l.looped; }), chosen = count([](const Launch &l) { return l.chosen; });
  const std::pair<const char *, size_t> kinds[] = {{"attention in blocks", count([](const Launch &l) { return l.blocks || l.merge; })}, {"contractions in tiles", count([](const Launch &l) { return l.tile.has_value(); })},
                                                   {"reductions by several threads", count([](const Launch &l) { return l.threads > 1; })}};
  std::string text = fmt::format("{}", launches.size());
  size_t others = launches.size();
  const char *before = ": ";
  for (auto [what, number] : kinds) {
    if (number) text += fmt::format("{}{} {}", std::exchange(before, ", "), number, what);
    others -= number;
  }
  if (others && others < launches.size()) text += fmt::format(", {} with a thread a point", others);
  if (chosen) text += fmt::format("; the host chooses among {}", chosen);
  if (looped) text += fmt::format("; {} in loops of the host", looped);
  return text;
}

std::vector<std::string> deviceLines(const Function &k, const Compiled &compiled, const std::vector<int64_t> &extents) {
  const Decisions &d = compiled.decisions;
  const std::map<std::string, std::string> launches = launchesOf(compiled.text);
  std::vector<std::string> lines;
  Counted fused, points, memory, reads, loops;
  auto threadsOf = [&](const std::string &nest) {
    auto known = launches.find(nest);
    return known == launches.end() ? std::string() : known->second;
  };
  for (const Launch &launch : d.launches) {
    std::string how = threadsOf(launch.nest);
    if (!launch.fewer.empty()) how += fmt::format("; where there are few rows or steps: {}", threadsOf(launch.fewer));
    if (launch.chosen) how += "; if the host chooses it when it runs";
    if (launch.looped) how += "; in a loop of the host";
    const std::string at = placed(k, launch.where);
    if (const auto &b = launch.blocks)
      fused.add(fmt::format("attend at {}: {}blocks of {} queries x {} value columns, {} keys at a time; {}; the scores are never in memory", at, b->parts ? "of few queries, parts of the keys in " : "", b->queries, b->columns,
                            b->keys, how));
    else if (launch.merge) fused.add(fmt::format("attend at {}: the parts put together; {}", at, how));
    else points.add(fmt::format("{}: {}; {}", at, wordsOf(launch), how));
  }
  fused.append("fused", lines);
  for (const Unfused &unfused : d.unfused) lines.push_back(fmt::format("not fused attention at {}: {}: its scores are in the device's memory", placed(k, unfused.where), unfused.why));
  points.append("points", lines);
  lines.push_back(fmt::format("launches  {}", launchWords(d.launches)));
  for (const Where &loop : d.hostLoops) loops.add(placed(k, loop));
  loops.append("host loop", lines);
  for (const Where &read : d.hostReads) reads.add(fmt::format("{}: an element of a tensor, for which the host waits", placed(k, read)));
  reads.append("host read", lines);
  for (const Temporary &temporary : d.temporaries) memory.add(fmt::format("{} at {}{}", sizeOf(k, temporary, extents), placed(k, temporary.where), temporary.looped ? ", in a loop of the host" : ""));
  memory.append("temporary", lines);
  return lines;
}

}  // namespace fovea
