// Scalar arithmetic of the language as arith and math operations (rules E2 to E4, E9).
#ifndef FOVEA_FRONTEND_EMIT_SCALAR_H
#define FOVEA_FRONTEND_EMIT_SCALAR_H

#include "frontend/Core.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Value.h"

namespace fovea {

struct ScalarEmitter {
  mlir::OpBuilder &b;
  mlir::Location loc;
  mlir::Type real;  // what F32 arithmetic is done in: f32, or f64 for the oracle

  mlir::Type typeOf(core::Type type) const;                       // of a value: real, i32 or i1
  static mlir::Type storageType(mlir::OpBuilder &b, core::Type type);  // of a tensor's element in memory
  mlir::Value realConstant(double value);
  mlir::Value integerConstant(int64_t value);
  mlir::Value boolConstant(bool value);
  mlir::Value zero(core::Type type);
  // What was loaded from a tensor of `type`, as a value; and back, rounded and saturated (rule K4) to the element type of `element`.
  mlir::Value fromStorage(mlir::Value stored, core::Type type);
  mlir::Value toStorage(mlir::Value value, core::Type type, mlir::Type element);
  mlir::Value select(mlir::Value condition, mlir::Value then, mlir::Value otherwise);
  mlir::Value conjunction(mlir::ArrayRef<mlir::Value> conditions);  // empty: true
  // An arithmetic, comparison, logic or conversion node of type `type` on evaluated arguments. `argumentType` is that of the first argument.
  mlir::Value apply(core::Op op, core::Type type, core::Type argumentType, mlir::ArrayRef<mlir::Value> arguments);

 private:
  mlir::Value floorDivide(mlir::Value a, mlir::Value b, bool remainder);
  mlir::Value sigmoid(mlir::Value x);
};

}  // namespace fovea

#endif  // FOVEA_FRONTEND_EMIT_SCALAR_H
