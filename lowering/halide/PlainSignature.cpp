// Halide passes images as halide_buffer_t. Here every such argument becomes a pointer, and what the code read from its
// descriptor is known: minima are 0, strides are constants or arguments, extents are never asked for.
#include "lowering/halide/Builder.h"

#include <algorithm>
#include <set>
#include <stdexcept>

using namespace Halide;
using namespace Halide::Internal;

namespace fovea::leaf {
namespace {

class Unpack : public IRMutator {
public:
  Unpack(const Built &built, const std::set<std::string> &arguments) : built(built), arguments(arguments) {}

private:
  using IRMutator::visit;
  const Built &built;
  const std::set<std::string> &arguments;

  // `let q = _halide_buffer_get_host(q.buffer)`: `q` is an argument now.
  Stmt visit(const LetStmt *op) override {
    const Call *call = op->value.as<Call>();
    if (call && call->name == Call::buffer_get_host) return mutate(op->body);
    return IRMutator::visit(op);
  }
  Expr visit(const Call *op) override {
    if (op->name == Call::buffer_get_min) return 0;
    if (op->name == Call::buffer_get_stride) {
      const Variable *descriptor = op->args[0].as<Variable>();
      std::optional<int64_t> axis = as_const_int(op->args[1]);
      auto it = descriptor && axis && *axis == 1 ? built.rowStrides.find(descriptor->name.substr(0, descriptor->name.rfind('.'))) : built.rowStrides.end();
      if (it != built.rowStrides.end()) return it->second;
    }
    return IRMutator::visit(op);
  }
  // Nothing is promised about the pointers' alignment, and what an output held before is read through the output itself.
  Expr visit(const Load *op) override {
    Expr e = IRMutator::visit(op);
    const Load *load = e.as<Load>();
    if (!arguments.count(op->name) && !built.inPlace.count(op->name)) return e;
    auto it = built.inPlace.find(op->name);
    return Load::make(load->type, it == built.inPlace.end() ? op->name : it->second, load->index, load->image, load->param, load->predicate, ModulusRemainder());
  }
  Stmt visit(const Store *op) override {
    Stmt s = IRMutator::visit(op);
    if (!arguments.count(op->name)) return s;
    const Store *store = s.as<Store>();
    return Store::make(store->name, store->value, store->index, store->param, store->predicate, ModulusRemainder());
  }
};

// Scratch that overwrites other scratch: one allocation, half the cache.
class Overwrite : public IRMutator {
public:
  explicit Overwrite(const std::map<std::string, std::string> &overwrites) : overwrites(overwrites) {}

private:
  using IRMutator::visit;
  const std::map<std::string, std::string> &overwrites;

  const std::string &home(const std::string &name) const {
    auto it = overwrites.find(name);
    return it == overwrites.end() ? name : it->second;
  }
  Stmt visit(const Allocate *op) override { return overwrites.count(op->name) ? mutate(op->body) : IRMutator::visit(op); }
  // What is not freed early is freed where its scope ends: in reverse order, as an arena likes it.
  Stmt visit(const Free *) override { return Evaluate::make(0); }
  Expr visit(const Load *op) override {
    return Load::make(op->type, home(op->name), mutate(op->index), op->image, op->param, mutate(op->predicate), op->alignment);
  }
  Stmt visit(const Store *op) override {
    return Store::make(home(op->name), mutate(op->value), mutate(op->index), op->param, mutate(op->predicate), op->alignment);
  }
};

// The predicate of a reduction comes once for every unrolled statement; one test does.
class MergeGuards : public IRMutator {
  using IRMutator::visit;
  static bool sameGuard(const IfThenElse *a, const IfThenElse *b) {
    return a && b && !a->else_case.defined() && !b->else_case.defined() && equal(a->condition, b->condition);
  }
  Stmt visit(const Block *op) override {
    // Guards read what this loop never writes (weights), so the first test decides for all.
    Stmt first = mutate(op->first), rest = mutate(op->rest);
    const IfThenElse *guard = first.as<IfThenElse>();
    if (!guard) return Block::make(first, rest);
    if (sameGuard(guard, rest.as<IfThenElse>()))
      return IfThenElse::make(guard->condition, Block::make(guard->then_case, rest.as<IfThenElse>()->then_case));
    const Block *more = rest.as<Block>();
    if (more && sameGuard(guard, more->first.as<IfThenElse>()))
      return Block::make(IfThenElse::make(guard->condition, Block::make(guard->then_case, more->first.as<IfThenElse>()->then_case)), more->rest);
    return Block::make(first, rest);
  }
};

class AddFetches : public IRMutator {
public:
  explicit AddFetches(const Built &built, const LeafSpec &spec) : built(built), spec(spec) {}

