#include "lowering/halide/NestPlan.h"

#include "lowering/halide/DeviceTarget.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace fovea::leaf {
namespace {

using Loops = uint64_t;   // a bit each

constexpr size_t mostLoops = 63;

Loops bit(int loop) { return Loops(1) << loop; }

Loops setOf(const std::vector<int> &loops) {
  Loops set = 0;
  for (int loop : loops) set |= bit(loop);
  return set;
}

// What is known of a nest's steps.
struct Steps {
  const NestSpec &spec;
  Loops reduced = 0;
  std::vector<Loops> loops;            // that a step depends on
  std::vector<bool> reads, folded;     // a tensor; what has been folded

  explicit Steps(const NestSpec &spec) : spec(spec) {
    for (size_t n = 0; n < spec.reduced.size(); n++)
      if (spec.reduced[n]) reduced |= bit(int(n));
    for (const NestSpec::Step &step : spec.steps) {
      Loops on = step.op == "loop" ? bit(int(step.integer)) : 0;
      bool read = step.op == "load", fold = step.op == "before";
      for (int a : step.args) on |= loops[a], read = read || reads[a], fold = fold || folded[a];
      loops.push_back(on), reads.push_back(read), folded.push_back(fold);
    }
  }

  std::set<int> used(int root) const {
    std::set<int> found;
    std::vector<int> work{root};
    while (!work.empty()) {
      int n = work.back();
      work.pop_back();
      if (found.insert(n).second) work.insert(work.end(), spec.steps[n].args.begin(), spec.steps[n].args.end());
    }
    return found;
  }

  // The loops that are an axis' position in a load.
  Loops bare(int load) const {
    Loops found = 0;
    for (int a : spec.steps[load].args)
      if (spec.steps[a].op == "loop") found |= bit(int(spec.steps[a].integer));
    return found;
  }

  // Whether some tensor has an axis for each reduced loop: all of them together are counted in 32 bits.
  bool counted() const {
    for (size_t n = 0; n < spec.steps.size(); n++)
      if (spec.steps[n].op == "load" && (bare(int(n)) & reduced) == reduced) return true;
    return false;
  }
};

// What a thread computes anew though its arguments are shared: a comparison costs no more than reading it.
bool cheap(const NestSpec::Step &step) { return step.op.rfind("cmp", 0) == 0; }

bool costly(const std::string &op) {
  static const std::set<std::string> names = {"exp", "exp2", "log", "log1p", "tanh", "erf", "sin", "cos", "powf"};
  return names.count(op) != 0;
}

// Which steps are +0 where all parts that are reduced are.
struct Zeros {
  const NestSpec &spec;
  const std::vector<TilePart> &parts;

  bool zero(int n) const {
    for (const TilePart &part : parts)
      if (part.step == n) return part.reduced;
    const NestSpec::Step &s = spec.steps[n];
    if (s.op == "f32") return s.real == 0 && !std::signbit(s.real);
    if (s.op == "addf" || s.op == "subf" || s.op == "mulf") return zero(s.args[0]) && zero(s.args[1]);
    if (s.op == "maximumf" || s.op == "minimumf" || s.op == "maxnumf" || s.op == "minnumf") return zero(s.args[0]) && zero(s.args[1]);
    if (s.op == "absf" || s.op == "tanh" || s.op == "sqrt" || s.op == "erf") return zero(s.args[0]);
    if (s.op == "select") {
      const NestSpec::Step &condition = spec.steps[s.args[0]];
      if (condition.op == "cmpf_oeq" && zero(condition.args[0]) && zero(condition.args[1])) return zero(s.args[1]);
      return zero(s.args[1]) && zero(s.args[2]);
    }
    return false;
  }

  bool harmless() const {
    const NestSpec::Step &s = spec.steps[spec.outputs[0].value];
    if (s.op != "addf") return false;
    for (int n : {0, 1})
      if (spec.steps[s.args[n]].op == "before" && zero(s.args[1 - n])) return true;
    return false;
  }
};

int64_t times(const std::vector<int> &loops, const std::vector<int64_t> &extents) {
  int64_t product = 1;
  for (int loop : loops) {
    if (extents[loop] < 0) return -1;
    product = std::min<int64_t>(product * extents[loop], int64_t(1) << 31);
  }
  return product;
}

}  // namespace

