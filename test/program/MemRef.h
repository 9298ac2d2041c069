// A stage's tensor argument as C++ sees it.
#ifndef FOVEA_TEST_PROGRAM_MEMREF_H
#define FOVEA_TEST_PROGRAM_MEMREF_H

#include <cstdint>

template <class T, int rank> struct MemRef {
  T *allocated, *aligned;
  int64_t offset, sizes[rank], strides[rank];

  template <class... Index> T &operator()(Index... index) {
    int64_t at = offset, axis = 0;
    ((at += int64_t(index) * strides[axis++]), ...);
    return aligned[at];
  }
};

template <class T, int rank> MemRef<T, rank> &tensor(void *argument) { return *static_cast<MemRef<T, rank> *>(argument); }

#endif  // FOVEA_TEST_PROGRAM_MEMREF_H
