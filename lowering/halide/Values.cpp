#include "lowering/halide/Builder.h"
#include "lowering/halide/Math.h"

#include <cmath>
#include <limits>
#include <unordered_map>

using namespace Halide;
using Halide::Internal::is_const_zero;
using Halide::Internal::simplify;

namespace fovea::leaf {

Halide::Type storageType(Type t) {
  const Halide::Type types[] = {Float(32), Float(16), BFloat(16), Int(32), UInt(8)};
  return types[int(t)];
}

Expr asFloat(Expr stored) { return stored.type() == Float(32) ? stored : cast<float>(stored); }

ImageParam matrix(const std::string &name, Type type, Expr stride, std::vector<Halide::Argument> &arguments) {
  ImageParam image(storageType(type), 2, name);
  image.dim(0).set_min(0).dim(1).set_min(0).set_stride(std::move(stride));
  arguments.push_back(image);
  return image;
}

Expr integer(const std::string &name, std::vector<Halide::Argument> &arguments) {
  Param<int> p(name);
  arguments.push_back(p);
  return p;
}

static void addInSteps(Func f, const std::vector<Var> &vars, int unrolled, Expr count, bool paired, const std::function<Expr(Expr, Expr)> &term, int lanes, int steps) {
  const std::vector<Expr> at(vars.begin(), vars.end());
  auto add = [&](const std::string &name, const std::vector<Expr> &extents, const std::function<Expr(const RDom &, int)> &number) {
    Region region;
    if (paired) region.push_back({0, 2});
    for (const Expr &extent : extents) region.push_back({0, extent});
    RDom r(region, f.name() + name);
    f(at) += term(number(r, paired), paired ? Expr(r[0]) : Expr(0));
    Stage update = f.update(f.num_update_definitions() - 1);
    std::vector<VarOrRVar> order(vars.begin(), vars.begin() + unrolled);
    for (int n = paired; n < r.dimensions(); n++) order.push_back(r[n]);
    order.insert(order.end(), vars.begin() + unrolled, vars.end());
    if (paired) order.insert(order.begin(), r[0]);
    update.reorder(order);
    if (paired) update.atomic().vectorize(r[0]);
    update.vectorize(vars[0], lanes);
    for (int n = 0; n < unrolled; n++) update.unroll(vars[n]);
    if (extents.size() > 1) update.unroll(r[paired]);
  };
  add("_body", {steps, count / steps}, [&](const RDom &r, int first) { return r[first + 1] * steps + r[first]; });
  if (is_const_zero(simplify(count % steps))) return;
  add("_rest", {count % steps}, [&](const RDom &r, int first) { return count / steps * steps + r[first]; });
}

void accumulate(Func f, const std::vector<Var> &vars, int unrolled, Expr count, const std::function<Expr(Expr)> &term, int lanes) {
  addInSteps(f, vars, unrolled, count, false, [&](const Expr &n, const Expr &) { return term(n); }, lanes, 4);
}

void accumulatePairs(Func f, const std::vector<Var> &vars, int unrolled, Expr count, const std::function<Expr(Expr, Expr)> &term, int lanes, int steps) {
  addInSteps(f, vars, unrolled, count, true, term, lanes, steps);
}

Func foldLanes(Func f, int lanes, const std::vector<Var> &vars, Func at, Var level, Expr (*combine)(Expr, Expr)) {
  const std::string base = f.name();
  auto place = [&](Expr lane) {
    std::vector<Expr> list = {std::move(lane)};
    list.insert(list.end(), vars.begin(), vars.end());
    return list;
  };
  for (int width = lanes / 2; width >= 1; width /= 2) {
    const std::string name = base + std::to_string(width);
    Var l(name + "_lane");
    Func half(name);
    half(place(l)) = combine(f(place(l)), f(place(l + width)));
    if (width > 1) half.compute_at(at, level).bound_extent(l, width).vectorize(l, width);
    f = half;
  }
  Func result(base + "_all");
  result(vars) = f(place(0));
  return result;
}

Values::Values(const LeafSpec &spec, std::vector<Halide::Argument> &arguments)
    : spec(spec), images(spec.inputs.size()), scalars(spec.inputs.size()), staged(spec.inputs.size()) {
  for (size_t n = 0; n < spec.inputs.size(); n++) {
    const Input &in = spec.inputs[n];
    const std::string name = "input" + std::to_string(n);
    if (in.kind == Input::Scalar) {
      if (in.type == Type::F32) {
        Param<float> p(name);
        arguments.push_back(p);
        scalars[n] = p;
      } else {
        Expr p = integer(name, arguments);
        scalars[n] = in.type == Type::Bool ? p != 0 : p;
      }
      continue;
    }
    ImageParam image(storageType(in.type), in.kind == Input::Tile ? 2 : 1, name);
    Expr column = in.strided ? integer(name + "_column_stride", arguments) : Expr(1);
    Expr row = in.kind == Input::Row || in.kind == Input::Tile ? integer(name + "_row_stride", arguments) : Expr();
    image.dim(0).set_min(0).set_stride(in.kind == Input::Row ? row : column);
    if (in.kind == Input::Tile) image.dim(1).set_min(0).set_stride(row);
    arguments.push_back(image);
    images[n] = image;
  }
}

Expr Values::input(size_t n, Expr row, Expr column) const {
  const Input &in = spec.inputs[n];
  if (in.kind == Input::Scalar) return scalars[n];
  std::vector<Expr> at;
  if (in.kind != Input::Row) at.push_back(column);
  if (in.kind != Input::Column) at.push_back(row);
  return loaded(n, staged[n].defined() ? staged[n](at) : images[n](at));
}

Expr Values::read(size_t n, Expr index) const {
  // Nobody asks how far an input reaches, but Halide wants it bounded.
  return loaded(n, images[n](unsafe_promise_clamped(std::move(index), 0, std::numeric_limits<int32_t>::max() - 1)));
}

Expr Values::loaded(size_t n, Expr stored) const {
  const Type type = spec.inputs[n].type;
  if (type == Type::Bool) return stored != cast<uint8_t>(0);
  return type == Type::I32 ? stored : asFloat(stored);
}

void Values::stage(Expr columns, Expr rows, int maxColumns, int maxRows, int lanes) {
  for (size_t n = 0; n < spec.inputs.size(); n++) {
    const Input &in = spec.inputs[n];
    if (in.kind != Input::Column && in.kind != Input::Tile) continue;
    const std::string name = "staged" + std::to_string(n);
    Var k(name + "_k"), i(name + "_i");
    RDom r(0, columns, name + "_r");
    RVar outer(name + "_outer"), inner(name + "_inner");
    Func copy(name);
    Stage update = [&] {
      if (in.kind == Input::Column) {
        copy(k) = undef(images[n].type());
        copy(r) = images[n](r);
        return copy.update();
      }
      copy(k, i) = undef(images[n].type());
      copy(r, i) = images[n](r, min(i, rows - 1));
      return copy.update();
    }();
    copy.compute_root().bound_storage(k, maxColumns);
    if (in.kind == Input::Tile) copy.bound_storage(i, maxRows);
    update.split(r, outer, inner, lanes, TailStrategy::GuardWithIf).vectorize(inner);
    staged[n] = copy;
  }
}

int cost(const Expression &e) {
  int total = isSlow(e.op) ? 20 : e.args.empty() ? 0 : 1;
  for (const Expression &a : e.args) total += cost(a);
  return total;
}

int costOfLets(const LeafSpec &spec) {
  int total = 0;
  for (const Expression &e : spec.lets) total += cost(e);
  return total;
}

namespace {

using Arguments = const std::vector<Expr> &;

// i32 arithmetic wraps: Halide refuses constants that overflow, and folds k + 1 > k to true.
Expr unsignedOf(Expr x) { return cast<uint32_t>(std::move(x)); }
Expr wrapped(Expr x) { return cast<int>(std::move(x)); }

// As an unsigned number of the same order: Halide moves terms of a comparison of i32 across it as if no difference overflowed.
Expr ordered(Expr x) { return unsignedOf(std::move(x)) ^ cast<uint32_t>(Expr(0x80000000u)); }

bool isFloat(Arguments a) { return a.back().type().is_float(); }

const std::unordered_map<std::string, std::function<Expr(Arguments)>> &operators() {
  static const std::unordered_map<std::string, std::function<Expr(Arguments)>> table = {
      {"neg",        [](Arguments a) { return isFloat(a) ? -a[0] : wrapped(cast<uint32_t>(0) - unsignedOf(a[0])); }},
      {"add",        [](Arguments a) { return isFloat(a) ? a[0] + a[1] : wrapped(unsignedOf(a[0]) + unsignedOf(a[1])); }},
      {"sub",        [](Arguments a) { return isFloat(a) ? a[0] - a[1] : wrapped(unsignedOf(a[0]) - unsignedOf(a[1])); }},
      {"mul",        [](Arguments a) { return isFloat(a) ? a[0] * a[1] : wrapped(unsignedOf(a[0]) * unsignedOf(a[1])); }},
      {"div",        [](Arguments a) { return isFloat(a) ? floatDiv(a[0], a[1]) : intDiv(a[0], a[1]); }},
      {"mod",        [](Arguments a) { return isFloat(a) ? floatMod(a[0], a[1]) : intMod(a[0], a[1]); }},
      {"pow",        [](Arguments a) { return mathPow(a[0], a[1]); }},
      {"min",        [](Arguments a) { return min(a[0], a[1]); }},
      {"max",        [](Arguments a) { return max(a[0], a[1]); }},
      {"abs",        [](Arguments a) { return isFloat(a) ? abs(a[0]) : cast<int>(abs(a[0])); }},
      {"sign",       [](Arguments a) {
         Expr zero = Internal::make_zero(a[0].type()), one = Internal::make_one(a[0].type());
         return select(a[0] > zero, one, select(a[0] < zero, -one, zero));
       }},
      {"relu",       [](Arguments a) { return max(a[0], Internal::make_zero(a[0].type())); }},
      {"exp",        [](Arguments a) { return mathExp(a[0]); }},
      {"log",        [](Arguments a) { return mathLog(a[0]); }},
      {"exp2",       [](Arguments a) { return mathExp2(a[0]); }},
      {"weight",     [](Arguments a) { return weightExp2(a[0], a[1]); }},
      {"tanh",       [](Arguments a) { return mathTanh(a[0]); }},
      {"sigmoid",    [](Arguments a) { return mathSigmoid(a[0]); }},
      {"leaky_relu", [](Arguments a) { return select(a[0] > 0.f, a[0], a[0] * a[1]); }},
      {"gelu",       [](Arguments a) { return mathGelu(a[0]); }},
      {"silu",       [](Arguments a) { return mathSilu(a[0]); }},
      {"softplus",   [](Arguments a) { return mathSoftplus(a[0]); }},
      {"erf",        [](Arguments a) { return mathErf(a[0]); }},
      {"sqrt",       [](Arguments a) { return mathSqrt(a[0]); }},
      {"rsqrt",      [](Arguments a) { return floatDiv(Expr(1.f), mathSqrt(a[0])); }},
      {"floor",      [](Arguments a) { return mathFloor(a[0]); }},
      {"ceil",       [](Arguments a) { return mathCeil(a[0]); }},
      {"round",      [](Arguments a) { return mathRound(a[0]); }},
      {"sin",        [](Arguments a) { return mathSin(a[0]); }},
      {"cos",        [](Arguments a) { return mathCos(a[0]); }},
      {"lt",         [](Arguments a) { return isFloat(a) ? strictLess(a[0], a[1]) : ordered(a[0]) < ordered(a[1]); }},
      {"le",         [](Arguments a) { return isFloat(a) ? strictLessEqual(a[0], a[1]) : ordered(a[0]) <= ordered(a[1]); }},
      {"gt",         [](Arguments a) { return isFloat(a) ? strictLess(a[1], a[0]) : ordered(a[0]) > ordered(a[1]); }},
      {"ge",         [](Arguments a) { return isFloat(a) ? strictLessEqual(a[1], a[0]) : ordered(a[0]) >= ordered(a[1]); }},
      {"eq",         [](Arguments a) { return isFloat(a) ? strictEqual(a[0], a[1]) : a[0].type().is_bool() ? a[0] == a[1] : ordered(a[0]) == ordered(a[1]); }},
      {"ne",         [](Arguments a) { return isFloat(a) ? !strictEqual(a[0], a[1]) : a[0].type().is_bool() ? a[0] != a[1] : ordered(a[0]) != ordered(a[1]); }},
      {"not",        [](Arguments a) { return !a[0]; }},
      {"and",        [](Arguments a) { return a[0] && a[1]; }},
      {"or",         [](Arguments a) { return a[0] || a[1]; }},
      {"select",     [](Arguments a) { return select(a[0], a[1], a[2]); }},
      {"to_f32",     [](Arguments a) { return isFloat(a) ? a[0] : a[0].type().is_bool() ? select(a[0], 1.f, 0.f) : cast<float>(a[0]); }},
      {"to_i32",     [](Arguments a) { return isFloat(a) ? truncateToInt(a[0]) : a[0].type().is_bool() ? select(a[0], 1, 0) : a[0]; }},
  };
  return table;
}

}  // namespace

// By how much an i32 grows from one column to the next, if that is the same everywhere (modulo 2^32). `looks` are left, for lets may use lets.
static std::optional<int64_t> slope(const Expression &e, const LeafSpec &spec, int &looks) {
  if (--looks < 0) return std::nullopt;
  if (e.op == "column") return 1;
  if (e.op == "row" || e.op == "i32") return 0;
  if (e.op == "let") return slope(spec.lets[e.integer], spec, looks);
  if (e.op == "input") return spec.inputs[e.integer].kind == Input::Scalar || spec.inputs[e.integer].kind == Input::Row ? std::optional<int64_t>(0) : std::nullopt;
  if (e.op != "add" && e.op != "sub" && e.op != "neg") return std::nullopt;
  int64_t total = 0;
  for (size_t n = 0; n < e.args.size(); n++) {
    std::optional<int64_t> part = slope(e.args[n], spec, looks);
    if (!part) return std::nullopt;
    total += e.op == "neg" || (e.op == "sub" && n == 1) ? -*part : *part;
  }
  return total;
}

// Where a table is read. Positions of neighbouring columns that are neighbours make one load of a vector: Halide sees that they are, once
// the index is that of the tile's first column and the distance from there, for that sum does not wrap.
static Expr positionOf(const Expression &index, const Point &p) {
  int looks = 100;
  std::optional<int64_t> step = slope(index, p.values.spec, looks);
  if (!step || (*step != 1 && *step != -1)) return evaluate(index, p);
  if (!p.first) p.first = std::make_shared<Point>(Point{p.values, p.value, p.row, p.column - p.localColumn, p.localRow, 0});
  return evaluate(index, *p.first) + int(*step) * p.localColumn;
}

Expr evaluate(const Expression &e, const Point &p) {
  if (e.op == "f32") {
    const float f = float(e.real);
    if (std::isfinite(f)) return f;
    uint32_t pattern = std::isnan(f) ? 0x7fc00000u : f > 0 ? 0x7f800000u : 0xff800000u;
    return reinterpret<float>(cast<int>(Expr(pattern)));
  }
  if (e.op == "i32") return int(e.integer);
  if (e.op == "bool") return e.integer ? Internal::const_true() : Internal::const_false();
  if (e.op == "row") return p.row;
  if (e.op == "column") return p.column;
  if (e.op == "dot" || e.op == "acc") return p.value;
  if (e.op == "input") return p.values.input(e.integer, p.localRow, p.localColumn);
  if (e.op == "let") {
    Expr &known = p.lets[e.integer];
    if (!known.defined()) known = evaluate(p.values.spec.lets[e.integer], p);
    return known;
  }
  if (e.op == "read") {  // also where the score is not used
    if (!p.beyond.defined()) return p.values.read(e.integer, positionOf(e.args[0], p));
    if (!p.existing) {
      Expr last = p.beyond - 1;
      p.existing = std::make_shared<Point>(Point{p.values, p.value, p.row, p.column - p.localColumn + min(p.localColumn, last), p.localRow, min(p.localColumn, last)});
    }
    return p.values.read(e.integer, evaluate(e.args[0], *p.existing));
  }
  std::vector<Expr> args;
  for (const Expression &a : e.args) args.push_back(evaluate(a, p));
  return operators().at(e.op)(args);
}

}  // namespace fovea::leaf
