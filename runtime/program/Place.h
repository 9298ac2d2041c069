// Where the tensors of a model's stages live: in the host's memory, or in a device's, which only the device's own functions reach.
#ifndef FOVEA_RUNTIME_PROGRAM_PLACE_H
#define FOVEA_RUNTIME_PROGRAM_PLACE_H

#include "runtime/program/Buffer.h"
#include "runtime/program/table.h"

#include <cstdint>

namespace fovea::program {

// `data` is what a memref's pointers hold, wherever it lives. Every function throws Error, with the device's own sentence, when it fails.
class Place {
public:
  // `device` and `lastError` are the table's; no device: the host.
  Place(const fovea_device *device, const char *(*lastError)()) : device(device), lastError(lastError) {}

  bool isHost() const { return !device; }
  // Its first `bytes` bytes.
  void write(void *data, const void *from, int64_t bytes) const;
  void read(const void *data, void *to, int64_t bytes) const;
  void clear(void *data, int64_t bytes) const;
  void moveRows(const fovea_rows &rows) const;
  // Until all that was begun is done; `data` is any tensor of this place.
  void wait(void *data) const;

private:
  friend class Storage;
  const fovea_device *device;
  const char *(*lastError)();
  void must(int32_t status) const;
};

// Memory for one tensor, at its place: uninitialised, never null, and kept when a smaller one will do.
class Storage {
public:
  explicit Storage(const Place &place) : place(&place) {}
  Storage(Storage &&other) noexcept
      : place(other.place), buffer(std::move(other.buffer)), memory(std::exchange(other.memory, nullptr)), capacity(std::exchange(other.capacity, 0)) {}
  Storage &operator=(Storage &&other) noexcept {
    std::swap(place, other.place);
    std::swap(buffer, other.buffer);
    std::swap(memory, other.memory);
    std::swap(capacity, other.capacity);
    return *this;
  }
  ~Storage() { release(); }

  // What was stored is lost if it grows. Throws std::bad_alloc or Error.
  void reserve(int64_t bytes);
  void *data() const { return place->isHost() ? buffer.data() : memory; }

private:
  const Place *place;
  Buffer buffer;              // the host's
  void *memory = nullptr;     // the device's
  int64_t capacity = 0;

  void release();
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_PLACE_H
