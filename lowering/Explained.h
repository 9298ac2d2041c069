// What a GPU is asked to do, for `fovea explain`.
#ifndef FOVEA_LOWERING_EXPLAINED_H
#define FOVEA_LOWERING_EXPLAINED_H

#include "lowering/Decisions.h"
#include "mlir/IR/BuiltinOps.h"

namespace fovea {

// Whether the module is compiled to be explained: attn-fuse then says on an attn.aggregate why it stays (attn.unfused).
void explain(mlir::ModuleOp module);
bool explains(mlir::Operation *op);

// Attention that is not one nest: after attn-schedule.
void collectUnfused(mlir::ModuleOp module, Decisions &out);
// Launches, temporaries, reads and loops of the host: after attn-launch.
void collectLaunches(mlir::ModuleOp module, Decisions &out);

}  // namespace fovea

#endif  // FOVEA_LOWERING_EXPLAINED_H
