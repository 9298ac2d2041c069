#include "runtime/program/Padding.h"

#include <algorithm>

namespace fovea::program {

std::vector<size_t> groupsByLength(const std::vector<int64_t> &lengths) {
  constexpr size_t mostRuns = 512;
  std::vector<size_t> ends;  // of runs of equal lengths: groups end nowhere else
  for (size_t at = 1; at <= lengths.size(); ++at)
    if (at == lengths.size() || lengths[at] != lengths[at - 1])
      ends.push_back(at);
  if (ends.size() > mostRuns)
    return {lengths.size()};
  // best[n]: the least for the first n runs; first[n]: where their last group begins.
  std::vector<int64_t> best(ends.size() + 1, 0);
  std::vector<size_t> first(ends.size() + 1, 0);
  for (size_t last = 1; last <= ends.size(); ++last) {
    int64_t longest = 0;
    best[last] = -1;
    for (size_t begin = last; begin-- > 0;) {
      longest = std::max(longest, lengths[ends[begin] - 1]);
      const int64_t lines = int64_t(ends[last - 1] - (begin ? ends[begin - 1] : 0)), total = best[begin] + lines * longest + tokensPerGroup;
      if (best[last] < 0 || total < best[last]) {
        best[last] = total;
        first[last] = begin;
      }
    }
  }
  std::vector<size_t> groups;
  for (size_t last = ends.size(); last > 0; last = first[last])
    groups.push_back(ends[last - 1]);
  std::reverse(groups.begin(), groups.end());
  return groups;
}

}  // namespace fovea::program
