// Every dialect that the compiler's modules are written in, attn among them, with what bufferization and translation must know of them.
#ifndef FOVEA_DIALECT_REGISTER_H
#define FOVEA_DIALECT_REGISTER_H

#include "mlir/IR/DialectRegistry.h"

namespace fovea {

void registerDialects(mlir::DialectRegistry &registry);

}  // namespace fovea

#endif  // FOVEA_DIALECT_REGISTER_H
