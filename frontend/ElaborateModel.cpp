// Models: blocks, stages, states, caches and traces (section 7).
#include "frontend/Config.h"
#include "frontend/Elaborate.h"

#include <algorithm>

namespace fovea {

using namespace core;

// Names of a stage: its own, then those of the model, then (in step) what encode took and returned.
const Env *Elaborator::lookup(const Scope &scope, Symbol name) const {
  const Env *entry = find(scope.env, name);
  if (!entry && inModel) entry = find(top.env, name);
  if (!entry && inModel) entry = find(encodeEnv, name);
  return entry;
}

// --- parameters and blocks ------------------------------------------------------------------------------------------

// Both stages run this first and in the same way, so that indices and parameters have the same numbers in both.
void Elaborator::model(const ast::Model &m, Scope &scope) {
  inModel = true;
  modelFile = file;
  for (const ast::Function *f : m.functions) modelFile.functions[f->name.symbol] = {f, &modelFile};
  activations.push_back({nullptr, nullptr, m.name.range, 0, "", "", {}});
  now = &activations.back();
  scope.file = &modelFile;
  scope.activation = now;
  if (!m.encode.given) error(Diag::ModelPart, m.name.range, {m.name.text(), "encode"});
  if (!m.step.given) error(Diag::ModelPart, m.name.range, {m.name.text(), "step"});
  members(m.members, scope, nullptr, 0);
  modelIndices = b.function.indices.size();
}

void Elaborator::members(const std::vector<ast::Member> &list, Scope &scope, Instance *owner, unsigned depth) {
  for (const ast::Member &member : list) {
    if (aborted || diagnostics.full()) return;
    if (member.kind == ast::Member::Dims) {
      for (const ast::Dim &d : member.dims) {
        dim(d, scope);
        const Env *entry = find(scope.env, d.name.symbol);
        if (owner && entry && entry->binding.kind == Binding::Index) local.insert(entry->binding.id);
      }
    } else if (member.kind == ast::Member::Parameter) {
      if (!member.weight.cache) weight(member.weight, scope, owner);
    } else {
      const ast::Instance &part = member.instance;
      if (!claim(scope, part.name, false)) continue;
      Binding binding;
      binding.declared = part.name.range;
      if (!part.count) {
        if (Instance *instance = instantiate(part, owner, -1, scope, depth)) {
          binding.kind = Binding::Instance;
          binding.instance = instance;
          if (owner) owner->single[part.name.symbol] = instance;
        }
      } else {
        NodeId node = extentExpr(part.count, scope);
        auto count = node == none ? std::nullopt : b.constant(node);
        if (node != none && (!count || *count < 1 || *count > 1000)) error(Diag::InstanceCount, part.count->range);
        if (count && *count >= 1 && *count <= 1000) {
          for (int64_t k = 0; k < *count && !aborted; ++k) {
            Instance *instance = instantiate(part, owner, k, scope, depth);
            if (!instance) break;
            binding.instances.push_back(instance);
          }
          if (binding.instances.size() == static_cast<size_t>(*count)) binding.kind = Binding::Instances;
        }
      }
      bind(scope, part.name.symbol, std::move(binding));
    }
  }
}

// A name in the weight file: one with {n} is the whole name, with the number in its place; others continue the path.
static std::string foreignName(std::string name, const std::string &path, int64_t number) {
  size_t at = name.find("{n}");
  if (at == std::string::npos) return path + name;
  for (; at != std::string::npos; at = name.find("{n}", at)) name.replace(at, 3, std::to_string(number));
  return name;
}

// One instance of a part, or number `index` of several; `owner` is the instance that it belongs to, null for the model's own.
Instance *Elaborator::instantiate(const ast::Instance &part, const Instance *owner, int64_t index, Scope &scope, unsigned depth) {
  if (!stackLeft(part.block.range)) return nullptr;
  auto found = scope.file->blocks.find(part.block.symbol);
  if (found == scope.file->blocks.end()) {
    error(Diag::UnknownBlock, part.block.range, {part.block.text()});
    return nullptr;
  }
  const ast::Block &block = *found->second.block;
  constexpr unsigned deepest = 30;
  if (depth > deepest) {
    error(Diag::RecursiveBlock, part.block.range, {block.name.text()});
    aborted = true;
    return nullptr;
  }
  if (block.axes.size() != part.axes.size()) {
    error(Diag::BlockAxisCount, part.block.range, {block.name.text(), std::to_string(block.axes.size()), std::to_string(part.axes.size())});
    diagnostics.note(Diag::DeclaredHere, block.name.range, {block.name.text()});
    return nullptr;
  }
  instances.emplace_back();
  Instance &instance = instances.back();
  instance.block = &block;
  instance.file = found->second.scope;
  const std::string own = part.name.text() + "." + (index < 0 ? "" : std::to_string(index) + ".");
  instance.path = (owner ? owner->path : "") + own;
  instance.number = index >= 0 ? index : owner ? owner->number : 0;
  for (const std::string &around : owner ? owner->foreign : std::vector<std::string>{""}) {
    if (part.foreign.empty()) instance.foreign.push_back(around + own);
    for (const ast::Name &name : part.foreign) {
      const bool numbered = index < 0 || name.text().find("{n}") != std::string::npos;
      instance.foreign.push_back(foreignName(name.text(), around, instance.number) + "." + (numbered ? "" : std::to_string(index) + "."));
    }
  }
  for (const ast::Name &name : part.axes) {
    auto outer = axis(scope, name, false);  // a new name: a concat will say how long it is
    if (!outer) return nullptr;
    instance.outer.push_back(*outer);
  }
  Scope inside;
  inside.file = instance.file;
  inside.activation = scope.activation;
  for (size_t k = 0; k < block.axes.size(); ++k) {
    // The last axis that was given an outer axis is that axis; earlier ones are fresh, and arguments are renamed to them.
    bool again = std::find(instance.outer.begin() + static_cast<ptrdiff_t>(k) + 1, instance.outer.end(), instance.outer[k]) != instance.outer.end();
    IndexId inner = instance.outer[k];
    if (again) {
      Index index;
      index.name = block.axes[k].text();
      index.place = sources.place(part.axes[k].range);
      inner = b.addIndex(std::move(index));
      given.resize(b.function.indices.size());
      b.same(inner, instance.outer[k]);
    }
    instance.inner.push_back(inner);
    Binding binding;
    binding.kind = Binding::Index;
    binding.declared = block.axes[k].range;
    binding.id = inner;
    bind(inside, block.axes[k].symbol, std::move(binding));
  }
  members(block.members, inside, &instance, depth + 1);
  instance.env = inside.env;
  return &instance;
}

void Elaborator::weight(const ast::Weight &w, Scope &scope, const Instance *owner) {
  if (!w.type.tensor) return error(Diag::WeightType, w.type.range);
  if (!claim(scope, w.name, false)) return;
  Tensor t;
  t.role = Tensor::Parameter;
  t.name = (owner ? owner->path : "") + w.name.text();
  t.type = w.type.storage;
  t.place = sources.place(w.name.range);
  if (!axes(scope, w.type.axes, t.axes, false)) return poison(scope, w.name.symbol, w.name.range);
  for (const std::string &around : owner ? owner->foreign : std::vector<std::string>{""}) {
    for (const ast::Name &name : w.foreign)
      if (!name.text().empty()) t.foreign.push_back(foreignName(name.text(), around, owner ? owner->number : 0));
    if (w.foreign.empty()) t.foreign.push_back(around + w.name.text());
  }
  if (!w.foreign.empty() && w.foreign.back().text().empty()) t.foreign.emplace_back();
  if (t.foreign.size() == 1 && t.foreign[0] == t.name) t.foreign.clear();
  std::vector<IndexId> listed;
  for (const auto &group : w.layout) {
    t.layout.emplace_back();
    for (const ast::Name &name : group) {
      auto index = findIndex(scope, name);
      if (!index) return poison(scope, w.name.symbol, w.name.range);
      t.layout.back().push_back(*index);
      listed.push_back(*index);
    }
  }
  std::vector<IndexId> own = t.axes;
  std::sort(own.begin(), own.end());
  std::sort(listed.begin(), listed.end());
  if (w.hasLayout && own != listed) error(Diag::LayoutAxes, w.foreign[0].range, {w.name.text()});
  Binding binding;
  binding.kind = Binding::Tensor;
  binding.declared = w.name.range;
  binding.id = static_cast<uint32_t>(b.function.tensors.size());
  b.function.parameters.push_back({false, binding.id});
  b.function.tensors.push_back(std::move(t));
  bind(scope, w.name.symbol, std::move(binding));
}

// --- stages ---------------------------------------------------------------------------------------------------------

void Elaborator::stageParameter(Scope &scope, const ast::Parameter &p) {
  if (p.type.kind == ast::Type::Position || !p.type.tensor) {
    if (p.state) return error(Diag::StateAxes, p.type.range);
    if (p.type.tensor || (p.type.kind == ast::Type::Position && !inStep) || p.type.kind == ast::Type::Token || p.type.kind == ast::Type::Length)
      return error(Diag::StageType, p.type.range, {sources.text(p.type.range)});
    parameter(scope, p);
    b.function.scalars.back().position = p.type.kind == ast::Type::Position;
    return;
  }
  ast::Parameter plain = p;
  if (p.type.kind == ast::Type::Length) {
    // A length belongs to the last axis and has the others.
    std::vector<IndexId> all;
    if (!axes(scope, p.type.axes, all, false)) return poison(scope, p.name.symbol, p.name.range);
    plain.type.axes.pop_back();
  }
  parameter(scope, plain);
  const Env *entry = find(scope.env, p.name.symbol);
  if (!entry || entry->binding.kind != Binding::Tensor) return;
  TensorId id = entry->binding.id;
  if (!batch && !b.function.tensors[id].axes.empty()) batch = b.function.tensors[id].axes[0];
  if (!p.state) return;
  b.function.tensors[id].role = Tensor::State;
  Binding binding;
  binding.kind = Binding::Value;
  binding.declared = p.name.range;
  binding.node = b.loadBare(id);
  binding.stated = true;
  binding.axes = b.function.tensors[id].axes;
  bind(scope, p.name.symbol, std::move(binding));
}

bool Elaborator::encode(const ast::Model &m) {
  Scope scope;
  b.function.name = "encode";
  b.function.place = sources.place(m.encode.range);
  model(m, scope);
  for (const ast::Parameter &p : m.encode.parameters) {
    if (p.state) error(Diag::OnlyInStep, p.name.range, {"state"});
    stageParameter(scope, p);
  }
  results(scope, m.encode.results);
  top = scope;
  encodeEnv = scope.env;
  if (batch) context = {*batch};
  statements(m.encode.body, scope);
  checkResults(m.encode.end);
  if (abort) diagnostics.error(abort->first, abort->second);
  if (failed) return false;
  // The first value of each state of step, as a result of its own.
  for (const ast::Parameter &p : m.step.parameters) {
    if (!p.state) continue;
    std::vector<IndexId> into;
    if (!axes(scope, p.type.axes, into, false)) continue;
    std::vector<IndexId> outer = context;
    context = into;
    std::sort(context.begin(), context.end());
    NodeId node = value(p.init, scope);
    context = outer;
    if (node == none || !fits(node, into, p.name.text(), p.name.range, p.init, scope)) continue;
    node = store(node, p.type.storage, p.init, p.name.text());
    if (node == none) continue;
    Result result;
    result.name = p.name.text();
    result.type = p.type.storage;
    result.axes = into;
    result.node = node;
    result.place = sources.place(p.name.range);
    b.function.results.push_back(std::move(result));
  }
  if (abort) diagnostics.error(abort->first, abort->second);
  return !failed;
}

// What encode took and returned, as step sees it: through the map from hypothesis to source.
void Elaborator::encoded(const ast::Parameter &p, Scope &scope) {
  if (!p.type.tensor || p.type.axes.empty()) return;
  Tensor t;
  t.role = Tensor::Encoded;
  t.name = p.name.text();
  t.type = p.type.storage;
  t.place = sources.place(p.name.range);
  if (!axes(scope, p.type.axes, t.axes, true)) return;
  if (p.type.kind == ast::Type::Length) t.axes.pop_back();
  if (std::find(t.axes.begin(), t.axes.end(), *batch) != t.axes.end()) t.batch = *batch;
  Binding binding;
  binding.kind = Binding::Tensor;
  binding.declared = p.name.range;
  binding.id = static_cast<uint32_t>(b.function.tensors.size());
  b.function.parameters.push_back({false, binding.id});
  b.function.tensors.push_back(std::move(t));
  bind(scope, p.name.symbol, std::move(binding));
}

bool Elaborator::step(const ast::Model &m, Elaborator &encode, core::Model &into) {
  inStep = true;
  Scope scope;
  b.function.name = "step";
  b.function.place = sources.place(m.step.range);
  model(m, scope);
  // The batch of encode and that of step have one name: a load goes from the hypothesis to its source.
  Scope outer = scope;
  for (const ast::Parameter &p : m.encode.parameters)
    if (p.type.tensor && !p.type.axes.empty() && !batch) batch = axis(outer, p.type.axes[0], true);
  if (batch) {
    for (const ast::Parameter &p : m.encode.parameters) encoded(p, outer);
    for (const ast::Parameter &p : m.encode.results) encoded(p, outer);
  }
  encodeEnv = outer.env;
  batch.reset();
  for (const ast::Parameter &p : m.step.parameters) stageParameter(scope, p);
  size_t firstResult = b.function.results.size();
  results(scope, m.step.results);
  top = scope;
  for (Instance &instance : instances) instanceCaches(instance);
  if (batch) context = {*batch};
  statements(m.step.body, scope);
  checkResults(m.step.end);
  for (TensorId cache : caches)
    if (!appended.count(cache) && !failed) error(Diag::CacheNeverAppended, rangeOf(b.function.tensors[cache].place, "k"), {b.function.tensors[cache].name});
  if (abort) diagnostics.error(abort->first, abort->second);
  if (failed) return false;
  (void)firstResult;

  into.name = m.name.text();
  into.place = sources.place(m.name.range);
  if (!formats(m, into)) return false;
  // Results: those written, the next states, the traces.
  uint32_t init = static_cast<uint32_t>(m.encode.results.size());
  for (const ast::Parameter &p : m.step.parameters) {
    if (!p.state) continue;
    const Binding &binding = find(scope.env, p.name.symbol)->binding;
    TensorId tensor = find(top.env, p.name.symbol)->parent->binding.id;
    for (TensorId k = 0; k < b.function.tensors.size(); ++k)
      if (b.function.tensors[k].role == Tensor::State && b.function.tensors[k].name == p.name.text()) tensor = k;
    Result result;
    result.name = p.name.text();
    result.type = p.type.storage;
    result.axes = b.function.tensors[tensor].axes;
    result.node = binding.node;
    result.place = sources.place(p.name.range);
    into.states.push_back({p.name.text(), tensor, static_cast<uint32_t>(b.function.results.size()), init++});
    b.function.results.push_back(std::move(result));
  }
  for (TraceRequest &t : traces) {
    Result result;
    result.name = t.name;
    result.type = b.type(t.node);
    result.axes = t.axes;
    result.node = t.node;
    result.place = sources.place(t.at);
    into.traces.push_back({t.name, static_cast<uint32_t>(b.function.results.size()), t.grid});
    b.function.results.push_back(std::move(result));
  }
  into.caches = caches;
  (void)encode;
  return true;
}

// What is read and written, with what the configuration says of it.
bool Elaborator::formats(const ast::Model &m, core::Model &into) {
  for (auto [part, format] : {std::pair{&m.reads, &into.reads}, {&m.writes, &into.writes}}) {
    *format = part->value;
    for (auto [key, number] : {std::pair{&part->start, &format->startId}, {&part->end, &format->endId}, {&part->atMost, &format->atMost}}) {
      if (!*key) continue;
      const ast::Literal *found = config->find(**key, (*key)->range, diagnostics);
      if (!found) return false;
      const int64_t least = key == &part->atMost;
      if (found->kind != ast::Literal::Integer || found->integer < least) {
        error(Diag::ConfigNumber, (*key)->range, {(*key)->text(), std::to_string(least)});
        return false;
      }
      *number = found->integer;
    }
  }
  return true;
}

bool Elaborator::finishModel(Elaborator &encode, Elaborator &step) {
  // What one stage found out about an axis (a concat's length) holds in the other.
  for (IndexId k = 0; k < std::min(encode.modelIndices, step.modelIndices); ++k) {
    auto one = encode.b.fixed(k), other = step.b.fixed(k);
    if (one && !other) step.b.function.indices[k].fixed = one;
    if (other && !one) encode.b.function.indices[k].fixed = other;
  }
  for (const Tensor &t : step.b.function.tensors)
    if (t.role == Tensor::Parameter)
      for (IndexId axis : t.axes)
        if (!step.b.fixed(axis)) {
          const Index &index = step.b.function.indices[axis];
          step.error(Diag::ExtentNotConstant, step.rangeOf(index.place, index.name), {index.name});
        }
  if (step.failed || !encode.checkExtents() || !step.checkExtents()) return false;
  encode.b.finish();
  step.b.finish();
  return true;
}

// --- statements of stages -------------------------------------------------------------------------------------------

// Caches follow the parameters among step's tensors, so they are made after all instances.
void Elaborator::instanceCaches(Instance &instance) {
  Scope scope;
  scope.env = instance.env;
  scope.file = instance.file;
  scope.activation = now;
  for (const ast::Member &member : instance.block->members) {
    if (member.kind != ast::Member::Parameter || !member.weight.cache) continue;
    const ast::Weight &w = member.weight;
    if (!w.type.tensor) {
      error(Diag::WeightType, w.type.range);
      continue;
    }
    if (!claim(scope, w.name, false)) continue;
    Tensor t;
    t.role = Tensor::Cache;
    t.name = instance.path + w.name.text();
    t.type = w.type.storage;
    t.place = sources.place(w.name.range);
    unsigned growing = 0;
    for (const ast::Name &name : w.type.axes) {
      const Env *entry = lookup(scope, name.symbol);
      if (!entry || entry->binding.kind != Binding::Index) {
        Index index;
        index.name = name.text();
        index.place = sources.place(name.range);
        Binding binding;
        binding.kind = Binding::Index;
        binding.declared = name.range;
        binding.id = b.addIndex(std::move(index));
        given.push_back(true);
        if (!growingIndices.empty()) b.same(binding.id, *growingIndices.begin());  // all caches grow together
        growingIndices.insert(binding.id);
        bind(scope, name.symbol, std::move(binding));
        entry = scope.env;
      }
      IndexId id = entry->binding.id;
      if (growingIndices.count(id)) t.growing = id, ++growing;
      t.axes.push_back(id);
    }
    if (growing != 1) {
      error(Diag::CacheAxis, w.name.range, {w.name.text()});
      poison(scope, w.name.symbol, w.name.range);
      continue;
    }
    Binding binding;
    binding.kind = Binding::Tensor;
    binding.declared = w.name.range;
    binding.id = static_cast<uint32_t>(b.function.tensors.size());
    b.function.parameters.push_back({false, binding.id});
    caches.push_back(binding.id);
    b.function.tensors.push_back(std::move(t));
    bind(scope, w.name.symbol, std::move(binding));
  }
  instance.env = scope.env;
}

core::TensorId Elaborator::currentCache(TensorId tensor) const {
  auto it = appended.find(tensor);
  return it == appended.end() ? tensor : it->second;
}

void Elaborator::append(const ast::Statement &s, Scope &scope) {
  const ast::Name &name = s.targets[0].name;
  const Env *entry = lookup(scope, name.symbol);
  if (!entry || entry->binding.kind != Binding::Tensor || b.function.tensors[entry->binding.id].role != Tensor::Cache) {
    if (!entry || entry->binding.kind != Binding::Poison) error(Diag::NotACache, name.range, {name.text()});
    failed = true;
    return;
  }
  TensorId cache = entry->binding.id;
  if (appended.count(cache)) return error(Diag::AppendTwice, name.range, {name.text()});
  Tensor t = b.function.tensors[cache];
  std::vector<IndexId> rest, outer = context;
  for (IndexId axis : t.axes)
    if (axis != t.growing) rest.push_back(axis);
  context = rest;
  std::sort(context.begin(), context.end());
  NodeId node = value(s.value, scope);
  context = outer;
  if (node == none || !fits(node, rest, name.text(), entry->binding.declared, s.value, scope)) return;
  node = store(node, t.type, s.value, name.text());
  if (node == none) return;
  t.role = Tensor::Appended;
  t.base = cache;
  t.value = keep(node, rest, scope);
  appended[cache] = static_cast<TensorId>(b.function.tensors.size());
  b.function.tensors.push_back(std::move(t));
  ++effects;
}

void Elaborator::trace(const ast::Statement &s, Scope &scope) {
  const ast::Name &name = s.targets[0].name;
  const Env *entry = lookup(scope, name.symbol);
  if (!entry) return error(Diag::UnknownName, name.range, {name.text(), suggestion(scope, name.symbol, false)});
  NodeId node = reference(entry, name, scope);
  if (node == none) {
    failed = true;
    return;
  }
  TraceRequest t;
  t.name = (now ? now->path : "") + name.text();
  t.node = node;
  t.grid = s.grid;
  t.at = name.range;
  t.axes = entry->binding.kind == Binding::Value && entry->binding.stated ? entry->binding.axes : b.node(node).free;
  // The batch comes first, as everywhere else.
  if (!entry->binding.stated && batch) std::stable_partition(t.axes.begin(), t.axes.end(), [&](IndexId index) { return index == *batch; });
  traces.push_back(std::move(t));
  ++effects;
}

// for layer in layers { x = layer(x); }: once for each instance. Names assigned inside that were defined outside keep their values.
void Elaborator::forEach(const ast::Statement &s, Scope &scope) {
  const Env *over = lookup(scope, s.over.symbol);
  if (!over || over->binding.kind != Binding::Instances) {
    if (!over || over->binding.kind != Binding::Poison) error(Diag::NotABlockArray, s.over.range, {s.over.text()});
    failed = true;
    return;
  }
  const ast::Name &name = s.targets[0].name;
  if (!claim(scope, name, false)) return;
  std::vector<Instance *> list = over->binding.instances;
  std::vector<Symbol> targets;
  std::vector<const ast::Statement *> stack(s.body.begin(), s.body.end());
  while (!stack.empty()) {
    const ast::Statement *at = stack.back();
    stack.pop_back();
    if (at->kind == ast::Statement::Assign)
      for (const ast::Target &target : at->targets) targets.push_back(target.name.symbol);
    stack.insert(stack.end(), at->body.begin(), at->body.end());
  }
  for (Instance *instance : list) {
    if (aborted || diagnostics.full()) return;
    Scope inside = scope;
    Binding binding;
    binding.kind = Binding::Instance;
    binding.declared = name.range;
    binding.instance = instance;
    bind(inside, name.symbol, std::move(binding));
    statements(s.body, inside);
    for (Symbol target : targets) {
      const Env *outside = find(scope.env, target), *after = find(inside.env, target);
      if (outside && after && outside != after && after->binding.kind != Binding::Instance) bind(scope, target, after->binding);
    }
    if (failed) return;  // the other instances would say the same
  }
}

}  // namespace fovea
