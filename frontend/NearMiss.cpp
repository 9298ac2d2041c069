#include "frontend/NearMiss.h"

#include <algorithm>

namespace fovea {

// Edit distance, up to `most`.
static unsigned distance(std::string_view a, std::string_view c, unsigned most) {
  if (a.size() > c.size() + most || c.size() > a.size() + most || a.size() > 60) return most + 1;
  std::vector<unsigned> row(c.size() + 1);
  for (unsigned k = 0; k <= c.size(); ++k) row[k] = k;
  for (unsigned i = 1; i <= a.size(); ++i) {
    unsigned corner = row[0];
    row[0] = i;
    for (unsigned k = 1; k <= c.size(); ++k) {
      unsigned next = std::min({row[k] + 1, row[k - 1] + 1, corner + (a[i - 1] != c[k - 1])});
      corner = row[k];
      row[k] = next;
    }
  }
  return row[c.size()];
}

std::string nearMiss(std::string_view name, const std::vector<std::string_view> &candidates) {
  unsigned best = name.size() <= 2 ? 0 : name.size() <= 4 ? 1 : 2;
  std::string_view found;
  for (std::string_view candidate : candidates) {
    unsigned d = distance(name, candidate, best);
    // Among equally near ones the first in the alphabet: the order of candidates is not fixed.
    if (candidate != name && d <= best && (found.empty() || d < best || candidate < found)) best = d, found = candidate;
  }
  return found.empty() ? "" : ", did you mean `" + std::string(found) + "`?";
}

}  // namespace fovea