std::optional<std::vector<Folded>> foldsOf(const NestSpec &spec) {
  static const std::map<std::string, Fold> folds = {
      {"addf", Fold::Sum},         {"addi", Fold::Sum},         {"mulf", Fold::Product},    {"muli", Fold::Product},
      {"maximumf", Fold::Maximum}, {"maxnumf", Fold::Maximum},  {"maxsi", Fold::Maximum},   {"minimumf", Fold::Minimum},
      {"minnumf", Fold::Minimum},  {"minsi", Fold::Minimum},    {"andi", Fold::All},        {"ori", Fold::Any}};
  const Steps steps(spec);
  std::vector<Folded> found;
  for (size_t n = 0; n < spec.outputs.size(); n++) {
    const NestSpec::Step &value = spec.steps[spec.outputs[n].value];
    auto isOwn = [&](int a) { return spec.steps[a].op == "before" && spec.steps[a].integer == int64_t(n); };
    if (value.op == "bool" && value.integer && spec.outputs.size() > 1) {   // whether there was any step
      found.push_back({Fold::Visited, spec.outputs[n].value});
      continue;
    }
    if (value.op == "select" && isOwn(value.args[1]) && !steps.folded[value.args[2]]) {
      const NestSpec::Step &compared = spec.steps[value.args[0]];
      const bool larger = compared.op == "cmpf_ogt" || compared.op == "cmpi_sgt", smaller = compared.op == "cmpf_olt" || compared.op == "cmpi_slt";
      if ((larger || smaller) && compared.args[0] == value.args[1] && compared.args[1] == value.args[2]) {
        found.push_back({larger ? Fold::Maximum : Fold::Minimum, value.args[2]});
        continue;
      }
    }
    auto fold = folds.find(value.op);
    if (fold == folds.end() || value.args.size() != 2) return std::nullopt;
    if (isOwn(value.args[0]) == isOwn(value.args[1])) return std::nullopt;
    const int added = value.args[isOwn(value.args[0]) ? 1 : 0];
    if (steps.folded[added]) return std::nullopt;
    found.push_back({fold->second, added});
  }
  if (std::all_of(found.begin(), found.end(), [](const Folded &f) { return f.fold == Fold::Visited; })) return std::nullopt;
  return found;
}

TileParts tileParts(const NestSpec &spec) {
  const Steps steps(spec);
  const Loops down = setOf(spec.tiles->down), across = setOf(spec.tiles->across);
  TileParts found;
  std::set<int> seen;
  std::vector<int> work{spec.outputs[0].value};
  while (!work.empty()) {
    int n = work.back();
    work.pop_back();
    if (!seen.insert(n).second) continue;
    const bool reduced = steps.loops[n] & steps.reduced, alongRows = steps.loops[n] & down, alongColumns = steps.loops[n] & across;
    if (steps.reads[n] && !steps.folded[n] && !(reduced && alongRows && alongColumns) && !cheap(spec.steps[n])) found.parts.push_back({n, reduced, alongRows, alongColumns});
    else if (spec.steps[n].op != "load") work.insert(work.end(), spec.steps[n].args.begin(), spec.steps[n].args.end());
  }
  found.zeros = Zeros{spec, found.parts}.harmless();
  return found;
}

// With so many rows, few: their tiles have 8 rows, the others 64.
constexpr int64_t fewRows = 16;

