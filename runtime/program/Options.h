// The command line of a program.
#ifndef FOVEA_RUNTIME_PROGRAM_OPTIONS_H
#define FOVEA_RUNTIME_PROGRAM_OPTIONS_H

#include "runtime/program/ModelTable.h"
#include "runtime/program/Search.h"

#include <optional>
#include <string>

namespace fovea::program {

struct Options {
  SearchOptions search;
  std::string weights, maps, logits, input, output;  // empty: not given
  bool nbestGiven = false;                   // output has an index column
  bool profile = false;
  int64_t threads = 1, batch = 0, maxInput = 1024;
};

// Null after --help, --version (exit code 0) or wrong usage (2), whose text it prints; `code` is then set.
std::optional<Options> readOptions(const Table &table, int argc, const char *const *argv, int &code);

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_OPTIONS_H
