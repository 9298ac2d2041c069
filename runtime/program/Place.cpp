#include "runtime/program/Place.h"

#include "runtime/program/Error.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace fovea::program {

void Place::must(int32_t status) const {
  if (status == 0)
    return;
  const char *sentence = lastError ? lastError() : nullptr;
  throw Error(sentence && *sentence ? sentence : "the device failed: status " + std::to_string(status));
}

void Place::write(void *data, const void *from, int64_t bytes) const {
  if (device)
    must(device->write(data, 0, from, bytes));
  else if (bytes > 0)
    std::memcpy(data, from, size_t(bytes));
}

void Place::read(const void *data, void *to, int64_t bytes) const {
  if (device)
    must(device->read(data, 0, to, bytes));
  else if (bytes > 0)
    std::memcpy(to, data, size_t(bytes));
}

void Place::clear(void *data, int64_t bytes) const {
  if (!device) {
    std::memset(data, 0, size_t(bytes));
    return;
  }
  const std::vector<char> zeros(size_t(std::min<int64_t>(bytes, 1 << 20)));
  for (int64_t at = 0; at < bytes; at += int64_t(zeros.size()))
    must(device->write(data, at, zeros.data(), std::min<int64_t>(bytes - at, int64_t(zeros.size()))));
}

void Place::moveRows(const fovea_rows &rows) const {
  if (rows.count == 0)
    return;
  if (device) {
    must(device->move_rows(&rows));
    return;
  }
  for (int64_t row = 0; row < rows.count; ++row) {
    char *to = static_cast<char *>(rows.to) + rows.to_at + rows.pairs[row][0] * rows.to_row;
    const char *from = static_cast<const char *>(rows.from) + rows.from_at + rows.pairs[row][1] * rows.from_row;
    for (int64_t place = 0; place < rows.outer; ++place)
      std::memcpy(to + place * rows.to_outer, from + place * rows.from_outer, size_t(rows.chunk));
  }
}

void Place::wait(void *data) const {
  if (device)
    must(device->wait(data));
}

void Storage::release() {
  if (memory)
    place->device->give(memory);
  memory = nullptr;
  capacity = 0;
}

void Storage::reserve(int64_t bytes) {
  if (place->isHost()) {
    buffer.reserve(size_t(bytes));
    return;
  }
  if (memory && bytes <= capacity)
    return;
  release();
  place->must(place->device->take(bytes, &memory));
  capacity = bytes;
}

}  // namespace fovea::program
