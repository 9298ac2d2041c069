// attn.attend, attn.quantise and attn.quantised_product are destination-passing: on buffers they read their inputs and write their outputs in place.
#include "dialect/Attn.h"

#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"

using namespace mlir;
using namespace mlir::bufferization;

namespace fovea::attn {
namespace {

template <typename Op>
struct InPlace : DstBufferizableOpInterfaceExternalModel<InPlace<Op>, Op> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand, const AnalysisState &) const {
    return !cast<DestinationStyleOpInterface>(op).isDpsInit(&operand);  // what was in the outputs does not matter
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter, const BufferizationOptions &options, BufferizationState &state) const {
    rewriter.setInsertionPoint(op);
    SmallVector<Value> operands, outputs;
    for (OpOperand &operand : op->getOpOperands()) {
      Value value = operand.get();
      if (isa<TensorType>(value.getType())) {
        FailureOr<Value> buffer = getBuffer(rewriter, value, options, state);
        if (failed(buffer)) return failure();
        value = *buffer;
      }
      operands.push_back(value);
      if (cast<DestinationStyleOpInterface>(op).isDpsInit(&operand)) outputs.push_back(value);
    }
    OperationState replacement(op->getLoc(), op->getName(), operands, TypeRange{}, op->getAttrs());
    for (size_t k = 0; k < op->getNumRegions(); k++) replacement.addRegion();
    Operation *created = rewriter.create(replacement);
    for (auto [from, to] : llvm::zip(op->getRegions(), created->getRegions())) rewriter.inlineRegionBefore(from, to, to.begin());
    replaceOpWithBufferizedValues(rewriter, op, outputs);
    return success();
  }
};

}  // namespace

void registerBufferization(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, AttnDialect *) {
    AttendOp::attachInterface<InPlace<AttendOp>>(*context);
    QuantiseOp::attachInterface<InPlace<QuantiseOp>>(*context);
    QuantisedProductOp::attachInterface<InPlace<QuantisedProductOp>>(*context);
  });
}

}  // namespace fovea::attn
