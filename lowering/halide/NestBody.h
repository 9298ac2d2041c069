// Inside fovea-leaf: what every nest has: its arguments as Halide's, and the steps of its body as expressions.
#ifndef FOVEA_LOWERING_HALIDE_NESTBODY_H
#define FOVEA_LOWERING_HALIDE_NESTBODY_H

#include "Halide.h"
#include "lowering/halide/NestSpec.h"

#include <functional>
#include <map>
#include <vector>

namespace fovea::leaf {

// A place in a buffer: nobody asks how far that reaches, but Halide wants it bounded.
Halide::Expr bounded(Halide::Expr position);

// Buffers have one axis, all of their memory: any offset and strides will do.
struct NestBody {
  explicit NestBody(const NestSpec &spec);

  const NestSpec &spec;
  Halide::Expr points;
  std::vector<Halide::Expr> extents, scalars, offsets;
  std::vector<std::vector<Halide::Expr>> strides;  // of buffers
  std::vector<Halide::ImageParam> images;
  std::vector<Halide::Argument> arguments;

  // Where an element lies in its buffer, and its value.
  Halide::Expr place(int buffer, const std::vector<Halide::Expr> &at) const;
  Halide::Expr read(int buffer, const std::vector<Halide::Expr> &at) const;
  // How often `loops` run together, and where they stand, the last innermost, at the n-th of these times.
  Halide::Expr times(const std::vector<int> &loops) const;
  void stand(std::vector<Halide::Expr> &at, const std::vector<int> &loops, Halide::Expr n) const;
  // Where the loops' values stand along the outputs' axes.
  std::vector<Halide::Expr> axesAt(const std::vector<Halide::Expr> &loops) const;
  // What the folding of output `n` begins with, there.
  Halide::Expr initial(size_t n, const std::vector<Halide::Expr> &axes) const;
  // A value as output `n` stores it.
  Halide::Expr stored(size_t n, Halide::Expr value) const;

  // Steps at one point: loops stand at `loops` (those that a wanted step does not name may be undefined), `before` gives what outputs held, `dot` is
  // the dot product.
  struct Point {
    const NestBody &body;
    std::vector<Halide::Expr> loops;
    std::function<Halide::Expr(size_t)> before = {};
    Halide::Expr dot = {};
    mutable std::map<int, Halide::Expr> known = {};

    Halide::Expr step(int n) const;

   private:
    Halide::Expr addedProduct(const NestSpec::Step &sum) const;
  };

  // A parameter called `name`.
  template <typename T>
  Halide::Expr parameter(const std::string &name) {
    Halide::Param<T> p(name);
    arguments.push_back(p);
    return p;
  }

 private:
  Halide::Expr scalar(NestSpec::Stored type, const std::string &name);
};

// The kinds of nests.
Halide::Module compilePoints(const NestBody &body, const Halide::Target &target);  // Points.cpp: a thread for each point of the parallel loops
Halide::Module compileTiles(const NestBody &body, const Halide::Target &target);   // Tiles.cpp: a contraction, a block of threads for each tile
Halide::Module compileGroups(const NestBody &body, const Halide::Target &target);  // Groups.cpp: several threads for each point
Halide::Module compileBlocks(const NestBody &body, const Halide::Target &target);  // Blocks.cpp: attention, a block of threads for each block of rows
Halide::Module compileMerge(const NestBody &body, const Halide::Target &target);   // Merge.cpp: the parts of an attention put together

// The quotient of numbers that are not negative, b > 0.
Halide::Expr quotient(Halide::Expr a, Halide::Expr b);

}  // namespace fovea::leaf

#endif  // FOVEA_LOWERING_HALIDE_NESTBODY_H
