// attn.attend is destination-passing: on buffers it reads its inputs and writes its outputs in place.
#include "dialect/Attn.h"

#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"

using namespace mlir;
using namespace mlir::bufferization;

namespace fovea::attn {
namespace {

struct AttendBufferization : DstBufferizableOpInterfaceExternalModel<AttendBufferization, AttendOp> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand, const AnalysisState &) const {
    return !cast<DestinationStyleOpInterface>(op).isDpsInit(&operand);  // what was in the outputs does not matter
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter, const BufferizationOptions &options, BufferizationState &state) const {
    auto attend = cast<AttendOp>(op);
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
      if (attend.isDpsInit(&operand)) outputs.push_back(value);
    }
    OperationState replacement(op->getLoc(), op->getName(), operands, TypeRange{}, op->getAttrs());
    replacement.addRegion();
    Operation *created = rewriter.create(replacement);
    rewriter.inlineRegionBefore(attend.getBody(), created->getRegion(0), created->getRegion(0).begin());
    replaceOpWithBufferizedValues(rewriter, op, outputs);
    return success();
  }
};

}  // namespace

void registerBufferization(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, AttnDialect *) { AttendOp::attachInterface<AttendBufferization>(*context); });
}

}  // namespace fovea::attn
