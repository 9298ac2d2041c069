// What the compiler asks of `fovea-leaf`, and how it calls what it gets. Knows neither MLIR nor Halide; throws nothing.
//
// A leaf is one tile of constant shape compiled by Halide into one function with a plain C signature,
//   int NAME(argument, argument, ...);        // always 0
// whose arguments, in order, are what `signature` lists: pointers, 32-bit integers and floats. The function keeps no state,
// reads and writes only what README.md says, and needs only `halide_malloc` and `halide_free` from the runtime.
#ifndef FOVEA_LOWERING_HALIDE_LEAFSPEC_H
#define FOVEA_LOWERING_HALIDE_LEAFSPEC_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::leaf {

enum class Type : uint8_t { F32, F16, BF16, I32, Bool };  // Bool is a byte in memory and an int32_t as a scalar

// A value that a score, a mask or an epilogue reads beside its own tile.
struct Input {
  enum Kind : uint8_t {
    Scalar,  // one value: F32, I32 or Bool
    Row,     // [rows], any element stride
    Column,  // [columns], element stride 1 unless `strided`
    Tile,    // [rows, columns], any row stride, column stride 1 unless `strided`
    Table,   // [n], element stride 1, at an index of its own: "read"
  } kind{};
  Type type{};
  bool strided = false;  // the last axis' stride is an argument too (costs gathers)
};

// An expression tree: `op` is a name of README.md's table (those of core::Op in snake case).
struct Expression {
  std::string op;
  double real = 0;      // op "f32"
  int64_t integer = 0;  // op "i32", "bool" (0 or 1), "input", "read" and "let" (its number)
  std::vector<Expression> args;
};

// Whether an operation costs many times what an addition does: a function is a polynomial, and a table is gathered from.
bool isSlow(const std::string &op);

// C[rows, columns] = (accumulate ? C : 0) + A[rows, K] * B[K, columns], then the epilogue. B lies in panels: [columns / panel][K][panel].
struct Contract {
  int rows = 0, columns = 0;        // of the tile; columns: a multiple of the target's lanes
  Type a = Type::F32, b = Type::F32;  // as stored: F32, F16 or BF16
  bool accumulate = false;
  bool edges = false;               // writes only the first `rows` x `columns` of the call; else the whole tile
  std::optional<Expression> epilogue;  // over "acc", "row", "column", "input"
  int panel = 0;                    // of B: a multiple of the target's lanes that divides the columns; 0: all of them
};

// One step over a tile of queries x keys: of textbook online softmax, or, `pointwise`, of a sum whose weights are the scores.
struct AttendStep {
  int queries = 0, keys = 0;        // of the tile; keys: a multiple of the panel
  int panel = 64;                   // columns of the micro-tile over keys and over value columns: a multiple of the target's lanes
  Type query = Type::F32, key = Type::F32, value = Type::F32;  // as stored: F32, F16 or BF16
  bool keyRows = false;             // keys lie as [keys, head] with a row stride (decoding), not packed in panels as [keys / lanes, head, lanes]
  bool keyPairs = false;            // packed in panels of pairs of bf16, as [keys / lanes, head / 2 rounded up to whole lanes, lanes, 2]: for dot products of pairs
  bool queryLanes = false;          // keys lie as in keyRows, queries as [head, queries], or in pairs of bf16 as [head / 2 rounded up, queries, 2]: queries are lanes
  bool partial = false;             // fewer rows or keys at run time, `keep`; else every point of the tile is visited
  bool pointwise = false;           // scores are weights as they are; there is no maximum
  bool split = false;               // both products are computed elsewhere: dot products come in, weights go out in two parts of bf16 (Weigh.cpp)
  Expression score;                 // over "dot", "row", "column", "input"; natural units
  std::optional<Expression> keep;   // partial only; Bool
};

struct LeafSpec {
  enum Kind : uint8_t { ContractLeaf, AttendStepLeaf } kind{};
  std::string name;                 // the symbol
  std::string target;               // a name of Targets.def
  std::vector<Input> inputs;
  std::vector<Expression> lets;     // what other expressions, and later ones of these, use more than once: "let"
  Contract contract;                // kind ContractLeaf
  AttendStep attend;                // kind AttendStepLeaf
};

// The state of a row before its first step: this maximum, sum 0, accumulator 0. A row is empty as long as its sum is 0. A sink t is a key
// without a value: maximum t * log2(e), sum 1.
// The maximum is that of score * log2(e), so the row's logsumexp is (maximum + log2(sum)) * ln 2.
inline constexpr float emptyMaximum = -3.4e38f;
// A score * log2(e) at or below this counts as masked.
inline constexpr float lowestScore = -1e38f;

// An argument of the leaf's function.
struct Argument {
  enum Kind : uint8_t { Pointer, Int, Float } kind{};
  std::string name;                 // "q", "q_stride", "input0", "input0_row_stride"
  Type type{};                      // Pointer: of its elements
  int rank = 0;                     // Pointer: 1 or 2
  enum Access : uint8_t { Read, Write, ReadWrite } access = Read;
};
std::vector<Argument> signature(const LeafSpec &spec);
// The same as a C declaration, for headers, tests and people.
std::string prototype(const LeafSpec &spec);

// No call holds more scratch than this many bytes, allocations rounded up to 128 and 128 more for the allocator included.
size_t scratchBound(const LeafSpec &spec);

// What `fovea-leaf` reads. Equal specifications give equal text.
std::string toJson(const LeafSpec &spec);
// The reverse. A wrong specification gives nothing and one sentence in `error`.
std::optional<LeafSpec> fromJson(std::string_view text, std::string &error);
// Checks shapes, types and expressions against the target's table; empty when all is well.
std::string check(const LeafSpec &spec);

// 32 hexadecimal digits over everything but the name: equal content gives equal code up to the symbol.
std::string contentHash(const LeafSpec &spec);

// A row of Targets.def.
struct TargetInfo {
  const char *name, *halide;
  int lanes, rows, columns;         // f32 lanes of a vector; micro-tile
  bool dots;                        // the sum of two products of bf16 takes as long as one product of f32
  const char *needs;
  struct Costs {
    double loads, fmas, operations, latency;     // vectors a cycle; cycles
    int64_t first, second, third;                // bytes of the caches
    double fromSecond, fromThird, fromMemory;    // bytes a cycle
  } costs;
};
const TargetInfo *findTarget(std::string_view name);
const std::vector<TargetInfo> &targets();
// The best row for a CPU with these flags (as /proc/cpuinfo names them), or nothing.
const TargetInfo *bestTarget(const std::vector<std::string> &features);
// This CPU's flags.
std::vector<std::string> hostFeatures();

// The micro-tile for a block of rows x columns (multiples of the result): the most multiplications a load within the registers.
struct MicroTile {
  int rows, columns;
};
MicroTile microTile(int rows, int columns, const TargetInfo &target);

// The type of an expression that uses no "let", or nothing and a sentence in `error`.
std::optional<Type> typeOf(const Expression &e, const LeafSpec &spec, std::string &error);

}  // namespace fovea::leaf

#endif  // FOVEA_LOWERING_HALIDE_LEAFSPEC_H
