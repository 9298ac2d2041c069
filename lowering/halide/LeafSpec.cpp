#include "lowering/halide/LeafSpec.h"
#include "lowering/halide/TargetNeeds.h"

#include "lowering/halide/ContentHash.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

namespace fovea::leaf {
namespace {

using Json = nlohmann::ordered_json;

struct Wrong {
  std::string what;
};

const char *const typeNames[] = {"f32", "f16", "bf16", "i32", "bool"};
const char *const inputKinds[] = {"scalar", "row", "column", "tile", "table"};

const char *name(Type t) { return typeNames[int(t)]; }

struct Operator {
  const char *name;
  size_t arity;
  char argument, result;
};
const Operator operators[] = {
#define LEAF_OP(name, arity, argument, result) {name, arity, argument, result},
#include "lowering/halide/Operators.def"
};

// Whose `integer` is written as it is.
bool isNumbered(const std::string &op) { return op == "i32" || op == "input" || op == "read" || op == "let"; }

Json expressionJson(const Expression &e) {
  Json j = Json::array({e.op});
  if (e.op == "f32") {
    if (e.real != e.real)
      j.push_back("nan");
    else if (e.real == std::numeric_limits<double>::infinity())
      j.push_back("inf");
    else if (e.real == -std::numeric_limits<double>::infinity())
      j.push_back("-inf");
    else
      j.push_back(e.real);
  } else if (isNumbered(e.op)) {
    j.push_back(e.integer);
  } else if (e.op == "bool") {
    j.push_back(e.integer != 0);
  }
  for (const Expression &a : e.args) j.push_back(expressionJson(a));
  return j;
}

Expression expressionFrom(const Json &j) {
  if (!j.is_array() || j.empty() || !j[0].is_string()) throw Wrong{"an expression is an array that begins with a name, not " + j.dump()};
  Expression e;
  e.op = j[0].get<std::string>();
  const bool read = e.op == "read";
  if (e.op == "f32" || e.op == "bool" || isNumbered(e.op)) {
    if (j.size() != (read ? 3 : 2)) throw Wrong{"`" + e.op + "` takes " + (read ? "a number and an index: " : "one constant: ") + j.dump()};
    const Json &c = j[1];
    if (e.op == "f32" && c.is_string()) {
      const double inf = std::numeric_limits<double>::infinity();
      if (c == "inf") e.real = inf;
      else if (c == "-inf") e.real = -inf;
      else if (c == "nan") e.real = std::numeric_limits<double>::quiet_NaN();
      else throw Wrong{"a constant is a number, \"inf\", \"-inf\" or \"nan\", not " + c.dump()};
    } else if (e.op == "f32" && c.is_number()) {
      e.real = c.get<double>();
    } else if (e.op == "bool" && c.is_boolean()) {
      e.integer = c.get<bool>();
    } else if (isNumbered(e.op) && c.is_number_integer()) {
      e.integer = c.get<int64_t>();
    } else {
      throw Wrong{"`" + e.op + "` does not go with the constant " + c.dump()};
    }
    if (read) e.args.push_back(expressionFrom(j[2]));
    return e;
  }
  for (size_t i = 1; i < j.size(); i++) e.args.push_back(expressionFrom(j[i]));
  return e;
}

// Takes members out of an object, so that what is left over is unknown.
class Reader {
public:
  explicit Reader(Json object, std::string what) : object(std::move(object)), what(std::move(what)) {
    if (!this->object.is_object()) throw Wrong{this->what + " is not an object"};
  }
  Json take(const std::string &key) {
    auto it = object.find(key);
    if (it == object.end()) throw Wrong{what + " lacks `" + key + "`"};
    Json value = *it;
    object.erase(it);
    return value;
  }
  bool has(const std::string &key) const { return object.contains(key); }
  std::string text(const std::string &key) {
    Json j = take(key);
    if (!j.is_string()) throw Wrong{"`" + key + "` is not a string"};
    return j.get<std::string>();
  }
  int integer(const std::string &key) {
    Json j = take(key);
    if (!j.is_number_integer()) throw Wrong{"`" + key + "` is not an integer"};
    int64_t v = j.get<int64_t>();
    if (v < 0 || v > 1 << 20) throw Wrong{"`" + key + "` is out of range: " + std::to_string(v)};
    return int(v);
  }
  bool boolean(const std::string &key) {
    if (!object.contains(key)) return false;
    Json j = take(key);
    if (!j.is_boolean()) throw Wrong{"`" + key + "` is not true or false"};
    return j.get<bool>();
  }
  Type type(const std::string &key, bool required = false) {
    if (!required && !object.contains(key)) return Type::F32;
    std::string s = text(key);
    for (int t = 0; t < 5; t++)
      if (s == typeNames[t]) return Type(t);
    throw Wrong{"`" + key + "` names no type: " + s};
  }
  std::optional<Expression> expression(const std::string &key) {
    if (!object.contains(key)) return std::nullopt;
    Json j = take(key);
    if (j.is_null()) return std::nullopt;
    return expressionFrom(j);
  }
  void end() const {
    if (!object.empty()) throw Wrong{what + " has the unknown member `" + object.begin().key() + "`"};
  }

private:
  Json object;
  std::string what;
};

Json contentJson(const LeafSpec &s) {
  Json j;
  const bool contract = s.kind == LeafSpec::ContractLeaf;
  j["kind"] = contract ? "contract" : "attend_step";
  j["target"] = s.target;
  if (contract) {
    const Contract &c = s.contract;
    j["rows"] = c.rows;
    j["columns"] = c.columns;
    j["panel"] = c.panel;
    j["a"] = name(c.a);
    j["b"] = name(c.b);
    j["accumulate"] = c.accumulate;
    j["edges"] = c.edges;
  } else {
    const AttendStep &a = s.attend;
    j["queries"] = a.queries;
    j["keys"] = a.keys;
    j["panel"] = a.panel;
    j["query"] = name(a.query);
    j["key"] = name(a.key);
    j["value"] = name(a.value);
    j["key_layout"] = a.keyRows ? "rows" : a.keyPairs ? "pairs" : a.queryLanes ? "lanes" : "packed";
    j["partial"] = a.partial;
    j["pointwise"] = a.pointwise;
    j["split"] = a.split;
  }
  j["inputs"] = Json::array();
  for (const Input &i : s.inputs) j["inputs"].push_back({{"kind", inputKinds[i.kind]}, {"type", name(i.type)}, {"strided", i.strided}});
  j["lets"] = Json::array();
  for (const Expression &e : s.lets) j["lets"].push_back(expressionJson(e));
  if (contract) {
    j["epilogue"] = s.contract.epilogue ? expressionJson(*s.contract.epilogue) : Json();
  } else {
    j["score"] = expressionJson(s.attend.score);
    j["keep"] = s.attend.keep ? expressionJson(*s.attend.keep) : Json();
  }
  return j;
}

LeafSpec specFrom(std::string_view text) {
  Json parsed = Json::parse(text, nullptr, false);
  if (parsed.is_discarded()) throw Wrong{"the specification is not JSON"};
  Reader r(parsed, "the specification");
  LeafSpec s;
  std::string kind = r.text("kind");
  s.name = r.text("name");
  s.target = r.text("target");
  if (kind == "contract") {
    s.kind = LeafSpec::ContractLeaf;
    Contract &c = s.contract;
    c.rows = r.integer("rows");
    c.columns = r.integer("columns");
    if (r.has("panel")) c.panel = r.integer("panel");
    c.a = r.type("a");
    c.b = r.type("b");
    c.accumulate = r.boolean("accumulate");
    c.edges = r.boolean("edges");
    c.epilogue = r.expression("epilogue");
  } else if (kind == "attend_step") {
    s.kind = LeafSpec::AttendStepLeaf;
    AttendStep &a = s.attend;
    a.queries = r.integer("queries");
    a.keys = r.integer("keys");
    a.panel = r.integer("panel");
    a.query = r.type("query");
    a.key = r.type("key");
    a.value = r.type("value");
    std::string layout = r.text("key_layout");
    if (layout != "packed" && layout != "rows" && layout != "pairs" && layout != "lanes") throw Wrong{"`key_layout` is \"packed\", \"rows\", \"pairs\" or \"lanes\", not \"" + layout + "\""};
    a.keyRows = layout == "rows", a.keyPairs = layout == "pairs", a.queryLanes = layout == "lanes";
    a.partial = r.boolean("partial");
    a.pointwise = r.boolean("pointwise");
    a.split = r.boolean("split");
    auto score = r.expression("score");
    if (!score) throw Wrong{"the specification lacks `score`"};
    a.score = *score;
    a.keep = r.expression("keep");
  } else {
    throw Wrong{"`kind` is \"contract\" or \"attend_step\", not \"" + kind + "\""};
  }
  Json inputs = r.take("inputs");
  if (!inputs.is_array()) throw Wrong{"`inputs` is not an array"};
  for (const Json &j : inputs) {
    Reader ir(j, "input " + std::to_string(s.inputs.size()));
    Input i;
    std::string k = ir.text("kind");
    auto it = std::find(std::begin(inputKinds), std::end(inputKinds), k);
    if (it == std::end(inputKinds)) throw Wrong{"an input is a scalar, row, column, tile or table, not `" + k + "`"};
    i.kind = Input::Kind(it - std::begin(inputKinds));
    i.type = ir.type("type", true);
    i.strided = ir.boolean("strided");
    ir.end();
    s.inputs.push_back(i);
  }
  if (r.has("lets")) {
    Json lets = r.take("lets");
    if (!lets.is_array()) throw Wrong{"`lets` is not an array"};
    for (const Json &e : lets) s.lets.push_back(expressionFrom(e));
  }
  r.end();
  return s;
}

bool storedFloat(Type t) { return t == Type::F32 || t == Type::F16 || t == Type::BF16; }

// `lets`: the types of those that it may use.
Type typeOfThrow(const Expression &e, const LeafSpec &spec, const std::vector<Type> &lets) {
  auto leaf = [&] {
    if (!e.args.empty()) throw Wrong{"`" + e.op + "` takes no arguments"};
  };
  const bool contract = spec.kind == LeafSpec::ContractLeaf;
  if (e.op == "f32") return leaf(), Type::F32;
  if (e.op == "bool") return leaf(), Type::Bool;
  if (e.op == "row" || e.op == "column") return leaf(), Type::I32;
  if (e.op == (contract ? "acc" : "dot")) return leaf(), Type::F32;
  if (e.op == "i32") {
    leaf();
    if (e.integer != int32_t(e.integer)) throw Wrong{"the constant " + std::to_string(e.integer) + " does not fit i32"};
    return Type::I32;
  }
  if (e.op == "let") {
    leaf();
    if (e.integer < 0 || size_t(e.integer) >= lets.size()) throw Wrong{"there is no let " + std::to_string(e.integer) + " before"};
    return lets[e.integer];
  }
  if (e.op == "input" || e.op == "read") {
    if (e.integer < 0 || size_t(e.integer) >= spec.inputs.size()) throw Wrong{"there is no input " + std::to_string(e.integer)};
    const Input &input = spec.inputs[e.integer];
    const bool read = e.op == "read";
    if (read != (input.kind == Input::Table)) throw Wrong{"`" + e.op + "` does not go with a " + inputKinds[input.kind]};
    if (!read) leaf();
    else if (e.args.size() != 1 || typeOfThrow(e.args[0], spec, lets) != Type::I32) throw Wrong{"the index of `read` must be i32"};
    return storedFloat(input.type) ? Type::F32 : input.type;
  }
  auto op = std::find_if(std::begin(operators), std::end(operators), [&](const Operator &o) { return e.op == o.name; });
  if (op == std::end(operators)) throw Wrong{"there is no operator `" + e.op + "` here"};
  if (e.args.size() != op->arity)
    throw Wrong{"`" + e.op + "` takes " + std::to_string(op->arity) + " arguments, not " + std::to_string(e.args.size())};
  std::vector<Type> types;
  for (const Expression &a : e.args) types.push_back(typeOfThrow(a, spec, lets));
  auto demand = [&](bool good) {
    if (good) return;
    std::string list;
    for (Type t : types) list += std::string(list.empty() ? "" : ", ") + name(t);
    throw Wrong{"`" + e.op + "` does not take (" + list + ")"};
  };
  for (size_t i = op->argument == 'C'; i < types.size(); i++) {
    demand(types[i] == types.back());
    demand(op->argument != 'N' || types[i] != Type::Bool);
    demand(op->argument != 'F' || types[i] == Type::F32);
    demand(op->argument != 'B' || types[i] == Type::Bool);
  }
  if (op->argument == 'C') demand(types[0] == Type::Bool);
  return op->result == 'B' ? Type::Bool : op->result == 'I' ? Type::I32 : op->result == 'F' ? Type::F32 : types.back();
}

void checkThrow(const LeafSpec &s) {
  const TargetInfo *t = findTarget(s.target);
  if (!t) throw Wrong{"there is no target `" + s.target + "`"};
  if (s.name.empty() || s.name[0] == '.' || (s.name[0] >= '0' && s.name[0] <= '9') ||
      s.name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") != std::string::npos)
    throw Wrong{"`name` is not a C identifier: \"" + s.name + "\""};
  auto within = [](const char *what, int v, int low, int high) {
    if (v < low || v > high)
      throw Wrong{std::string("`") + what + "` must be " + std::to_string(low) + " to " + std::to_string(high) + ", not " + std::to_string(v)};
  };
  auto multiple = [](const char *what, int v, int of) {
    if (v % of != 0) throw Wrong{std::string("`") + what + "` must be a multiple of " + std::to_string(of) + ", not " + std::to_string(v)};
  };
  auto stored = [](const char *what, Type type) {
    if (!storedFloat(type)) throw Wrong{std::string("`") + what + "` must be f32, f16 or bf16, not " + name(type)};
  };
  std::vector<Type> lets;
  auto typed = [&](const char *what, const Expression &e, Type want) {
    Type got = typeOfThrow(e, s, lets);
    if (got != want) throw Wrong{std::string("`") + what + "` must be " + name(want) + ", not " + name(got)};
  };
  if (s.inputs.size() > 64) throw Wrong{"more than 64 inputs"};
  for (const Input &i : s.inputs) {
    if (i.kind == Input::Scalar && (i.type == Type::F16 || i.type == Type::BF16)) throw Wrong{"a scalar is f32, i32 or bool"};
    if (i.strided && i.kind != Input::Column && i.kind != Input::Tile) throw Wrong{"only a column or a tile can be strided"};
  }
  for (const Expression &e : s.lets) lets.push_back(typeOfThrow(e, s, lets));
  if (s.kind == LeafSpec::ContractLeaf) {
    const Contract &c = s.contract;
    within("rows", c.rows, 1, 1024);
    within("columns", c.columns, 1, 4096);
    multiple("columns", c.columns, t->lanes);
    within("panel", c.panel, 0, 4096);
    multiple("panel", c.panel, t->lanes);
    if (c.panel) multiple("columns", c.columns, c.panel);
    stored("a", c.a), stored("b", c.b);
    if (c.epilogue) typed("epilogue", *c.epilogue, Type::F32);
  } else {
    const AttendStep &a = s.attend;
    within("queries", a.queries, 1, 1024);
    within("keys", a.keys, 1, 4096);
    within("panel", a.panel, t->lanes, 256);
    multiple("panel", a.panel, t->lanes);
    multiple("keys", a.keys, a.panel);
    if (a.split) multiple("queries", a.queries, t->lanes), multiple("keys", a.keys, 2 * t->lanes);
    stored("query", a.query), stored("key", a.key), stored("value", a.value);
    typed("score", a.score, Type::F32);
    if (a.keep) typed("keep", *a.keep, Type::Bool);
    if (a.split && (a.pointwise || a.keyRows || a.queryLanes)) throw Wrong{"`split` does not go with `pointwise` or with keys in rows"};
    if (a.queryLanes) multiple("queries", a.queries, t->lanes);
    if (a.keyPairs && (a.query != Type::BF16 || a.key != Type::BF16)) throw Wrong{"keys in pairs, and their queries, are bf16"};
    if (a.keep && !a.partial) throw Wrong{"`keep` needs `partial`"};
  }
}

}  // namespace

std::vector<Argument> signature(const LeafSpec &s) {
  std::vector<Argument> list;
  auto pointer = [&](std::string name, Type type, int rank, Argument::Access access = Argument::Read) {
    list.push_back({Argument::Pointer, std::move(name), type, rank, access});
  };
  auto integer = [&](std::string name) { list.push_back({Argument::Int, std::move(name), Type::I32, 0, Argument::Read}); };
  if (s.kind == LeafSpec::ContractLeaf) {
    const Contract &c = s.contract;
    pointer("a", c.a, 2), integer("a_stride");
    pointer("b", c.b, 2);
    integer("depth");
    integer("i0"), integer("j0");
    if (c.edges) integer("rows"), integer("columns");
  } else {
    const AttendStep &a = s.attend;
    if (!a.split) {
      pointer("q", a.query, 2), integer("q_stride");
      integer("head");
      pointer("k", a.key, 2);
      if (a.keyRows || a.queryLanes) integer("k_stride");
      pointer("v", a.value, 2), integer("v_stride"), integer("v_panel_stride");
    }
    integer("panels");
    integer("i0"), integer("j0");
    if (a.partial) integer("rows"), integer("keys");
  }
  for (size_t n = 0; n < s.inputs.size(); n++) {
    const Input &i = s.inputs[n];
    std::string base = "input" + std::to_string(n);
    if (i.kind == Input::Scalar) {
      list.push_back({i.type == Type::F32 ? Argument::Float : Argument::Int, base, i.type, 0, Argument::Read});
      continue;
    }
    pointer(base, i.type, i.kind == Input::Tile ? 2 : 1);
    if (i.kind == Input::Row || i.kind == Input::Tile) integer(base + "_row_stride");
    if (i.strided) integer(base + "_column_stride");
  }
  if (s.kind == LeafSpec::ContractLeaf) {
    pointer("c", Type::F32, 2, s.contract.accumulate ? Argument::ReadWrite : Argument::Write), integer("c_stride");
  } else {
    if (s.attend.split) pointer("weights", Type::F32, 2, Argument::ReadWrite);
    if (!s.attend.pointwise) pointer("maximum", Type::F32, 1, Argument::ReadWrite);
    pointer("sum", Type::F32, 1, Argument::ReadWrite);
    pointer("acc", Type::F32, 2, Argument::ReadWrite);
  }
  return list;
}

bool isSlow(const std::string &op) {
  static const std::set<std::string> slow = {"exp", "log", "exp2", "weight", "tanh", "sigmoid", "gelu", "silu", "softplus", "erf", "sin", "cos", "pow", "div", "mod", "sqrt", "rsqrt", "read"};
  return slow.count(op) != 0;
}

std::string prototype(const LeafSpec &s) {
  const char *const c[] = {"float", "uint16_t", "uint16_t", "int32_t", "uint8_t"};
  std::string text;
  for (const Argument &a : signature(s)) {
    if (!text.empty()) text += ", ";
    if (a.kind == Argument::Pointer)
      text += (a.access == Argument::Read ? "const " : "") + std::string(c[int(a.type)]) + " *";
    else
      text += a.kind == Argument::Float ? "float " : "int32_t ";
    text += a.name;
  }
  return "int " + s.name + "(" + text + ")";
}

size_t scratchBound(const LeafSpec &s) {
  if (s.kind == LeafSpec::ContractLeaf) return 0;
  const AttendStep &a = s.attend;
  auto rounded = [](size_t bytes) { return (bytes + 255) / 128 * 128; };
  const size_t tile = rounded(size_t(4) * a.queries * a.keys);
  // Scores; which keys are used; dot products of keys in rows; rows' maxima, factors and bases.
  size_t total = tile * (1 + a.partial + a.keyRows) + 3 * rounded(size_t(4) * (a.queries + 64));
  for (const Input &i : s.inputs) {
    if (!a.partial) break;
    if (i.kind == Input::Tile) total += tile;
    if (i.kind == Input::Column) total += rounded(size_t(4) * a.keys);
  }
  return total;
}

std::string toJson(const LeafSpec &s) {
  Json j = contentJson(s);
  j["name"] = s.name;
  return j.dump();
}

std::optional<LeafSpec> fromJson(std::string_view text, std::string &error) {
  try {
    LeafSpec s = specFrom(text);
    checkThrow(s);
    return s;
  } catch (const Wrong &w) {
    error = w.what;
  } catch (const std::exception &e) {
    error = e.what();
  }
  return std::nullopt;
}

std::string check(const LeafSpec &s) {
  try {
    checkThrow(s);
  } catch (const Wrong &w) {
    return w.what;
  }
  return {};
}

std::optional<Type> typeOf(const Expression &e, const LeafSpec &spec, std::string &error) {
  try {
    return typeOfThrow(e, spec, {});
  } catch (const Wrong &w) {
    error = w.what;
    return std::nullopt;
  }
}

std::string contentHash(const LeafSpec &s) { return contentHash(contentJson(s).dump()); }

const std::vector<TargetInfo> &targets() {
  static const std::vector<TargetInfo> table = [] {
    std::vector<TargetInfo> rows = {
#define LEAF_TARGET(name, halide, lanes, rows, columns, dots, needs) {name, halide, lanes, rows, columns, dots, needs, {}},
#include "lowering/halide/Targets.def"
    };
#define LEAF_COSTS(target, ...) \
  for (TargetInfo &row : rows)  \
    if (std::string_view(row.name) == target) row.costs = {__VA_ARGS__};
#include "lowering/halide/Targets.def"
    return rows;
  }();
  return table;
}

MicroTile microTile(int rows, int columns, const TargetInfo &target) {
  const int budget = target.rows * target.columns / target.lanes;
  MicroTile best{1, target.lanes};
  auto merit = [&](int r, int c) { return double(r * c) / (r + c) + 1e-3 * r * c; };
  double bestMerit = 0;
  for (int r = 1; r <= rows && r <= budget; r++)
    for (int c = 1; r * c <= budget; c++) {
      if (rows % r != 0 || columns % (c * target.lanes) != 0 || merit(r, c) <= bestMerit) continue;
      best = {r, c * target.lanes};
      bestMerit = merit(r, c);
    }
  return best;
}

const TargetInfo *findTarget(std::string_view name) {
  for (const TargetInfo &t : targets())
    if (name == t.name) return &t;
  return nullptr;
}

bool runsOn(const TargetInfo &target, const std::vector<std::string> &features) {
  std::istringstream needs(target.needs);
  std::string need;
  bool all = true;
  while (needs >> need) all = all && std::find(features.begin(), features.end(), need) != features.end();
  return all;
}

const TargetInfo *bestTarget(const std::vector<std::string> &features) {
  const TargetInfo *best = nullptr;
  for (const TargetInfo &t : targets())
    if (runsOn(t, features)) best = &t;
  return best;
}

std::vector<std::string> hostFeatures() {
  std::ifstream file("/proc/cpuinfo");
  std::string line, word;
  std::vector<std::string> flags;
  while (std::getline(file, line)) {
    if (line.rfind("flags", 0) != 0) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    while (words >> word) flags.push_back(word);
    break;
  }
  return flags;
}

}  // namespace fovea::leaf