static std::optional<NestPlan> planTiles(const NestSpec &spec, const Steps &steps, const std::vector<int64_t> &extents) {
  if (spec.outputs.size() != 1 || !steps.folded[spec.outputs[0].value]) return std::nullopt;

  // Parallel loops by the operands that depend on them. Those of all operands, or of none, are batches.
  std::vector<Loops> operands;
  for (int n : steps.used(spec.outputs[0].value))
    if (spec.steps[n].op == "load" && (steps.loops[n] & steps.reduced) && (steps.loops[n] & ~steps.reduced)) operands.push_back(steps.loops[n] & ~steps.reduced);
  if (operands.size() > mostLoops) return std::nullopt;
  std::map<Loops, std::vector<int>> sides;   // by the set of operands
  Loops columnSide = 0;
  for (int loop : spec.axes) {
    Loops users = 0;
    for (size_t n = 0; n < operands.size(); n++)
      if (operands[n] & bit(loop)) users |= Loops(1) << n;
    if (!users || users == (Loops(1) << operands.size()) - 1 || extents[loop] == 1) continue;
    sides[users].push_back(loop);
    columnSide = users;                // the innermost one
  }
  const std::vector<int> *across = columnSide ? &sides[columnSide] : nullptr, *down = nullptr;
  for (const auto &[users, loops] : sides)
    if (!(users & columnSide) && (!down || loops.size() > down->size())) down = &loops;
  if (!across || !down) return std::nullopt;

  const int64_t rows = times(*down, extents), columns = times(*across, extents);
  NestSpec tiled = spec;
  tiled.tiles.emplace();
  tiled.tiles->down = *down, tiled.tiles->across = *across;
  const TileParts parts = tileParts(tiled);
  // In 48 KiB of shared memory, and a thread's registers.
  constexpr int mostShared = 3, mostHeld = 2;
  auto isShared = [](const TilePart &part) { return part.reduced && (part.down || part.across); };
  auto isHeld = [](const TilePart &part) { return !part.reduced && part.down && part.across; };
  if (std::count_if(parts.parts.begin(), parts.parts.end(), isShared) > mostShared || std::count_if(parts.parts.begin(), parts.parts.end(), isHeld) > mostHeld) return std::nullopt;
  bool costs = false;
  for (int n : steps.used(spec.outputs[0].value)) costs |= costly(spec.steps[n].op);

  // A side of a thread's points; what takes long for each gains little from more.
  const int side = costs ? 2 : 4;
  const bool unroll = parts.zeros && !costs && findDevice(spec.target)->unroll;
  auto tiles = [&](int down, int across, int depth, int threadsDown, int threadsAcross) {
    tiled.tiles = NestSpec::Tiles{tiled.tiles->down, tiled.tiles->across, down, across, depth, threadsAcross, threadsDown, unroll};
    return tiled;
  };
  const int threadsAcross = columns < 0 || columns > 8 * side ? 16 : columns > 4 * side || costs ? 8 : 4, threadsDown = 256 / threadsAcross;
  const NestSpec many = tiles(threadsDown * side, threadsAcross * side, 16, threadsDown, threadsAcross);
  const NestSpec few = columns >= 0 && columns <= 8 ? tiles(8, 8, 32, 8, 8) : tiles(8, 32, 32, 8, 32);
  if (rows >= 0) return NestPlan{rows <= fewRows ? few : many, std::nullopt, {}, 0};
  return NestPlan{many, few, *down, fewRows};
}

// With so many reduced steps, few: a thread folds a point by itself.
constexpr int64_t fewSteps = 16;

static std::optional<NestPlan> planGroups(const NestSpec &spec, const Steps &steps, const std::vector<int64_t> &extents, bool exact) {
  if (!foldsOf(spec)) return std::nullopt;
  std::vector<int> reduced;
  for (size_t n = 0; n < spec.reduced.size(); n++)
    if (spec.reduced[n]) reduced.push_back(int(n));
  const int64_t depth = times(reduced, extents);
  if (depth >= 0 && depth <= fewSteps) return std::nullopt;
  // Neighbours in memory go to neighbouring threads.
  bool together = false;
  for (const NestSpec::Step &step : spec.steps)
    if (step.op == "load" && !step.args.empty()) together |= (steps.loops[step.args.back()] & steps.reduced) != 0;
  NestSpec grouped = spec;
  grouped.groups = together ? NestSpec::Groups{32, 8, true} : NestSpec::Groups{8, 32, false};
  if (depth >= 0 || exact) return NestPlan{grouped, std::nullopt, {}, 0};
  return NestPlan{grouped, spec, reduced, fewSteps};
}

NestPlan planNest(const NestSpec &spec, const std::vector<int64_t> &extents, bool exact) {
  const NestPlan asItIs{spec, std::nullopt, {}, 0};
  if (spec.attend || spec.reduced.size() > mostLoops) return asItIs;
  const Steps steps(spec);
  if (!steps.reduced || !steps.counted()) return asItIs;
  if (std::optional<NestPlan> plan = planTiles(spec, steps, extents)) return *plan;
  if (std::optional<NestPlan> plan = planGroups(spec, steps, extents, exact)) return *plan;
  return asItIs;
}

}  // namespace fovea::leaf
