#include "tools/explain/Explain.h"

#include "frontend/emit/Normalisers.h"
#include "lowering/Compiler.h"
#include "lowering/stage/Stage.h"
#include "tools/explain/Device.h"
#include "tools/explain/Extents.h"
#include "tools/explain/Formula.h"
#include "tools/explain/Live.h"
#include "tools/explain/Points.h"
#include "tools/explain/Words.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

namespace fovea {

using namespace core;

namespace {

const char *nameOf(Type type) {
  static const char *const names[] = {"f32", "f16", "bf16", "i32", "i8", "u8", "bool"};
  return names[size_t(type)];
}

std::string several(size_t n, const std::string &what) { return fmt::format("{} {}{}", n, what, n == 1 ? "" : what.back() == 'x' ? "es" : "s"); }

template <typename Indices>
std::string names(const Function &f, const Indices &indices) {
  return join(indices, ",", [&](auto i) { return f.indices[size_t(i)].name; });
}

// The class of each normaliser, as the passes decided it.
std::vector<std::string> normaliserWords(const Function &f, const Decisions &decisions) {
  std::vector<std::string> lines;
  auto say = [&](const std::string &line) {
    if (std::find(lines.begin(), lines.end(), line) == lines.end()) lines.push_back(line);
  };
  std::set<std::vector<int64_t>> told;
  for (const Attend &a : decisions.attends) {
    told.insert(a.indices);
    if (a.pointwise) say(fmt::format("pointwise weights over {}: streaming: sums over blocks of keys, constant memory a row", names(f, a.indices)));
    else say(fmt::format("softmax{} over {}: rescaled blocks: online over blocks of keys, constant memory a row", a.sinks ? " with sinks" : "", names(f, a.indices)));
  }
  const char *rows = "rows: several passes over a row that stays in the cache";
  auto recognised = [&](const char *name, const Softmax &s) {
    if (told.count(std::vector<int64_t>(s.indices.begin(), s.indices.end()))) return;
    say(fmt::format("{}{} over {}: {}", name, s.sinks.empty() ? "" : " with sinks", names(f, s.indices), decisions.rowLoops.empty() ? "in full: its weights are in memory" : rows));
  };
  std::set<std::vector<int64_t>> ours;
  for (NodeId n : liveNodes(f)) {
    auto softmax = recogniseSoftmax(f, n), lse = recogniseLogSumExp(f, n);
    if (softmax) recognised("softmax", *softmax), ours.insert({softmax->indices.begin(), softmax->indices.end()});
    if (lse) recognised("logsumexp", *lse), ours.insert({lse->indices.begin(), lse->indices.end()});
  }
  // Other normalisers reduce a row of theirs more than once.
  std::map<std::vector<int64_t>, std::set<uint32_t>> reduced;
  for (const RowLoop &loop : decisions.rowLoops)
    for (const auto &[node, indices] : loop.reductions) reduced[indices].insert(node);
  for (const auto &[indices, nodes] : reduced)
    if (nodes.size() > 1 && !ours.count(indices)) say(fmt::format("{} reductions over {}: {}", nodes.size(), names(f, indices), rows));
  return lines;
}

std::vector<std::string> scheduleWords(const std::vector<Attend> &attends) {
  std::vector<std::string> lines;
  auto words = [](const Attend::Tiles &t) {
    return fmt::format("{} queries x {} keys a tile, keys {}", t.queries, t.keys, t.packed ? fmt::format("packed in panels of {}, at any of which tiles begin", t.lanes) : "read where they lie");
  };
  for (const Attend &a : attends) {
    std::string line = fmt::format("{}: {}", a.many.target, words(a.many));
    if (const leaf::TargetInfo *target = leaf::findTarget(a.many.target)) {
      const cost::Shape call = cost::assumed(a.asked, a.hasRows ? 1024 : 1);
      const cost::Candidate tile{a.many.packed ? cost::Layout::Packed : cost::Layout::Rows, int(a.many.queries), int(a.many.keys), int(a.many.panel)};
      line += fmt::format(" (bound by {})", cost::estimate(*target, call, tile).bound());
    }
    if (a.grouped) {
      line += fmt::format("; up to {} queries: heads that share keys are the rows of a tile, {} keys a tile", a.hasRows ? a.groupedRows : 1, a.grouped->keys);
      if (a.broadcast) line += fmt::format(", or, from {} queries of these heads on{}, the lanes of a vector", *a.broadcast, a.broadcastTo ? fmt::format(" up to {}", *a.broadcastTo) : "");
    }
    if (a.fewRows) line += fmt::format("; up to {} queries: {}", a.fewRows, words(a.few));
    if (a.registers) line += fmt::format("; {}where a process may use AMX's tile registers: {} queries x {} keys a tile, keys packed as pairs", a.registersOffered ? "if the program asks for it (tiles), " : "", a.registers->queries, a.registers->keys);
    if (std::find(lines.begin(), lines.end(), line) == lines.end()) lines.push_back(line);
  }
  return lines;
}

// a, b, c; of many, the first and the last.
std::string summarised(const std::vector<std::string> &names) {
  if (names.size() > 4) return fmt::format("{} .. {} ({})", names.front(), names.back(), names.size());
  return join(names, ", ", [](const std::string &s) { return s; });
}

int fail(const std::string &error, bool internal) {
  fmt::print(stderr, "{}{}\n", error.find("error: ") == std::string::npos ? "fovea: error: " : "", error);
  if (internal) fmt::print(stderr, "fovea: this is a bug of Fovea; please report it with the program\n");
  return internal ? 3 : 1;
}

std::string shapeOf(const Function &f, const std::vector<IndexId> &axes) { return join(axes, ",", [&](IndexId i) { return extentName(f, i); }); }

void printArguments(const Function &k) {
  for (const Tensor &t : k.tensors) fmt::print("  input     {}: {}[{}]\n", t.name, nameOf(t.type), shapeOf(k, t.axes));
  for (const Scalar &s : k.scalars) fmt::print("  scalar    {}: {}\n", s.name, nameOf(s.type));
  for (const Result &r : k.results) fmt::print("  result    {}: {}[{}]\n", r.name, nameOf(r.type), shapeOf(k, r.axes));
  for (const Check &c : k.checks) fmt::print("  check     {} (on entry)\n", c.text);
}

void printWork(const Function &k, bool bounded) {
  fmt::print("  flops     {}{}\n", flops(k), k.masks.empty() ? "" : bounded ? " (at most: a bounded loop visits its support only)" : " (at most: blocks of keys that the mask leaves out are not visited)");
  fmt::print("  bytes     reads {}; writes {}\n\n", bytesRead(k), bytesWritten(k));
}

int explainOnDevice(const Function &k, const Module &module, const ExplainOptions &options) {
  CompileOptions compile;
  compile.target = options.target, compile.explained = true, compile.form = Form::Asm;
  Compiled compiled;
  std::string error;
  bool internal = false;
  if (!compileKernels({&k}, module.files, compile, compiled, error, internal)) return fail(error, internal);
  Call call;
  if (!resolveCall(k, options, call, error)) return fail(error, false);
  fmt::print("kernel {} for {}\n", k.name, options.target);
  printArguments(k);
  for (const Function::MaskInfo &mask : k.masks) fmt::print("  mask      {}\n", mask.text);
  for (const std::string &line : deviceLines(k, compiled, call.extents)) fmt::print("  {}\n", line);
  printWork(k, false);
  return 0;
}

int explainKernel(const Function &k, const Module &module, const ExplainOptions &options) {
  if (options.target != "host") return explainOnDevice(k, module, options);
  CompileOptions compile;
  compile.target = "host-count", compile.countOnly = true, compile.form = Form::Stmt;
  Compiled compiled;
  std::string error;
  bool internal = false;
  if (!compileKernels({&k}, module.files, compile, compiled, error, internal)) return fail(error, internal);
  const Decisions &decisions = compiled.decisions;
  Call call;
  if (!resolveCall(k, options, call, error)) return fail(error, false);
  std::vector<std::string> points;
  if (!call.extents.empty() && !decisions.counters.empty() && !pointLines(k, module.files, call, points, error, internal)) return fail(error, internal);

  fmt::print("kernel {}\n", k.name);
  printArguments(k);
  for (const Function::MaskInfo &mask : k.masks) {
    fmt::print("  mask      {}\n", mask.text);
    for (const std::string &line : maskWords(k, module.files, mask, decisions.fates)) fmt::print("            {}\n", line);
  }
  for (const std::string &line : factorWords(k, module.files, decisions.fates)) fmt::print("  bounded   {}\n", line);
  for (const std::string &line : normaliserWords(k, decisions)) fmt::print("  normalise {}\n", line);
  if (!decisions.attends.empty()) fmt::print("  fused     {}: through leaves; the scores are never in memory\n", several(decisions.attends.size(), "attend"));
  if (!decisions.rowLoops.empty())
    fmt::print("  by rows   {}: what belongs to one row is computed together, over the keys that its masks leave; no buffer is larger than a row\n",
               several(decisions.rowLoops.size(), "loop"));
  for (const std::string &line : scheduleWords(decisions.attends)) fmt::print("  schedule  {}\n", line);
  for (const std::string &line : points) fmt::print("  points    {}\n", line);
  printWork(k, true);
  return 0;
}

int explainModel(const Model &m, const Module &module, const std::string &target) {
  StagedModel staged = stageModel(m);
  ModelParts parts;
  for (const Stage &stage : staged.stages) {
    parts.names.push_back(stage.name);
    parts.functions.push_back(&stage.function);
  }
  CompileOptions options;
  const bool onDevice = target != "host";
  options.target = target, options.explained = onDevice, options.form = onDevice ? Form::Stmt : Form::Schedule;
  Compiled compiled;
  std::string error;
  bool internal = false;
  if (!compileModel(parts, module.files, options, compiled, error, internal)) return fail(error, internal);

  fmt::print("model {}{}\n", m.name, onDevice ? " for " + target : "");
  auto format = [](const char *what, const TextFormat &t) { 
    std::string files = t.pieces;
    for (const std::string &name : t.vocabularies) files += (files.empty() ? "" : &name == t.vocabularies.data() ? ", " : " or ") + name;
    fmt::print("  {:<9} {} by {} ({})\n", what, t.kind, t.unit, files);
  };
  format("reads", m.reads), format("writes", m.writes);
  for (size_t k = 0; k < staged.stages.size(); k++) {
    const Stage &stage = staged.stages[k];
    const Function &f = stage.function;
    fmt::print("  stage {}\n", stage.name);
    // Parameters that the stage reads, summarised.
    size_t parameters = 0;
    double bytes = 0;
    std::set<TensorId> read;
    for (const Node &n : f.nodes)
      if (n.op == Op::Load) read.insert(n.ref);
    for (TensorId t : read) {
      const Tensor &tensor = f.tensors[t];
      if (tensor.role != Tensor::Parameter) continue;
      double size = double(bytesOf(tensor.type));
      for (IndexId i : tensor.axes) size *= double(f.indices[i].fixed.value_or(1));
      parameters++, bytes += size;
    }
    if (parameters) fmt::print("    weights    {}, {:.2f} MB\n", several(parameters, "parameter"), bytes / 1e6);
    // Slots of one kind and shape in one line, in the order of the first.
    std::vector<std::pair<std::string, std::vector<std::string>>> lines;
    for (const StageSlot &slot : stage.slots) {
      if (slot.what == "parameter") continue;
      std::string type = fmt::format("{}[{}]", nameOf(slot.type), join(slot.shape, ",", [](const std::string &e) { return e; }));
      std::string key = fmt::format("    {:<10} {:<22}", slot.what, type);
      if (lines.empty() || lines.back().first != key) lines.push_back({key, {}});
      lines.back().second.push_back(slot.name);
    }
    for (const auto &[line, names] : lines) fmt::print("{} {}\n", line, summarised(names));
    if (onDevice) {
      const Decisions &d = compiled.decisions;
      auto ours = [&](const auto &all, auto where) {
        std::decay_t<decltype(all)> some;
        for (const auto &one : all)
          if (where(one).function == stage.name) some.push_back(one);
        return some;
      };
      auto itself = [](const Where &where) { return where; };
      auto inside = [](const auto &one) { return one.where; };
      fmt::print("    launches   {}\n", launchWords(ours(d.launches, inside)));
      for (const Unfused &unfused : ours(d.unfused, inside)) fmt::print("    not fused  attention at {}:{}: {}\n", unfused.where.file, unfused.where.line, unfused.why);
      fmt::print("    host       {}, {}\n", several(ours(d.hostLoops, itself).size(), "loop"), several(ours(d.hostReads, itself).size(), "read"));
      fmt::print("    temporary  {}\n", several(ours(d.temporaries, inside).size(), "tensor"));
      fmt::print("    flops      {}\n", flops(f));
      continue;
    }
    std::vector<Attend> attends;
    for (const Attend &a : compiled.decisions.attends)
      if (a.function == stage.name) attends.push_back(a);
    size_t rowLoops = size_t(std::count_if(compiled.decisions.rowLoops.begin(), compiled.decisions.rowLoops.end(), [&](const RowLoop &r) { return r.function == stage.name; }));
    std::set<NodeId> live = liveNodes(f);
    size_t softmaxes = size_t(std::count_if(live.begin(), live.end(), [&](NodeId n) { return recogniseSoftmax(f, n).has_value(); }));
    if (softmaxes) {
      // A loop by rows may hold several softmaxes or none: what is left is counted where there is none.
      std::string whole = rowLoops == 0 && softmaxes > attends.size() ? fmt::format(", {} with the weights of a step in memory", softmaxes - attends.size()) : "";
      fmt::print("    attention  {}: {} fused (online, through leaves), {} by rows{}\n", several(softmaxes, "softmax"), attends.size(), several(rowLoops, "loop"), whole);
    }
    for (const std::string &line : scheduleWords(attends)) fmt::print("    schedule   {}\n", line);
    fmt::print("    flops      {}\n", flops(f));
  }
  std::map<std::pair<std::string, std::string>, std::vector<std::string>> moved;
  for (const Moved &value : staged.moved) moved[{value.from, value.to}].push_back(value.name);
  for (const auto &[way, names] : moved)
    fmt::print("  moved from {} to {}: {}: what reads {}\n", way.first, way.second, summarised(names),
               way.second == "load" ? "weights alone" : "weights and what encode has, and nothing of the step");
  fmt::print("\n");
  return 0;
}

}  // namespace

int explain(const Module &module, const Function *kernel, const ExplainOptions &options) {
  for (const Function &k : module.kernels)
    if (!kernel || kernel == &k)
      if (int status = explainKernel(k, module, options)) return status;
  if (kernel) return 0;
  for (const Model &m : module.models)
    if (int status = explainModel(m, module, options.target)) return status;
  return 0;
}

}  // namespace fovea
