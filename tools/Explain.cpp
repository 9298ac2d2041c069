#include "tools/Explain.h"

#include "frontend/emit/Normalisers.h"
#include "lowering/Compiler.h"
#include "lowering/stage/Stage.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>

namespace fovea {

using namespace core;

namespace {

const char *nameOf(Type type) {
  static const char *const names[] = {"f32", "f16", "bf16", "i32", "i8", "u8", "bool"};
  return names[size_t(type)];
}

int64_t bytesOf(Type type) {
  static const int64_t sizes[] = {4, 2, 2, 4, 1, 1, 1};
  return sizes[size_t(type)];
}

template <typename Range, typename F>
std::string join(const Range &range, const char *between, F text) {
  std::string out;
  for (const auto &item : range) out += (out.empty() ? "" : between) + text(item);
  return out;
}

std::string several(size_t n, const std::string &what) { return fmt::format("{} {}{}", n, what, n == 1 ? "" : what.back() == 'x' ? "es" : "s"); }

bool isReduction(Op op) { return op >= Op::Sum && op <= Op::ArgMin; }

// A sum of products of extents, as {extents: coefficient}.
class Formula {
 public:
  void add(std::vector<std::string> extents, int64_t coefficient) {
    int64_t number = coefficient;
    std::erase_if(extents, [&](const std::string &e) {
      bool digits = e.find_first_not_of("0123456789") == std::string::npos;
      if (digits) number *= std::stoll(e);
      return digits;
    });
    terms[extents] += number;
  }
  // The terms of most extents first; what has at least two extents fewer than the first is left to `+ ...`.
  std::string str() const {
    std::vector<std::pair<std::vector<std::string>, int64_t>> sorted(terms.begin(), terms.end());
    std::stable_sort(sorted.begin(), sorted.end(), [](const auto &a, const auto &b) { return a.first.size() > b.first.size(); });
    std::string out;
    for (const auto &[extents, coefficient] : sorted) {
      if (extents.size() + 2 <= sorted[0].first.size()) return out + " + ...";
      std::string product = join(extents, "*", [](const std::string &e) { return e; });
      std::string number = coefficient == 1 && !product.empty() ? "" : std::to_string(coefficient);
      out += (out.empty() ? "" : " + ") + number + (number.empty() || product.empty() ? "" : "*") + product;
    }
    return out.empty() ? "0" : out;
  }

 private:
  std::map<std::vector<std::string>, int64_t> terms;
};

// An I32 node as a sum of positions and other terms.
struct Linear {
  std::map<IndexId, int64_t> positions;
  std::vector<NodeId> terms;
};

// One function: what becomes of its masks, normalisers and values.
class Explainer {
 public:
  Explainer(const Function &f) : f(f) {
    std::vector<NodeId> stack;
    for (const Result &r : f.results) stack.push_back(r.node);
    for (const Tensor &t : f.tensors)
      if (t.value != none) stack.push_back(t.value);
    while (!stack.empty()) {
      NodeId n = stack.back();
      stack.pop_back();
      if (n == none || !live.insert(n).second) continue;
      stack.insert(stack.end(), f.nodes[n].args.begin(), f.nodes[n].args.end());
      if (f.nodes[n].op != Op::Loop) continue;
      for (const Loop::Item &item : f.loops[f.nodes[n].ref].items) stack.push_back(item.init), stack.push_back(item.next);
      stack.push_back(f.loops[f.nodes[n].ref].count);
    }
    for (NodeId n : live) {
      auto softmax = recogniseSoftmax(f, n);
      auto lse = recogniseLogSumExp(f, n);
      if (softmax) softmaxes.push_back(*softmax);
      if (lse) lses.push_back(*lse);
    }
    rounds.resize(f.nodes.size());
    for (NodeId n : live) {
      if (f.nodes[n].op == Op::State) rounds[n].insert(f.nodes[n].ref);
      for (NodeId argument : f.nodes[n].args)
        if (f.nodes[argument].op != Op::Loop) rounds[n].insert(rounds[argument].begin(), rounds[argument].end());
    }
  }

