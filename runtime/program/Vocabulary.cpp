#include "runtime/program/Vocabulary.h"

#include "runtime/program/Error.h"
#include "runtime/support/Text.h"

#include <algorithm>

namespace fovea::program {

Vocabulary::Vocabulary(const File &file, const TextFormat &format, bool reads) : unit(format.unit) {
  auto fail = [&](const std::string &sentence) { return Error("vocabulary `" + file.name + "`: " + sentence); };
  std::string_view rest = file.bytes;
  while (!rest.empty()) {
    size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (!line.empty() && line.back() == '\r')
      line.remove_suffix(1);
    std::string number = std::to_string(tokens.size() + 1);
    if (line.empty())
      throw fail("line " + number + " is empty");
    for (std::string_view tail = line; !tail.empty();) {
      size_t length = codePointLength(tail);
      if (length == 0)
        throw fail("line " + number + " is not UTF-8");
      tail.remove_prefix(length);
    }
    auto [known, isNew] = ids.emplace(line, int32_t(tokens.size()));
    if (!isNew)
      throw fail("line " + number + " repeats " + quote(line) + " of line " + std::to_string(known->second + 1));
    tokens.push_back(line);
  }
  if (tokens.empty())
    throw fail("it is empty");
  auto special = [&](const std::string &token, int64_t number, const char *what) {
    if (number >= size())
      throw fail("the " + std::string(what) + " token is number " + std::to_string(number) + ", and there are " + std::to_string(size()));
    if (number >= 0)
      return int32_t(number);
    if (token.empty())
      return int32_t(-1);
    int32_t id = idOf(token);
    if (id < 0)
      throw fail("the " + std::string(what) + " token " + quote(token) + " is not in it");
    return id;
  };
  startId = special(format.start, format.startId, "start");
  endId = special(format.end, format.endId, "end");
  unknownId = special(format.unknown, -1, "unknown");
  if (reads && format.atMost > 0)
    longest = std::max<int64_t>(0, format.atMost - (startId >= 0) - (endId >= 0));
}

int32_t Vocabulary::idOf(std::string_view token) const {
  auto found = ids.find(token);
  return found == ids.end() ? -1 : found->second;
}

std::string Vocabulary::text(int32_t id) const {
  return id >= 0 && id < size() ? std::string(tokens[size_t(id)]) : "<" + std::to_string(id) + ">";
}

void Vocabulary::encode(std::string_view line, int64_t most, std::vector<int32_t> &result) const {
  int64_t count = 0;
  auto add = [&](std::string_view token) {
    if (++count > longest)
      throw Error("the line has more than " + std::to_string(longest) + " tokens, the most that this model reads");
    if (count > most)
      throw Error("the line has more than " + std::to_string(most) + " tokens; --max-input sets the limit");
    int32_t id = idOf(token);
    if (id < 0 || id == startId || id == endId)
      id = unknownId;
    if (id < 0)
      throw Error(std::string("the ") + (unit == TextFormat::Words ? "word" : "character") + " " + quote(token) + " is not in the vocabulary");
    result.push_back(id);
  };
  auto step = [&](std::string_view tail) {
    size_t length = codePointLength(tail);
    if (length == 0)
      throw Error("the line is not UTF-8 (byte " + std::to_string(tail.data() - line.data() + 1) + ")");
    return length;
  };
  size_t at = 0;
  if (unit == TextFormat::Characters) {
    while (at < line.size()) {
      size_t length = step(line.substr(at));
      add(line.substr(at, length));
      at += length;
    }
    return;
  }
  auto space = [&](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; };
  while (at < line.size()) {
    if (space(line[at])) {
      ++at;
      continue;
    }
    size_t begin = at;
    while (at < line.size() && !space(line[at]))
      at += step(line.substr(at));
    add(line.substr(begin, at - begin));
  }
}

std::string Vocabulary::decode(const std::vector<int32_t> &result) const {
  std::string text;
  for (int32_t id : result) {
    if (unit == TextFormat::Words && !text.empty())
      text += ' ';
    text += this->text(id);
  }
  return text;
}

}  // namespace fovea::program
