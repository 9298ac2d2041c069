// The vocabularies that travel inside a program.
#ifndef FOVEA_TOOLS_VOCABULARIES_H
#define FOVEA_TOOLS_VOCABULARIES_H

#include "frontend/Core.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fovea {

struct VocabularyFile {
  std::string name, bytes;
};

// The files with which `model` reads and writes text, each once, as they travel inside its program: looked for beside the weights, then beside the model at
// `path`. Of several vocabularies the first that is there remains in `model`. `scored`: the tokens that the model scores; 0: unknown. Nullopt with a message in
// `error` for a file that is missing or is not what it should be.
std::optional<std::vector<VocabularyFile>> vocabularyFiles(core::Model &model, const std::string &path, const std::string &weights, int64_t scored, std::string &error);

// What the program would say of these files when it starts: false, with a message in `error`, where they do not fit the model.
bool checkVocabularies(const core::Model &model, const std::vector<VocabularyFile> &files, int64_t scored, std::string &error);

// A checkpoint's vocabulary, an object of JSON that gives each token its number, as one token a line. Numbers that no token has get names of their
// own. `scored`, if not 0, is how many the model scores: there are as many lines. Nullopt with a message in `error` for anything else.
std::optional<std::string> vocabularyFromJson(const std::string &path, const std::string &content, int64_t scored, std::string &error);

}  // namespace fovea

#endif  // FOVEA_TOOLS_VOCABULARIES_H
