#include "lowering/host/Descriptor.h"

#include "runtime/include/fovea/status.h"
#include "runtime/kernel/descriptor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <map>
#include <set>

namespace fovea {
namespace {

using core::Function;
using core::IndexId;
using core::Node;
using core::NodeId;
using core::Op;
using core::Type;

// How an operation is written in a program: for i32 (and bool), for f32; `none` where it has no such form.
struct Coding {
  Op op;
  int integer, real;
};
constexpr int noCode = -1;
constexpr Coding codings[] = {
    {Op::Neg, FOVEA_OP_NEG_I, FOVEA_OP_NEG_F},
    {Op::Add, FOVEA_OP_ADD_I, FOVEA_OP_ADD_F},
    {Op::Sub, FOVEA_OP_SUB_I, FOVEA_OP_SUB_F},
    {Op::Mul, FOVEA_OP_MUL_I, FOVEA_OP_MUL_F},
    {Op::Div, FOVEA_OP_DIV_I, FOVEA_OP_DIV_F},
    {Op::Mod, FOVEA_OP_MOD_I, FOVEA_OP_MOD_F},
    {Op::Min, FOVEA_OP_MIN_I, FOVEA_OP_MIN_F},
    {Op::Max, FOVEA_OP_MAX_I, FOVEA_OP_MAX_F},
    {Op::Abs, FOVEA_OP_ABS_I, FOVEA_OP_ABS_F},
    {Op::Sign, FOVEA_OP_SIGN_I, FOVEA_OP_SIGN_F},
    {Op::Relu, FOVEA_OP_RELU_I, FOVEA_OP_RELU_F},
    {Op::LeakyRelu, noCode, FOVEA_OP_LEAKY_RELU_F},
    {Op::Sqrt, noCode, FOVEA_OP_SQRT_F},
    {Op::Rsqrt, noCode, FOVEA_OP_RSQRT_F},
    {Op::Floor, noCode, FOVEA_OP_FLOOR_F},
    {Op::Ceil, noCode, FOVEA_OP_CEIL_F},
    {Op::Round, noCode, FOVEA_OP_ROUND_F},
    {Op::Lt, FOVEA_OP_LT_I, FOVEA_OP_LT_F},
    {Op::Le, FOVEA_OP_LE_I, FOVEA_OP_LE_F},
    {Op::Eq, FOVEA_OP_EQ_I, FOVEA_OP_EQ_F},
    {Op::Not, FOVEA_OP_NOT, noCode},
    {Op::And, FOVEA_OP_AND, noCode},
    {Op::Or, FOVEA_OP_OR, noCode},
    {Op::Select, FOVEA_OP_SELECT, FOVEA_OP_SELECT},
};

// One program: the instructions for a node and for what it needs, each once.
class Program {
public:
  Program(const Function &function, const std::vector<int> &scalarArgument) : function(function), scalarArgument(scalarArgument) {}

  // The number of the node's value, or -1 with `error` set.
  int value(NodeId id) {
    if (auto known = values.find(id); known != values.end())
      return known->second;
    int result = compute(function.nodes[id]);
    if (result >= 0)
      values[id] = result;
    return result;
  }

  std::vector<int32_t> words() const {
    std::vector<int32_t> all = {static_cast<int32_t>(code.size() / FOVEA_P_WORDS)};
    all.insert(all.end(), code.begin(), code.end());
    return all;
  }

  std::string error;

private:
  int emit(int op, int x = 0, int y = -1, int z = -1) {
    code.insert(code.end(), {op, x, y, z});
    return static_cast<int>(code.size() / FOVEA_P_WORDS) - 1;
  }

