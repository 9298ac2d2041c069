// Heads that share their keys and values (grouped queries) as the rows of one tile: for a few queries, where reading the keys is the cost.
#ifndef FOVEA_LOWERING_GROUPHEADS_H
#define FOVEA_LOWERING_GROUPHEADS_H

#include "dialect/Attn.h"
#include "lowering/halide/LeafSpec.h"

namespace fovea {

// How many heads share keys and values: a batch dimension h that key and value read as `h floordiv n` alone. 1 if there is none.
int64_t sharedHeads(attn::AttendOp op);
// Which dimension h is, where there is one.
unsigned sharedHead(attn::AttendOp op);

// The same op where h = n * g + r: g stands for h among the batch dimensions, r is the row, and the old row is run through in each tile. The
// attribute `group` holds {h's axis in the query, n, the old row or -1}.
attn::AttendOp groupHeads(attn::AttendOp op, mlir::OpBuilder &b);

// The same with all queries of these heads as rows, r = n * i + m: h = n * g + m and i is the old row. Where h's extent is a multiple of n, and nothing but the query,
// results and sinks lies along h or i. `group` has one entry more, the old row's axis in the query.
attn::AttendOp groupQueries(attn::AttendOp op, mlir::OpBuilder &b);
bool mayGroupQueries(attn::AttendOp op);
// Whether these may be lanes, which each number of a key is broadcast to: as it is stored, or a pair of bf16. A model's stage takes the way of its rows, whatever
// their number.
bool queriesMayBeLanes(attn::AttendOp op, const leaf::TargetInfo &target);

}  // namespace fovea

#endif  // FOVEA_LOWERING_GROUPHEADS_H
