"""What random kernels are made of."""

# The indices of general expressions with the extents that they may have: few batches, odd counts, both sides of tile sizes.
EXTENTS = {
    "b": [1, 2, 3], "h": [1, 2, 4], "i": [1, 2, 5, 9, 16, 17, 33], "j": [0, 1, 2, 7, 16, 31, 64, 65, 70, 129],
    "k": [1, 3, 8, 12], "d": [1, 4, 7, 8, 16, 33], "e": [1, 3, 5, 16, 18],
}
MOST_POINTS = 200_000               # of a general nest; the oracle runs scalar loops

# Every construct that is counted. Each must be in at least 1 % of kernels.
CONSTRUCTS = set("""
parameter f32, parameter f16, parameter bf16, parameter i32, parameter i8, parameter u8, parameter bool, parameter sorted
scalar f32, scalar i32, scalar bool, result f32, result f16, result bf16, result i32, result i8, result u8, result bool
result without axes, several results, result read again, extent of 0, stated axes, shadowed name, constraint, dim, position
arithmetic, negation, tanh, sigmoid, relu, exp, abs, sqrt, gelu, silu, softplus, sin, cos, floor, erf, leaky_relu, log, exp2
clamp, sign, rsqrt, round, ceil, min, max, pow, if, conversion, i32 division, i32 remainder, i32 loaded, extent
and, or, not
sum, mean, reduction max, reduction min, prod, any, all, count, argmax, argmin, reduction over two indices, contraction
read elsewhere, expression read elsewhere, read by position, gather, concat
function, nested function, function with an index, function with a tuple, onehot, t5_bucket
iterate, fold, scan, scan reverse, two states, step that reduces over its state, step that is a block, iterated normaliser
softmax, softmax1, logsumexp, log_softmax, sparsemax, entmax15, softmax over two indices, hand-written softmax, softmax with a sink
attention, attention that fuses, grouped queries, shared keys, huge scores, scores of minus infinity, soft cap, bias, causal
additive score, distance score, bilinear score, two products, weights are a result, two aggregates, max aggregate, gated values
projection of the output, product with weights, top key, graph, pages, window in two dimensions, decode, empty rows, poisoned padding
temperature per head, table of scores, computed factors, location-aware score, linear attention, sigmoid attention, squared relu, weights over their sum, weights times weights
several values, logsumexp with softmax1, sampler, sampler in two dimensions, compact factor, condition as a factor, if-else-0 factor
convolution, convolution in two dimensions, infinite inputs, infinite values, any bits
mask: constant, mask: index, mask: scalar, mask: window, mask: distance, mask: length, mask: range, mask: dilation
mask: sorted segments, mask: documents, mask: conjunction, mask: negation, mask: disjunction, mask: loaded bool, mask: real centre
mask: prelude, mask: any condition, mask: stride, mask: dilated window, mask: rows only, sorted comparison, segments that do not occur, schedule
""".replace("\n", ",").strip(", ").replace(",,", ",").split(","))
CONSTRUCTS = {c.strip() for c in CONSTRUCTS if c.strip()}