  int compute(const Node &node) {
    switch (node.op) {
    case Op::ConstI32:
    case Op::ConstBool:
      return emit(FOVEA_OP_CONST_I, static_cast<int32_t>(node.integer));
    case Op::ConstF32: {
      float real = static_cast<float>(node.real);
      int32_t bits;
      std::memcpy(&bits, &real, 4);
      return emit(FOVEA_OP_CONST_F, bits);
    }
    case Op::Extent:
      return emit(FOVEA_OP_EXTENT, static_cast<int32_t>(node.ref));
    case Op::Scalar:
      if (scalarArgument[node.ref] < 0)
        return fail("a scalar that is not a parameter");
      return emit(node.type == Type::F32 ? FOVEA_OP_SCALAR_F : FOVEA_OP_SCALAR_I, scalarArgument[node.ref]);
    default:
      break;
    }
    std::vector<int> args;
    for (NodeId arg : node.args) {
      args.push_back(value(arg));
      if (args.back() < 0)
        return -1;
    }
    Type from = node.args.empty() ? node.type : function.nodes[node.args[0]].type;
    switch (node.op) {
    case Op::Gt:
      return emit(from == Type::F32 ? FOVEA_OP_LT_F : FOVEA_OP_LT_I, args[1], args[0]);
    case Op::Ge:
      return emit(from == Type::F32 ? FOVEA_OP_LE_F : FOVEA_OP_LE_I, args[1], args[0]);
    case Op::Ne:
      return emit(FOVEA_OP_NOT, emit(from == Type::F32 ? FOVEA_OP_EQ_F : FOVEA_OP_EQ_I, args[0], args[1]));
    case Op::ToF32:
      return from == Type::F32 ? args[0] : emit(FOVEA_OP_TO_F, args[0]);
    case Op::ToI32:
      return from == Type::F32 ? emit(FOVEA_OP_TO_I, args[0]) : args[0];
    case Op::Keep: {
      int zero = node.type == Type::F32 ? emit(FOVEA_OP_CONST_F, 0) : emit(FOVEA_OP_CONST_I, 0), kept = args[0];
      for (size_t k = 1; k < args.size(); ++k)
        kept = emit(FOVEA_OP_SELECT, args[k], kept, zero);
      return kept;
    }
    default:
      break;
    }
    Type decides = node.op == Op::Select ? node.type : from;
    for (const Coding &coding : codings)
      if (coding.op == node.op)
        if (int op = decides == Type::F32 ? coding.real : coding.integer; op != noCode)
          return emit(op, args[0], args.size() > 1 ? args[1] : -1, args.size() > 2 ? args[2] : -1);
    return fail("an operation that entry checks do not have");
  }

  int fail(const char *what) {
    error = what;
    return -1;
  }

  const Function &function;
  const std::vector<int> &scalarArgument;
  std::vector<int32_t> code;
  std::map<NodeId, int> values;
};

// The text of a node.

struct Spelling {
  Op op;
  const char *infix;
  int level;   // of rule E1; smaller binds tighter
};
constexpr Spelling spellings[] = {
    {Op::Mul, " * ", 3},  {Op::Div, " / ", 3},  {Op::Mod, " % ", 3},  {Op::Add, " + ", 4},  {Op::Sub, " - ", 4},
    {Op::Lt, " < ", 5},   {Op::Le, " <= ", 5},  {Op::Gt, " > ", 5},   {Op::Ge, " >= ", 5},  {Op::Eq, " == ", 5},
    {Op::Ne, " != ", 5},  {Op::And, " and ", 7}, {Op::Or, " or ", 8},
};
constexpr std::pair<Op, const char *> functionNames[] = {
    {Op::Pow, "pow"},     {Op::Min, "min"},       {Op::Max, "max"},   {Op::Abs, "abs"},     {Op::Sign, "sign"},
    {Op::Relu, "relu"},   {Op::Exp, "exp"},       {Op::Log, "log"},   {Op::Exp2, "exp2"},   {Op::Tanh, "tanh"},
    {Op::Sqrt, "sqrt"},   {Op::Rsqrt, "rsqrt"},   {Op::Floor, "floor"}, {Op::Ceil, "ceil"}, {Op::Round, "round"},
    {Op::ToI32, "i32"},   {Op::LeakyRelu, "leaky_relu"},
};

std::string format(const Function &function, NodeId id, int level) {
  const Node &node = function.nodes[id];
  auto arg = [&](size_t k, int at) { return format(function, node.args[k], at); };
  auto wrap = [&](std::string text, int own) { return own > level ? "(" + text + ")" : text; };
  switch (node.op) {
  case Op::ConstI32: return fmt::format("{}", node.integer);
  case Op::ConstBool: return node.integer ? "true" : "false";
  case Op::ConstF32: return fmt::format("{}", static_cast<float>(node.real));
  case Op::Extent: return function.indices[node.ref].name;
  case Op::Scalar: return function.scalars[node.ref].name;
  case Op::Neg: return wrap("-" + arg(0, 2), 2);
  case Op::Not: return wrap("not " + arg(0, 6), 6);
  case Op::ToF32: return arg(0, level);
  case Op::Select: return wrap("if " + arg(0, 9) + " then " + arg(1, 9) + " else " + arg(2, 9), 9);
  default: break;
  }
  for (const Spelling &spelling : spellings)
    if (spelling.op == node.op)
      return wrap(arg(0, spelling.level) + spelling.infix + arg(1, spelling.level - 1), spelling.level);
  for (const auto &[op, name] : functionNames)
    if (op == node.op) {
      std::string text = std::string(name) + "(";
      for (size_t k = 0; k < node.args.size(); ++k)
        text += (k ? ", " : "") + arg(k, 9);
      return text + ")";
    }
  return "...";
}

// The indices whose extents a node reads.
void collectExtents(const Function &function, NodeId id, std::set<NodeId> &seen, std::set<IndexId> &indices) {
  if (!seen.insert(id).second)
    return;
  const Node &node = function.nodes[id];
  if (node.op == Op::Extent)
    indices.insert(node.ref);
  for (NodeId arg : node.args)
    collectExtents(function, arg, seen, indices);
}

class Builder {
public:
  explicit Builder(const Function &function) : f(function) {}

