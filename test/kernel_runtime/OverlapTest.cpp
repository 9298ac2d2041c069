// Overlap of strided tensors, against a list of all bytes.
#include <algorithm>
#include <cstdint>
#include <gtest/gtest.h>
#include <random>
#include <set>

extern "C" int fovea_may_overlap(const int64_t *a, int a_rank, int64_t a_size, const int64_t *b, int b_rank, int64_t b_size);
extern "C" int fovea_repeats(const int64_t *memref, int rank);

namespace {

struct Layout {
  int64_t size;
  std::vector<int64_t> memref;   // allocated, aligned, offset, sizes, strides
  int rank() const { return static_cast<int>(memref.size() - 3) / 2; }

  std::multiset<int64_t> bytes() const {
    std::multiset<int64_t> all = {memref[1]};
    for (int k = 0; k < rank(); ++k) {
      std::multiset<int64_t> next;
      for (int64_t base : all)
        for (int64_t x = 0; x < memref[3 + k]; ++x)
          next.insert(base + x * memref[3 + rank() + k] * size);
      all = next;
    }
    std::multiset<int64_t> result;
    for (int64_t base : all)
      for (int64_t n = 0; n < size; ++n)
        result.insert(base + n);
    return result;
  }
};

TEST(Overlap, AgreesWithAListOfAllBytes) {
  std::mt19937 random(7);
  auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  auto make = [&] {
    Layout layout{int64_t(1) << pick(0, 2), {}};
    int rank = pick(0, 3);
    layout.memref = {0, 1000 + pick(0, 60) * layout.size, 0};
    for (int k = 0; k < rank; ++k)
      layout.memref.push_back(pick(1, 4));
    for (int k = 0; k < rank; ++k)
      layout.memref.push_back(pick(-12, 12));
    return layout;
  };
  int overlapping = 0, repeating = 0;
  for (int n = 0; n < 20000; ++n) {
    Layout a = make(), b = make();
    std::multiset<int64_t> inA = a.bytes(), inB = b.bytes();
    bool shared = std::any_of(inA.begin(), inA.end(), [&](int64_t byte) { return inB.count(byte); });
    EXPECT_EQ(fovea_may_overlap(a.memref.data(), a.rank(), a.size, b.memref.data(), b.rank(), b.size), shared);
    overlapping += shared;
    // Never misses a repetition; may take an odd layout for one.
    bool repeats = std::any_of(inA.begin(), inA.end(), [&](int64_t byte) { return inA.count(byte) > 1; });
    EXPECT_TRUE(!repeats || fovea_repeats(a.memref.data(), a.rank()));
    repeating += repeats;
  }
  EXPECT_GT(overlapping, 2000);
  EXPECT_LT(overlapping, 18000);
  EXPECT_GT(repeating, 1000);
}

TEST(Overlap, UsualResultsDoNotRepeat) {
  const int64_t sliced[] = {0, 0, 0, 2, 3, 4, 100, -20, 1};
  EXPECT_FALSE(fovea_repeats(sliced, 3));
  const int64_t heads[] = {0, 0, 0, 2, 8, 5, 64, 5 * 8 * 64, 64, 8 * 64, 1};
  EXPECT_FALSE(fovea_repeats(heads, 4));
}

}  // namespace
