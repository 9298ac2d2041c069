#include "lowering/halide/ThreadRegisters.h"

#include <algorithm>
#include <map>
#include <optional>
#include <stdexcept>
#include <vector>

using namespace Halide;
using namespace Halide::Internal;

namespace fovea::leaf {
namespace {

// An expression as it is after lowering.
class AsLowered : public IRMutator {
  using IRMutator::visit;
  Expr visit(const Call *op) override {
    if (op->is_intrinsic(Call::unsafe_promise_clamped)) return mutate(op->args[0]);
    const size_t stem = op->name.rfind("_im");   // an ImageParam is read through a Func of this name
    if (op->call_type != Call::Halide || stem == std::string::npos) return IRMutator::visit(op);
    return Load::make(op->type, op->name.substr(0, stem), mutate(op->args[0]), Buffer<>(), Parameter(), const_true(), ModulusRemainder());
  }
};

// What a thread holds in registers. Halide gives each of these Funcs one allocation for all threads of a block; here each thread gets its own elements,
// whose places do not depend on the thread any more, and, with the loops over them unrolled, are constants.
class OwnElements : public IRMutator {
 public:
  OwnElements(std::set<std::string> held, const BlockRange *range) : held(std::move(held)), range(range) {}

 private:
  using IRMutator::visit;
  std::map<std::string, Expr> threads;   // loops over threads -> 0
  std::vector<std::pair<std::string, Expr>> lets;
  std::map<std::string, int64_t> sizes;  // of allocations, as far as they are used

  bool isHeld(const std::string &name) const { return held.count(name.substr(0, name.find_first_of(".$"))) != 0; }
  Expr own(const std::string &name, const Expr &index) {
    Expr place = index;
    for (auto let = lets.rbegin(); let != lets.rend(); ++let)
      if (expr_uses_var(place, let->first)) place = substitute(let->first, let->second, place);
    place = simplify(substitute(threads, place));
    std::optional<int64_t> constant = as_const_int(place);
    if (!constant) throw std::logic_error("a thread's element of `" + name + "` has no constant place");
    sizes[name] = std::max(sizes[name], *constant + 1);
    return place;
  }

  const std::set<std::string> held;
  const BlockRange *range;
  std::string block;                     // the loop over blocks

  Stmt visit(const For *op) override {
    if (op->for_type == ForType::GPUBlock) block = op->name;
    if (range && op->for_type == ForType::Serial && op->name.rfind(range->loop, 0) == 0) {
      auto lowered = [&](const Expr &e) { return AsLowered().mutate(substitute(range->block, Variable::make(Int(32), block), e)); };
      Expr from = max(lowered(range->from), op->min), to = min(lowered(range->to), op->min + op->extent);
      return For::make(op->name, from, to - from, op->for_type, op->partition_policy, op->device_api, mutate(op->body));
    }
    if (op->for_type != ForType::GPUThread) return IRMutator::visit(op);
    threads[op->name] = 0;
    Stmt s = IRMutator::visit(op);
    threads.erase(op->name);
    return s;
  }
  template <typename AnyLet>  // Let or LetStmt
  auto visitLet(const AnyLet *op) {
    Expr value = mutate(op->value);
    lets.emplace_back(op->name, op->value);
    auto rest = mutate(op->body);
    lets.pop_back();
    return AnyLet::make(op->name, value, rest);
  }
  Stmt visit(const LetStmt *op) override { return visitLet(op); }
  Expr visit(const Let *op) override { return visitLet(op); }
  Expr visit(const Load *op) override {
    if (!isHeld(op->name)) return IRMutator::visit(op);
    return Load::make(op->type, op->name, own(op->name, op->index), op->image, op->param, mutate(op->predicate), ModulusRemainder());
  }
  Stmt visit(const Store *op) override {
    if (!isHeld(op->name)) return IRMutator::visit(op);
    return Store::make(op->name, mutate(op->value), own(op->name, op->index), op->param, mutate(op->predicate), ModulusRemainder());
  }
  Stmt visit(const Allocate *op) override {
    if (!isHeld(op->name)) return IRMutator::visit(op);
    Stmt rest = mutate(op->body);
    return Allocate::make(op->name, op->type, op->memory_type, {Expr(int32_t(std::max<int64_t>(sizes[op->name], 1)))}, op->condition, rest);
  }
};

}  // namespace

std::unique_ptr<IRMutator> threadRegisters(std::set<std::string> held, const BlockRange *range) {
  return std::make_unique<OwnElements>(std::move(held), range);
}

}  // namespace fovea::leaf
