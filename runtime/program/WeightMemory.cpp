#include "runtime/program/WeightMemory.h"

#include <algorithm>
#include <cstdint>
#include <new>
#include <sys/mman.h>

namespace fovea::program {

namespace {

constexpr size_t alignment = 64, hugePage = size_t(2) << 20, leastPiece = size_t(64) << 20;  // what is not written to takes no memory

}  // namespace

WeightMemory::~WeightMemory() {
  for (auto [piece, bytes] : pieces)
    munmap(piece, bytes);
}

void *WeightMemory::take(size_t bytes) {
  if (bytes > ~size_t(0) / 2)
    throw std::bad_alloc();
  bytes = (std::max<size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  if (bytes > left) {
    const size_t size = std::max(bytes, leastPiece) + hugePage;
    void *piece = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (piece == MAP_FAILED)
      throw std::bad_alloc();
    pieces.emplace_back(piece, size);
    const size_t skipped = (hugePage - reinterpret_cast<uintptr_t>(piece) % hugePage) % hugePage;
    next = static_cast<char *>(piece) + skipped;
    left = size - skipped;
    madvise(next, left, MADV_HUGEPAGE);
  }
  left -= bytes;
  return std::exchange(next, next + bytes);
}

}  // namespace fovea::program
