// Cutting a batch into groups of like length, so that less is computed for tokens that are none.
#ifndef FOVEA_RUNTIME_PROGRAM_PADDING_H
#define FOVEA_RUNTIME_PROGRAM_PADDING_H

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fovea::program {

// What another group costs, in tokens: the weights are read once more, and products have fewer rows.
constexpr int64_t tokensPerGroup = 16;

// Ends of groups of neighbours, the last one lengths.size(), whose padded tokens and `tokensPerGroup` a group are the least together. Lengths should be
// sorted, either way: neighbours of more than 512 runs of equal lengths stay one group.
std::vector<std::size_t> groupsByLength(const std::vector<int64_t> &lengths);

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_PADDING_H
