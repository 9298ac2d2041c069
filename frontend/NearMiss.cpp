#include "frontend/NearMiss.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace fovea {

namespace {

struct Hint {
  std::string_view what, hint;
};
const Hint characters[] = {
#define CHARACTER(what, hint) {what, hint},
#define TYPE(name, type)
#define NAME(name, hint)
#include "frontend/hints.def"
#undef CHARACTER
#undef TYPE
#undef NAME
};
const Hint typeNames[] = {
#define CHARACTER(what, hint)
#define TYPE(name, type) {name, type},
#define NAME(name, hint)
#include "frontend/hints.def"
#undef CHARACTER
#undef TYPE
#undef NAME
};
const Hint names[] = {
#define CHARACTER(what, hint)
#define TYPE(name, type)
#define NAME(name, hint) {name, hint},
#include "frontend/hints.def"
#undef CHARACTER
#undef TYPE
#undef NAME
};

template <size_t n>
std::string_view find(const Hint (&hints)[n], std::string_view what) {
  for (const Hint &hint : hints)
    if (hint.what == what) return hint.hint;
  return {};
}

// Edits that lead from a to c, up to `most`; two neighbours that change places are one. Capitals do not count.
unsigned distance(std::string_view a, std::string_view c, unsigned most) {
  if (a.size() > c.size() + most || c.size() > a.size() + most || a.size() > 60) return most + 1;
  auto same = [&](size_t i, size_t k) { return std::tolower(static_cast<unsigned char>(a[i])) == std::tolower(static_cast<unsigned char>(c[k])); };
  std::vector<unsigned> two, one(c.size() + 1), row(c.size() + 1);
  for (unsigned k = 0; k <= c.size(); ++k) row[k] = k;
  for (unsigned i = 1; i <= a.size(); ++i) {
    two = std::exchange(one, row);
    row[0] = i;
    for (unsigned k = 1; k <= c.size(); ++k) {
      row[k] = std::min({one[k] + 1, row[k - 1] + 1, one[k - 1] + !same(i - 1, k - 1)});
      if (i > 1 && k > 1 && same(i - 1, k - 2) && same(i - 2, k - 1)) row[k] = std::min(row[k], two[k - 2] + 1);
    }
  }
  return row[c.size()];
}

std::string_view nearest(std::string_view name, const std::vector<std::string_view> &candidates) {
  unsigned best = name.size() <= 2 ? 0 : name.size() <= 4 ? 1 : 2;
  std::string_view found;
  for (std::string_view candidate : candidates) {
    unsigned d = distance(name, candidate, best);
    // Among equally near ones the first in the alphabet: the order of candidates is not fixed.
    if (candidate != name && d <= best && (found.empty() || d < best || candidate < found)) best = d, found = candidate;
  }
  return found;
}

std::string didYouMean(std::string_view name) { return ", did you mean `" + std::string(name) + "`?"; }

}  // namespace

std::string nearMiss(std::string_view name, const std::vector<std::string_view> &candidates) {
  std::string_view hint = find(names, name);
  if (!hint.empty()) return "; " + std::string(hint);
  std::string_view found = nearest(name, candidates);
  return found.empty() ? "" : didYouMean(found);
}

std::string characterHint(std::string_view character) {
  std::string_view hint = find(characters, character);
  if (hint.empty() && character.size() > 1) hint = "outside of comments and strings a file is ASCII";
  return hint.empty() ? "" : "; " + std::string(hint);
}

std::string typeHint(std::string_view name) {
  std::string_view type = find(typeNames, name);
  if (type.empty()) type = nearest(name, {"f32", "f16", "bf16", "i32", "i8", "u8", "bool"});
  return type.empty() ? "; types are f32, f16, bf16, i32, i8, u8 and bool" : didYouMean(type);
}

}  // namespace fovea
