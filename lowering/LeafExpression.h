// The body of attn.attend as the expression of a leaf: what varies over a tile stays in the expression, the rest is a scalar that
// host code computes once per tile.
#ifndef FOVEA_LOWERING_LEAFEXPRESSION_H
#define FOVEA_LOWERING_LEAFEXPRESSION_H

#include "dialect/Attn.h"
#include "lowering/halide/LeafSpec.h"

#include <optional>
#include <vector>

namespace fovea {

class LeafExpression {
 public:
  explicit LeafExpression(attn::AttendOp op);

  // A leaf input: a block argument (an operand of the op that varies over the tile), a value that does not vary, or what is read at a position
  // of its own (`readOf`): its table, and as a scalar that table's stride.
  struct Input {
    mlir::Value value;
    leaf::Input leaf;
    unsigned axis = 0;  // of a table's stride
  };

  // The expression of a value of the body; nothing if a leaf cannot compute it. Adds the inputs it needs.
  std::optional<leaf::Expression> translate(mlir::Value value);

  // Conditions that hold wherever the expression is used; before any translation. Those that say whether a position which grows evenly with row
  // and key lies inside an axis: they hold in a tile if they hold at its corners.
  llvm::SmallVector<mlir::Value> assumed;
  void assumeInside();

  std::vector<Input> inputs;
  std::vector<leaf::Expression> lets;  // what the expressions use more than once

  // What is read of a tensor that is no operand, at positions that vary.
  struct Read {
    mlir::Value from;
    llvm::SmallVector<mlir::Value> at;  // a position for each axis; of those that do not vary, only what lies inside counts
    llvm::SmallVector<unsigned> along;  // the axes along which it varies
    mlir::Value inside;                 // elsewhere the value is not used; null: everywhere
  };
  std::optional<Read> readOf(mlir::Value value);

  // Whether a value differs between the points of a tile.
  bool varies(mlir::Value value);
  // Whether a value of the body depends on a dimension (through attn.index or an operand's map), or on the dot product.
  bool dependsOn(mlir::Value value, int64_t dimension);

 private:
  std::optional<leaf::Expression> input(mlir::Value value, leaf::Input kind, unsigned axis = 0);
  std::optional<leaf::Expression> operand(mlir::BlockArgument argument, bool truth);
  std::optional<leaf::Expression> table(mlir::Value value, bool truth);
  std::optional<leaf::Expression> operation(mlir::Value value);
  leaf::Expression shared(leaf::Expression e);
  bool growsEvenly(mlir::Value value, int &looks);

  llvm::DenseMap<mlir::Value, leaf::Expression> known;  // of values with several uses

  attn::AttendOp op;
  mlir::Block *body;
  int64_t row, key;
};

// The axis of an operand that a dimension runs along, one element a position: it is the dimension, or that and what does not depend on it. -1
// if there is none.
int axisAlong(mlir::AffineMap map, unsigned dimension);

// Whether a leaf can compute the op's score and mask.
bool isLeafExpression(attn::AttendOp op);

}  // namespace fovea

#endif  // FOVEA_LOWERING_LEAFEXPRESSION_H
