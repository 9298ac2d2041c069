// Inside fovea-leaf: the softmax of nests for a GPU. Scores and maxima are in units of log 2, or, for CUDA, as they are.
#ifndef FOVEA_LOWERING_HALIDE_DEVICESOFTMAX_H
#define FOVEA_LOWERING_HALIDE_DEVICESOFTMAX_H

#include "lowering/halide/LeafSpec.h"
#include "lowering/halide/Math.h"

namespace fovea::leaf {

struct DeviceSoftmax {
  bool cuda;

  float unit() const { return cuda ? 1.f : 1.44269504f; }
  // What removes a point, as a score; `emptyMaximum` is the maximum of none.
  Expr removes(const Expr &score) const { return strictLessEqual(score, cuda ? lowestScore / 1.44269504f : lowestScore); }
  Expr weight(Expr score, Expr maximum) const { return cuda ? weightEx2(std::move(score), std::move(maximum)) : weightExp2(std::move(score), std::move(maximum)); }
  // One instruction on CUDA. A NaN need not show: it does in the weights.
  Expr larger(Expr a, Expr b) const {
    using Halide::Internal::Call;
    return cuda ? Call::make(Halide::Float(32), "llvm.maxnum.f32", {std::move(a), std::move(b)}, Call::PureExtern) : Halide::max(std::move(a), std::move(b));
  }
};

}  // namespace fovea::leaf

#endif  // FOVEA_LOWERING_HALIDE_DEVICESOFTMAX_H
