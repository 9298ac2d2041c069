#include "lowering/stage/Stage.h"

#include "frontend/Builder.h"
#include "frontend/Walk.h"
#include "lowering/stage/Graph.h"
#include "lowering/stage/SplitWeights.h"

#include <algorithm>
#include <functional>
#include <set>

namespace fovea {

using namespace core;

namespace {

enum Level { Always, AtLoad, AtEncode, AtStep };

// The earliest stage at which each node of a function can be computed.
class Levels {
 public:
  explicit Levels(const Function &f) : f(f), levels(f.nodes.size(), -1) {
    indexLevel.assign(f.indices.size(), -1);
    for (const Tensor &t : f.tensors)
      for (IndexId axis : t.axes) {
        int level = f.indices[axis].fixed                       ? Always
                    : t.role == Tensor::Parameter              ? AtLoad
                    : t.role == Tensor::Encoded && axis != t.batch ? AtEncode
                                                                   : AtStep;
        int &known = indexLevel[axis];
        known = known < 0 ? level : std::min(known, level);
      }
    for (const Tensor &t : f.tensors)
      if (t.role == Tensor::Encoded && t.batch != none) batches.insert(t.batch);
  }

  int of(NodeId n) {
    if (levels[n] >= 0) return levels[n];
    const Node &node = f.nodes[n];
    int level = Always;
    auto atLeast = [&](int l) { level = std::max(level, l); };
    switch (node.op) {
      case Op::Scalar: case Op::State: case Op::Sample: case Op::Normal: atLeast(AtStep); break;
      case Op::Position: if (batches.count(node.ref)) atLeast(AtStep); break;
      case Op::Extent: atLeast(ofIndex(node.ref)); break;
      case Op::Load: {
        const Tensor &t = f.tensors[node.ref];
        switch (t.role) {
          case Tensor::Parameter: atLeast(AtLoad); break;
          case Tensor::Encoded: atLeast(AtEncode); break;
          default: atLeast(AtStep);
        }
        for (size_t k = 0; k < node.args.size(); k++) {
          const Node &sub = f.nodes[node.args[k]];
          if (t.role == Tensor::Encoded && t.axes[k] == t.batch && sub.op == Op::Position && sub.ref == t.batch) continue;  // its own source
          atLeast(of(node.args[k]));
        }
        break;
      }
      case Op::Loop: {
        const core::Loop &loop = f.loops[node.ref];
        if (loop.count != none) atLeast(of(loop.count));
        if (loop.index != none) atLeast(ofIndex(loop.index));
        for (const auto &item : loop.items) {
          atLeast(of(item.init));
          atLeast(ofLoopBody(item.next, loop.tag));
          for (IndexId axis : item.axes) atLeast(ofIndex(axis));
        }
        break;
      }
      default:
        for (NodeId a : node.args) atLeast(of(a));
        for (IndexId i : node.indices) atLeast(ofIndex(i));
    }
    return levels[n] = level;
  }

  int ofIndex(IndexId i) {
    if (f.indices[i].fixed || batches.count(i)) return Always;
    if (f.indices[i].extent != none) return of(f.indices[i].extent);
    return indexLevel[i] < 0 ? AtStep : indexLevel[i];
  }

