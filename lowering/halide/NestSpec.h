// A nest of loops for a GPU, as one Halide pipeline: what the compiler asks of `fovea-leaf` for the targets `opencl` and `cuda`, and how it calls
// what it gets. Knows neither MLIR nor Halide; throws nothing.
//
// A nest computes its outputs at every point of its parallel loops; loops that are reduced run inside, and fold into what the output held before.
// Several outputs lie alike: the same offset and strides.
// Its function is Halide's `int NAME_argv(void **)`, whose arguments are listed by `arguments`.
#ifndef FOVEA_LOWERING_HALIDE_NESTSPEC_H
#define FOVEA_LOWERING_HALIDE_NESTSPEC_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::leaf {

struct NestSpec {
  enum Stored : uint8_t { F32, F16, BF16, I32, I64, I8, Bool };  // in memory; Bool is a byte, F16 and BF16 are f32 once loaded

  // One operation of the body, named as in the arith and math dialects ("addf", "cmpf_olt"), or
  //   f32, i32, i64, bool   a constant: `real` or `integer`
  //   loop                  where loop `integer` stands
  //   scalar                argument `integer` of those
  //   load                  buffer `integer` at the positions `args`, one an axis
  //   before                what output `integer` held, or has been folded to
  //   dot                   the dot product of query and key, in an attend's score and mask
  struct Step {
    std::string op;
    std::vector<int> args;   // numbers of earlier steps
    int64_t integer = 0;
    double real = 0;
  };
  struct Buffer {
    Stored type{};
    int rank = 0;
    bool dense = false;      // the last axis' stride is 1
  };
  struct Output {
    int buffer = 0;
    int value = 0;           // a step
    int initial = -1;        // a constant, a step: what the folding begins with, instead of what is in memory
  };

  // Attention in blocks (attn.attend): the aggregate of softmax(score) over the keys, or, `pointwise`, of the scores as they are. Its reduced loops
  // are `key` and `contracted`; its output is the first one, whose value is not used. With a parallel loop `part` the keys are cut into as many parts
  // as it runs, and the output is their states for a Merge: f32, in the last axis what the value's columns came to, the sum and the maximum.
  struct Attend {
    int row = -1, key = 0, contracted = 0, along = 0;  // loops; a row of -1: one query; `along` the value's columns
    int part = -1;                                     // a loop, or -1: all keys
    int queryElement = 0, keyElement = 0, valueElement = 0, score = 0, keep = 0;  // steps
    std::vector<int> sinks;                            // steps: scores of keys without a value
    bool pointwise = false;
    bool unroll = false;                               // the contraction's steps: for compilers that do not
    int queries = 0, keys = 0, columns = 0, depth = 0; // of a block: rows, keys, value columns, contracted at a time
    int threadsAcross = 0, threadsDown = 0;            // of a block: along keys or columns, and along rows; they divide these
  };

  // The parts of an attend put together. The one reduced loop is `part`; the one output's value is not used.
  struct Merge {
    int part = 0, along = 0;   // loops, as of the attend
    int state = 0;             // the buffer that the attend wrote
    std::vector<int> at;       // steps: positions along its axes, but for the last two, the part and the column
    bool pointwise = false;
  };

  // A contraction in tiles (Tiles.cpp): operands that depend on loops along one side of a tile only are read once for all of it.
  struct Tiles {
    std::vector<int> down, across;                     // loops along rows and columns, outermost first; the other parallel ones are batches
    int rows = 0, columns = 0, depth = 0;              // of a tile; reduced at a time
    int threadsAcross = 0, threadsDown = 0;            // of a block: along columns and along rows; they divide these
    bool unroll = false;                               // the reduced steps: for compilers that do not
  };

  // A reduction that several threads fold together (Groups.cpp).
  struct Groups {
    int threads = 0, points = 0;                       // of a point; of a block
    bool together = true;                              // the threads of a point are side by side, not the points
  };

  std::string name;          // the symbol
  std::string target;        // of runtime/device/Devices.def
  std::vector<bool> reduced; // the loops, outermost first
  std::vector<Stored> scalars;  // F32, I32, I64 or Bool
  std::vector<Buffer> buffers;
  std::vector<Step> steps;
  std::vector<int> axes;     // of every output: the loop that runs along it
  std::vector<Output> outputs;
  std::optional<Attend> attend;
  std::optional<Merge> merge;
  std::optional<Tiles> tiles;
  std::optional<Groups> groups;
};

// What the function takes, in order.
struct NestArgument {
  enum Kind : uint8_t {
    Points,   // i32: how often the parallel loops run together
    Extent,   // i32: of loop `number`
    Scalar,   // scalar `number`
    Offset,   // i32: the place of the first element of buffer `number`
    Stride,   // i32: of its axis `axis`
    Buffer,   // buffer `number`: all of its memory, one axis
    Written,  // once more, for output `number`
  } kind{};
  int number = 0, axis = 0;
};
std::vector<NestArgument> arguments(const NestSpec &spec);

// Whether a step reads what output `n` held.
bool readsBefore(const NestSpec &spec, int n);

// What `fovea-leaf` reads. Equal specifications give equal text.
std::string toJson(const NestSpec &spec);
// The reverse. A wrong specification gives nothing and one sentence in `error`.
std::optional<NestSpec> nestFromJson(std::string_view text, std::string &error);
bool isNest(std::string_view text);

// Empty when all is well.
std::string check(const NestSpec &spec);

// 32 hexadecimal digits over everything but the name.
std::string contentHash(const NestSpec &spec);

}  // namespace fovea::leaf

#endif  // FOVEA_LOWERING_HALIDE_NESTSPEC_H
