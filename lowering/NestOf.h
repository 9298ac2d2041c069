// An operation on buffers as a nest for a GPU (lowering/halide/NestSpec.h).
#ifndef FOVEA_LOWERING_NESTOF_H
#define FOVEA_LOWERING_NESTOF_H

#include "dialect/Attn.h"
#include "lowering/SplitKeys.h"
#include "lowering/halide/NestSpec.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

#include <optional>
#include <string>

namespace fovea {

// On a linalg.generic: an array, for each output a constant that its folding begins with, or a unit attribute: what the buffer holds.
inline constexpr llvm::StringLiteral initialAttr = "attn.initial";

// A linalg.generic or an attn.attend as a nest: its specification, and what it is called with.
class NestOf {
 public:
  explicit NestOf(mlir::Operation *op) : op(op) {}

  leaf::NestSpec spec;
  llvm::SmallVector<mlir::Value> scalars;  // by number
  llvm::SmallVector<mlir::Value> buffers;  // memrefs, by number

  // An operation that no nest can compute is an error at it.
  mlir::LogicalResult build();
  // What puts the states of an attend's parts together (SplitKeys.h).
  mlir::LogicalResult build(const KeyParts &parts);

 private:
  mlir::Operation *op;
  llvm::DenseMap<mlir::Value, int> known;        // steps
  llvm::DenseMap<mlir::Value, int> numbers;      // of buffers and scalars
  mlir::LogicalResult build(mlir::linalg::GenericOp op);
  mlir::LogicalResult build(attn::AttendOp op);
  // What an operand is where the loops stand.
  std::optional<int> element(mlir::Value operand, mlir::AffineMap map);
  int step(llvm::StringRef name, llvm::ArrayRef<int> args, int64_t integer = 0, double real = 0);
  mlir::LogicalResult refuse(mlir::Operation *what);
  std::optional<int> bufferOf(mlir::Value memref);
  int position(mlir::AffineExpr e);
  std::optional<int> load(mlir::Value memref, llvm::ArrayRef<int> at);
  // The step that has a value of the body, or one from outside: a constant or an argument.
  std::optional<int> valueOf(mlir::Value v);
  int constant(mlir::Attribute value, mlir::Type type);
  mlir::LogicalResult translate(mlir::Operation *nested);
  // The step that an operation is; empty: its operand as it is.
  static std::optional<std::string> nameOf(mlir::Operation *nested);
};

}  // namespace fovea

#endif  // FOVEA_LOWERING_NESTOF_H
