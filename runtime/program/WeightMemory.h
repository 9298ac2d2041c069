// Where weights that are laid out anew live: one after the other in large pieces of memory, on huge pages where the system has them. A step reads
// all weights once, and on pages of 4 KiB the misses of address translation cost a third of the memory's bandwidth (measured: 10.8 and 16.1 GB/s).
#ifndef FOVEA_RUNTIME_PROGRAM_WEIGHTMEMORY_H
#define FOVEA_RUNTIME_PROGRAM_WEIGHTMEMORY_H

#include <cstddef>
#include <utility>
#include <vector>

namespace fovea::program {

class WeightMemory {
public:
  WeightMemory() = default;
  ~WeightMemory();
  WeightMemory(const WeightMemory &) = delete;
  WeightMemory &operator=(const WeightMemory &) = delete;

  // 64-byte aligned, zero, valid while this lives; never null. Throws std::bad_alloc.
  void *take(size_t bytes);

private:
  std::vector<std::pair<void *, size_t>> pieces;
  char *next = nullptr;
  size_t left = 0;
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_WEIGHTMEMORY_H