  void masks() const {
    for (const Function::MaskInfo &mask : f.masks) {
      fmt::print("  mask      {}\n", mask.text);
      std::set<NodeId> conditions;
      conjuncts(mask.node, conditions);
      for (NodeId condition : conditions) {
        std::string fate = join(reducedUnder(mask.node, conditions), "; ", [&](IndexId i) {
          return boundOn(condition, i);
        });
        if (fate.empty()) fate = "selects results: where it is false they are 0";
        Place place = f.nodes[condition].place;
        fmt::print("            {}-> {}\n", conditions.size() > 1 ? fmt::format("the condition at {}:{} ", place.line, place.column) : "", fate);
      }
    }
  }

  // `rows`: loops over rows, for what is not fused.
  void normalisers(size_t rows, const std::vector<std::string> &schedules) const {
    const size_t fused = schedules.size();
    std::set<std::string> lines;
    auto over = [&](const Softmax &s) { return join(s.indices, ",", [&](IndexId i) { return f.indices[i].name; }); };
    for (const Softmax &s : softmaxes) lines.insert(fmt::format("{} over {}", s.sinks.empty() ? "softmax" : "softmax with sinks", over(s)));
    for (const Softmax &s : lses) lines.insert(fmt::format("logsumexp over {}", over(s)));
    for (const std::string &line : lines) fmt::print("  normalise {}\n", line);
    if (fused)
      fmt::print("  fused     {}: online softmax in tiles through leaves; the scores are never in memory\n", several(fused, "attend"));
    if (rows)
      fmt::print("  by rows   {}: what belongs to one row is computed together, over the keys that its masks leave; no buffer is larger than a row\n",
                 several(rows, "loop"));
    if (!softmaxes.empty() && fused + rows == 0) fmt::print("  in full   weights are in memory: they are no larger than what the kernel reads or returns\n");
    std::set<std::string> distinct(schedules.begin(), schedules.end());
    for (const std::string &s : distinct) fmt::print("  schedule  {}\n", s);
  }

  // Arithmetic and comparisons on floats, one per point; a bounded loop does only its part of it.
  std::string flops() const {
    Formula formula;
    for (NodeId n : live) {
      const Node &node = f.nodes[n];
      std::vector<IndexId> indices = node.free;
      bool counted = node.type == Type::F32 && node.op >= Op::Neg && node.op <= Op::Select;
      if (isReduction(node.op) && f.nodes[node.args[0]].type == Type::F32) {
        counted = true;
        indices.insert(indices.end(), node.indices.begin(), node.indices.end());
        std::sort(indices.begin(), indices.end());
      }
      if (!counted) continue;
      std::vector<std::string> extents;
      for (IndexId i : indices) extents.push_back(extent(i));
      for (const Loop &loop : f.loops)
        if (loop.kind == Loop::Iterate && rounds[n].count(loop.tag)) extents.push_back(count(loop.count));
      formula.add(extents, 1);
    }
    return formula.str();
  }

  // Of the interface: what is read once and written once.
  std::string bytesRead() const {
    Formula formula;
    for (const Tensor &t : f.tensors)
      if (t.role != Tensor::Appended) formula.add(extents(t.axes), bytesOf(t.type));
    return formula.str();
  }
  std::string bytesWritten() const {
    Formula formula;
    for (const Result &r : f.results) formula.add(extents(r.axes), bytesOf(r.type));
    return formula.str();
  }

  std::string shape(const std::vector<IndexId> &axes) const { return join(extents(axes), ",", [](const std::string &e) { return e; }); }
  size_t softmaxCount() const { return softmaxes.size(); }

 private:
  std::string extent(IndexId i) const { return f.indices[i].fixed ? std::to_string(*f.indices[i].fixed) : f.indices[i].name; }
  std::vector<std::string> extents(const std::vector<IndexId> &axes) const {
    std::vector<std::string> out;
    for (IndexId i : axes) out.push_back(extent(i));
    return out;
  }
  std::string count(NodeId n) const {
    const Node &node = f.nodes[n];
    if (node.op == Op::ConstI32) return std::to_string(node.integer);
    if (node.op == Op::Scalar) return f.scalars[node.ref].name;
    if (node.op == Op::Extent) return extent(node.ref);
    return "rounds";
  }

