#include "lowering/Pipeline.h"

#include "dialect/Attn.h"
#include "lowering/Passes.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVMPass.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/SCF/Transforms/Passes.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace fovea {

static void addBufferization(OpPassManager &pm) {
  bufferization::OneShotBufferizePassOptions options;
  options.bufferizeFunctionBoundaries = false;  // our functions take buffers
  pm.addPass(bufferization::createOneShotBufferizePass(options));
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createCopiesPass());
}

// scf, memref, arith and math on buffers -> the LLVM dialect.
static void addLLVMLowering(OpPassManager &pm) {
  pm.addPass(createConvertLinalgToLoopsPass());             // what is left: nothing on the compiled path, all of it in the oracle
  pm.addPass(memref::createExpandStridedMetadataPass());
  pm.addPass(createLowerAffinePass());
  pm.addPass(arith::createArithExpandOpsPass());
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addPass(createSCFToControlFlowPass());
  ConvertMathToLLVMPassOptions math;
  math.approximateLog1p = false;               // log(1 + x) is 0 where x is small
  pm.addPass(createConvertMathToLLVMPass(math));
  pm.addPass(createConvertMathToLibmPass());
  FinalizeMemRefToLLVMConversionPassOptions memref;
  memref.useGenericFunctions = true;                        // allocation is the runtime's arena
  pm.addPass(createFinalizeMemRefToLLVMConversionPass(memref));
  pm.addPass(createConvertFuncToLLVMPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  pm.addPass(createCSEPass());
  pm.addPass(createHostInterfacePass());
}

void buildFusePipeline(OpPassManager &pm) {
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createFusePass());                // score + normalise + aggregate -> attend
  pm.addPass(createCanonicalizerPass());       // what the fusion left without users goes
  pm.addPass(createCSEPass());
}

void buildQuantisePipeline(OpPassManager &pm) {
  pm.addPass(createQuantisePass());            // products of activations with weights -> small integers
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());                 // products of the same activations share their codes
}

void buildSchedulePipeline(OpPassManager &pm) {
  pm.addPass(createSchedulePass());            // a schedule on every attend
}

void buildLoopsPipeline(OpPassManager &pm) {
  pm.addPass(createDecomposeUnfusedPass());    // what was not fused
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createFixedPointPass());          // iterations end where they arrive
  pm.addPass(createFillsPass());
  addBufferization(pm);
  pm.addPass(createForallToParallelLoopPass());
  pm.addPass(createReusePass());               // temporaries back after their last use
  pm.addPass(createDilatePass());              // attend over every c-th key -> a dense one for each class of rows
  pm.addPass(createProfilePass());             // clocks around the operations of a model's stages
  pm.addPass(createTileAttendPass());          // attend -> scf around leaves
  pm.addPass(createTileQuantisedPass());       // quantised products -> scf around dot products
  pm.addPass(createTileContractPass());        // matrix products with weights -> scf around leaves
  pm.addPass(createLoopsPass());               // linalg -> scf, bounded by support
}

void buildNestsPipeline(OpPassManager &pm) {
  pm.addPass(createDecomposeUnfusedPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createFusePointsPass());          // elementwise operations into what reads them
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createFillsPass());
  addBufferization(pm);
  pm.addNestedPass<func::FuncOp>(bufferization::createBufferLoopHoistingPass());  // nothing is allocated twice
  pm.addPass(createReusePass());               // temporaries back after their last use
  pm.addPass(createProfilePass());             // clocks around the operations of a model's stages
  pm.addPass(createLinalgGeneralizeNamedOpsPass());
  pm.addPass(createLaunchPass());              // linalg -> nests and their launches
}

void buildDeviceHostPipeline(OpPassManager &pm) {
  pm.addPass(createArenaPass());               // sizes of temporaries are checked
  addLLVMLowering(pm);
  pm.addPass(createDeviceMemoryPass());        // and come from the device
}

void buildCountOnlyPipeline(OpPassManager &pm) {
  pm.addPass(createCountOnlyPass());           // what decides the counts
  pm.addPass(createCanonicalizerPass());
}

void buildHostPipeline(OpPassManager &pm) {
  pm.addPass(createMathPass());                // elementary functions -> arithmetic
  pm.addPass(createLoopInvariantCodeMotionPass());
  pm.addPass(createCSEPass());                 // what vectors side by side have in common
  pm.addPass(createArenaPass());               // temporaries of a loop's body
  pm.addPass(createOutlineParallelPass());     // scf.parallel -> the runtime's threads
  addLLVMLowering(pm);
}

void buildOraclePipeline(OpPassManager &pm) {
  pm.addPass(createDecomposePass());
  pm.addPass(createFlushExpPass());            // in f32 only
  addBufferization(pm);
  pm.addPass(createArenaPass());
  addLLVMLowering(pm);
}

}  // namespace fovea
