// The vocabularies that travel inside a program.
#ifndef FOVEA_TOOLS_VOCABULARIES_H
#define FOVEA_TOOLS_VOCABULARIES_H

#include <cstdint>
#include <optional>
#include <string>

namespace fovea {

// A checkpoint's vocabulary, an object of JSON that gives each token its number, as one token a line. Numbers that no token has get names of their
// own. `scored`, if not 0, is how many the model scores: there are as many lines. Nullopt with a message in `error` for anything else.
std::optional<std::string> vocabularyFromJson(const std::string &path, const std::string &content, int64_t scored, std::string &error);

}  // namespace fovea

#endif  // FOVEA_TOOLS_VOCABULARIES_H