  // A loop that Halide names otherwise would lose its fetches, and nothing but time would tell.
  void expectAll() const {
    for (const Fetch &fetch : built.fetches) {
      const auto loops = seen.find(fetch.loop);
      if (loops == seen.end() || loops->second <= fetch.which) throw std::logic_error("the leaf has no loop `" + fetch.loop + "` to fetch in");
    }
  }

private:
  using IRMutator::visit;
  const Built &built;
  const LeafSpec &spec;
  std::map<std::string, int> seen;  // loops, by name

  Stmt visit(const For *op) override {
    const int number = seen[op->name]++;
    Stmt body = mutate(op->body);
    for (const Fetch &fetch : built.fetches) {
      if (fetch.loop != op->name || fetch.which != number) continue;
      const std::vector<Argument> arguments = signature(spec);
      const auto image = std::find_if(arguments.begin(), arguments.end(), [&](const Argument &a) { return a.name == fetch.image; });
      const Expr bytes = storageType(image->type).bytes(), base = reinterpret<uint64_t>(Variable::make(type_of<void *>(), fetch.image)), offset = cast<int64_t>(fetch.offset) * bytes;
      for (auto first = fetch.first.rbegin(); first != fetch.first.rend(); ++first)
        for (int line = fetch.lines; line-- > 0;) {
          Expr address = reinterpret(type_of<void *>(), base + cast<uint64_t>(cast<int64_t>(*first) * bytes + offset + line * lineBytes));
          body = Block::make(Evaluate::make(Call::make(Int(32), "llvm.prefetch.p0", {address, 0, 2, 1}, Call::Extern)), body);
        }
    }
    return body.same_as(op->body) ? Stmt(op) : For::make(op->name, op->min, op->extent, op->for_type, op->partition_policy, op->device_api, body);
  }
};

class DropUnused : public IRMutator {
  using IRMutator::visit;
  Stmt visit(const LetStmt *op) override {
    Stmt body = mutate(op->body);
    const Call *call = op->value.as<Call>();
    if (call && call->name.rfind("_halide_buffer_", 0) == 0 && !stmt_uses_var(body, op->name)) return body;
    return body.same_as(op->body) ? Stmt(op) : LetStmt::make(op->name, op->value, body);
  }
};

class FindDescriptors : public IRVisitor {
public:
  std::set<std::string> found;

private:
  using IRVisitor::visit;
  void visit(const Variable *op) override {
    if (op->type.is_handle() && op->name.size() > 7 && op->name.compare(op->name.size() - 7, 7, ".buffer") == 0) found.insert(op->name);
  }
};

}  // namespace

Module withPlainSignature(const Module &module, const LeafSpec &spec, const Built &built) {
  if (module.functions().size() != 1 || !module.buffers().empty()) throw std::logic_error("a leaf is one function without buffers");
  const LoweredFunc &f = module.functions()[0];
  std::set<std::string> names;
  for (const Argument &a : signature(spec)) names.insert(a.name);
  AddFetches fetches(built, spec);
  Stmt body = fetches.mutate(MergeGuards().mutate(Overwrite(built.overwrites).mutate(DropUnused().mutate(Unpack(built, names).mutate(f.body)))));
  fetches.expectAll();
  FindDescriptors descriptors;
  body.accept(&descriptors);
  for (const std::string &name : descriptors.found) throw std::logic_error("the leaf still reads the descriptor `" + name + "`");
  std::vector<LoweredArgument> arguments;
  for (const Argument &a : signature(spec)) {
    Halide::Type type = a.kind == Argument::Pointer ? type_of<void *>() : a.kind == Argument::Float ? Float(32) : Int(32);
    arguments.emplace_back(a.name, Halide::Argument::InputScalar, type, 0, ArgumentEstimates{});
  }
  Module plain(spec.name, module.target());
  plain.set_any_strict_float(module.any_strict_float());
  plain.append(LoweredFunc(spec.name, arguments, body, LinkageType::External, NameMangling::C));
  return plain;
}

}  // namespace fovea::leaf
