#include "tools/Vocabularies.h"

#include "lowering/program/ProgramTable.h"
#include "runtime/program/Error.h"
#include "runtime/program/Vocabulary.h"
#include "runtime/support/File.h"
#include "runtime/support/Json.h"
#include "runtime/support/Text.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <map>

namespace fovea {

namespace fs = std::filesystem;

// A checkpoint's own files go before those beside the model.
static std::string placeOf(const std::string &name, const std::string &path, const std::string &weights) {
  std::error_code ignored;
  const fs::path beside = fs::path(weights).parent_path() / name;
  return !weights.empty() && fs::exists(beside, ignored) ? beside.string() : (fs::path(path).parent_path() / name).string();
}

std::optional<std::vector<VocabularyFile>> vocabularyFiles(core::Model &model, const std::string &path, const std::string &weights, int64_t scored, std::string &error) {
  std::vector<VocabularyFile> files;
  for (core::TextFormat *format : {&model.reads, &model.writes}) {
    std::error_code ignored;
    auto found = std::find_if(format->vocabularies.begin(), format->vocabularies.end(), [&](const std::string &name) { return fs::exists(placeOf(name, path, weights), ignored); });
    if (!format->vocabularies.empty()) format->vocabularies = {found == format->vocabularies.end() ? format->vocabularies.back() : *found};
  }
  auto add = [&](const std::string &name, bool isVocabulary) {
    if (name.empty() || std::any_of(files.begin(), files.end(), [&](const VocabularyFile &file) { return file.name == name; })) return true;
    const std::string place = placeOf(name, path, weights);
    auto content = readFile(place, error);
    const bool written = !model.writes.vocabularies.empty() && name == model.writes.vocabularies[0];
    if (content && isVocabulary && fs::path(name).extension() == ".json") content = vocabularyFromJson(place, *content, written ? scored : 0, error);
    if (content) files.push_back({name, std::move(*content)});
    return content.has_value();
  };
  for (const core::TextFormat *format : {&model.reads, &model.writes})
    if (!add(format->pieces, false) || (!format->vocabularies.empty() && !add(format->vocabularies[0], true))) return std::nullopt;
  return files;
}

bool checkVocabularies(const core::Model &model, const std::vector<VocabularyFile> &files, int64_t scored, std::string &error) {
  try {
    program::TableParts parts;
    parts.scored = scored;
    auto [reads, writes] = program::readFormats(program::programTable(model, parts));
    for (auto [format, isInput] : {std::pair{&reads, true}, {&writes, false}}) {
      auto file = [&](const std::string &name) {
        auto found = std::find_if(files.begin(), files.end(), [&](const VocabularyFile &file) { return file.name == name; });
        return program::File{name, found == files.end() ? std::string_view() : found->bytes};
      };
      const program::File pieces = file(format->pieces);
      const program::Vocabulary vocabulary(format->vocabulary.empty() ? pieces : file(format->vocabulary), *format, isInput, &pieces);
      if (!isInput && scored > 0 && vocabulary.size() != scored)
        throw program::Error(fmt::format("vocabulary `{}` has {} tokens, and the model scores {}", format->vocabulary.empty() ? format->pieces : format->vocabulary, vocabulary.size(), scored));
    }
  } catch (const program::Error &wrong) {
    error = wrong.what();
    return false;
  }
  return true;
}

std::optional<std::string> vocabularyFromJson(const std::string &path, const std::string &content, int64_t scored, std::string &error) {
  auto fail = [&](const std::string &sentence) {
    error = path + ": " + sentence;
    return std::nullopt;
  };
  size_t byte = 0;
  const auto object = shallowObject(content, byte);
  if (!object && byte > 0) return fail(fmt::format("this is not JSON (byte {})", byte));
  if (!object || object->empty()) return fail("a vocabulary in JSON is an object that gives each token its number");
  const nlohmann::json &root = *object;
  constexpr uint64_t most = 10'000'000;
  std::map<uint64_t, const std::string *> tokens;
  for (auto entry = root.begin(); entry != root.end(); ++entry) {
    const std::string &token = entry.key();
    if (!entry->is_number_unsigned() || entry->get<uint64_t>() >= most) return fail(fmt::format("token {} has no number from 0 to {}", quote(token), most - 1));
    auto [other, fresh] = tokens.emplace(entry->get<uint64_t>(), &token);
    if (!fresh) return fail(fmt::format("tokens {} and {} have one number, {}", quote(*other->second), quote(token), other->first));
    if (token.empty() || token.find('\n') != std::string::npos || token.back() == '\r') return fail(fmt::format("token {} is empty or ends a line", other->first));
  }
  std::string lines;
  const uint64_t count = scored > 0 ? static_cast<uint64_t>(scored) : tokens.rbegin()->first + 1;
  for (uint64_t number = 0; number < count; ++number) {
    auto token = tokens.find(number);
    std::string unused = fmt::format("<unused {}>", number);
    if (token == tokens.end() && root.contains(unused)) return fail(fmt::format("token {} is the name of number {}, which no token has", quote(unused), number));
    lines += (token == tokens.end() ? unused : *token->second) + "\n";
  }
  return lines;
}

}  // namespace fovea
