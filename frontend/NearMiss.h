// The end of a message about something unknown: what may have been meant.
#ifndef FOVEA_FRONTEND_NEARMISS_H
#define FOVEA_FRONTEND_NEARMISS_H

#include <string>
#include <string_view>
#include <vector>

namespace fovea {

// ", did you mean `softmax`?" where a candidate is near, or what hints.def has for the name, as "; the mean is `mean[j](x)`"; or nothing.
std::string nearMiss(std::string_view name, const std::vector<std::string_view> &candidates);

// "; `and` joins two conditions" for `&`; a character beyond ASCII always has one.
std::string characterHint(std::string_view character);

// ", did you mean `f32`?" for `float`, else the list of types.
std::string typeHint(std::string_view name);

}  // namespace fovea

#endif  // FOVEA_FRONTEND_NEARMISS_H
