// Products of bf16 in the tile registers of AMX, which Halide does not reach with operands of any stride: a function of the module,
// written with LLVM's intrinsics (LLVM configures the tiles).
#ifndef FOVEA_LOWERING_TILEPRODUCT_H
#define FOVEA_LOWERING_TILEPRODUCT_H

#include "mlir/IR/Builders.h"

namespace fovea {

// C[rows, columns] of f32 = A B; or, where A is the sum of two parts, C + A B. All strides are bytes, `rows` and `columns` multiples of `tileBlock`.
//   a  rows of `steps` lines of 64 bytes: 16 pairs of bf16; the second part lies `aRest` behind the first
//   b  panels of 16 columns, each of them `steps` times 16 lines of 64 bytes: for every pair of A's row a line, with that pair of every column
// Denormal numbers are taken as 0, sums are rounded to nearest even.
struct TileProduct {
  mlir::Value a, aStride, aRest, b, bPanel, c, cStride;  // !llvm.ptr, i64; no `aRest`: one part
  mlir::Value rows, columns, steps;               // index
};
inline constexpr int64_t tileBlock = 32;
void callTileProduct(mlir::OpBuilder &b, mlir::Location loc, const TileProduct &product);

// Whether this process may use the tile registers: an i1, known at run time.
mlir::Value mayUseTiles(mlir::OpBuilder &b, mlir::Location loc);

}  // namespace fovea

#endif  // FOVEA_LOWERING_TILEPRODUCT_H
