// Byte-level byte-pair encoding as GPT-2's and BART's (Sennrich et al. 2016; Radford et al. 2019): text is cut into words, numbers and signs with the blank before
// them, the bytes of each are written as one visible character a byte, and pairs of pieces are merged, first those that come first in the file of merges.
#include "runtime/program/Error.h"
#include "runtime/program/Pieces.h"
#include "runtime/support/Text.h"

#include <array>
#include <deque>
#include <queue>
#include <tuple>
#include <unordered_map>
#include <utf8proc.h>

namespace fovea::program {

namespace {

enum class Class : uint8_t { Letter, Number, Blank, Sign };

Class classOf(int32_t c) {
  // White_Space of Unicode; U+0085 and the tab are control characters there.
  if ((c >= 9 && c <= 13) || c == 0x85)
    return Class::Blank;
  switch (utf8proc_category(c)) {
  case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT: case UTF8PROC_CATEGORY_LM: case UTF8PROC_CATEGORY_LO: return Class::Letter;
  case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_NO: return Class::Number;
  case UTF8PROC_CATEGORY_ZS: case UTF8PROC_CATEGORY_ZL: case UTF8PROC_CATEGORY_ZP: return Class::Blank;
  default: return Class::Sign;
  }
}

// The character for a byte: itself where it is visible in Latin 1, else one of those from U+0100 on.
int32_t characterOf(int byte) {
  auto visible = [](int b) { return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF); };
  if (visible(byte))
    return byte;
  int32_t character = 256;
  for (int before = 0; before < byte; ++before)
    character += !visible(before);
  return character;
}

std::string utf8(int32_t c) {
  char bytes[4];
  return {bytes, size_t(utf8proc_encode_char(c, reinterpret_cast<utf8proc_uint8_t *>(bytes)))};
}

// The bytes, at most 3, begin a character that they do not end.
bool beginsCharacter(std::string_view bytes) {
  for (const char *rest : {"\x80\x80\x80", "\x90\x80\x80", "\xA0\x80\x80"})
    for (size_t missing = 1; bytes.size() + missing <= 4; ++missing)
      if (codePointLength(std::string(bytes).append(rest, missing)) == bytes.size() + missing)
        return true;
  return false;
}

class BytePairs : public Pieces {
public:
  explicit BytePairs(std::string_view merges) {
    for (int byte = 0; byte < 256; ++byte) {
      ofByte[size_t(byte)] = number(utf8(characterOf(byte)));
      byteOf.emplace(characterOf(byte), char(byte));
    }
    for (size_t line = 1; !merges.empty(); ++line) {
      const size_t end = merges.find('\n');
      std::string_view pair = merges.substr(0, end);
      merges.remove_prefix(end == std::string_view::npos ? merges.size() : end + 1);
      if (!pair.empty() && pair.back() == '\r')
        pair.remove_suffix(1);
      if (pair.empty() || (line == 1 && pair.starts_with("#version")))
        continue;
      const size_t space = pair.find(' ');
      if (space == std::string_view::npos || space == 0 || space + 1 == pair.size() || pair.find(' ', space + 1) != std::string_view::npos)
        throw Error("line " + std::to_string(line) + " is not two pieces with a space between");
      const int32_t left = number(std::string(pair.substr(0, space))), right = number(std::string(pair.substr(space + 1)));
      const auto rank = int32_t(ranks.size());
      ranks.emplace(key(left, right), Merge{rank, number(texts[size_t(left)] + texts[size_t(right)])});
    }
  }

  std::vector<Piece> cut(std::string_view text) const override {
    std::vector<Piece> pieces;
    std::vector<int32_t> units;
    for (size_t at = 0; at < text.size();) {
      const size_t end = wordEnd(text, at);
      units.clear();
      for (; at < end; ++at)
        units.push_back(ofByte[uint8_t(text[at])]);
      merge(units);
      for (int32_t unit : units)
        pieces.push_back({texts[size_t(unit)], -1});
    }
    return pieces;
  }

