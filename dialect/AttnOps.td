// The attn dialect: what linalg cannot say about attention.
//
// Everything elementwise and every other reduction is upstream linalg over tensors; these operations keep the structure
// score -> normalise -> aggregate visible until it is fused. Every op has a meaning as plain linalg: see Decompose.cpp.
// Constraints are numbered (A-score-1, ...); the verifier in AttnOps.cpp and the test in test/dialect/invalid.mlir carry the same ids.
#ifndef FOVEA_DIALECT_ATTN_OPS
#define FOVEA_DIALECT_ATTN_OPS

include "mlir/IR/OpBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Attn_Dialect : Dialect {
  let name = "attn";
  let summary = "Score, normalise, aggregate";
  let cppNamespace = "::fovea::attn";
  let useDefaultAttributePrinterParser = 1;
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::math::MathDialect", "mlir::linalg::LinalgDialect",
                           "mlir::tensor::TensorDialect"];
}

class Attn_Op<string mnemonic, list<Trait> traits = []> : Op<Attn_Dialect, mnemonic, traits>;

def Attn_Normaliser : I32EnumAttr<"Normaliser", "how a row of scores becomes weights", [
    I32EnumAttrCase<"Softmax", 0, "softmax">,
    I32EnumAttrCase<"LogSumExp", 1, "logsumexp">,
    I32EnumAttrCase<"Total", 2, "total">]> {
  let cppNamespace = "::fovea::attn";
  let genSpecializedAttr = 0;
}
def Attn_NormaliserAttr : EnumAttr<Attn_Dialect, Attn_Normaliser, "normaliser"> {
  let assemblyFormat = "`<` $value `>`";
}

def Attn_YieldOp : Attn_Op<"yield", [Pure, ReturnLike, Terminator, ParentOneOf<["ScoreOp", "AttendOp"]>]> {
  let summary = "A score, and whether the point takes part";
  let arguments = (ins AnyFloat:$value, I1:$keep);
  let assemblyFormat = "$value `,` $keep attr-dict `:` type($value)";
}

def Attn_IndexOp : Attn_Op<"index", [Pure]> {
  let summary = "Where a dimension of the enclosing attn op stands (rule E4)";
  let arguments = (ins I64Attr:$dimension);
  let results = (outs Index:$result);
  let assemblyFormat = "$dimension attr-dict";
}

