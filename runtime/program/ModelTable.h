// A model's table, read and checked: what docs/program-table.md describes, as structs.
#ifndef FOVEA_RUNTIME_PROGRAM_MODELTABLE_H
#define FOVEA_RUNTIME_PROGRAM_MODELTABLE_H

#include "runtime/program/Extent.h"
#include "runtime/program/table.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fovea::program {

enum class Type : uint8_t { F32, F16, BF16, I32, I8, U8, Bool };

size_t bytesOf(Type type);
const char *nameOf(Type type);

// How text is cut into tokens and put together again.
struct TextFormat {
  enum Unit : uint8_t { Characters, Words, SentencePiece, BytePairs } unit = Words;
  std::string vocabulary;           // an embedded file; empty: tokens have the numbers of the pieces
  std::string start, end, unknown;  // tokens; empty when not declared
  int64_t atMost = 0;               // writes: most steps of one output; reads: most tokens of one input with start and end, 0: any number
  int64_t startId = -1, endId = -1; // tokens that are declared by their numbers
  std::string pieces{};             // an embedded file, where text is cut into pieces of words
  std::vector<std::string> with{};  // tokens that stand in text as they are called, `>>*<<` for all that begin and end so; not cut into pieces
  std::vector<std::string> without{};// tokens that have no text
  int64_t tokens = 0;               // that the model scores, where pieces have numbers of their own; 0: as many as there are
  bool asTokens = false;            // lines are tokens with spaces between, whatever the unit
};

struct Parameter {
  std::string name;                          // its path in the model
  std::vector<std::string> foreign;          // its name in the weight file, the first of these that is there; empty: `name`
  Type type{};
  std::vector<int64_t> shape;
  std::vector<std::vector<uint32_t>> layout; // the axes that make up each dimension of the file's tensor
  uint32_t panelAxes = 0;                    // not 0: lies as [N / panelColumns, K, panelColumns], K the first so many axes, N the others
  int64_t panelColumns = 0;

  // For products of integers, beside or instead of the parameter as it is: the axes that are summed and the others, in the product's order.
  struct Quantised {
    std::vector<uint32_t> summed, kept;
    int64_t columns = 0, group = 0;          // lies as [N / columns, K / group, columns, group]
    int64_t K = 0, N = 0;                    // elements over the summed and the kept axes
    int64_t panels() const { return (N + columns - 1) / columns; }
    int64_t groups() const { return (K + group - 1) / group; }
  };
  std::optional<Quantised> quantised;
  bool plain = true;                         // a stage reads it as it is
};

enum class What : uint8_t {
  Parameter,  // all stages: a weight
  Quantised,  // all stages: a parameter as i8 in panels
  Scales,     // all stages: the f32 scale of each of its rows
  Sums,       // all stages: the i32 sum of each of its rows
  Packed,     // made by the first stage that lists it (load, encode), read by later ones
  Tokens,     // encode: i32[b,i]; step: i32[b]
  Length,     // encode: i32[b]
  Position,   // step: scalar i32, steps done
  Map,        // step: i32[b], hypothesis -> source
  Encoded,    // made by encode (or its tokens or length), read by step; by source
  Init,       // encode: first value of the state of this name; by source
  State,      // step: in
  Next,       // step: out, the value of the state of this name after the step
  Cache,      // step: grows along its axis `t`
  Logits,     // step: f32[b,V]
  Trace,      // step: collected for --maps
};

// A parameter in one of its quantised parts.
inline bool isQuantised(What what) { return what == What::Quantised || what == What::Scales || what == What::Sums; }

struct Argument {
  What what{};
  std::string name;
  Type type{};
  Shape shape;
};

struct Stage {
  fovea_stage function = nullptr;
  std::vector<Argument> arguments;
};

struct Trace {
  std::string name;
  std::vector<int64_t> grid;  // `as grid(14, 14)`; empty when not said
};

struct File {
  std::string name;
  std::string_view bytes;
};

struct OperationName {
  std::string stage, place, what;        // "step", "model.attn:27", "product ? x 32000 over 512"
};

class Profile;

struct Table {
  std::string name;
  std::string compiler;                  // version of Fovea that made it
  TextFormat reads, writes;
  std::vector<File> files;
  std::string weights;                   // file embedded or beside the program; may be empty
  std::vector<Parameter> parameters;
  std::optional<Stage> load;
  Stage encode, step;
  std::vector<Trace> traces;
  int (*setThreads)(int) = nullptr;
  const char *(*lastError)() = nullptr;
  std::vector<OperationName> operations;
  void (*startProfile)(fovea_operation *) = nullptr;
  const fovea_device *device = nullptr;  // where the stages' tensors live; null: in the host's memory
  Profile *profile = nullptr;            // where time is written down; null: nowhere

  const File *file(std::string_view name) const;
};

// Throws InternalError, saying what is wrong, for a table that breaks the schema.
Table readTable(const fovea_model &model);
// What is read and written, and the parameters alone, of a table's JSON text.
std::pair<TextFormat, TextFormat> readFormats(std::string_view text);
std::vector<Parameter> readParameters(std::string_view text);

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_MODELTABLE_H
