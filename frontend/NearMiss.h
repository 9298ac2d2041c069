// "did you mean": the name nearest to a misspelt one.
#ifndef FOVEA_FRONTEND_NEARMISS_H
#define FOVEA_FRONTEND_NEARMISS_H

#include <string>
#include <string_view>
#include <vector>

namespace fovea {

// ", did you mean `softmax`?", or nothing when no candidate is near.
std::string nearMiss(std::string_view name, const std::vector<std::string_view> &candidates);

}  // namespace fovea

#endif  // FOVEA_FRONTEND_NEARMISS_H
