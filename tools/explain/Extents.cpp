#include "tools/explain/Extents.h"

#include "tools/explain/Live.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

namespace fovea {

using namespace core;

namespace {

class Resolver {
 public:
  Resolver(const Function &kernel, const ExplainOptions &options, Call &call, std::string &error)
      : f(kernel), options(options), call(call), error(error), known(kernel.indices.size()), source(kernel.indices.size()) {}

  bool run() {
    if (!bindArguments(f, options.in, options.set, call.arguments, error, /*all=*/false)) return false;
    for (IndexId i = 0; i < f.indices.size(); i++)
      if (f.indices[i].fixed && !learn(i, *f.indices[i].fixed, "in the program")) return false;
    if (!fromOptions() || !fromTensors() || !spread()) return false;
    std::set<std::string> missing;
    for (const Function::Parameter &p : f.parameters)
      if (!p.scalar)
        for (IndexId i : f.tensors[p.id].axes)
          if (!known[i]) missing.insert(f.indices[i].name);
    for (const Index &index : f.indices)
      if (index.extent != none && readsMissingScalar(index.extent)) missing.insert(index.name);
    if (!missing.empty()) {
      if (!options.asked()) return true;
      std::string name = *missing.begin();
      return fail("the extent of `{}` is not known: give --extent {}=N, or the tensors with --in", name, name);
    }
    for (size_t k = 0; k < f.parameters.size(); k++)
      if (!f.parameters[k].scalar && !call.arguments.given[k]) {
        Buffer &tensor = call.arguments.tensors[f.parameters[k].id];
        const Tensor &t = f.tensors[f.parameters[k].id];
        tensor.shape.clear();
        for (IndexId i : t.axes) tensor.shape.push_back(*known[i]);
        tensor.bind(nullptr, info(t.type).dlpack);
      }
    if (!extentsOf(f, call.arguments, call.extents, error)) return false;
    for (IndexId i = 0; i < f.indices.size(); i++)
      if (known[i] && call.extents[i] >= 0 && call.extents[i] != *known[i])
        return fail("--extent: `{}` is {}, but {} by the program's constraints", f.indices[i].name, *known[i], call.extents[i]);
    return true;
  }

 private:
  template <typename... T>
  bool fail(fmt::format_string<T...> format, T &&...values) {
    error = fmt::format(format, std::forward<T>(values)...);
    return false;
  }

  bool learn(IndexId i, int64_t extent, const std::string &from) {
    if (known[i] && *known[i] != extent)
      return fail("the extent of `{}` is {} {}, and {} {}", f.indices[i].name, *known[i], source[i], extent, from);
    if (!known[i]) known[i] = extent, source[i] = from;
    return true;
  }

  bool fromOptions() {
    for (const std::string &text : options.extents) {
      size_t equals = text.find('=');
      if (equals == std::string::npos) return fail("--extent wants name=value, not `{}`", text);
      std::string name = text.substr(0, equals), value = text.substr(equals + 1);
      int64_t extent = 0;
      auto [end, failure] = std::from_chars(value.data(), value.data() + value.size(), extent);
      if (failure != std::errc() || end != value.data() + value.size() || extent < 0 || extent > 2147483647)
        return fail("--extent: `{}` is not an extent of `{}`", value, name);
      bool found = false;
      std::set<std::string> names;
      for (IndexId i = 0; i < f.indices.size(); i++) {
        names.insert("`" + f.indices[i].name + "`");
        if (f.indices[i].name != name) continue;
        found = true;
        if (!learn(i, extent, "by --extent")) return false;
      }
      if (!found) return fail("--extent: `{}` is not an index of `{}`; it has {}", name, f.name, join(names, ", ", [](const std::string &n) { return n; }));
    }
    return true;
  }

