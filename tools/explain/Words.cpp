#include "tools/explain/Words.h"

#include "tools/explain/Live.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <tuple>

namespace fovea {

using namespace core;

namespace {

// The indices that some reduction under the mask runs over and the mask depends on.
std::set<IndexId> reducedUnder(const Function &f, NodeId mask, const std::set<NodeId> &conditions) {
  std::set<IndexId> out;
  for (NodeId n : liveNodes(f)) {
    const Node &node = f.nodes[n];
    if (!isReduction(node.op)) continue;
    std::set<NodeId> here;
    for (size_t k = 1; k < node.args.size(); k++) conjuncts(f, node.args[k], here);
    if (!here.count(mask) && !std::includes(here.begin(), here.end(), conditions.begin(), conditions.end())) continue;
    for (IndexId i : node.indices)
      if (dependsOn(f, mask, i)) out.insert(i);
  }
  return out;
}

template <typename F>
void positionsIn(const Function &f, NodeId n, IndexId but, F add) {
  walkBehind(f, n, [&](NodeId, const Node &node) -> std::span<const NodeId> {
    if (node.op == Op::Position && node.ref != but) add("the index " + f.indices[node.ref].name);
    if (node.op == Op::Load || isReduction(node.op) || node.op == Op::LoopResult) return {};
    return node.args;
  });
}

// Where a bound's term comes from: the strongest of loaded, scalar, extent, constant.
std::string sourceOf(const Function &f, NodeId n) {
  std::string source;
  bool computed = false;
  walkBehind(f, n, [&](NodeId, const Node &node) -> std::span<const NodeId> {
    if (!source.empty()) return {};
    computed |= node.op == Op::Read || node.op == Op::LoopResult || isReduction(node.op);
    if (node.op == Op::Load) source = "the loaded value of " + f.tensors[node.ref].name;
    else if (node.op == Op::Scalar) source = "the scalar " + f.scalars[node.ref].name;
    else if (node.op == Op::Extent) source = "the extent |" + f.indices[node.ref].name + "|";
    else return node.args;
    return {};
  });
  return source.empty() && computed ? "a computed value" : source;
}

// What a bound is made of.
std::string sources(const Function &f, NodeId condition, IndexId i) {
  std::vector<std::string> from;
  auto add = [&](const std::string &source) {
    if (!source.empty() && std::find(from.begin(), from.end(), source) == from.end()) from.push_back(source);
  };
  for (NodeId side : f.nodes[condition].args) positionsIn(f, side, i, add);
  for (NodeId side : f.nodes[condition].args) add(sourceOf(f, side));
  if (from.empty()) from.push_back("a constant");
  return join(from, " and ", [](const std::string &s) { return s; });
}

const char *sides(const Fate &fate) { return fate.lower && fate.upper ? "both bounds" : fate.lower ? "lower bound" : "upper bound"; }

// What a condition did to the loop over `i`, wherever it stands.
std::string becameOf(const Function &f, const std::vector<std::string> &files, NodeId condition, IndexId i, const std::vector<Fate> &fates) {
  const std::string &name = f.indices[i].name;
  if (!dependsOn(f, condition, i)) return fmt::format("the same for all of {}: tested outside its loop", name);
  Place place = f.nodes[condition].place;
  Fate all;
  for (const Fate &fate : fates) {
    if (fate.line != place.line || fate.column != place.column || fate.index != int64_t(i) || fate.file != files[place.file]) continue;
    all.lower |= fate.lower, all.upper |= fate.upper, all.searched |= fate.searched, all.tested |= fate.tested;
    all.step = std::max(all.step, fate.step);
  }
  if (all.step > 1) return fmt::format("a step of {} in the loop over {}, from {}{}", all.step, name, sources(f, condition, i), all.tested ? "; tested at each point elsewhere" : "");
  if (!all.lower && !all.upper) return "tested at each point of " + name;
  return fmt::format("{} of the loop over {}, from {}{}{}", sides(all), name, sources(f, condition, i),
                     all.searched ? ", by binary search" : "", all.tested ? "; tested at each point between, too" : "");
}

}  // namespace

std::vector<std::string> maskWords(const Function &f, const std::vector<std::string> &files, const Function::MaskInfo &mask, const std::vector<Fate> &fates) {
  std::vector<std::string> lines;
  std::set<NodeId> conditions;
  conjuncts(f, mask.node, conditions);
  for (NodeId condition : conditions) {
    std::string words = join(reducedUnder(f, mask.node, conditions), "; ", [&](IndexId i) { return becameOf(f, files, condition, i, fates); });
    if (words.empty()) words = "selects results: where it is false they are 0";
    Place place = f.nodes[condition].place;
    lines.push_back((conditions.size() > 1 ? fmt::format("the condition at {}:{} ", place.line, place.column) : "") + "-> " + words);
  }
  return lines;
}

std::vector<std::string> factorWords(const Function &f, const std::vector<std::string> &files, const std::vector<Fate> &fates) {
  std::set<NodeId> conditions;
  for (const Function::MaskInfo &mask : f.masks) conjuncts(f, mask.node, conditions);
  std::map<std::tuple<uint32_t, uint32_t, std::string, int64_t>, Fate> found;  // of one place and index together
  for (const Fate &fate : fates) {
    bool ofMask = std::any_of(conditions.begin(), conditions.end(), [&](NodeId c) {
      Place place = f.nodes[c].place;
      return fate.line == place.line && fate.column == place.column && fate.file == files[place.file];
    });
    if (ofMask || !(fate.lower || fate.upper || fate.step > 1)) continue;
    Fate &all = found[{fate.line, fate.column, fate.file, fate.index}];
    all.lower |= fate.lower, all.upper |= fate.upper, all.step = std::max(all.step, fate.step);
  }
  std::vector<std::string> lines;
  for (const auto &[at, fate] : found) {
    const auto &[line, column, file, index] = at;
    std::string what = fate.lower || fate.upper ? sides(fate) : fmt::format("a step of {}", fate.step);
    lines.push_back(fmt::format("{} of the loop over {} at {}:{}:{}: what is summed is 0 elsewhere", what, f.indices[size_t(index)].name, file, line, column));
  }
  return lines;
}

}  // namespace fovea