  std::optional<Descriptor> build(std::string &error, int32_t device) {
    out.strings.push_back('\0');
    out.words.resize(FOVEA_D_WORDS);
    int32_t name = string(f.name);
    addArguments();
    addIndices();
    addChecks();
    auto &w = out.words;
    w[FOVEA_D_MAGIC] = FOVEA_DESCRIPTOR_MAGIC;
    w[FOVEA_D_ABI] = FOVEA_ABI_VERSION;
    w[FOVEA_D_SIZE] = size();
    w[FOVEA_D_NAME] = name;
    w[FOVEA_D_DEVICE] = device;
    if (!fault.empty()) {
      error = fault;
      return std::nullopt;
    }
    return std::move(out);
  }

private:
  int32_t size() const { return static_cast<int32_t>(out.words.size()); }

  int32_t string(const std::string &text) {
    auto [at, isNew] = known.try_emplace(text, static_cast<int32_t>(out.strings.size()));
    if (text.empty())
      return 0;
    if (isNew)
      out.strings.append(text.c_str(), text.size() + 1);
    return at->second;
  }

  void put(int32_t at, int64_t wide) {
    out.words[at] = static_cast<int32_t>(wide);
    out.words[at + 1] = static_cast<int32_t>(wide >> 32);
  }

  void addArguments() {
    scalarArgument.assign(f.scalars.size(), -1);
    int32_t count = static_cast<int32_t>(f.parameters.size() + f.results.size()), at = size(), k = 0;
    int64_t frame = 0;
    out.words[FOVEA_D_PARAMETERS] = static_cast<int32_t>(f.parameters.size());
    out.words[FOVEA_D_RESULTS] = static_cast<int32_t>(f.results.size());
    out.words[FOVEA_D_ARGUMENTS_AT] = at;
    out.words.resize(at + count * FOVEA_A_WORDS);
    auto tensor = [&](const std::string &name, Type type, const std::vector<IndexId> &axes, bool sorted) {
      int32_t axesAt = size();
      if (axes.size() > FOVEA_MAX_RANK)
        fault = fmt::format("`{}` has {} axes, more than {}", name, axes.size(), FOVEA_MAX_RANK);
      out.words.insert(out.words.end(), axes.begin(), axes.end());
      entry(at, k++, name, static_cast<int32_t>(axes.size()), type, sorted ? FOVEA_FLAG_SORTED : 0, axesAt);
      frame += 3 + 2 * static_cast<int64_t>(axes.size());
    };
    for (const Function::Parameter &parameter : f.parameters) {
      if (parameter.scalar) {
        const core::Scalar &scalar = f.scalars[parameter.id];
        scalarArgument[parameter.id] = k;
        entry(at, k++, scalar.name, -1, scalar.type, 0, 0);
      } else {
        const core::Tensor &t = f.tensors[parameter.id];
        tensor(t.name, t.type, t.axes, t.sorted);
      }
    }
    for (const core::Result &result : f.results)
      tensor(result.name, result.type, result.axes, false);
    out.words[FOVEA_D_FRAME] = static_cast<int32_t>(frame);
  }

  void entry(int32_t at, int32_t k, const std::string &name, int32_t rank, Type type, int32_t flags, int32_t axesAt) {
    int32_t words[FOVEA_A_WORDS];
    words[FOVEA_A_RANK] = rank;
    words[FOVEA_A_TYPE] = static_cast<int32_t>(type);
    words[FOVEA_A_FLAGS] = flags;
    words[FOVEA_A_NAME] = string(name);
    words[FOVEA_A_AXES_AT] = axesAt;
    std::copy(words, words + FOVEA_A_WORDS, out.words.begin() + at + k * FOVEA_A_WORDS);
  }

  int32_t program(NodeId node, const std::string &what) {
    Program program(f, scalarArgument);
    if (program.value(node) < 0) {
      fault = fmt::format("{} uses {}", what, program.error);
      return -1;
    }
    int32_t at = size();
    std::vector<int32_t> code = program.words();
    out.words.insert(out.words.end(), code.begin(), code.end());
    return at;
  }