 private:
  // Inside a loop its own State is no reason to be late.
  int ofLoopBody(NodeId n, uint32_t tag) {
    std::set<NodeId> seen;
    std::function<int(NodeId)> walk = [&](NodeId m) -> int {
      if (!seen.insert(m).second) return Always;
      const Node &node = f.nodes[m];
      if (node.op == Op::State && node.ref == tag) return Always;
      bool touches = false;
      std::function<bool(NodeId, std::set<NodeId> &)> reaches = [&](NodeId k, std::set<NodeId> &visited) -> bool {
        if (!visited.insert(k).second) return false;
        if (f.nodes[k].op == Op::State) return f.nodes[k].ref == tag;
        for (NodeId a : f.nodes[k].args)
          if (reaches(a, visited)) return true;
        if (f.nodes[k].op == Op::Loop)
          for (const auto &item : f.loops[f.nodes[k].ref].items)
            if (reaches(item.init, visited) || reaches(item.next, visited)) return true;
        return false;
      };
      std::set<NodeId> visited;
      touches = reaches(m, visited);
      if (!touches) return of(m);
      int level = Always;
      for (NodeId a : node.args) level = std::max(level, walk(a));
      for (IndexId i : node.indices) level = std::max(level, ofIndex(i));
      if (node.op == Op::Load) level = std::max<int>(level, f.tensors[node.ref].role == Tensor::Parameter ? AtLoad : f.tensors[node.ref].role == Tensor::Encoded ? AtEncode : AtStep);
      if (node.op == Op::Loop) {
        const core::Loop &loop = f.loops[node.ref];
        for (const auto &item : loop.items) level = std::max({level, walk(item.init), walk(item.next)});
      }
      return level;
    };
    return walk(n);
  }

  const Function &f;
  std::vector<int> levels, indexLevel;
  std::set<IndexId> batches;
};

// Finds the values of `later` that move to `level` and exchanges each for a load of a new tensor.
struct Mover {
  Function &later;
  Function &earlier;
  int level;
  Tensor::Role role;                // of the new tensors: Encoded or Input
  GraphCopy copy;
  std::vector<std::pair<NodeId, TensorId>> exchanged;
  std::vector<std::string> packed;  // names of new results
  std::string prefix;

  Mover(Function &later, Function &earlier, int level, Tensor::Role role, std::string prefix)
      : later(later), earlier(earlier), level(level), role(role), copy(later, earlier), prefix(std::move(prefix)) {}

  void run() {
    Levels levels(later);
    std::set<NodeId> seen;
    std::vector<NodeId> chosen;
    std::function<void(NodeId)> visit = [&](NodeId n) {
      if (!seen.insert(n).second) return;
      const Node &node = later.nodes[n];
      if (levels.of(n) == level && moves(n)) {
        chosen.push_back(n);
        return;
      }
      for (NodeId a : node.args) visit(a);
      if (node.op == Op::Loop)
        for (const auto &item : later.loops[node.ref].items) {
          visit(item.init);
          visit(item.next);
        }
    };
    for (const Tensor &t : later.tensors)
      if (t.value != none) visit(t.value);
    for (const Result &r : later.results) visit(r.node);
    for (NodeId n : chosen) move(n);
    if (!chosen.empty()) tidy(later);
  }

  bool containsReduction(NodeId n) {
    bool found = false;
    core::walkBehind(later, n, [&](NodeId, const Node &node) -> std::span<const NodeId> {
      found |= isReduction(node.op) || node.op == Op::LoopResult;
      if (found || node.op == Op::Load) return {};
      return node.args;
    });
    return found;
  }

  // Whether an elementwise value is no larger than something that it reads: it has no index that its largest argument lacks.
  bool noLarger(NodeId n) {
    bool found = false;
    std::vector<NodeId> next;  // its arguments that have all its indices
    core::walkBehind(later, n, [&](NodeId m, const Node &node) -> std::span<const NodeId> {
      found |= m != n && (node.op == Op::Load || isReduction(node.op) || node.op == Op::LoopResult || node.op == Op::Read);
      next.clear();
      for (NodeId a : node.args) {
        const Node &arg = later.nodes[a];
        if (!found && std::includes(arg.free.begin(), arg.free.end(), node.free.begin(), node.free.end())) next.push_back(a);
      }
      return next;
    });
    return found;
  }

  bool moves(NodeId n) {
    const Node &node = later.nodes[n];
    if (node.op == Op::Loop || node.op == Op::State) return false;
    if (isReduction(node.op) || node.op == Op::LoopResult) return true;
    return containsReduction(n) && noLarger(n);
  }

