// Elementwise functions as Halide expressions: polynomials of our own, no call into a math library.
//
// Halide's default mode takes floats for reals: infinities and NaN fold away, comparisons with them too. So tests of special
// values are made on bits, comparisons are the strict intrinsics, and special results are selected as integers.
// Accuracies are stated in README.md and tested by test/halide/leaf_test.cpp.
#ifndef FOVEA_LOWERING_HALIDE_MATH_H
#define FOVEA_LOWERING_HALIDE_MATH_H

#include "Halide.h"

namespace fovea::leaf {

using Halide::Expr;

// 2^(a - b) for a <= b, exactly 0 from a difference of -127 down: a softmax weight. Relative error below 1.6e-7 where the result is a
// normal number. NaN where the difference is, so that a NaN score, or one of +infinity, makes its row NaN. 12 operations with fused
// multiply-add.
Expr weightExp2(Expr a, Expr b);

// e^(a - b) for a <= b by ex2.approx.ftz of NVIDIA's GPUs, exactly 0 from a difference of -100 down, and NaN where the difference is. Relative error
// below 3.1e-7, and half of a last place of a - b where that is not exact: 7.9e-7 for weights above 1e-6. 9 operations.
Expr weightEx2(Expr a, Expr b);

// The functions of expressions. f32 unless said.
Expr mathExp(Expr x);
Expr mathExp2(Expr x);
Expr mathLog(Expr x);
Expr mathTanh(Expr x);
Expr mathSigmoid(Expr x);
Expr mathErf(Expr x);
Expr mathGelu(Expr x);
Expr mathSilu(Expr x);
Expr mathSoftplus(Expr x);
Expr mathSin(Expr x);
Expr mathCos(Expr x);
Expr mathPow(Expr x, Expr y);
Expr mathSqrt(Expr x);
Expr mathFloor(Expr x);
Expr mathCeil(Expr x);
Expr mathRound(Expr x);            // to even
Expr floatDiv(Expr a, Expr b);     // IEEE, but 0/0 is 0
Expr floatMod(Expr a, Expr b);     // a - b * floor(a / b)
Expr intDiv(Expr a, Expr b);       // floor; a / 0 is 0
Expr intMod(Expr a, Expr b);
Expr truncateToInt(Expr x);        // f32 to i32: saturates, NaN is 0
Expr strictLess(Expr a, Expr b);   // f32, infinities count
Expr strictLessEqual(Expr a, Expr b);
Expr strictEqual(Expr a, Expr b);

}  // namespace fovea::leaf

#endif  // FOVEA_LOWERING_HALIDE_MATH_H
