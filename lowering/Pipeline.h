// The compiler's stages as lists of passes (a table of contents: see Pipeline.cpp).
#ifndef FOVEA_LOWERING_PIPELINE_H
#define FOVEA_LOWERING_PIPELINE_H

#include "mlir/Pass/PassManager.h"

namespace fovea {

void buildFusePipeline(mlir::OpPassManager &pm);      // attn + linalg on tensors -> fused (`--emit=fused`)
void buildQuantisePipeline(mlir::OpPassManager &pm);  // of a model: products with weights in int8
void buildSchedulePipeline(mlir::OpPassManager &pm);  // -> with schedules (`--emit=schedule`)
void buildLoopsPipeline(mlir::OpPassManager &pm);     // -> scf loops on buffers
void buildCountOnlyPipeline(mlir::OpPassManager &pm); // of those, what decides the counts of target host-count
void buildNestsPipeline(mlir::OpPassManager &pm);     // for a GPU: fused -> launches of nests on buffers
void buildDeviceHostPipeline(mlir::OpPassManager &pm);  // -> the LLVM dialect
void buildHostPipeline(mlir::OpPassManager &pm);      // -> the LLVM dialect
void buildOraclePipeline(mlir::OpPassManager &pm);    // attn + linalg -> the LLVM dialect by upstream passes alone

}  // namespace fovea

#endif  // FOVEA_LOWERING_PIPELINE_H