  void move(NodeId n) {
    NodeId there = copy.node(n);
    // Axes: the batch first, then the others of unknown extent, so that what is contracted or vectorised lies innermost.
    const Node node = later.nodes[n];
    IndexId batch = none;
    for (const Tensor &t : later.tensors)
      if (t.role == Tensor::Encoded && t.batch != none && std::binary_search(node.free.begin(), node.free.end(), t.batch)) batch = t.batch;
    Tensor tensor;
    tensor.role = batch == none ? Tensor::Input : role;
    tensor.batch = batch;
    tensor.name = prefix + std::to_string(packed.size());
    tensor.type = node.type;
    tensor.place = node.place;
    if (batch != none) tensor.axes.push_back(batch);
    for (bool fixed : {false, true})
      for (IndexId i : node.free)
        if (i != batch && later.indices[i].fixed.has_value() == fixed) tensor.axes.push_back(i);
    Result result;
    result.name = tensor.name;
    result.type = node.type;
    result.place = node.place;
    result.node = there;
    for (IndexId i : tensor.axes) result.axes.push_back(copy.index(i));
    earlier.results.push_back(result);
    packed.push_back(tensor.name);
    TensorId id = TensorId(later.tensors.size());
    later.tensors.push_back(tensor);
    later.parameters.push_back({false, id});
    std::vector<NodeId> at;
    for (IndexId i : tensor.axes) at.push_back(addPosition(later, i));
    Node load;
    load.op = Op::Load;
    load.type = node.type;
    load.args = at;
    load.ref = id;
    load.free = node.free;
    load.place = node.place;
    later.nodes[n] = load;
  }
};

// Drops tensors that nothing reads from the signature, but for inputs that are `wanted` by name; weights stay listed among the tensors.
void dropUnused(Function &f, const std::set<std::string> &wanted = {}) {
  std::set<TensorId> used;
  for (TensorId t = 0; t < f.tensors.size(); t++)
    if (f.tensors[t].role == Tensor::Input && wanted.count(f.tensors[t].name)) used.insert(t);
  for (const Node &n : f.nodes)
    if (n.op == Op::Load) {
      TensorId t = n.ref;
      used.insert(t);
      while (f.tensors[t].role == Tensor::Appended) used.insert(t = f.tensors[t].base);
    }
  for (const Tensor &t : f.tensors)
    if (t.role == Tensor::Appended) used.insert(t.base);
  // An index whose extent only an unread tensor carries keeps that tensor.
  auto carried = [&](IndexId i) {
    for (TensorId t : used)
      for (IndexId axis : f.tensors[t].axes)
        if (axis == i) return true;
    return false;
  };
  std::vector<Function::Parameter> kept;
  for (const auto &p : f.parameters) {
    bool keep = p.scalar || used.count(p.id) || f.tensors[p.id].role == Tensor::State || f.tensors[p.id].role == Tensor::Cache;
    if (!keep && f.tensors[p.id].role != Tensor::Parameter)
      for (IndexId axis : f.tensors[p.id].axes)
        if (!f.indices[axis].fixed && !carried(axis)) {
          keep = true;
          used.insert(p.id);
        }
    if (keep) kept.push_back(p);
  }
  f.parameters = kept;
}

// Extents as the table writes them.
struct Shapes {
  const Function &f;
  std::map<IndexId, std::string> symbols;

  std::string of(IndexId i) {
    const Index &index = f.indices[i];
    if (index.fixed) return std::to_string(*index.fixed);
    if (auto it = symbols.find(i); it != symbols.end()) return it->second;
    for (const auto &[other, symbol] : symbols)
      if (f.indices[other].extentClass == index.extentClass) return symbol;
    return index.extent == none ? "?" : node(index.extent);
  }

