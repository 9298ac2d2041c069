// Inside fovea-leaf: what builds a leaf's Halide pipeline.
#ifndef FOVEA_LOWERING_HALIDE_BUILDER_H
#define FOVEA_LOWERING_HALIDE_BUILDER_H

#include "Halide.h"
#include "lowering/halide/LeafSpec.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace fovea::leaf {

constexpr int lineBytes = 64;  // of a cache

// Lines of an image that are asked for in every turn of a loop, which bears Halide's name; of several of that name, in program order, in the `which`-th alone:
// `lines` lines, one after the other, from each of `first` on, and from the element `offset` on.
struct Fetch {
  std::string loop, image;
  std::vector<Halide::Expr> first = {};
  Halide::Expr offset = 0;
  int lines = 1, which = 0;
};

// A pipeline whose images and parameters bear the names of `signature(spec)`.
struct Built {
  std::vector<Halide::Func> outputs;
  std::vector<Halide::Argument> arguments;      // everything it reads
  std::map<std::string, std::string> inPlace;   // image read -> output that it is
  std::map<std::string, std::string> overwrites;  // scratch -> scratch of the same shape whose last reader, point by point, is its producer
  std::vector<Fetch> fetches;
  std::map<std::string, Halide::Expr> rowStrides;  // of images whose row stride is neither a constant nor an argument
};

Built buildContract(const LeafSpec &spec, const TargetInfo &target);   // Contract.cpp
Built buildAttendStep(const LeafSpec &spec, const TargetInfo &target); // Attend.cpp
Built buildAttendLanes(const LeafSpec &spec, const TargetInfo &target); // AttendLanes.cpp: an attend step with a query in each lane
Built buildWeigh(const LeafSpec &spec, const TargetInfo &target);      // Weigh.cpp: an attend step that is split

// The pipeline as one function `int NAME(pointers, integers, floats)`, without halide_buffer_t. PlainSignature.cpp
Halide::Module withPlainSignature(const Halide::Module &module, const LeafSpec &spec, const Built &built);

// The inputs' values, and what an expression can name. Values.cpp
struct Values {
  // Declares the inputs' images and parameters.
  Values(const LeafSpec &spec, std::vector<Halide::Argument> &arguments);
  // Input n at a place of the tile. `columns` and `rows` say how far it may be read; a `stage`d input is first copied.
  Halide::Expr input(size_t n, Halide::Expr row, Halide::Expr column) const;
  // A table's value at an index.
  Halide::Expr read(size_t n, Halide::Expr index) const;
  // Copies columns and tiles into padded scratch up to `columns`, so that whole vectors may be read beyond them.
  void stage(Halide::Expr columns, Halide::Expr rows, int maxColumns, int maxRows, int lanes);

  Halide::Expr loaded(size_t n, Halide::Expr stored) const;

  const LeafSpec &spec;
  std::vector<Halide::ImageParam> images;       // by input; undefined for scalars
  std::vector<Halide::Expr> scalars;            // by input; undefined for others
  std::vector<Halide::Func> staged;             // by input; undefined when read directly
};

// An expression at one point of the tile.
struct Point {
  const Values &values;
  Halide::Expr value;                           // "dot" or "acc"
  Halide::Expr row, column;                     // positions (i0 + local, j0 + local)
  Halide::Expr localRow, localColumn;           // where inputs are read
  Halide::Expr beyond = {};                     // columns from here on do not exist, if defined; what is staged has no value there
  mutable std::map<int64_t, Halide::Expr> lets = {};  // the values of those asked for
  mutable std::shared_ptr<Point> existing = {};       // the same, but at the last column that exists
  mutable std::shared_ptr<Point> first = {};          // the same, but at the tile's first column
};
Halide::Expr evaluate(const Expression &e, const Point &point);
// How many operations the expression has, transcendental ones counted as 20, without those of its "let"s.
int cost(const Expression &e);
int costOfLets(const LeafSpec &spec);

Halide::Type storageType(Type t);
Halide::Expr asFloat(Halide::Expr stored);      // f32, f16 or bf16 to f32

// The score at a point of the tile, in units of log 2 unless it is pointwise; masked: what makes no weight. `keys` of the columns exist, of which this is
// `column`.
Halide::Expr maskedScore(const AttendStep &step, const Point &point, Halide::Expr column, Halide::Expr keys);

// Of textbook online softmax (Attend.cpp): the rows' maxima with this tile and what they shrink by, and the tile's weights.
struct OnlineSoftmax {
  // `score`(k, i), whose vectors `vectors` counts; `before`(i): the maxima without the tile.
  OnlineSoftmax(Halide::Func score, Halide::RDom vectors, Halide::ImageParam before, Halide::Var k, Halide::Var l, Halide::Var i, int lanes);

  Halide::Func partialMax{"partial_max"}, newMax{"new_max"}, base{"base"}, shrink{"shrink"}, weight{"weight"};
};

// A tile's state before it (Attend.cpp), where the leaf's results go too: maximum (unless pointwise) and sum [rows], acc [rows, width].
struct AttendState {
  AttendState(const AttendStep &step, Halide::Expr width, Built &built);
  // The state after the tile, as the leaf's results.
  void become(Halide::Func acc, Halide::Func maximum, Halide::Func sum) const;

  const AttendStep &step;
  Halide::Expr width;
  Built &built;
  Halide::ImageParam maximum{Halide::Float(32), 1, "maximum_before"}, sum{Halide::Float(32), 1, "sum_before"}, acc;
};

// dot(x, y) = the sum of product(n, 0) + product(n, 1) over pairs n of `head` features of bf16; of an odd number the last one has its first product alone.
void dotOfPairs(Halide::Func dot, Halide::Var x, Halide::Var y, Halide::Expr head, const std::function<Halide::Expr(Halide::Expr, Halide::Expr)> &product, int lanes, int steps = 4);

// An image [rows, columns] that is read at `stride` a row; and a scalar parameter.
Halide::ImageParam matrix(const std::string &name, Type type, Halide::Expr stride, std::vector<Halide::Argument> &arguments);
Halide::Expr integer(const std::string &name, std::vector<Halide::Argument> &arguments);

// Adds term(k), 0 <= k < count, to f(x, y, ...): four steps an iteration, so that addresses cost next to nothing beside the
// multiplications (measured on Sapphire Rapids: 72 % of peak with one step, 90 % with four), and one by one at the end.
// `vars` are f's, innermost first; the first is vectorised, the first `unrolled` unrolled.
void accumulate(Halide::Func f, const std::vector<Halide::Var> &vars, int unrolled, Halide::Expr count, const std::function<Halide::Expr(Halide::Expr)> &term, int lanes);
// The same of term(k, 0) + term(k, 1), products of numbers of bf16: one instruction where the target has it (vdpbf16ps).
void accumulatePairs(Halide::Func f, const std::vector<Halide::Var> &vars, int unrolled, Halide::Expr count,
                     const std::function<Halide::Expr(Halide::Expr, Halide::Expr)> &term, int lanes, int steps = 4);

// The fold over 0 <= l < lanes of f(l, vars...), as halvings of one vector, computed at loop `level` of `at`. (Halide's own
// reduction of a vector by max takes 45 instructions for NaN's sake.) The result is a Func of vars.
Halide::Func foldLanes(Halide::Func f, int lanes, const std::vector<Halide::Var> &vars, Halide::Func at, Halide::Var level,
                       Halide::Expr (*combine)(Halide::Expr, Halide::Expr));

}  // namespace fovea::leaf

#endif  // FOVEA_LOWERING_HALIDE_BUILDER_H
