#include "lowering/halide/NestBody.h"

#include "lowering/halide/Math.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <stdexcept>
#include <unordered_map>

using namespace Halide;
using Halide::Internal::Call;

namespace fovea::leaf {
namespace {

using Arguments = const std::vector<Expr> &;

// f16 and bf16 lie in memory as their bits: not every device computes with them.
Type memoryType(NestSpec::Stored type) {
  const Type types[] = {Float(32), UInt(16), UInt(16), Int(32), Int(64), Int(8), UInt(8)};
  return types[type];
}

Expr floatOfBits(Expr bits) { return reinterpret<float>(std::move(bits)); }
Expr bitsOfFloat(Expr f) { return reinterpret<uint32_t>(std::move(f)); }
Expr u32(uint32_t value) { return Expr(value); }

// Rounded to even, NaN stays NaN.
Expr toBF16(Expr f) {
  Expr bits = bitsOfFloat(f), rounded = bits + (u32(0x7fff) + ((bits >> u32(16)) & u32(1)));
  return cast<uint16_t>(select((bits & u32(0x7fffffff)) > u32(0x7f800000), (bits >> u32(16)) | u32(0x40), rounded >> u32(16)));
}

Expr fromBF16(Expr stored) { return floatOfBits(cast<uint32_t>(std::move(stored)) << u32(16)); }

Expr toF16(Expr f) {
  Expr bits = bitsOfFloat(f), sign = (bits >> u32(16)) & u32(0x8000), size = bits & u32(0x7fffffff);
  // A subnormal half is a multiple of 2^-24: what is added makes that the last place.
  Expr small = bitsOfFloat(Call::make(Float(32), Call::strict_add, {floatOfBits(size), Expr(0.5f)}, Call::PureIntrinsic)) - u32(0x3f000000);
  Expr normal = (size + (u32(0xc8000fff) + ((size >> u32(13)) & u32(1)))) >> u32(13);
  Expr half = select(size < u32(0x38800000), small, size < u32(0x477ff000), normal, size > u32(0x7f800000), u32(0x7e00), u32(0x7c00));
  return cast<uint16_t>(sign | half);
}

Expr fromF16(Expr stored) {
  Expr bits = cast<uint32_t>(std::move(stored)), sign = (bits & u32(0x8000)) << u32(16), size = bits & u32(0x7fff);
  Expr subnormal = bitsOfFloat(Call::make(Float(32), Call::strict_mul, {cast<float>(size), Expr(5.9604644775390625e-8f)}, Call::PureIntrinsic));
  Expr normal = (size << u32(13)) + u32(0x38000000), special = (size << u32(13)) | u32(0x7f800000);
  return floatOfBits(sign | select(size < u32(0x400), subnormal, size < u32(0x7c00), normal, special));
}

Expr loaded(NestSpec::Stored type, Expr stored) {
  switch (type) {
    case NestSpec::F16: return fromF16(std::move(stored));
    case NestSpec::BF16: return fromBF16(std::move(stored));
    case NestSpec::Bool: return stored != cast<uint8_t>(0);
    default: return stored;
  }
}

Expr storedAs(NestSpec::Stored type, Expr value) {
  switch (type) {
    case NestSpec::F16: return toF16(std::move(value));
    case NestSpec::BF16: return toBF16(std::move(value));
    default: return cast(memoryType(type), std::move(value));
  }
}

// Floats are IEEE's: Halide takes them for reals otherwise.
Expr strict(Call::IntrinsicOp op, Arguments a) { return Call::make(a[0].type(), op, {a[0], a[1]}, Call::PureIntrinsic); }
Expr isNaN(Expr x) { return (bitsOfFloat(std::move(x)) & u32(0x7fffffff)) > u32(0x7f800000); }
Expr choose(Expr condition, Expr a, Expr b) { return floatOfBits(select(std::move(condition), bitsOfFloat(std::move(a)), bitsOfFloat(std::move(b)))); }

// Integers wrap: Halide folds k + 1 > k to true, and moves terms across a comparison.
Type unsignedType(Expr a) { return UInt(a.type().bits()); }
Expr natural(Expr a) { return a.type().is_bool() ? a : cast(unsignedType(a), a); }
Expr wrapped(Expr value, Expr like) { return cast(like.type(), std::move(value)); }
Expr ordered(Expr a) { return a.type().is_bool() ? cast<uint8_t>(a) : natural(a) ^ Internal::make_const(unsignedType(a), int64_t(uint64_t(1) << (a.type().bits() - 1))); }
Expr plain(Expr a) { return a.type().is_bool() ? cast<uint8_t>(a) : natural(a); }

Expr lessThan(Arguments a) { return strictLess(a[0], a[1]); }
Expr unordered(Arguments a) { return isNaN(a[0]) || isNaN(a[1]); }
Expr ieeeDiv(Expr a, Expr b) { return Call::make(Float(32), Call::strict_div, {std::move(a), std::move(b)}, Call::PureIntrinsic); }

// Division of integers where b may be 0 on a path whose value is not used.
Expr divisor(Expr b) { return select(b == 0, Internal::make_one(b.type()), b); }
Expr towardsZero(Expr a, Expr b) {
  Expr by = divisor(b), quotient = abs(a) / abs(by);   // of natural numbers
  Expr signedQuotient = cast(a.type(), quotient);
  return select((a < 0) != (by < 0), -signedQuotient, signedQuotient);
}

const std::unordered_map<std::string, std::function<Expr(Arguments)>> &operators() {
  static const std::unordered_map<std::string, std::function<Expr(Arguments)>> table = {
      // arith, floats
      {"addf",       [](Arguments a) { return strict(Call::strict_add, a); }},
      {"subf",       [](Arguments a) { return strict(Call::strict_sub, a); }},
      {"mulf",       [](Arguments a) { return strict(Call::strict_mul, a); }},
      {"divf",       [](Arguments a) { return strict(Call::strict_div, a); }},
      {"negf",       [](Arguments a) { return floatOfBits(bitsOfFloat(a[0]) ^ u32(0x80000000)); }},
      {"maximumf",   [](Arguments a) { return choose(strictLess(a[1], a[0]) || isNaN(a[0]), a[0], a[1]); }},
      {"minimumf",   [](Arguments a) { return choose(strictLess(a[0], a[1]) || isNaN(a[0]), a[0], a[1]); }},
      {"maxnumf",    [](Arguments a) { return choose(strictLess(a[1], a[0]) || isNaN(a[1]), a[0], a[1]); }},
      {"minnumf",    [](Arguments a) { return choose(strictLess(a[0], a[1]) || isNaN(a[1]), a[0], a[1]); }},
      {"cmpf_oeq",   [](Arguments a) { return strictEqual(a[0], a[1]); }},
      {"cmpf_olt",   lessThan},
      {"cmpf_ole",   [](Arguments a) { return strictLessEqual(a[0], a[1]); }},
      {"cmpf_ogt",   [](Arguments a) { return strictLess(a[1], a[0]); }},
      {"cmpf_oge",   [](Arguments a) { return strictLessEqual(a[1], a[0]); }},
      {"cmpf_one",   [](Arguments a) { return !strictEqual(a[0], a[1]) && !unordered(a); }},
      {"cmpf_ord",   [](Arguments a) { return !unordered(a); }},
      {"cmpf_ueq",   [](Arguments a) { return strictEqual(a[0], a[1]) || unordered(a); }},
      {"cmpf_ult",   [](Arguments a) { return !strictLessEqual(a[1], a[0]); }},
      {"cmpf_ule",   [](Arguments a) { return !strictLess(a[1], a[0]); }},
      {"cmpf_ugt",   [](Arguments a) { return !strictLessEqual(a[0], a[1]); }},
      {"cmpf_uge",   [](Arguments a) { return !strictLess(a[0], a[1]); }},
      {"cmpf_une",   [](Arguments a) { return !strictEqual(a[0], a[1]); }},
      {"cmpf_uno",   unordered},
      {"round_f16",  [](Arguments a) { return fromF16(toF16(a[0])); }},
      {"round_bf16", [](Arguments a) { return fromBF16(toBF16(a[0])); }},
      // arith, integers
      {"addi",       [](Arguments a) { return wrapped(natural(a[0]) + natural(a[1]), a[0]); }},
      {"subi",       [](Arguments a) { return wrapped(natural(a[0]) - natural(a[1]), a[0]); }},
      {"muli",       [](Arguments a) { return wrapped(natural(a[0]) * natural(a[1]), a[0]); }},
      {"floordivsi", [](Arguments a) {
         Expr by = divisor(a[1]), quotient = towardsZero(a[0], by);
         return wrapped(natural(quotient) - cast(unsignedType(a[0]), (natural(quotient) * natural(by) != natural(a[0])) && ((a[0] < 0) != (by < 0))), a[0]);
       }},
      {"divsi",      [](Arguments a) { return towardsZero(a[0], a[1]); }},
      {"remsi",      [](Arguments a) { return wrapped(natural(a[0]) - natural(towardsZero(a[0], a[1])) * natural(divisor(a[1])), a[0]); }},
      {"divui",      [](Arguments a) { return wrapped(natural(a[0]) / natural(divisor(a[1])), a[0]); }},
      {"remui",      [](Arguments a) { return wrapped(natural(a[0]) % natural(divisor(a[1])), a[0]); }},
      {"maxsi",      [](Arguments a) { return select(ordered(a[0]) > ordered(a[1]), a[0], a[1]); }},
      {"minsi",      [](Arguments a) { return select(ordered(a[0]) < ordered(a[1]), a[0], a[1]); }},
      {"maxui",      [](Arguments a) { return select(plain(a[0]) > plain(a[1]), a[0], a[1]); }},
      {"minui",      [](Arguments a) { return select(plain(a[0]) < plain(a[1]), a[0], a[1]); }},
      {"andi",       [](Arguments a) { return a[0].type().is_bool() ? a[0] && a[1] : a[0] & a[1]; }},
      {"ori",        [](Arguments a) { return a[0].type().is_bool() ? a[0] || a[1] : a[0] | a[1]; }},
      {"xori",       [](Arguments a) { return a[0].type().is_bool() ? a[0] != a[1] : a[0] ^ a[1]; }},
      {"shli",       [](Arguments a) { return wrapped(natural(a[0]) << natural(a[1]), a[0]); }},
      {"shrsi",      [](Arguments a) { return a[0] >> natural(a[1]); }},
      {"shrui",      [](Arguments a) { return wrapped(natural(a[0]) >> natural(a[1]), a[0]); }},
      {"cmpi_eq",    [](Arguments a) { return plain(a[0]) == plain(a[1]); }},
      {"cmpi_ne",    [](Arguments a) { return plain(a[0]) != plain(a[1]); }},
      {"cmpi_slt",   [](Arguments a) { return ordered(a[0]) < ordered(a[1]); }},
      {"cmpi_sle",   [](Arguments a) { return ordered(a[0]) <= ordered(a[1]); }},
      {"cmpi_sgt",   [](Arguments a) { return ordered(a[0]) > ordered(a[1]); }},
      {"cmpi_sge",   [](Arguments a) { return ordered(a[0]) >= ordered(a[1]); }},
      {"cmpi_ult",   [](Arguments a) { return plain(a[0]) < plain(a[1]); }},
      {"cmpi_ule",   [](Arguments a) { return plain(a[0]) <= plain(a[1]); }},
      {"cmpi_ugt",   [](Arguments a) { return plain(a[0]) > plain(a[1]); }},
      {"cmpi_uge",   [](Arguments a) { return plain(a[0]) >= plain(a[1]); }},
      // between types
      {"to_bool",    [](Arguments a) { return (natural(a[0]) & Internal::make_one(unsignedType(a[0]))) != Internal::make_zero(unsignedType(a[0])); }},
      {"to_i8",      [](Arguments a) { return cast<int8_t>(a[0]); }},
      {"to_i32",     [](Arguments a) { return a[0].type().is_bool() ? select(a[0], -1, 0) : cast<int32_t>(a[0]); }},
      {"to_i64",     [](Arguments a) { return a[0].type().is_bool() ? cast<int64_t>(select(a[0], -1, 0)) : cast<int64_t>(a[0]); }},
      {"to_u32",     [](Arguments a) { return a[0].type().is_bool() ? select(a[0], 1, 0) : cast<int32_t>(cast<uint32_t>(natural(a[0]))); }},
      {"to_u64",     [](Arguments a) { return a[0].type().is_bool() ? cast<int64_t>(select(a[0], 1, 0)) : cast<int64_t>(cast<uint64_t>(natural(a[0]))); }},
      {"sitofp",     [](Arguments a) { return a[0].type().is_bool() ? select(a[0], -1.f, 0.f) : cast<float>(a[0]); }},
      {"uitofp",     [](Arguments a) { return a[0].type().is_bool() ? select(a[0], 1.f, 0.f) : cast<float>(natural(a[0])); }},
      {"fptosi",     [](Arguments a) { return truncateToInt(a[0]); }},
      {"select",     [](Arguments a) { return a[1].type().is_float() ? choose(a[0], a[1], a[2]) : select(a[0], a[1], a[2]); }},
      // math
      {"absf",       [](Arguments a) { return floatOfBits(bitsOfFloat(a[0]) & u32(0x7fffffff)); }},
      {"absi",       [](Arguments a) { return cast(a[0].type(), abs(a[0])); }},
      {"copysign",   [](Arguments a) { return floatOfBits((bitsOfFloat(a[0]) & u32(0x7fffffff)) | (bitsOfFloat(a[1]) & u32(0x80000000))); }},
      {"exp",        [](Arguments a) { return mathExp(a[0]); }},
      {"exp2",       [](Arguments a) { return mathExp2(a[0]); }},
      {"log",        [](Arguments a) { return mathLog(a[0]); }},
      {"log1p",      [](Arguments a) {
         // log(u) x / (u - 1) with u = 1 + x as it was rounded.
         Expr one = 1.f, u = strict(Call::strict_add, {a[0], one}), ratio = ieeeDiv(a[0], strict(Call::strict_sub, {u, one}));
         Expr large = (bitsOfFloat(u) & u32(0x7fffffff)) >= u32(0x7f800000);
         return choose(strictEqual(u, one), a[0], choose(large, mathLog(u), strict(Call::strict_mul, {mathLog(u), ratio})));
       }},
      {"sqrt",       [](Arguments a) { return mathSqrt(a[0]); }},
      {"rsqrt",      [](Arguments a) { return ieeeDiv(1.f, mathSqrt(a[0])); }},
      {"tanh",       [](Arguments a) { return mathTanh(a[0]); }},
      {"erf",        [](Arguments a) { return mathErf(a[0]); }},
      {"sin",        [](Arguments a) { return mathSin(a[0]); }},
      {"cos",        [](Arguments a) { return mathCos(a[0]); }},
      {"floor",      [](Arguments a) { return mathFloor(a[0]); }},
      {"ceil",       [](Arguments a) { return mathCeil(a[0]); }},
      {"roundeven",  [](Arguments a) { return mathRound(a[0]); }},
      {"powf",       [](Arguments a) { return mathPow(a[0], a[1]); }},
  };
  return table;
}

}  // namespace

Expr bounded(Expr position) { return unsafe_promise_clamped(std::move(position), 0, std::numeric_limits<int32_t>::max() - 1); }

NestBody::NestBody(const NestSpec &spec) : spec(spec), offsets(spec.buffers.size()), strides(spec.buffers.size()), images(spec.buffers.size()) {
  for (const NestArgument &a : leaf::arguments(spec)) {
    const std::string number = std::to_string(a.number);
    switch (a.kind) {
      case NestArgument::Points: points = parameter<int32_t>("points"); break;
      case NestArgument::Extent: extents.push_back(parameter<int32_t>("extent" + number)); break;
      case NestArgument::Scalar: scalars.push_back(scalar(spec.scalars[a.number], "scalar" + number)); break;
      case NestArgument::Offset: offsets[a.number] = parameter<int32_t>("offset" + number); break;
      case NestArgument::Stride: strides[a.number].push_back(parameter<int32_t>("stride" + number + "_" + std::to_string(a.axis))); break;
      case NestArgument::Buffer:
        if (spec.buffers[a.number].dense) strides[a.number].push_back(1);
        images[a.number] = ImageParam(memoryType(spec.buffers[a.number].type), 1, "buffer" + number);
        images[a.number].dim(0).set_min(0);
        arguments.push_back(images[a.number]);
        break;
      case NestArgument::Written: break;        // the pipeline's outputs come last
    }
  }
}

Expr NestBody::scalar(NestSpec::Stored type, const std::string &name) {
  switch (type) {
    case NestSpec::F32: return parameter<float>(name);
    case NestSpec::I32: return parameter<int32_t>(name);
    case NestSpec::I64: return parameter<int64_t>(name);
    default: return parameter<uint8_t>(name) != cast<uint8_t>(0);
  }
}

Expr NestBody::place(int buffer, const std::vector<Expr> &at) const {
  Expr position = offsets[buffer];
  for (size_t axis = 0; axis < at.size(); axis++) position += cast<int32_t>(at[axis]) * strides[buffer][axis];
  return bounded(position);
}

Expr NestBody::read(int buffer, const std::vector<Expr> &at) const { return loaded(spec.buffers[buffer].type, images[buffer](place(buffer, at))); }

Expr quotient(Expr a, Expr b) {
  return cast<int32_t>(Call::make(UInt(32), Call::div_round_to_zero, {cast<uint32_t>(std::move(a)), cast<uint32_t>(std::move(b))}, Call::PureIntrinsic));
}

Expr NestBody::times(const std::vector<int> &loops) const {
  Expr product = 1;
  for (int loop : loops) product = product * extents[loop];
  return product;
}

void NestBody::stand(std::vector<Expr> &at, const std::vector<int> &loops, Expr n) const {
  for (size_t left = loops.size(); left-- > 0;) {
    if (left == 0) {
      at[loops[0]] = n;
      break;
    }
    Expr extent = max(extents[loops[left]], 1), rest = quotient(n, extent);
    at[loops[left]] = n - rest * extent;
    n = rest;
  }
}

std::vector<Expr> NestBody::axesAt(const std::vector<Expr> &loops) const {
  std::vector<Expr> axes;
  for (int loop : spec.axes) axes.push_back(loops[loop]);
  return axes;
}

Expr NestBody::initial(size_t n, const std::vector<Expr> &axes) const {
  const NestSpec::Output &o = spec.outputs[n];
  return o.initial < 0 ? read(o.buffer, axes) : Point{*this, {}}.step(o.initial);
}

Expr NestBody::stored(size_t n, Expr value) const { return storedAs(spec.buffers[spec.outputs[n].buffer].type, std::move(value)); }

// A product that is added to what is reduced is rounded once, as in the host's leaves; where a factor is 0 it may count as 0.
Expr NestBody::Point::addedProduct(const NestSpec::Step &sum) const {
  const std::vector<NestSpec::Step> &steps = body.spec.steps;
  for (int k : {0, 1}) {
    if (sum.op != "addf" || steps[sum.args[k]].op != "before" || known.count(sum.args[1 - k])) continue;
    const NestSpec::Step *added = &steps[sum.args[1 - k]], *condition = nullptr;
    auto isZero = [&](int s) { return steps[s].op == "f32" && steps[s].real == 0; };
    if (added->op == "select" && steps[added->args[0]].op == "cmpf_oeq" && isZero(steps[added->args[0]].args[1]) && isZero(added->args[1])) {
      if (known.count(added->args[2])) continue;
      condition = &steps[added->args[0]], added = &steps[added->args[2]];
    }
    if (added->op != "mulf") continue;
    Expr was = step(sum.args[k]);
    Expr fused = Call::make(Float(32), body.spec.target == "cuda" ? "llvm.fma.f32" : "fma", {step(added->args[0]), step(added->args[1]), was}, Call::PureExtern);
    return condition ? choose(strictEqual(step(condition->args[0]), 0.f), was, fused) : fused;
  }
  return {};
}

Expr NestBody::Point::step(int n) const {
  if (auto at = known.find(n); at != known.end()) return at->second;
  const NestSpec::Step &step = body.spec.steps[n];
  if (Expr sum = addedProduct(step); sum.defined()) return known[n] = sum;
  std::vector<Expr> a;
  for (int argument : step.args) a.push_back(this->step(argument));
  Expr value = [&]() -> Expr {
    if (step.op == "f32") {
      const float f = float(step.real);
      uint32_t bits;
      static_assert(sizeof bits == sizeof f);
      std::memcpy(&bits, &f, sizeof f);
      return std::isfinite(f) ? Expr(f) : floatOfBits(Expr(bits));
    }
    if (step.op == "i32") return int32_t(step.integer);
    if (step.op == "i64") return Internal::make_const(Int(64), step.integer);
    if (step.op == "i8") return Internal::make_const(Int(8), step.integer);
    if (step.op == "bool") return step.integer ? Internal::const_true() : Internal::const_false();
    if (step.op == "loop") return loops[step.integer];
    if (step.op == "scalar") return body.scalars[step.integer];
    if (step.op == "load") return body.read(int(step.integer), a);
    if (step.op == "before") return before(step.integer);
    if (step.op == "dot") return dot;
    auto op = operators().find(step.op);
    if (op == operators().end()) throw std::invalid_argument("there is no operation `" + step.op + "`");
    return op->second(a);
  }();
  if (!value.defined()) throw std::invalid_argument("step " + std::to_string(n) + " has no value where it is used");
  return known[n] = value;
}

}  // namespace fovea::leaf