  void addIndices() {
    int32_t count = static_cast<int32_t>(f.indices.size()), at = size();
    out.words[FOVEA_D_INDICES] = count;
    out.words[FOVEA_D_INDICES_AT] = at;
    out.words.resize(at + count * FOVEA_I_WORDS);
    std::map<uint32_t, int32_t> classes;
    for (int32_t k = 0; k < count; ++k) {
      const core::Index &index = f.indices[k];
      int32_t to = at + k * FOVEA_I_WORDS;
      out.words[to + FOVEA_I_NAME] = string(index.name);
      out.words[to + FOVEA_I_CLASS] = classes.try_emplace(index.extentClass, k).first->second;
      put(to + FOVEA_I_FIXED, index.fixed.value_or(-1));
      put(to + FOVEA_I_BOUND, index.bound.value_or(-1));
      out.words[to + FOVEA_I_PROGRAM_AT] = -1;
      if (index.extent != core::none) {
        out.words[to + FOVEA_I_TEXT] = string(formatNode(f, index.extent));
        int32_t code = program(index.extent, fmt::format("the extent of `{}`", index.name));
        out.words[to + FOVEA_I_PROGRAM_AT] = code;
      }
      if (index.choicesOnly && !index.choices.empty()) {
        out.words[to + FOVEA_I_CHOICES] = static_cast<int32_t>(index.choices.size());
        out.words[to + FOVEA_I_CHOICES_AT] = size();
        for (int64_t choice : index.choices) {
          out.words.resize(size() + 2);
          put(size() - 2, choice);
        }
      }
    }
    order();
  }

  // Indices with programs, in an order in which each reads only extents that are known.
  void order() {
    std::set<uint32_t> givenClasses;
    auto give = [&](const std::vector<IndexId> &axes) {
      for (IndexId axis : axes)
        givenClasses.insert(f.indices[axis].extentClass);
    };
    for (const Function::Parameter &parameter : f.parameters)
      if (!parameter.scalar)
        give(f.tensors[parameter.id].axes);
    for (const core::Index &index : f.indices)
      if (index.fixed)
        givenClasses.insert(index.extentClass);
    std::vector<IndexId> waiting, ordered;
    for (IndexId k = 0; k < f.indices.size(); ++k)
      if (f.indices[k].extent != core::none)
        waiting.push_back(k);
    for (bool moved = true; moved;) {
      moved = false;
      for (auto at = waiting.begin(); at != waiting.end();) {
        std::set<NodeId> seen;
        std::set<IndexId> needs;
        collectExtents(f, f.indices[*at].extent, seen, needs);
        if (std::any_of(needs.begin(), needs.end(), [&](IndexId k) { return !givenClasses.count(f.indices[k].extentClass); })) {
          ++at;
          continue;
        }
        givenClasses.insert(f.indices[*at].extentClass);
        ordered.push_back(*at);
        at = waiting.erase(at);
        moved = true;
      }
    }
    // Extents that only a result's axes give are the caller's choice; what depends on them comes last.
    for (const core::Result &result : f.results)
      give(result.axes);
    for (IndexId k : waiting) {
      std::set<NodeId> seen;
      std::set<IndexId> needs;
      collectExtents(f, f.indices[k].extent, seen, needs);
      for (IndexId need : needs)
        if (!givenClasses.count(f.indices[need].extentClass) && fault.empty())
          fault = fmt::format("the extent of `{}` depends on that of `{}`, which nothing gives", f.indices[k].name, f.indices[need].name);
      ordered.push_back(k);
    }
    out.words[FOVEA_D_DEFINED] = static_cast<int32_t>(ordered.size());
    out.words[FOVEA_D_DEFINED_AT] = size();
    out.words.insert(out.words.end(), ordered.begin(), ordered.end());
  }

  void addChecks() {
    int32_t at = size();
    out.words[FOVEA_D_CHECKS] = static_cast<int32_t>(f.checks.size());
    out.words[FOVEA_D_CHECKS_AT] = at;
    out.words.resize(at + f.checks.size() * FOVEA_C_WORDS);
    for (size_t k = 0; k < f.checks.size(); ++k) {
      int32_t code = program(f.checks[k].condition, fmt::format("the constraint `{}`", f.checks[k].text));
      int32_t text = string(f.checks[k].text);
      out.words[at + k * FOVEA_C_WORDS + FOVEA_C_PROGRAM_AT] = code;
      out.words[at + k * FOVEA_C_WORDS + FOVEA_C_TEXT] = text;
    }
  }

  const Function &f;
  Descriptor out;
  std::map<std::string, int32_t> known;
  std::vector<int> scalarArgument;   // a scalar: its number among the arguments, or -1
  std::string fault;
};

}  // namespace

std::optional<Descriptor> describe(const core::Function &function, std::string &error, int32_t device) { return Builder(function).build(error, device); }

std::string formatNode(const core::Function &function, core::NodeId node) { return format(function, node, 9); }

}  // namespace fovea