  bool fromTensors() {
    for (size_t k = 0; k < f.parameters.size(); k++) {
      if (f.parameters[k].scalar || !call.arguments.given[k]) continue;
      const Tensor &t = f.tensors[f.parameters[k].id];
      const std::vector<int64_t> &shape = call.arguments.tensors[f.parameters[k].id].shape;
      for (size_t axis = 0; axis < std::min(shape.size(), t.axes.size()); axis++)
        if (!learn(t.axes[axis], shape[axis], fmt::format("in `{}` of {}", t.name, options.in))) return false;
    }
    return true;
  }

  // To indices of equal extents, and to those that are computed.
  bool spread() {
    for (bool more = true; more;) {
      more = false;
      for (IndexId i = 0; i < f.indices.size(); i++) {
        if (known[i]) continue;
        for (IndexId other = 0; other < f.indices.size() && !known[i]; other++)
          if (known[other] && f.indices[other].extentClass == f.indices[i].extentClass) known[i] = known[other], source[i] = source[other];
        if (!known[i] && f.indices[i].extent != none)
          if (std::optional<int64_t> extent = evaluate(f.indices[i].extent); extent && *extent >= 0) known[i] = extent, source[i] = "by the program's constraints";
        more |= bool(known[i]);
      }
    }
    return true;
  }

  const ScalarValue *scalar(ScalarId id) const {
    for (size_t k = 0; k < f.parameters.size(); k++)
      if (f.parameters[k].scalar && f.parameters[k].id == id) return call.arguments.given[k] ? &call.arguments.scalars[id] : nullptr;
    return nullptr;
  }

  bool readsMissingScalar(NodeId n) const {
    bool missing = false;
    walkBehind(f, n, [&](NodeId, const Node &node) -> std::span<const NodeId> {
      missing |= node.op == Op::Scalar && !scalar(node.ref);
      return node.args;
    });
    return missing;
  }

  // An i32 expression over extents and scalars, where it is simple; the others are computed by the entry checks.
  std::optional<int64_t> evaluate(NodeId n) const {
    std::map<NodeId, std::optional<int64_t>> values;
    return evaluate(n, values);
  }

  std::optional<int64_t> evaluate(NodeId n, std::map<NodeId, std::optional<int64_t>> &values) const {
    if (auto it = values.find(n); it != values.end()) return it->second;
    std::optional<int64_t> value = compute(f.nodes[n], values);
    constexpr int64_t most = int64_t(1) << 31;  // beyond, the checks say so
    if (value && (*value > most || *value < -most)) value = {};
    return values[n] = value;
  }

  std::optional<int64_t> compute(const Node &node, std::map<NodeId, std::optional<int64_t>> &values) const {
    if (node.op == Op::ConstI32) return node.integer;
    if (node.op == Op::Extent) return known[node.ref];
    if (node.op == Op::Scalar) {
      const ScalarValue *value = f.scalars[node.ref].type >= Type::I32 && f.scalars[node.ref].type != Type::Bool ? scalar(node.ref) : nullptr;
      return value ? std::optional<int64_t>(value->i) : std::nullopt;
    }
    if (node.args.size() != 2) return {};
    std::optional<int64_t> a = evaluate(node.args[0], values), b = a ? evaluate(node.args[1], values) : std::nullopt;
    if (!b) return {};
    int64_t quotient = *b ? *a / *b - (*a % *b != 0 && (*a < 0) != (*b < 0)) : 0;
    switch (node.op) {
      case Op::Add: return *a + *b;
      case Op::Sub: return *a - *b;
      case Op::Mul: return *a * *b;
      case Op::Div: return quotient;
      case Op::Mod: return *b ? *a - quotient * *b : 0;
      case Op::Min: return std::min(*a, *b);
      case Op::Max: return std::max(*a, *b);
      default: return {};
    }
  }

  const Function &f;
  const ExplainOptions &options;
  Call &call;
  std::string &error;
  std::vector<std::optional<int64_t>> known;
  std::vector<std::string> source;
};

}  // namespace

bool resolveCall(const Function &kernel, const ExplainOptions &options, Call &call, std::string &error) { return Resolver(kernel, options, call, error).run(); }

}  // namespace fovea
