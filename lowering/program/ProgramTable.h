// The JSON text of a program's table (docs/program-table.md), made from a checked model and what staging decided.
#ifndef FOVEA_LOWERING_PROGRAM_PROGRAMTABLE_H
#define FOVEA_LOWERING_PROGRAM_PROGRAMTABLE_H

#include "frontend/Core.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace fovea::program {

// One argument of a stage: `what` and `type` as the schema spells them; an entry of `shape` is a number ("256"), a symbol
// ("b", "s", "i", "t") or an expression in reverse Polish notation ("i 1 + 2 /").
struct StageArgument {
  std::string what, name, type;
  std::vector<std::string> shape;
};

struct TableStage {
  std::string name;  // "load", "encode" or "step"
  std::vector<StageArgument> arguments;
};

// A file inside the program. Vocabularies are named as the model's `reads` and `writes` name them.
struct EmbeddedFile {
  std::string name;
  uint64_t bytes;
};

// One operation of a stage's code, as --profile names it.
struct Operation {
  std::string stage, place, what;  // "step", "model.attn:27", "product ? x 32000 over 512"
};

struct TableParts {
  std::vector<TableStage> stages;         // in the order of the table's functions
  std::vector<EmbeddedFile> files;   // in the order of the table's files
  std::string weights;               // embedded file, or file beside the program; may be empty
  std::string compiler;              // version of Fovea
  std::vector<Operation> operations; // in the order of their numbers
  std::map<std::string, std::pair<int64_t, int64_t>> panels;  // by parameter: axes of the panels' rows, columns
  struct Quantised {
    std::vector<int64_t> summed, kept;
    int64_t columns, group;
  };
  std::map<std::string, Quantised> quantised;  // by parameter
  int64_t scored = 0;                // tokens that step scores
};

// Parameters come from encode's tensors with role Parameter. Throws std::invalid_argument for a parameter whose extents are not
// known, a layout that lacks an axis, or a shape that is no expression: an internal error of the compiler.
std::string programTable(const core::Model &model, const TableParts &parts);

// The schema's name of a type.
const char *typeName(core::Type type);

}  // namespace fovea::program

#endif  // FOVEA_LOWERING_PROGRAM_PROGRAMTABLE_H