  std::string join(const std::vector<std::string_view> &pieces, bool more) const override {
    std::string bytes;
    for (std::string_view piece : pieces)
      while (!piece.empty()) {
        const size_t length = std::max<size_t>(1, codePointLength(piece));
        utf8proc_int32_t c = -1;
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t *>(piece.data()), utf8proc_ssize_t(length), &c);
        if (auto byte = byteOf.find(c); byte != byteOf.end())
          bytes += byte->second;
        else
          bytes += piece.substr(0, length);
        piece.remove_prefix(length);
      }
    // Bytes that make no character become U+FFFD, one for each longest beginning of a character, as everywhere.
    std::string text;
    for (std::string_view rest = bytes; !rest.empty();) {
      size_t length = codePointLength(rest);
      if (length > 0) {
        text += rest.substr(0, length);
      } else {
        for (length = std::min<size_t>(3, rest.size()); length > 1 && !beginsCharacter(rest.substr(0, length)); --length) {}
        if (more && length == rest.size() && beginsCharacter(rest))
          break;
        text += "\xEF\xBF\xBD";
      }
      rest.remove_prefix(length);
    }
    return text;
  }

private:
  struct Merge {
    int32_t rank, result;
  };
  std::deque<std::string> texts;                        // of pieces, by number
  std::unordered_map<std::string_view, int32_t> numbers;
  std::array<int32_t, 256> ofByte{};
  std::unordered_map<int32_t, char> byteOf;             // by character
  std::unordered_map<uint64_t, Merge> ranks;

  static uint64_t key(int32_t left, int32_t right) { return uint64_t(uint32_t(left)) << 32 | uint32_t(right); }

  int32_t number(const std::string &text) {
    auto found = numbers.find(text);
    if (found != numbers.end())
      return found->second;
    const auto fresh = int32_t(texts.size());
    numbers.emplace(texts.emplace_back(text), fresh);
    return fresh;
  }

  // GPT-2's expression  's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  static size_t wordEnd(std::string_view text, size_t begin) {
    auto at = [&](size_t place, size_t &length) {
      utf8proc_int32_t c = 0;
      length = codePointLength(text.substr(place));
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t *>(text.data() + place), utf8proc_ssize_t(length), &c);
      return classOf(c);
    };
    for (std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
      if (text.substr(begin).starts_with(ending))
        return begin + ending.size();
    size_t length = 0, place = begin, last = begin;
    const size_t word = begin + (text[begin] == ' ' && begin + 1 < text.size());
    if (Class kind = at(word, length); kind != Class::Blank) {
      for (place = word; place < text.size() && at(place, length) == kind;)
        place += length;
      return place;
    }
    for (; place < text.size() && at(place, length) == Class::Blank; place += length)
      last = place;
    // Before something else, the last blank is left to it, unless it is the only one.
    return place < text.size() && last > begin ? last : place;
  }

  // Merges neighbours, of all pairs the first of the file, of equals the leftmost, until there is none.
  void merge(std::vector<int32_t> &units) const {
    const auto count = int32_t(units.size());
    std::vector<int32_t> next(units.size()), before(units.size());
    using Candidate = std::tuple<int32_t, int32_t, int32_t, int32_t>;   // rank, place, left, right
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> open;
    auto offer = [&](int32_t left) {
      const int32_t right = left >= 0 ? next[size_t(left)] : count;
      if (right >= count)
        return;
      auto found = ranks.find(key(units[size_t(left)], units[size_t(right)]));
      if (found != ranks.end())
        open.emplace(found->second.rank, left, units[size_t(left)], units[size_t(right)]);
    };
    for (int32_t at = 0; at < count; ++at) {
      next[size_t(at)] = at + 1;
      before[size_t(at)] = at - 1;
    }
    for (int32_t at = 0; at < count; ++at)
      offer(at);
    while (!open.empty()) {
      const auto [rank, left, one, other] = open.top();
      open.pop();
      const int32_t right = next[size_t(left)];
      if (units[size_t(left)] != one || right >= count || units[size_t(right)] != other)
        continue;
      units[size_t(left)] = ranks.at(key(one, other)).result;
      units[size_t(right)] = -1;
      next[size_t(left)] = next[size_t(right)];
      if (next[size_t(left)] < count)
        before[size_t(next[size_t(left)])] = left;
      offer(left);
      offer(before[size_t(left)]);
    }
    std::erase(units, -1);
  }
};

}  // namespace

std::unique_ptr<Pieces> openBytePairs(std::string_view bytes) { return std::make_unique<BytePairs>(bytes); }

}  // namespace fovea::program
