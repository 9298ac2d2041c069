// The core form of a program: what the checker leaves and the emitter reads.
//
// After checking, every function is inlined, every name is resolved, every axis is an index with an extent, every
// reduction and every defined value carries the masks that apply to it (rules M1 to M3), and every expression has a type.
// A function's expressions are a hash-consed graph: two equal expressions are one node, so a value used twice is shared.
// Core knows nothing of MLIR and can be built and printed without it.
#ifndef FOVEA_FRONTEND_CORE_H
#define FOVEA_FRONTEND_CORE_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fovea::core {

using IndexId = uint32_t;   // into Function::indices
using NodeId = uint32_t;    // into Function::nodes
using TensorId = uint32_t;  // into Function::tensors
using ScalarId = uint32_t;  // into Function::scalars
inline constexpr uint32_t none = ~0u;

// A place in the source. `file` indexes Module::files; lines and columns count from 1 (rule T1).
struct Place {
  uint32_t file = 0, line = 0, column = 0;
};

// Storage types (rule K2). Values inside expressions are F32, I32 or Bool only (rule E2).
enum class Type : uint8_t { F32, F16, BF16, I32, I8, U8, Bool };

// A loop index. Its positions are 0 .. extent-1.
struct Index {
  std::string name;                 // as written; two indices may share a name (a block's fresh axes)
  Place place;
  NodeId extent = none;             // an I32 node over extents and scalars when `dim` or a constraint defines it, else `none`:
                                    // the extent is then that of the tensors' axes that carry this index
  std::optional<int64_t> fixed;     // known when compiling (`d = 64`, a model's dims)
  std::vector<int64_t> choices;     // `d in {64, 128}`: values worth specialised code
  bool choicesOnly = false;         // `only`: other extents are an error
  std::optional<int64_t> bound;     // `j <= 65536`
  uint32_t extentClass = 0;         // indices of one class have equal extents by constraint (checked on entry)
};

enum class Op : uint8_t {
  // Leaves.
  ConstF32, ConstI32, ConstBool,    // `real` / `integer` hold the value
  Position,                         // I32: where `index` stands now (rule E4)
  Extent,                           // I32: |index|
  Scalar,                           // scalar parameter `ref`, as F32, I32 or Bool
  Load,                             // tensor `ref` at args (one I32 node an axis, in order); a read outside is 0 (rule E6)
  Read,                             // node args[0] as a tensor over `indices` (all of its free indices), at args[1..]; outside is 0 (rules E5, E6)
  State,                            // inside a Loop: state number `integer` of loop tag `ref`, with free indices `indices`
  // Arithmetic on F32 or I32 (the type of the node says which; both arguments have it).
  Neg, Add, Sub, Mul,
  Div,                              // F32: IEEE but 0/0 is 0. I32: floor division, x/0 is 0 (rule E3)
  Mod,                              // I32: remainder of floor division, x%0 is 0. F32 likewise: a - b*floor(a/b)
  Pow, Min, Max,
  Abs, Sign, Relu,                  // F32 or I32
  Exp, Log, Exp2, Tanh, Sigmoid, LeakyRelu /* args: x, slope */, Gelu, Silu, Softplus, Erf, Sqrt, Rsqrt, Floor, Ceil, Round, Sin, Cos,  // F32
  // Comparison: args have one type (F32, I32 or Bool for Eq, Ne); the result is Bool.
  Lt, Le, Gt, Ge, Eq, Ne,
  Not, And, Or,                     // Bool
  Select,                           // args: condition, then, else
  Keep,                             // args: value, mask, mask, ...: the value where every mask holds, else 0 / false (rule M3)
  ToF32, ToI32,                     // from F32 (truncates, saturates, NaN is 0), I32 or Bool
  // Reductions over `indices` (rule E7). args: operand, mask, mask, ...: only points where all masks hold take part (rule M2).
  Sum, Prod, MaxOf, MinOf, Any, All, Count /* operand is Bool */, ArgMax, ArgMin,  // the checker writes mean as Sum / ToF32(Count(true)); a Count(true) without masks is the product of the extents
  // Loops (rule E8).
  Loop,                             // see struct Loop; `ref` indexes Function::loops. Has no value by itself
  LoopResult,                       // args: the Loop node; state number `integer`, last value (iterate, fold) or with axis i (scan)
  // Random choices (models): seeded per hypothesis by the runtime.
  Sample,                           // I32: args: weights, masks...; over indices[0]. argmax when the run is deterministic
  Normal,                           // F32: standard normal with free indices `indices`; 0 when deterministic
};

struct Node {
  Op op{};
  Type type = Type::F32;            // F32, I32 or Bool
  std::vector<NodeId> args;
  std::vector<IndexId> indices;     // see Op
  uint32_t ref = none;              // tensor, scalar, loop or index id, see Op (Position and Extent keep the index here)
  double real = 0;                  // ConstF32: a float's value
  int64_t integer = 0;
  std::vector<IndexId> free;        // free indices, ascending ids (a Loop node: those of all its results together)
  Place place;                      // of the first expression that gave this node; not part of its identity
};

// iterate, fold and scan over one or more states. Inside `next`, state k is the node {State, ref: tag, integer: k}.
struct Loop {
  enum Kind : uint8_t { Iterate, Fold, Scan } kind{};
  bool reverse = false;             // scan reverse
  IndexId index = none;             // fold, scan: the index run over; free in `next`, bound by the loop
  NodeId count = none;              // iterate: I32 node without free indices
  uint32_t tag = 0;                 // unique in the function
  struct Item {
    std::string name;
    std::vector<IndexId> axes;      // the state's axes, in the order stated (or ascending)
    Type type{};                    // F32, I32 or Bool
    NodeId init = none, next = none;   // free indices within `axes`; next's also `index`, and may read every State of this tag.
                                       // A step that a mask removes keeps the state: the checker writes Select(mask, next, State)
  };
  std::vector<Item> items;
};