def Attn_SupportOp : Attn_Op<"support", [Pure]> {
  let summary = "Inside a reduction's body: where this is false, the point contributes nothing";
  let description = [{The reduction's loops may be bounded by it (rule M5). As a value it is its operand.}];
  let arguments = (ins I1:$keep);
  let results = (outs I1:$result);
  let assemblyFormat = "$keep attr-dict";
}

def Attn_ScoreOp : Attn_Op<"score", [RecursiveMemoryEffects, DestinationStyleOpInterface, SingleBlock]> {
  let summary = "Scores over an index space; a removed point holds -inf, or 0 where scores are `pointwise` weights";
  let description = [{
    A-score-1: one indexing map per input and one for the output. A-score-2: the output's map is the identity.
    A-score-3: the block has one argument per input, of its element type. A-score-4: the yielded type is the output's element type.
  }];
  let arguments = (ins Variadic<AnyRankedTensor>:$inputs, AnyRankedTensor:$init, AffineMapArrayAttr:$indexing_maps, UnitAttr:$pointwise);
  let results = (outs AnyRankedTensor:$result);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "(`ins` `(` $inputs^ `:` type($inputs) `)`)? `outs` `(` $init `:` type($init) `)` attr-dict-with-keyword $body `->` type($result)";
  let hasVerifier = 1;
  let extraClassDeclaration = [{ mlir::MutableOperandRange getDpsInitsMutable() { return getInitMutable(); } }];
}

def Attn_NormaliseOp : Attn_Op<"normalise", [Pure, DestinationStyleOpInterface]> {
  let summary = "Turns scores into weights, or into one value a row, along some dimensions; -inf is a removed point";
  let description = [{
    softmax: exp(s) / (sum of exp(s) + sum of exp(sink)); logsumexp: the logarithm of that divisor; total: the sum of pointwise weights.
    Sinks are scores of keys that have no value: softmax1 has one of 0.
    A-normalise-1: dimensions are in range, ascending and not empty. A-normalise-2: the output has the score's shape; for
    logsumexp and total it lacks the dimensions. A-normalise-3: one map per sink, from the score's dimensions without those normalised over;
    total takes none. A row without a point gives weights 0 and, without sinks, logsumexp -inf (rule M4).
  }];
  let arguments = (ins AnyRankedTensor:$score, Variadic<AnyRankedTensor>:$sinks, AnyRankedTensor:$init, Attn_NormaliserAttr:$kind,
                       DenseI64ArrayAttr:$dimensions, OptionalAttr<AffineMapArrayAttr>:$sink_maps);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$kind `(` $score `:` type($score) `)` `along` $dimensions (`sinks` `(` $sinks^ `:` type($sinks) `)`)? `outs` `(` $init `:` type($init) `)` attr-dict `->` type($result)";
  let hasVerifier = 1;
  let extraClassDeclaration = [{ mlir::MutableOperandRange getDpsInitsMutable() { return getInitMutable(); } }];
}

def Attn_AggregateOp : Attn_Op<"aggregate", [Pure, DestinationStyleOpInterface]> {
  let summary = "Sum of values under weights: output(parallel) = sum over the rest of weights * values";
  let description = [{
    A-aggregate-1: three indexing maps (weights, values, output) over the same dimensions. A-aggregate-2: the output's results are
    distinct dimensions. A weight of exactly 0 removes its value whatever it holds (rule M7).
  }];
  let arguments = (ins AnyRankedTensor:$weights, AnyRankedTensor:$values, AnyRankedTensor:$init, AffineMapArrayAttr:$indexing_maps);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "`ins` `(` $weights `,` $values `:` type($weights) `,` type($values) `)` `outs` `(` $init `:` type($init) `)` attr-dict-with-keyword `->` type($result)";
  let hasVerifier = 1;
  let extraClassDeclaration = [{ mlir::MutableOperandRange getDpsInitsMutable() { return getInitMutable(); } }];
}

def Attn_AttendOp : Attn_Op<"attend", [AttrSizedOperandSegments, DestinationStyleOpInterface, SingleBlock]> {
  let summary = "The fused whole: contraction, score function, normaliser and aggregate, blockwise and without the scores in memory";
  let description = [{
    The normaliser is softmax with its sinks, in rescaled blocks; with `pointwise` the scores are weights as they are.
    Dimensions are those of the indexing maps, in the order: query, key, value, inputs, sinks, outputs. Iteration dimensions are
    batch (in the output and the key), rows (in the output, not in the key), one key dimension (reduced, in key and value),
    one contracted dimension (in query and key only), one value dimension (in value and the first output only).
    The body maps the dot product and the inputs at a point to (score, keep). Outputs: the aggregate, and the row's logsumexp (pointwise: the
    sum of its weights) if there is another one; with `weights` the last one holds the weights themselves, 0 where a point is removed.
    A-attend-1: one map per operand. A-attend-2: `roles` names a role for each dimension, with one key, one contracted and one value dimension,
    and at most one row dimension. A-attend-3: the block has one argument for the dot product and one per input. A-attend-4: one or two outputs, and one more
    with `weights`. A-attend-5: a sink does not vary along the key, the contracted or the value dimension, and pointwise weights have none.
    A-attend-6: weights that are an output are a softmax; their last axis is the key.
  }];
  let arguments = (ins AnyShaped:$query, AnyShaped:$key, AnyShaped:$value, Variadic<AnyType>:$inputs, Variadic<AnyShaped>:$sinks, Variadic<AnyShaped>:$inits,
                       AffineMapArrayAttr:$indexing_maps, StrArrayAttr:$roles, UnitAttr:$pointwise, UnitAttr:$weights, OptionalAttr<DictionaryAttr>:$schedule);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "`ins` `(` $query `,` $key `,` $value (`,` $inputs^)? `:` type($query) `,` type($key) `,` type($value) (`,` type($inputs)^)? `)` (`sinks` `(` $sinks^ `:` type($sinks) `)`)? `outs` `(` $inits `:` type($inits) `)` attr-dict-with-keyword $body (`->` type($results)^)?";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    mlir::MutableOperandRange getDpsInitsMutable() { return getInitsMutable(); }
    // The dimension with a role ("key", "contracted", "value", "row"), or -1.
    int64_t getDimension(llvm::StringRef role);
    mlir::AffineMap getMap(unsigned operand);  // query, key, value, inputs..., sinks..., outputs...
    unsigned firstSink() { return 3 + getInputs().size(); }
    unsigned firstOutput() { return firstSink() + getSinks().size(); }
    bool hasSecond() { return getInits().size() - getWeights() == 2; }  // a logsumexp or total
  }];
}

#endif
