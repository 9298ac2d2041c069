// Our passes, one a file: the pass `attn-loops` lives in Loops.cpp and is tested by test/lowering/loops.mlir.
#ifndef FOVEA_LOWERING_PASSES_H
#define FOVEA_LOWERING_PASSES_H

#include "mlir/Pass/Pass.h"

#include <memory>

namespace fovea {

std::unique_ptr<mlir::Pass> createDecomposePass();         // attn-decompose: every attn op as plain linalg; the oracle's first step
std::unique_ptr<mlir::Pass> createDecomposeUnfusedPass();  // the same, but scheduled attends and supports stay
std::unique_ptr<mlir::Pass> createFusePass();              // attn-fuse: score + normalise + aggregate -> attend
std::unique_ptr<mlir::Pass> createSchedulePass();          // attn-schedule: an attribute on each attend: tile sizes and their reason
std::unique_ptr<mlir::Pass> createQuantisePass();          // attn-quantise: a model's matrix products with weights -> quantised rows and products of integers
std::unique_ptr<mlir::Pass> createDilatePass();            // attn-dilate: attend over every c-th key on buffers -> one for each class of rows
std::unique_ptr<mlir::Pass> createProfilePass();           // attn-profile: clocks around the operations of a model's stages
std::unique_ptr<mlir::Pass> createTileAttendPass();        // attn-tile-attend: attend on buffers -> scf loops around Halide leaves
std::unique_ptr<mlir::Pass> createTileContractPass();      // attn-tile-contract: matrix products on buffers -> scf loops around Halide leaves
std::unique_ptr<mlir::Pass> createTileQuantisedPass();     // attn-tile-quantised: quantised rows and their products on buffers -> scf loops around dot products
std::unique_ptr<mlir::Pass> createFixedPointPass();        // attn-fixed-point: a loop whose states no longer change is over
std::unique_ptr<mlir::Pass> createFusePointsPass();        // attn-fuse-points: for a GPU, elementwise operations into what reads them
std::unique_ptr<mlir::Pass> createFillsPass();             // attn-fills: a fill for every user of a filled tensor
std::unique_ptr<mlir::Pass> createCopiesPass();            // attn-copies: memref.copy -> linalg.copy
std::unique_ptr<mlir::Pass> createLoopsPass();             // attn-loops: linalg on buffers -> scf loops bounded by their support
std::unique_ptr<mlir::Pass> createLaunchPass();            // attn-launch: linalg on buffers -> nests for a GPU and their launches
std::unique_ptr<mlir::Pass> createCountOnlyPass();         // attn-count-only: of a program that counts, what decides its counts
std::unique_ptr<mlir::Pass> createFlushExpPass();          // attn-flush-exp: subnormal results of exp in f32 are 0, for the strict oracle
std::unique_ptr<mlir::Pass> createMathPass();              // attn-math: exp, log, erf, tanh of f32 as arithmetic that vectorises
std::unique_ptr<mlir::Pass> createReusePass();             // attn-reuse: temporaries are given back after their last use
std::unique_ptr<mlir::Pass> createArenaPass();             // attn-arena: allocations in loop bodies are released each time round
std::unique_ptr<mlir::Pass> createDeviceMemoryPass();      // attn-device-memory: in the LLVM dialect, temporaries are a GPU's
std::unique_ptr<mlir::Pass> createOutlineParallelPass();   // attn-outline-parallel: scf.parallel -> a function and fovea_parallel_for
std::unique_ptr<mlir::Pass> createHostInterfacePass();     // attn-host-interface: NAME.impl(void **) for every kernel, in the LLVM dialect

void registerPasses();  // all of the above, for fovea-opt

}  // namespace fovea

#endif  // FOVEA_LOWERING_PASSES_H