  void conjuncts(NodeId n, std::set<NodeId> &out) const {
    if (f.nodes[n].op != Op::And) return void(out.insert(n));
    for (NodeId argument : f.nodes[n].args) conjuncts(argument, out);
  }

  // The indices that some reduction under the mask runs over and the mask depends on.
  std::set<IndexId> reducedUnder(NodeId mask, const std::set<NodeId> &conditions) const {
    std::set<IndexId> out;
    for (NodeId n : live) {
      const Node &node = f.nodes[n];
      if (!isReduction(node.op)) continue;
      std::set<NodeId> here;
      for (size_t k = 1; k < node.args.size(); k++) conjuncts(node.args[k], here);
      bool under = here.count(mask) || std::includes(here.begin(), here.end(), conditions.begin(), conditions.end());
      if (!under) continue;
      for (IndexId i : node.indices)
        if (depends(mask, i)) out.insert(i);
    }
    return out;
  }

  bool depends(NodeId n, IndexId i) const { return std::find(f.nodes[n].free.begin(), f.nodes[n].free.end(), i) != f.nodes[n].free.end(); }

  void linear(NodeId n, int64_t sign, Linear &out) const {
    const Node &node = f.nodes[n];
    if (node.op == Op::Position) out.positions[node.ref] += sign;
    else if (node.op == Op::Add || node.op == Op::Sub) linear(node.args[0], sign, out), linear(node.args[1], node.op == Op::Add ? sign : -sign, out);
    else out.terms.push_back(n);
  }

  // Which sides of the positions of `i` an inequality holds, and the values it takes the bounds from: what lowering/Support.cpp solves.
  struct Sides {
    bool low = false, high = false;
    std::vector<NodeId> from;
  };

  bool solve(NodeId n, IndexId i, bool atMost, Sides &out) const {
    const Node &node = f.nodes[n];
    auto constant = [&](NodeId m, bool &negative) {
      negative = f.nodes[m].op == Op::ConstI32 && f.nodes[m].integer < 0;
      return f.nodes[m].op == Op::ConstI32 && f.nodes[m].integer != 0;
    };
    bool negative = false;
    switch (node.op) {
      case Op::Position: return node.ref == i && ((atMost ? out.high : out.low) = true);
      case Op::ToF32: return solve(node.args[0], i, atMost, out);
      case Op::Abs: return atMost && solve(node.args[0], i, true, out) && solve(node.args[0], i, false, out);
      case Op::Neg: return solve(node.args[0], i, !atMost, out);
      case Op::Add: case Op::Sub: {
        bool second = depends(node.args[1], i);
        if (second == depends(node.args[0], i)) return false;
        out.from.push_back(node.args[second ? 0 : 1]);
        return solve(node.args[second ? 1 : 0], i, second && node.op == Op::Sub ? !atMost : atMost, out);
      }
      case Op::Mul:
        for (int side : {0, 1})
          if (node.type == Type::I32 && constant(node.args[side], negative)) return solve(node.args[1 - side], i, negative ? !atMost : atMost, out);
        return false;
      case Op::Div: return node.type == Type::I32 && constant(node.args[1], negative) && !negative && solve(node.args[0], i, atMost, out);
      default: return false;
    }
  }

