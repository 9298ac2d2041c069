// Memory for one tensor: 64-byte aligned, uninitialised, never null, and kept when a smaller one will do; what is large lies on huge pages.
#ifndef FOVEA_RUNTIME_PROGRAM_BUFFER_H
#define FOVEA_RUNTIME_PROGRAM_BUFFER_H

#include <cstddef>
#include <new>
#include <sys/mman.h>
#include <utility>

namespace fovea::program {

class Buffer {
public:
  Buffer() = default;
  explicit Buffer(size_t bytes) { reserve(bytes); }
  Buffer(Buffer &&other) noexcept : memory(std::exchange(other.memory, nullptr)), capacity(std::exchange(other.capacity, 0)) {}
  Buffer &operator=(Buffer &&other) noexcept {
    std::swap(memory, other.memory);
    std::swap(capacity, other.capacity);
    return *this;
  }
  ~Buffer() { release(); }

  // What was stored is lost if it grows. Throws std::bad_alloc.
  void reserve(size_t bytes) {
    if (memory && bytes <= capacity)
      return;
    release();
    if (bytes > ~size_t(0) / 2)
      throw std::bad_alloc();
    capacity = bytes;
    memory = ::operator new(bytes + alignment, alignmentOf());
    if (bytes >= large)
      madvise(memory, bytes, MADV_HUGEPAGE);
  }

  void *data() const { return memory; }
  size_t bytes() const { return capacity; }

private:
  static constexpr size_t alignment = 64, hugePage = size_t(2) << 20, large = 2 * hugePage;
  std::align_val_t alignmentOf() const { return std::align_val_t(capacity >= large ? hugePage : alignment); }
  void *memory = nullptr;
  size_t capacity = 0;

  void release() {
    if (memory)
      ::operator delete(memory, alignmentOf());
    memory = nullptr;
    capacity = 0;
  }
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_BUFFER_H
