#include "runtime/program/Rows.h"

#include <cstddef>

namespace fovea::program {

const std::vector<int32_t> &Rows::place(const std::vector<int32_t *> &live, int64_t rows) {
  const int64_t alive = int64_t(live.size());
  from.resize(size_t(rows));
  owner.assign(size_t(rows), nullptr);
  pending.clear();
  for (int64_t row = 0; row < rows; ++row)
    from[size_t(row)] = int32_t(row);
  for (int32_t *row : live) {
    int32_t *&place = owner[size_t(*row)];
    if (place)
      pending.push_back(row);
    else
      place = row;
  }
  size_t hole = 0;
  for (int32_t *row : pending) {
    while (hole < owner.size() && owner[hole])
      ++hole;
    if (hole == owner.size()) {
      owner.push_back(nullptr);
      from.push_back(0);
    }
    owner[hole] = row;
    from[hole] = *row;
    *row = int32_t(hole);
  }
  // Rows without an owner are carried along until moving the others together pays.
  if (alive * 4 < int64_t(owner.size()) * 3) {
    size_t tail = owner.size();
    for (size_t row = 0; int64_t(row) < alive; ++row) {
      if (owner[row])
        continue;
      do
        --tail;
      while (!owner[tail]);
      owner[row] = owner[tail];
      *owner[row] = int32_t(row);
      from[row] = from[tail];
    }
    owner.resize(size_t(alive));
    from.resize(size_t(alive));
  }
  return from;
}

}  // namespace fovea::program
