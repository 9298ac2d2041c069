// One attention map, and its picture.
#ifndef FOVEA_RUNTIME_PROGRAM_ATTENTIONMAP_H
#define FOVEA_RUNTIME_PROGRAM_ATTENTIONMAP_H

#include <cstdint>
#include <string>
#include <vector>

namespace fovea::program {

struct AttentionMap {
  std::string input, output;             // as text
  std::string trace;                     // "dec.2.p"
  int64_t head, heads;                   // head -1: the mean of all
  std::vector<std::string> rows;         // produced tokens
  std::vector<std::string> columns;      // source tokens, or what else the columns are
  std::vector<std::vector<float>> values;  // [rows, columns]
  std::string across = "input";          // what the columns are, in a word or two
};

// A PNG file's bytes: produced tokens downwards, source tokens across, dark where much is attended to.
std::string draw(const AttentionMap &map);

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_ATTENTIONMAP_H