// A tensor that a function reads.
struct Tensor {
  enum Role : uint8_t {
    Input,        // a kernel's parameter, what encode takes, a token or length vector
    Parameter,    // a model's weight: load stage
    Encoded,      // in step: taken or returned by encode. axes[batchAxis] counts sources; a Load gives the hypothesis' own b, and
                  // the emitter goes through the hidden map from hypothesis to source
    State,        // in step: carried from step to step, permuted by the search
    Cache,        // in step: grows along `growing`; the extent seen is that after this step's append
    Appended,     // cache `base` after `append base = value`: same axes; entry |growing|-1 is `value`, the others are base's
  } role = Input;
  std::string name;                 // a model's parameter or cache: its path ("encoder.w_ih", "dec.0.k")
  Type type{};
  std::vector<IndexId> axes;
  bool sorted = false;              // does not decrease along the last axis (checked on entry)
  Place place;
  // Parameter: how it lies in the weight file. Empty foreign name: `name`, plain layout.
  std::vector<std::string> foreign; // tensor name in the file: the first of these that it has
  std::vector<std::vector<IndexId>> layout;  // one group of axes per dimension of the file's tensor: [(h d), m]
  TensorId copyOf = none;           // Parameter: the same weight once more, with its axes in the order that products want (lowering/stage/SplitWeights.h)
  IndexId growing = none;           // Cache, Appended
  TensorId base = none;             // Appended
  NodeId value = none;              // Appended: free indices are axes without `growing`
  IndexId batch = none;             // Encoded: its batch index, none if it has none
};

struct Scalar {
  std::string name;
  Type type{};
  Place place;
  bool position = false;            // step: the number of steps done before this one (`t: position`)
};

// A value that a function gives back. `node`'s free indices are within `axes`; it is broadcast along the others, masked (M3) and unrounded.
struct Result {
  std::string name;
  Type type{};
  std::vector<IndexId> axes;
  NodeId node = none;
  Place place;
};

// A condition checked on entry, over extents and scalars; `text` is the constraint as written.
struct Check {
  NodeId condition = none;          // Bool, no free indices
  std::string text;
  Place place;
};

// What a `schedule` block says for one target (rule K10): settings of the fused attentions, checked as far as no target is needed.
struct Schedule {
  std::string target;               // a name of lowering/halide/Targets.def, or "cpu": every target that has no schedule of its own
  Place place;
  struct Setting {
    int64_t attend = 0;             // which of the kernel's attentions, from 1; 0: each
    std::string version;            // "few", "grouped", "tiles": of that version; empty: of the schedule itself
    std::string key;                // "queries"; or the name of a version, whose `word` is "none"; empty: only that the version's block is there
    std::string word;               // empty: the value is `number`
    int64_t number = 0;
    Place place;                    // of the value
  };
  std::vector<Setting> settings;
};

// A kernel, or one function of a model.
struct Function {
  std::string name;
  Place place;
  std::vector<Index> indices;
  std::vector<Tensor> tensors;      // parameters in the order written come first
  std::vector<Scalar> scalars;
  std::vector<Result> results;
  std::vector<Check> checks;
  std::vector<Node> nodes;          // arguments come before their users
  std::vector<Loop> loops;
  // The C signature's order: parameters as written, tensors and scalars mixed.
  struct Parameter { bool scalar; uint32_t id; };
  std::vector<Parameter> parameters;
  // Masks as written, for `explain`.
  struct MaskInfo { NodeId node; Place place; std::string text; };
  std::vector<MaskInfo> masks;
  // Values declared with `score`, for `explain`.
  std::vector<NodeId> scores;
  std::vector<Schedule> schedules;  // of a kernel
};

// What a model's program reads and writes (`reads text by characters "graphemes.vocab" end "</s>" unknown "<unk>";`).
struct TextFormat {
  std::string kind;                 // "text", later "image", "audio", "tensor", ...
  std::string unit;                 // "characters", "words", "sentencepiece"
  std::string pieces;               // file of the pieces that text is cut into; empty where it is not
  std::vector<std::string> vocabularies;  // files, of which the first that is there counts; none: the pieces have numbers of their own
  std::vector<std::string> with;    // tokens that stand in text as they are called, `*` for any text
  std::vector<std::string> without; // tokens that have no text
  std::string start, end, unknown;  // tokens; empty when not said
  int64_t atMost = 0;               // longest output, or input; 0 when not said
  int64_t startId = -1, endId = -1; // tokens that are said by their numbers
};

// A state of step: where its first value comes from and where its next value goes.
struct StateLink {
  std::string name;
  TensorId tensor;                  // in step.tensors
  uint32_t next;                    // in step.results
  uint32_t init;                    // in encode.results
};

struct Trace {
  std::string name;                 // "p", or a path ("dec.2.p")
  uint32_t result;                  // in step.results
  std::vector<int64_t> grid;        // `as grid(14, 14)`, else empty
};

struct Model {
  std::string name;
  Place place;
  TextFormat reads, writes;
  // Both functions list every model parameter among their tensors, in the same order and first.
  Function encode;                  // results: those written, then the initial value of each state
  Function step;                    // results: logits, then next states, then traces
  std::vector<StateLink> states;
  std::vector<TensorId> caches;     // in step.tensors, role Cache
  std::vector<Trace> traces;
};

struct Module {
  std::vector<std::string> files;   // names as given or imported; 0 is the main file, "<prelude>" is one too
  std::vector<Function> kernels;
  std::vector<Model> models;
};

}  // namespace fovea::core

#endif  // FOVEA_FRONTEND_CORE_H
