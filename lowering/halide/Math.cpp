#include "lowering/halide/Math.h"

#include <cmath>
#include <initializer_list>

using namespace Halide;
using Halide::Internal::Call;

namespace fovea::leaf {
namespace {

Expr strictCall(Call::IntrinsicOp op, Type type, Expr a, Expr b) { return Call::make(type, op, {std::move(a), std::move(b)}, Call::PureIntrinsic); }
Expr strictAdd(Expr a, Expr b) { return strictCall(Call::strict_add, a.type(), a, b); }
Expr strictSub(Expr a, Expr b) { return strictCall(Call::strict_sub, a.type(), a, b); }
Expr strictMul(Expr a, Expr b) { return strictCall(Call::strict_mul, a.type(), a, b); }

Expr bits(Expr x) { return reinterpret<int>(std::move(x)); }
Expr fromBits(Expr x) { return reinterpret<float>(std::move(x)); }

// Selects floats as integers, so that a special value on one side does not poison the other.
Expr choose(Expr condition, Expr a, Expr b) { return fromBits(Halide::select(std::move(condition), bits(std::move(a)), bits(std::move(b)))); }
Expr special(uint32_t pattern) { return fromBits(cast<int>(Expr(pattern))); }
Expr infinity() { return special(0x7f800000u); }
Expr minusInfinity() { return special(0xff800000u); }
Expr notANumber() { return special(0x7fc00000u); }
Expr magnitude(Expr x) { return bits(std::move(x)) & 0x7fffffff; }
Expr isNaN(Expr x) { return magnitude(std::move(x)) > 0x7f800000; }
Expr isZero(Expr x) { return magnitude(std::move(x)) == 0; }
Expr withSign(Expr magnitudeOf, Expr signOf) {
  return fromBits((bits(std::move(magnitudeOf)) & 0x7fffffff) | (bits(std::move(signOf)) & Expr(int(0x80000000u))));
}

Expr wideConstant(double c) { return Internal::FloatImm::make(Float(64), c); }

// a[0] x^n + a[1] x^(n-1) + ... by Horner's rule.
Expr polynomial(Expr x, std::initializer_list<double> a) {
  Expr p;
  for (double c : a) {
    Expr constant = x.type() == Float(64) ? wideConstant(c) : Expr(float(c));
    p = p.defined() ? p * x + constant : constant;
  }
  return p;
}

// Adding it rounds a float below 2^22 to an integer, to even, and leaves that integer in the low bits.
const float roundingShift = 12582912.f;  // 1.5 * 2^23
const double log2e = 1.4426950408889634;

Expr clampStrict(Expr x, float low, float high) {
  return choose(strictLess(x, low), low, choose(strictLess(Expr(high), x), high, x));
}

// p * 2^n for integer n in -252 .. 254, where p * 2^n may be subnormal or infinite.
Expr scaleByPowerOf2(Expr p, Expr n) {
  Expr half = n >> 1, rest = n - half;
  return strictMul(strictMul(std::move(p), fromBits((half + 127) << 23)), fromBits((rest + 127) << 23));
}

}  // namespace

Expr strictLess(Expr a, Expr b) { return strictCall(Call::strict_lt, Bool(), a, b); }
Expr strictLessEqual(Expr a, Expr b) { return strictCall(Call::strict_le, Bool(), a, b); }
Expr strictEqual(Expr a, Expr b) { return strictCall(Call::strict_eq, Bool(), a, b); }

Expr weightExp2(Expr a, Expr b) {
  // Strict, so that nothing is assumed of the difference: in machine code it is one maximum whose order lets NaN through.
  Expr x = strictSub(std::move(a), std::move(b)), c = choose(strictLess(x, -127.f), -127.f, x);
  Expr shifted = c + roundingShift;            // its low bits are n = round(c)
  Expr n = strictSub(shifted, roundingShift);  // strict, or it folds
  // 2^f on [-1/2, 1/2] with p(0) = 1, so that -127 gives 0: minimax, relative error 9.2e-8 before rounding.
  Expr p = polynomial(c - n, {1.326472725e-03, 9.671512786e-03, 5.550733744e-02, 2.402224208e-01, 6.931469776e-01, 1.0});
  return fromBits(bits(p) + (bits(shifted) << 23));
}

Expr weightEx2(Expr a, Expr b) {
  auto fma = [](Expr x, Expr y, Expr z) { return Call::make(Float(32), "llvm.fma.f32", {std::move(x), std::move(y), std::move(z)}, Call::PureExtern); };
  Expr d = strictSub(std::move(a), std::move(b)), x = choose(strictLess(d, -100.f), -100.f, d), high = float(log2e), low = float(log2e - double(float(log2e)));
  // 2^(p + rest) = 2^p + 2^p rest ln 2, near enough: the instruction is within 2^-22, and the rounding of p alone would be as much as 6.6e-7.
  Expr p = strictMul(x, high), rest = fma(x, low, fma(x, high, -p));
  Expr power = Call::make(Float(32), "llvm.nvvm.ex2.approx.ftz.f", {p}, Call::PureExtern);
  return fma(power, strictMul(rest, 0.69314718f), power);
}

Expr mathExp(Expr x) {
  Expr c = clampStrict(x, -110.f, 90.f);
  Expr shifted = strictAdd(strictMul(c, float(log2e)), roundingShift), n = strictSub(shifted, roundingShift);
  Expr r = strictSub(strictSub(c, strictMul(n, 0.693359375f)), strictMul(n, -2.12194440e-4f));  // the first product is exact
  // e^r on [-ln2/2, ln2/2].
  Expr p = strictAdd(polynomial(r, {1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1}) * r * r + r, 1.f);
  return choose(isNaN(x), x, scaleByPowerOf2(p, cast<int>(n)));
}

Expr mathExp2(Expr x) {
  Expr c = clampStrict(x, -160.f, 130.f);
  Expr n = strictSub(strictAdd(c, roundingShift), roundingShift), f = strictSub(c, n);
  Expr p = strictAdd(polynomial(f, {1.535336188319500e-4, 1.339887440266574e-3, 9.618437357674640e-3, 5.550332471162809e-2, 2.402264791363012e-1, 6.931472028550421e-1}) * f, 1.f);
  return choose(isNaN(x), x, scaleByPowerOf2(p, cast<int>(n)));
}

Expr mathLog(Expr x) {
  // x = m 2^e with m in [sqrt(1/2), sqrt(2)); subnormals are scaled first.
  Expr tiny = bits(x) < 0x00800000;
  Expr scaled = choose(tiny, strictMul(x, 8388608.f), x);
  Expr shifted = bits(scaled) - 0x3f3504f3;
  Expr e = cast<float>((shifted >> 23) - select(tiny, 23, 0));
  Expr f = strictSub(fromBits((shifted & 0x007fffff) + 0x3f3504f3), 1.f);
  Expr z = f * f;
  Expr p = polynomial(f, {7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1,
                          -2.4999993993e-1, 3.3333331174e-1}) * f * z;
  Expr low = p + e * -2.12194440e-4f - 0.5f * z;
  Expr y = strictAdd(strictAdd(f, low), strictMul(e, 0.693359375f));
  y = choose(bits(x) == 0x7f800000, infinity(), y);
  y = choose(bits(x) < 0 || isNaN(x), notANumber(), y);
  return choose(isZero(x), minusInfinity(), y);
}

Expr mathTanh(Expr x) {
  // E / (E + 2) with E = e^2|x| - 1 = 2^n (e^r - 1) + (2^n - 1), which loses nothing near 0. Beyond 10 it is 1.
  // The clamp lets NaN through.
  Expr a = fromBits(magnitude(x)), y = choose(strictLess(Expr(10.f), a), 10.f, a) * 2.f;
  Expr shifted = y * float(log2e) + roundingShift, n = strictSub(shifted, roundingShift);
  Expr r = y - n * 0.69314718f;
  Expr power = fromBits((bits(shifted) << 23) + 0x3f800000);
  Expr e = polynomial(r, {0.001388887155, 0.008370511805, 0.04166717491, 0.1666649302, 0.4999999789, 1.000000012}) * r * power + strictSub(power, 1.f);
  return withSign(strictCall(Call::strict_div, Float(32), e, e + 2.f), x);
}

Expr mathSigmoid(Expr x) {
  // e^-|x| cannot overflow: sigmoid = 1 / (1 + t) or t / (1 + t).
  Expr t = mathExp(fromBits(magnitude(x) | Expr(int(0x80000000u))));
  return choose(bits(x) < 0, t, Expr(1.f)) / strictAdd(t, 1.f);
}

namespace {

// erf x for |x| < 1: minimax in x^2, relative error 4e-11 before rounding.
Expr smallErf(Expr x) {
  return x * polynomial(x * x, {-9.641512844e-6, 1.125694673e-4, -8.482828671e-4, 5.22094542e-3, -2.686540004e-2, 1.128378197e-1, -3.761263843e-1, 1.128379167});
}
// 1 - erf a for a >= 1: t e^(p(t) - a^2), t = 1 / (1 + a / 2), relative error 1.2e-7 before rounding (Numerical Recipes, erfcc).
Expr largeErfc(Expr a) {
  Expr c = clampStrict(a, 0.f, 10.5f), t = 1.f / (1.f + 0.5f * c);
  Expr p = polynomial(t, {0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368, -1.26551223});
  return t * mathExp(p - c * c);
}

}  // namespace

Expr mathErf(Expr x) {
  Expr a = fromBits(magnitude(x));
  return choose(isNaN(x), x, choose(magnitude(x) < 0x3f800000, smallErf(x), withSign(1.f - largeErfc(a), x)));
}

Expr mathGelu(Expr x) {
  // x times the normal distribution, whose small tail is not a difference.
  Expr z = x * 0.70710678f, a = fromBits(magnitude(z)), tail = 0.5f * largeErfc(a);
  Expr distribution = choose(magnitude(z) < 0x3f800000, 0.5f + 0.5f * smallErf(z), choose(bits(x) < 0, tail, 1.f - tail));
  return strictMul(x, distribution);
}

Expr mathSilu(Expr x) { return x * mathSigmoid(x); }

Expr mathSoftplus(Expr x) {
  Expr t = mathExp(fromBits(magnitude(x) | Expr(int(0x80000000u))));
  return strictAdd(choose(bits(x) < 0, Expr(0.f), x), mathLog(strictAdd(t, 1.f)));
}

namespace {

// sin(x + quadrants * pi/2). The reduction is in f64: good up to about 1e8.
Expr sine(Expr x, int quadrants) {
  Expr wide = cast<double>(x);
  Expr n = Halide::round(wide * wideConstant(0.63661977236758134308));
  Expr r = clampStrict(cast<float>(wide - n * wideConstant(1.57079632679489661923)), -0.8f, 0.8f);
  Expr quadrant = cast<int>(cast<int64_t>(n - wideConstant(4) * floor(n * wideConstant(0.25)))) + quadrants;
  Expr z = r * r;
  Expr s = polynomial(z, {-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1}) * z * r + r;
  Expr c = polynomial(z, {2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2}) * z * z - 0.5f * z + 1.f;
  Expr y = select((quadrant & 1) == 0, s, c);
  y = fromBits(bits(y) ^ reinterpret<int>((cast<uint32_t>(quadrant) & Expr(2u)) << Expr(30u)));  // unsigned: 2 << 30 is no int32
  return choose(magnitude(x) >= 0x7f800000, notANumber(), y);
}

}  // namespace

Expr mathSin(Expr x) { return sine(std::move(x), 0); }
Expr mathCos(Expr x) { return sine(std::move(x), 1); }

Expr mathPow(Expr x, Expr y) {
  // |x|^y = 2^(y log2 |x|) in f64.
  Expr a = fromBits(magnitude(x));
  Expr tiny = magnitude(x) < 0x00800000;
  Expr scaled = bits(choose(tiny, strictMul(a, 8388608.f), a)) - 0x3f3504f3;
  Expr e = cast<double>((scaled >> 23) - select(tiny, 23, 0));
  Expr m = cast<double>(fromBits((scaled & 0x007fffff) + 0x3f3504f3));
  // log2 m = 2/ln2 * atanh(u), u = (m - 1) / (m + 1), |u| < 0.172
  Expr u = (m - wideConstant(1)) / (m + wideConstant(1)), w = u * u;
  Expr log2m = u * wideConstant(2.8853900817779268) * polynomial(w, {1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3, 1.0});
  Expr yc = cast<double>(clampStrict(y, -1e30f, 1e30f));
  Expr t = clamp(yc * (e + log2m), wideConstant(-160), wideConstant(130));
  Expr n = Halide::round(t), f = (t - n) * wideConstant(0.69314718055994530942);
  Expr p = cast<float>(polynomial(f, {1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1.0, 1.0}));
  Expr r = scaleByPowerOf2(p, cast<int>(n));
  // Special cases of C's pow. `odd`: y is an odd integer (below 2^24).
  Expr whole = mathFloor(y), isInteger = strictEqual(whole, y);
  Expr odd = isInteger && magnitude(y) < 0x4b800000 && (truncateToInt(y) & 1) == 1;
  Expr negativeY = bits(y) < 0;
  r = choose(isZero(x), choose(negativeY, infinity(), Expr(0.f)), r);
  r = choose(magnitude(x) == 0x7f800000, choose(negativeY, Expr(0.f), infinity()), r);
  Expr one = magnitude(x) == 0x3f800000;
  r = choose(magnitude(y) == 0x7f800000, choose(one, Expr(1.f), choose((magnitude(x) > 0x3f800000) != negativeY, infinity(), Expr(0.f))), r);
  r = choose(bits(x) < 0 && odd, fromBits(bits(r) ^ Expr(int(0x80000000u))), r);
  Expr undefinedPower = bits(x) < 0 && !isInteger && !isZero(x) && magnitude(x) != 0x7f800000 && magnitude(y) < 0x7f800000;
  r = choose(undefinedPower || isNaN(x) || isNaN(y), notANumber(), r);
  return choose(isZero(y) || bits(x) == 0x3f800000, Expr(1.f), r);
}

Expr mathSqrt(Expr x) { return Halide::sqrt(std::move(x)); }
Expr mathFloor(Expr x) { return Halide::floor(std::move(x)); }
Expr mathCeil(Expr x) { return Halide::ceil(std::move(x)); }
Expr mathRound(Expr x) { return Halide::round(std::move(x)); }

Expr floatDiv(Expr a, Expr b) {
  Expr folded = Internal::simplify(b);
  const Internal::FloatImm *constant = folded.as<Internal::FloatImm>();
  // Halide refuses to divide by a constant 0.
  if (constant && constant->value == 0) {
    Expr quotient = withSign(infinity(), std::signbit(constant->value) ? -a : a);
    return choose(isZero(a), Expr(0.f), choose(isNaN(a), a, quotient));
  }
  Expr quotient = strictCall(Call::strict_div, Float(32), a, b);
  return constant ? quotient : choose(isZero(a) && isZero(b), Expr(0.f), quotient);
}
Expr floatMod(Expr a, Expr b) { return strictSub(a, strictMul(b, mathFloor(floatDiv(a, b)))); }

namespace {
// Halide's / and % are Euclidean; they differ from floor where the divisor is negative and something remains. The least i32 over -1 would trap.
Expr safeDivisor(Expr b) { return select(b == 0 || b == -1, 1, b); }
}  // namespace

Expr intDiv(Expr a, Expr b) {
  if (auto c = as_const_int(b); c && *c > 0) return a / b;
  Expr d = safeDivisor(b);
  return select(b == 0, 0, select(b == -1, cast<int>(cast<uint32_t>(0) - cast<uint32_t>(a)), a / d - select(d < 0 && a % d != 0, 1, 0)));
}
Expr intMod(Expr a, Expr b) {
  if (auto c = as_const_int(b); c && *c > 0) return a % b;
  Expr d = safeDivisor(b), r = a % d;
  return select(b == 0 || b == -1, 0, select(d < 0 && r != 0, r + d, r));
}

Expr truncateToInt(Expr x) {
  Expr c = clampStrict(x, -2147483648.f, 2147483520.f);
  Expr i = cast<int>(c);
  return select(isNaN(x), 0, select(strictLess(Expr(2147483520.f), x), Expr(0x7fffffff), i));
}

}  // namespace fovea::leaf
