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

def Attn_QuantiseOp : Attn_Op<"quantise", [DestinationStyleOpInterface, DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "Rows of f32 as small integers and a scale each: symmetric, rounded to nearest even";
  let description = [{
    The last `axes` axes of the source are a row of K elements. scale = max |x| / 127; code = round(x * (127 / max |x|)); where max |x| is below
    2^-100 both are 0. A NaN in a row makes its scale NaN, else an infinity makes it infinite; the row's codes are then 0.
    Codes are i16, or i8 that hold code + 128 without a sign. A-quantise-1: the codes have the source's other axes and one more, of K rounded up to a
    multiple of 2 (i16) or 4 (i8); what is beyond K is a code of 0. A-quantise-2: the scales have the source's other axes.
  }];
  let arguments = (ins AnyShaped:$source, AnyShaped:$codes, AnyShaped:$scales, I64Attr:$axes);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = "`ins` `(` $source `:` type($source) `)` `outs` `(` $codes `,` $scales `:` type($codes) `,` type($scales) `)` attr-dict (`->` type($results)^)?";
  let hasVerifier = 1;
  let extraClassDeclaration = [{ mlir::MutableOperandRange getDpsInitsMutable() { return mlir::MutableOperandRange(getOperation(), 1, 2); } }];
}

def Attn_QuantisedProductOp : Attn_Op<"quantised_product", [DestinationStyleOpInterface, DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "A matrix product of quantised rows with quantised weights: integer sums, then the scales";
  let description = [{
    out[m.., n..] = (sum over k of code[m.., k] * weight[n, k]) * (scale[m..] * weight_scale[n]), the sum in i32, exact; n is the flat number of the output's last axes.
    Weights lie in panels of C columns, in groups of g = 2 (codes of i16) or 4 (codes of i8): weight[n, k] = panels[n / C, k / g, (n % C) * g + k % g];
    what is beyond N or K is 0. Scales and sums are [panels, C]. With codes of i8, sums[n] is the sum over k of weight[n, k], which takes the codes' 128 off again.
    A-quantised-1: the scales have the codes' axes but the last. A-quantised-2: the output has the axes of the scales, then others of known extent.
    A-quantised-3: the panels are i8 [P, G, C * g] and hold the output's columns and the codes. A-quantised-4: the weights' scales are f32 [P, C]; sums,
    of i32 and the same shape, go with codes of i8.
  }];
  let arguments = (ins AnyShaped:$codes, AnyShaped:$scales, AnyShaped:$panels, AnyShaped:$weight_scales, Optional<AnyShaped>:$sums, AnyShaped:$init);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = "`ins` `(` $codes `,` $scales `,` $panels `,` $weight_scales (`,` $sums^)? `:` type($codes) `,` type($scales) `,` type($panels) `,` type($weight_scales) (`,` type($sums)^)? `)` `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($results)^)?";
  let hasVerifier = 1;
  let extraClassDeclaration = [{ mlir::MutableOperandRange getDpsInitsMutable() { return getInitMutable(); } }];
}

#endif
