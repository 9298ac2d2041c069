#include "runtime/program/Vocabulary.h"

#include "runtime/program/Error.h"
#include "runtime/support/Text.h"

#include <algorithm>

namespace fovea::program {

namespace {

bool isPieces(TextFormat::Unit unit) { return unit == TextFormat::SentencePiece || unit == TextFormat::BytePairs; }

std::unique_ptr<Pieces> openPieces(const File &file, TextFormat::Unit unit) {
  auto *open = unit == TextFormat::SentencePiece ? openSentencePiece : openBytePairs;
  if (!open)
    throw InternalError("the program lacks what reads `" + file.name + "`");
  try {
    return open(file.bytes);
  } catch (const Error &error) {
    throw Error("pieces `" + file.name + "`: " + error.what());
  }
}

// Length of the character at `at`.
size_t character(std::string_view line, size_t at) {
  size_t length = codePointLength(line.substr(at));
  if (length == 0)
    throw Error("the line is not UTF-8 (byte " + std::to_string(at + 1) + ")");
  return length;
}

}  // namespace

Vocabulary::Vocabulary(const File &file, const TextFormat &format, bool reads, const File *pieceFile) : unit(format.asTokens ? TextFormat::Words : format.unit) {
  auto fail = [&](const std::string &sentence) { return Error("vocabulary `" + file.name + "`: " + sentence); };
  if (isPieces(format.unit))
    pieces = openPieces(pieceFile ? *pieceFile : file, format.unit);
  ownNumbers = pieces && format.vocabulary.empty();
  if (ownNumbers)
    readPieces(format);
  else
    readLines(file);
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
  if (unknownId < 0 && ownNumbers)
    unknownId = pieces->unknown();
  if (isPieces(unit))
    name(format);
  if (reads && format.atMost > 0)
    longest = std::max<int64_t>(0, format.atMost - (startId >= 0) - (endId >= 0));
}

void Vocabulary::readLines(const File &file) {
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
}

// The pieces, tokens that have names of their own behind them, and names for what else the model scores.
void Vocabulary::readPieces(const TextFormat &format) {
  auto add = [&](std::string token) {
    const std::string &kept = made.emplace_back(std::move(token));
    ids.emplace(kept, int32_t(tokens.size()));
    tokens.push_back(kept);
  };
  for (std::string &piece : pieces->all())
    add(std::move(piece));
  for (const std::string &token : format.with)
    if (token.find('*') == std::string::npos && idOf(token) < 0)
      add(token);
  known = tokens.size();
  while (size() < format.tokens)
    add("<unused " + std::to_string(size()) + ">");
}

void Vocabulary::name(const TextFormat &format) {
  auto add = [&](std::string_view token) {
    if (int32_t id = idOf(token); id >= 0 && !token.empty())
      named.emplace(tokens[size_t(id)], id);
  };
  for (const std::string &pattern : format.with) {
    const size_t star = pattern.find('*');
    if (star == std::string::npos) {
      add(pattern);
      continue;
    }
    const std::string_view begin = std::string_view(pattern).substr(0, star), end = std::string_view(pattern).substr(star + 1);
    for (std::string_view token : tokens)
      if (token.size() > begin.size() + end.size() && token.starts_with(begin) && token.ends_with(end))
        add(token);
  }
  for (const auto &[token, id] : named) {
    namedLengths.push_back(token.size());
    namedBegin[uint8_t(token[0])] = true;
  }
  std::sort(namedLengths.begin(), namedLengths.end(), std::greater<>());
  namedLengths.erase(std::unique(namedLengths.begin(), namedLengths.end()), namedLengths.end());
  silent.assign(tokens.size(), false);
  std::fill(silent.begin() + int64_t(std::min(known, silent.size())), silent.end(), true);
  for (int32_t id : {startId, endId})
    if (id >= 0)
      silent[size_t(id)] = true;
  for (const std::string &token : format.without)
    if (int32_t id = idOf(token); id >= 0)
      silent[size_t(id)] = true;
}

int32_t Vocabulary::idOf(std::string_view token) const {
  auto found = ids.find(token);
  return found == ids.end() ? -1 : found->second;
}

std::string Vocabulary::text(int32_t id) const {
  return id >= 0 && id < size() ? std::string(tokens[size_t(id)]) : "<" + std::to_string(id) + ">";
}

// The place of the first token from `from` on that is named, and its number; the line's end without one.
std::pair<size_t, int32_t> Vocabulary::nextNamed(std::string_view line, size_t from) const {
  for (; !named.empty() && from < line.size(); ++from) {
    if (!namedBegin[uint8_t(line[from])])
      continue;
    for (size_t length : namedLengths)
      if (auto found = length <= line.size() - from ? named.find(line.substr(from, length)) : named.end(); found != named.end())
        return {from, found->second};
  }
  return {line.size(), -1};
}

template <typename F>
void Vocabulary::forTokens(std::string_view line, F add) const {
  size_t at = 0;
  if (isPieces(unit)) {
    while (at < line.size())
      at += character(line, at);
    for (at = 0; at < line.size();) {
      const auto [end, token] = nextNamed(line, at);
      // The space before a named token is written with it.
      const size_t before = unit == TextFormat::BytePairs && token >= 0 ? line.find_last_not_of(' ', end - 1) + 1 : end;
      for (const Pieces::Piece &piece : pieces->cut(line.substr(at, end == 0 ? 0 : std::max(at, before) - at)))
        add(piece.text, ownNumbers ? piece.number : -1);
      if (token >= 0)
        add(tokens[size_t(token)], token);
      at = end + (token >= 0 ? tokens[size_t(token)].size() : 0);
    }
    return;
  }
  if (unit == TextFormat::Characters) {
    while (at < line.size()) {
      size_t length = character(line, at);
      add(line.substr(at, length), -1);
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
      at += character(line, at);
    add(line.substr(begin, at - begin), -1);
  }
}

void Vocabulary::encode(std::string_view line, int64_t most, std::vector<int32_t> &result) const {
  int64_t count = 0;
  forTokens(line, [&](std::string_view token, int32_t id) {
    if (++count > longest)
      throw Error("the line has more than " + std::to_string(longest) + " tokens, the most that this model reads");
    if (count > most)
      throw Error("the line has more than " + std::to_string(most) + " tokens; --max-input sets the limit");
    if (id < 0)
      id = idOf(token);
    if (id < 0 || id == startId || id == endId)
      id = unknownId;
    if (id < 0)
      throw Error(std::string("the ") + (unit == TextFormat::Words ? "word " : unit == TextFormat::Characters ? "character " : "piece ") + quote(token) + " is not in the vocabulary");
    result.push_back(id);
  });
}

std::vector<std::string> Vocabulary::cut(std::string_view line) const {
  std::vector<std::string> texts;
  forTokens(line, [&](std::string_view token, int32_t) { texts.emplace_back(token); });
  return texts;
}

std::string Vocabulary::decode(const std::vector<int32_t> &result, const std::vector<std::string> &instead, bool more) const {
  std::string text;
  std::vector<std::string_view> run;           // of pieces
  std::deque<std::string> texts;
  auto put = [&](const std::string &part) { text += (text.empty() || part.empty() ? "" : " ") + part; };
  auto putRun = [&](bool more) {
    if (run.empty())
      return;
    std::string part = pieces->join(run, more);
    std::replace(part.begin(), part.end(), '\n', ' ');    // a result is one line
    unit == TextFormat::BytePairs ? void(text += part) : put(part);
    run.clear();
  };
  for (size_t at = 0; at < result.size(); ++at) {
    const int32_t id = result[at];
    const bool replaced = at < instead.size() && !instead[at].empty();
    const std::string &token = texts.emplace_back(replaced ? instead[at] : this->text(id));
    if (unit == TextFormat::Words) {
      put(token);
    } else if (unit == TextFormat::Characters) {
      text += token;
    } else if (!replaced && named.count(token)) {
      putRun(false);
      put(token);
    } else if (replaced || id < 0 || id >= size() || !silent[size_t(id)]) {
      run.push_back(token);
    }
  }
  putRun(more);
  return text;
}

}  // namespace fovea::program