  // What a condition does to the loop over `i`.
  std::string boundOn(NodeId condition, IndexId i) const {
    const Node &compare = f.nodes[condition];
    std::string name = f.indices[i].name, perPoint = fmt::format("tested at each point of {}", name);
    if (!depends(condition, i)) return fmt::format("the same for all of {}: tested outside its loop", name);
    if (!(compare.op >= Op::Lt && compare.op <= Op::Ge) && compare.op != Op::Eq) return perPoint + " (not a comparison of positions)";
    NodeId left = compare.args[0], right = compare.args[1];
    bool atMost = compare.op == Op::Lt || compare.op == Op::Le, both = compare.op == Op::Eq;
    Sides sides;
    if (depends(left, i) && depends(right, i)) {
      Linear form;
      linear(left, 1, form), linear(right, -1, form);
      if (std::abs(form.positions[i]) != 1 || std::any_of(form.terms.begin(), form.terms.end(), [&](NodeId term) { return depends(term, i); }))
        return perPoint + " (not solved for it)";
      ((form.positions[i] > 0) == atMost ? sides.high : sides.low) = true;
      sides.from = {left, right};
    } else {
      if (depends(right, i)) std::swap(left, right), atMost = !atMost;
      sides.from.push_back(right);
      if (!solve(left, i, atMost, sides) || (both && !solve(left, i, !atMost, sides))) return perPoint + " (not solved for it)";
    }
    if (both) sides.low = sides.high = true;
    std::vector<std::string> from;
    auto add = [&](const std::string &source) {
      if (!source.empty() && std::find(from.begin(), from.end(), source) == from.end()) from.push_back(source);
    };
    for (NodeId n : sides.from) positionsIn(n, i, add);
    for (NodeId n : sides.from) add(sourceOf(n));
    if (from.empty()) from.push_back("a constant");
    return fmt::format("{} of the loop over {}, from {}", sides.low && sides.high ? "both bounds" : sides.low ? "lower bound" : "upper bound", name,
                       join(from, " and ", [](const std::string &s) { return s; }));
  }

  template <typename F>
  void positionsIn(NodeId n, IndexId but, F add) const {
    const Node &node = f.nodes[n];
    if (node.op == Op::Position && node.ref != but) add("the index " + f.indices[node.ref].name);
    if (node.op == Op::Load || isReduction(node.op) || node.op == Op::LoopResult) return;
    for (NodeId a : node.args) positionsIn(a, but, add);
  }

  // Where a bound's term comes from: the strongest of loaded, scalar, extent, constant.
  std::string sourceOf(NodeId n) const {
    const Node &node = f.nodes[n];
    if (node.op == Op::Load) return "the loaded value of " + f.tensors[node.ref].name;
    if (node.op == Op::Scalar) return "the scalar " + f.scalars[node.ref].name;
    if (node.op == Op::Extent) return "the extent |" + f.indices[node.ref].name + "|";
    if (node.op == Op::ConstI32 || node.op == Op::Position) return "";
    for (NodeId argument : node.args)
      if (std::string s = sourceOf(argument); !s.empty()) return s;
    bool reads = node.op == Op::Read || node.op == Op::LoopResult || isReduction(node.op);
    return reads ? "a computed value" : "";
  }

