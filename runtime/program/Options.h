// The command line of a program.
#ifndef FOVEA_RUNTIME_PROGRAM_OPTIONS_H
#define FOVEA_RUNTIME_PROGRAM_OPTIONS_H

#include "runtime/program/Model.h"
#include "runtime/program/Search.h"

#include <optional>
#include <string>
#include <vector>

namespace fovea::program {

struct Options {
  SearchOptions search;
  std::vector<std::string> weights;                  // files; several: an ensemble
  std::string maps, traces, logits, input, output;  // empty: not given
  std::vector<std::string> suppress, require, phrases;  // texts of tokens
  std::string prefix, attention;
  bool prefixColumn = false;                 // a line is an input, a TAB and what its output begins with
  bool scores = false, tokenScores = false, align = false, json = false;   // what is written of a result
  bool tokens = false;                       // lines are tokens of the vocabulary, not text
  bool stream = false;                       // tokens are written as they are chosen
  bool replaceUnknown = false;               // an unknown token becomes what stands in the input where the model looked

  // Lines are `input TAB text of the output`.
  bool hasColumn() const { return prefixColumn || search.score; }
  int64_t limit(const Table &table) const { return search.maxLength > 0 ? search.maxLength : table.writes.atMost; }
  bool nbestGiven = false;                   // output has an index column
  bool profile = false;
  int64_t threads = 1, batch = 0, maxInput = 1024;
  std::vector<int32_t> prefixTokens;         // of `prefix`
};

// Null after --help, --version (exit code 0) or wrong usage (2), whose text it prints; `code` is then set.
std::optional<Options> readOptions(const Table &table, int argc, const char *const *argv, int &code);

// Looks up the tokens and the trace that options name. Throws UsageError for one that the model does not have.
void resolve(Options &options, const Model &model);

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_OPTIONS_H
