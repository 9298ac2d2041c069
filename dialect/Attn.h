// The attn dialect (see AttnOps.td) and its transformations.
#ifndef FOVEA_DIALECT_ATTN_H
#define FOVEA_DIALECT_ATTN_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialect/AttnDialect.h.inc"
#include "dialect/AttnEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialect/AttnAttributes.h.inc"

#define GET_OP_CLASSES
#include "dialect/AttnOps.h.inc"

namespace fovea::attn {

// Replaces one attn op by plain linalg that materialises every step. This is the op's meaning.
mlir::LogicalResult decompose(mlir::RewriterBase &rewriter, mlir::Operation *op);

// Of attn.quantise: a row whose largest |x| is below this is 0 (2^-100: its reciprocal and its quotients are normal numbers), and what codes
// without a sign hold more than is meant.
inline constexpr float leastQuantised = 0x1p-100f;
inline constexpr int codeOffset = 128;
// How many codes of quantised rows lie together with as many weights of one column: 4 of i8, 2 of i16.
int64_t codesPerGroup(mlir::Type codes);

// Lets one-shot bufferization turn attn.attend, attn.quantise and attn.quantised_product on tensors into the same on memrefs.
void registerBufferization(mlir::DialectRegistry &registry);

}  // namespace fovea::attn

#endif  // FOVEA_DIALECT_ATTN_H