  std::string node(NodeId n) {
    const Node &node_ = f.nodes[n];
    auto binary = [&](const char *sign) { return node(node_.args[0]) + " " + node(node_.args[1]) + " " + sign; };
    switch (node_.op) {
      case Op::ConstI32: return std::to_string(node_.integer);
      case Op::Extent: return of(node_.ref);
      case Op::Add: return binary("+");
      case Op::Sub: return binary("-");
      case Op::Mul: return binary("*");
      case Op::Div: return binary("/");
      case Op::Mod: return binary("%");
      case Op::Min: return binary("min");
      case Op::Max: return binary("max");
      default: return "?";
    }
  }

  std::vector<std::string> all(const std::vector<IndexId> &axes, IndexId batch = none) {
    std::vector<std::string> shape;
    for (IndexId i : axes) shape.push_back(i == batch ? "s" : of(i));
    return shape;
  }
};

// The axes of a weight over which products sum it, if every use is such a product and all agree.
struct Summed {
  bool used = false, fits = true;
  std::set<size_t> axes;  // numbers of the weight's axes
};

void findSummed(const Function &f, std::vector<Summed> &weights) {
  std::vector<std::vector<NodeId>> users(f.nodes.size());
  for (NodeId n = 0; n < f.nodes.size(); n++)
    for (NodeId a : f.nodes[n].args) users[a].push_back(n);
  for (NodeId n = 0; n < f.nodes.size(); n++) {
    const Node &load = f.nodes[n];
    if (load.op != Op::Load || f.tensors[load.ref].role != Tensor::Parameter) continue;
    Summed &weight = weights[load.ref];
    auto refuse = [&] { weight.fits = false; };
    bool plain = std::all_of(load.args.begin(), load.args.end(), [&](NodeId a) { return f.nodes[a].op == Op::Position; });
    if (!plain || users[n].empty()) { refuse(); continue; }
    for (NodeId product : users[n]) {
      if (f.nodes[product].op != Op::Mul || users[product].size() != 1 || f.nodes[users[product][0]].op != Op::Sum) { refuse(); break; }
      const Node &sum = f.nodes[users[product][0]];
      std::set<size_t> axes;
      for (size_t k = 0; k < load.args.size(); k++)
        if (std::find(sum.indices.begin(), sum.indices.end(), f.nodes[load.args[k]].ref) != sum.indices.end()) axes.insert(k);
      if (axes.empty() || axes.size() == load.args.size() || (weight.used && axes != weight.axes)) { refuse(); break; }
      weight.used = true;
      weight.axes = axes;
    }
  }
}

// Lays every weight that only enters matrix products with its summed axes outermost, as the products' panels want it. The program's
// runtime lays it so when it loads the file: `layout` says how the file's axes follow.
void layWeights(Function &encode, Function &step) {
  size_t count = 0;
  while (count < encode.tensors.size() && count < step.tensors.size() && encode.tensors[count].role == Tensor::Parameter) count++;
  std::vector<Summed> weights(std::max(encode.tensors.size(), step.tensors.size()));
  findSummed(encode, weights);
  findSummed(step, weights);
  for (TensorId t = 0; t < count; t++) {
    if (!weights[t].used || !weights[t].fits) continue;
    for (Function *f : {&encode, &step}) {
      Tensor &tensor = f->tensors[t];
      if (tensor.layout.empty())
        for (IndexId axis : tensor.axes) tensor.layout.push_back({axis});
      std::vector<size_t> order(weights[t].axes.begin(), weights[t].axes.end());
      for (size_t k = 0; k < tensor.axes.size(); k++)
        if (!weights[t].axes.count(k)) order.push_back(k);
      std::vector<IndexId> axes;
      for (size_t k : order) axes.push_back(tensor.axes[k]);
      tensor.axes = axes;
      for (Node &node : f->nodes)
        if (node.op == Op::Load && node.ref == t) {
          std::vector<NodeId> args;
          for (size_t k : order) args.push_back(node.args[k]);
          node.args = args;
        }
    }
  }
}

}  // namespace

StagedModel stageModel(const Model &original) {
  StagedModel staged;
  Model model = original;
  splitWeights(model);
  layWeights(model.encode, model.step);
  staged.parameters = std::vector<Tensor>(model.encode.tensors.begin(), model.encode.tensors.end());
  Function load, encode = model.encode, step = model.step;
  load.name = "load";
  size_t encodeResults = encode.results.size();

  // step -> encode. Indices and tensors of step that encode knows: weights by number, encode's inputs and results by name.
  {
    Mover mover(step, encode, AtEncode, Tensor::Encoded, "encode.");
    for (TensorId t = 0; t < model.step.tensors.size(); t++) {
      const Tensor &tensor = model.step.tensors[t];
      auto pair = [&](const std::vector<IndexId> &theirs) {
        for (size_t k = 0; k < tensor.axes.size() && k < theirs.size(); k++) mover.copy.indices.insert({tensor.axes[k], theirs[k]});
      };
      if (tensor.role == Tensor::Parameter) {
        mover.copy.tensors[t] = t;
        pair(encode.tensors[t].axes);
      } else if (tensor.role == Tensor::Encoded) {
        for (TensorId u = 0; u < encode.tensors.size(); u++)
          if (encode.tensors[u].role == Tensor::Input && encode.tensors[u].name == tensor.name) {
            mover.copy.tensors[t] = u;
            pair(encode.tensors[u].axes);
          }
        for (const Result &r : model.encode.results)
          if (!mover.copy.tensors.count(t) && r.name == tensor.name && !mover.copy.values.count(t)) {
            mover.copy.values[t] = r;
            pair(r.axes);
          }
      }
    }
    mover.run();
    for (const std::string &name : mover.packed) staged.moved.push_back({{}, name, "step", "encode", {}});
  }
  // step and encode -> load.
  auto toLoad = [&](Function &later, const char *prefix, const char *name) {
    Mover mover(later, load, AtLoad, Tensor::Input, prefix);
    for (TensorId t = 0; t < later.tensors.size(); t++)
      if (later.tensors[t].role == Tensor::Parameter) {
        if (t >= load.tensors.size()) load.tensors.resize(t + 1);
        if (load.tensors[t].name.empty()) {
          Tensor copy = later.tensors[t];
          for (IndexId &axis : copy.axes) axis = mover.copy.index(axis);
          load.tensors[t] = copy;
          load.parameters.push_back({false, t});
        } else {
          for (size_t k = 0; k < later.tensors[t].axes.size(); k++) mover.copy.indices.insert({later.tensors[t].axes[k], load.tensors[t].axes[k]});
        }
        mover.copy.tensors[t] = t;
      }
    mover.run();
    for (const std::string &moved : mover.packed) staged.moved.push_back({{}, moved, name, "load", {}});
  };
  toLoad(step, "load.step.", "step");
  toLoad(encode, "load.encode.", "encode");

  // Symbols of extents.
  Shapes inLoad{load, {}}, inEncode{encode, {}}, inStep{step, {}};
  for (const Tensor &t : encode.tensors)
    if (t.role == Tensor::Input && t.axes.size() == 2 && t.type == Type::I32 && t.name.rfind("load.", 0) != 0) {
      inEncode.symbols[t.axes[0]] = "b";
      inEncode.symbols[t.axes[1]] = "i";
    }
  for (const Tensor &t : encode.tensors)
    if (t.role == Tensor::Input && t.axes.size() == 1 && t.type == Type::I32) inEncode.symbols.insert({t.axes[0], "b"});
  for (const Tensor &t : step.tensors) {
    if (t.role == Tensor::Input && t.axes.size() == 1 && t.type == Type::I32 && t.name.rfind("load.", 0) != 0) inStep.symbols.insert({t.axes[0], "b"});
    if (t.growing != none) inStep.symbols[t.growing] = "t";
    if (t.role != Tensor::Encoded) continue;
    if (t.batch != none) inStep.symbols.insert({t.batch, "b"});
    // Its other axes are encode's: by the value of that name.
    for (const Result &r : encode.results)
      if (r.name == t.name)
        for (size_t k = 0; k < t.axes.size(); k++)
          if (t.axes[k] != t.batch && !step.indices[t.axes[k]].fixed) inStep.symbols.insert({t.axes[k], inEncode.of(r.axes[k])});
    for (const Tensor &u : encode.tensors)
      if (u.role == Tensor::Input && u.name == t.name)
        for (size_t k = 0; k < t.axes.size() && k < u.axes.size(); k++)
          if (t.axes[k] != t.batch && !step.indices[t.axes[k]].fixed) inStep.symbols.insert({t.axes[k], inEncode.of(u.axes[k])});
  }

  dropUnused(step);
  std::set<std::string> readLater;  // the source's tokens and lengths, say, which encode need not read itself
  for (const auto &p : step.parameters)
    if (!p.scalar && step.tensors[p.id].role == Tensor::Encoded) readLater.insert(step.tensors[p.id].name);
  dropUnused(encode, readLater);
  dropUnused(load);

  auto isPacked = [](const std::string &name) { return name.rfind("load.", 0) == 0 || name.rfind("encode.", 0) == 0; };
  auto tensorSlot = [&](const Function &f, Shapes &shapes, TensorId id) {
    const Tensor &t = f.tensors[id];
    StageSlot slot{"", t.name, t.type, shapes.all(t.axes, t.role == Tensor::Encoded ? t.batch : none)};
    switch (t.role) {
      case Tensor::Parameter: slot.what = "parameter"; break;
      case Tensor::Encoded: slot.what = isPacked(t.name) ? "packed" : "encoded"; break;
      case Tensor::State: slot.what = "state"; break;
      case Tensor::Cache: slot.what = "cache"; break;
      default: slot.what = isPacked(t.name) ? "packed" : &f == &step || t.axes.size() == 2 ? "tokens" : "length";
    }
    return slot;
  };
  auto slots = [&](const Function &f, Shapes &shapes) {
    std::vector<StageSlot> list;
    for (const auto &p : f.parameters) {
      if (p.scalar) list.push_back({"position", f.scalars[p.id].name, f.scalars[p.id].type, {}});
      else list.push_back(tensorSlot(f, shapes, p.id));
    }
    bool mapped = std::any_of(f.tensors.begin(), f.tensors.end(), [](const Tensor &t) { return t.role == Tensor::Encoded && t.batch != none; });
    if (mapped) list.push_back({"map", "map", Type::I32, {"b"}});
    return list;
  };

  if (!load.results.empty()) {
    tidy(load);
    Stage stage{"load", load, {}};
    stage.slots = slots(load, inLoad);
    for (const Result &r : load.results) stage.slots.push_back({"packed", r.name, r.type, inLoad.all(r.axes)});
    staged.stages.push_back(stage);
  }
  tidy(encode);
  Stage encodeStage{"encode", encode, slots(encode, inEncode)};
  for (size_t k = 0; k < encode.results.size(); k++) {
    const Result &r = encode.results[k];
    StageSlot slot{k >= encodeResults ? "packed" : "encoded", r.name, r.type, inEncode.all(r.axes)};
    for (const StateLink &link : model.states)
      if (link.init == k) slot.what = "init", slot.name = link.name;
    encodeStage.slots.push_back(slot);
  }
  staged.stages.push_back(encodeStage);
  Stage stepStage{"step", step, slots(step, inStep)};
  for (size_t k = 0; k < step.results.size(); k++) {
    const Result &r = step.results[k];
    StageSlot slot{k == 0 ? "logits" : "trace", r.name, r.type, inStep.all(r.axes)};
    for (const StateLink &link : model.states)
      if (link.next == k) slot.what = "next", slot.name = link.name;
    for (const Trace &trace : model.traces)
      if (trace.result == k) slot.what = "trace", slot.name = trace.name;
    stepStage.slots.push_back(slot);
  }
  staged.stages.push_back(stepStage);
  return staged;
}

}  // namespace fovea