  const Function &f;
  std::set<NodeId> live;
  std::vector<Softmax> softmaxes, lses;
  std::vector<std::set<uint32_t>> rounds;  // of each node: tags of the loops whose states it depends on
};

// a, b, c; of many, the first and the last.
std::string summarised(const std::vector<std::string> &names) {
  if (names.size() > 4) return fmt::format("{} .. {} ({})", names.front(), names.back(), names.size());
  return join(names, ", ", [](const std::string &s) { return s; });
}

// What the fused form of some functions says: one schedule in words for each attend.
std::vector<std::string> attends(const std::string &text) {
  std::vector<std::string> out;
  auto entry = [](const std::string &from, const char *name) {
    size_t at = from.find(std::string(name) + " = ");
    if (at == std::string::npos) return std::string("?");
    at += std::string(name).size() + 3;
    if (from[at] == '"') return from.substr(at + 1, from.find('"', at + 1) - at - 1);
    return from.substr(at, from.find_first_not_of("0123456789", at) - at);
  };
  auto words = [&](const std::string &from) {
    return fmt::format("{} queries x {} keys a tile, keys {}", entry(from, "queries"), entry(from, "keys"),
                       entry(from, "key_layout") == "packed" ? "packed in panels of " + entry(from, "panel") : "read where they lie");
  };
  for (size_t at = text.find("attn.attend "); at != std::string::npos; at = text.find("attn.attend ", at + 1)) {
    size_t begin = text.find("schedule = {", at);
    if (begin == std::string::npos) break;
    begin += 12;
    std::string few, many;
    size_t end = begin;
    for (int depth = 1; end < text.size() && (depth += (text[end] == '{') - (text[end] == '}')); end++) {}
    many = text.substr(begin, end - begin);
    if (size_t inner = many.find("few = {"); inner != std::string::npos) {
      size_t close = many.find('}', inner);
      few = many.substr(inner, close - inner);
      many = many.substr(close);
    }
    std::string sentence = fmt::format("{}: {}", entry(many, "target"), words(many));
    if (!few.empty()) sentence += fmt::format("; up to {} queries: {}", entry(few, "rows"), words(few));
    out.push_back(sentence);
  }
  return out;
}

// The outermost loops over rows in the same text.
size_t rowLoops(const std::string &text) {
  size_t count = 0;
  for (size_t at = text.find("scf.forall ("); at != std::string::npos; at = text.find("scf.forall (", at + 1)) {
    size_t line = text.rfind('\n', at) + 1;
    count += text.find_first_not_of(' ', line) - line <= 4;  // of a function's body
  }
  return count;
}

int fail(const std::string &error, bool internal) {
  fmt::print(stderr, "{}{}\n", error.find("error: ") == std::string::npos ? "fovea: error: " : "", error);
  if (internal) fmt::print(stderr, "fovea: this is a bug of Fovea; please report it with the program\n");
  return internal ? 3 : 1;
}

std::string described(const Explainer &e, const std::string &name, Type type, const std::vector<IndexId> &axes) { return fmt::format("{}: {}[{}]", name, nameOf(type), e.shape(axes)); }

int explainKernel(const Function &k, const Module &module) {
  CompileOptions options;
  options.form = Form::Schedule;
  Compiled compiled;
  std::string error;
  bool internal = false;
  if (!compileKernels({&k}, module.files, options, compiled, error, internal)) return fail(error, internal);
  std::vector<std::string> schedules = attends(compiled.text);

  Explainer e(k);
  fmt::print("kernel {}\n", k.name);
  for (const Tensor &t : k.tensors) fmt::print("  input     {}\n", described(e, t.name, t.type, t.axes));
  for (const Scalar &s : k.scalars) fmt::print("  scalar    {}: {}\n", s.name, nameOf(s.type));
  for (const Result &r : k.results) fmt::print("  result    {}\n", described(e, r.name, r.type, r.axes));
  for (const Check &c : k.checks) fmt::print("  check     {} (on entry)\n", c.text);
  e.masks();
  e.normalisers(rowLoops(compiled.text), schedules);
  fmt::print("  flops     {}{}\n", e.flops(), k.masks.empty() ? "" : " (at most: a bounded loop visits its support only)");
  fmt::print("  bytes     reads {}; writes {}\n\n", e.bytesRead(), e.bytesWritten());
  return 0;
}

int explainModel(const Model &m, const Module &module) {
  StagedModel staged = stageModel(m);
  ModelParts parts;
  for (const Stage &stage : staged.stages) {
    parts.names.push_back(stage.name);
    parts.functions.push_back(&stage.function);
  }
  CompileOptions options;
  options.form = Form::Schedule;
  Compiled compiled;
  std::string error;
  bool internal = false;
  if (!compileModel(parts, module.files, options, compiled, error, internal)) return fail(error, internal);

  fmt::print("model {}\n", m.name);
  auto format = [](const char *what, const TextFormat &t) { fmt::print("  {:<9} {} by {} ({})\n", what, t.kind, t.unit, t.vocabulary); };
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
    // The stage's part of the text: from its function to the next.
    size_t begin = compiled.text.find("func.func @" + stage.name + "("), end = compiled.text.find("func.func @", begin + 1);
    std::string text = begin == std::string::npos ? "" : compiled.text.substr(begin, end - begin);
    std::vector<std::string> schedules = attends(text);
    Explainer e(f);
    if (e.softmaxCount())
      fmt::print("    attention  {}: {} fused (online, through leaves), {} by rows\n", several(e.softmaxCount(), "softmax"), schedules.size(), several(rowLoops(text), "loop"));
    std::set<std::string> distinct(schedules.begin(), schedules.end());
    for (const std::string &s : distinct) fmt::print("    schedule   {}\n", s);
    fmt::print("    flops      {}\n", e.flops());
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

int explain(const Module &module) {
  for (const Function &k : module.kernels)
    if (int status = explainKernel(k, module)) return status;
  for (const Model &m : module.models)
    if (int status = explainModel(m, module)) return status;
  return 0;
}

}  // namespace fovea
