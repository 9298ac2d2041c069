// Products of small integers by dot-product instructions: functions of the module, written with LLVM's intrinsics, so that which instruction
// multiplies is named and not left to a pattern that may not match.
#ifndef FOVEA_LOWERING_DOTPRODUCT_H
#define FOVEA_LOWERING_DOTPRODUCT_H

#include "mlir/IR/Builders.h"

namespace fovea {

namespace leaf {
struct TargetInfo;
}

// What the functions are made for: groups of 4 bytes (vpdpbusd: codes without a sign times weights with one) or of 2 (vpmaddwd on both widened
// to i16; the vpmaddubsw of older machines would saturate), and panels of so many columns, a multiple of the target's lanes.
struct DotShape {
  const leaf::TargetInfo &target;
  int64_t group, columns;
  int64_t rows() const;  // of a micro-tile
};

// C[rows, columns] of f32 for one panel of weights: (sum over groups of codes * weights - 128 * sums) * (scale of the row * scale of the column).
//   codes   rows of `groups` groups, i8 in fours or i16 in twos     panel   [groups][columns][group] i8
//   scales  f32 [rows]     weightScales, sums   f32 and i32 [columns]; no sums: null
struct DotProduct {
  mlir::Value codes, codesStride, scales, panel, weightScales, sums, c, cStride;  // !llvm.ptr; strides: i64 bytes
  mlir::Value rows, groups, columns;                                              // index; columns: those that exist
};
void callDotProduct(mlir::OpBuilder &b, mlir::Location loc, const DotShape &shape, const DotProduct &product);

// One row of codes and its scale, as attn.quantise says: `count` f32 at `source`; `padded` codes are written.
void callQuantiseRow(mlir::OpBuilder &b, mlir::Location loc, const DotShape &shape, mlir::Value source, mlir::Value codes, mlir::Value scale, int64_t count, int64_t padded);

}  // namespace fovea

#endif  // FOVEA_LOWERING_DOTPRODUCT_H
