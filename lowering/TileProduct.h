// Products in the tile registers of AMX, which Halide does not reach with operands of any stride: a function of the module, written with
// LLVM's intrinsics (LLVM configures the tiles).
#ifndef FOVEA_LOWERING_TILEPRODUCT_H
#define FOVEA_LOWERING_TILEPRODUCT_H

#include "mlir/IR/Builders.h"

namespace fovea {

// The registers multiply bf16. A number of more digits is the sum of several: the bf16 nearest to it, the one nearest to the rest, and so on;
// f16 is two exactly, and f32 three, where it is neither so large nor so small that a part is no normal number (inTileRange of attend/Tiler.h).
inline int64_t tileParts(mlir::Type type) { return type.isF32() ? 3 : type.isF16() ? 2 : 1; }

// C[rows, columns] of f32 = A B, or C + A B: the sum of the products of A's part m and B's part n over m + n <= 2; what is left out is less
// than 2^-25 of a product. All strides are bytes, `rows` and `columns` multiples of `tileBlock`.
//   a  rows of `steps` lines of 64 bytes: 16 pairs of bf16; a part lies `aPart` behind the one before
//   b  panels of 16 columns, each of them `steps` times 16 lines of 64 bytes: for every pair of A's row a line, with that pair of every column;
//      a part lies `bPart` behind the one before
// Denormal numbers are taken as 0, sums are rounded to nearest even.
struct TileProduct {
  mlir::Value a, aStride, aPart, b, bPanel, bPart, c, cStride;  // !llvm.ptr, i64
  mlir::Value rows, columns, steps;                             // index
  int64_t aParts = 1, bParts = 1;
  bool add = false;                                             // to what is in C
};
inline constexpr int64_t tileBlock = 32;
void callTileProduct(mlir::OpBuilder &b, mlir::Location loc, const TileProduct &product);

// Whether this process may use the tile registers: an i1, known at run time.
mlir::Value mayUseTiles(mlir::OpBuilder &b, mlir::Location loc);

}  // namespace fovea

#endif  // FOVEA_LOWERING_TILEPRODUCT_H
