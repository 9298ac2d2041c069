// Which row of the batch each live hypothesis takes after a step. The contract is docs/search.md, S9.
#ifndef FOVEA_RUNTIME_PROGRAM_ROWS_H
#define FOVEA_RUNTIME_PROGRAM_ROWS_H

#include <cstdint>
#include <vector>

namespace fovea::program {

class Rows {
public:
  // `live`: for each hypothesis the row of its parent, of `rows`; it becomes the hypothesis' own. Returns what Session::arrange takes: the row that each row
  // goes on from. The first child of a row stays there, the others take rows that nobody goes on from.
  const std::vector<int32_t> &place(const std::vector<int32_t *> &live, int64_t rows);

private:
  std::vector<int32_t> from;
  std::vector<int32_t *> owner, pending;
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_ROWS_H
