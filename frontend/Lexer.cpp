#include "frontend/Lexer.h"
#include "frontend/NearMiss.h"

#include <cctype>
#include <charconv>
#include <cmath>
#include <cstring>
#include <unordered_map>

namespace fovea {

namespace {

struct Spelled {
  TokenKind kind;
  std::string_view text;
};
const Spelled keywords[] = {
#define KEYWORD(id, spelling) {TokenKind::Kw##id, spelling},
#define PUNCTUATION(id, spelling)
#include "frontend/tokens.def"
#undef KEYWORD
#undef PUNCTUATION
};
const Spelled punctuation[] = {
#define KEYWORD(id, spelling)
#define PUNCTUATION(id, spelling) {TokenKind::id, spelling},
#include "frontend/tokens.def"
#undef KEYWORD
#undef PUNCTUATION
};

bool isDigit(char c) { return c >= '0' && c <= '9'; }
bool startsName(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool inName(char c) { return startsName(c) || isDigit(c); }

// Length of the UTF-8 character at `at`, 0 if the bytes there are none.
size_t utf8Length(std::string_view text, size_t at) {
  auto byte = [&](size_t k) { return at + k < text.size() ? static_cast<unsigned char>(text[at + k]) : 0u; };
  unsigned first = byte(0);
  if (first < 0x80) return 1;
  size_t length = first >= 0xc2 && first <= 0xdf ? 2 : (first & 0xf0) == 0xe0 ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
  for (size_t k = 1; k < length; ++k)
    if ((byte(k) & 0xc0) != 0x80) return 0;
  // Overlong forms, surrogates, and code points beyond U+10FFFF.
  if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) || (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)) return 0;
  return length;
}

class Lexer {
public:
  Lexer(uint32_t file, SourceManager &sources, Diagnostics &diagnostics)
      : file(file), sources(sources), diagnostics(diagnostics), text(sources.text(file)) {
    for (const Spelled &keyword : keywords) byName.emplace(keyword.text, keyword.kind);
  }

  std::vector<Token> run() {
    while (at < text.size()) {
      char c = text[at];
      if (c == ' ' || c == '\t' || c == '\n' || (c == '\r' && at + 1 < text.size() && text[at + 1] == '\n')) {
        ++at;
      } else if (text.substr(at, 2) == "//") {
        comment();
      } else if (c == '\0') {
        // The rest of a file that is no text would only repeat it.
        if (!reportedUtf8) diagnostics.error(Diag::NotText, range(at, at + 1));
        tokens.clear();
        break;
      } else if (startsName(c)) {
        name();
      } else if (isDigit(c)) {
        number();
      } else if (c == '"') {
        string();
      } else if (!punctuationMark()) {
        unknown();
      }
    }
    push(TokenKind::End, at);
    return std::move(tokens);
  }

private:
  Token &push(TokenKind kind, size_t begin) {
    tokens.push_back({kind, {file, static_cast<uint32_t>(begin), static_cast<uint32_t>(at)}, nullptr, 0, 0});
    return tokens.back();
  }
  SourceRange range(size_t begin, size_t end) const { return {file, static_cast<uint32_t>(begin), static_cast<uint32_t>(end)}; }

  void comment() {
    while (at < text.size() && text[at] != '\n') step();
  }

  // One character on; bytes that are no UTF-8 are reported, once a file.
  void step() {
    size_t length = utf8Length(text, at);
    if (!length && !reportedUtf8) diagnostics.error(Diag::InvalidUtf8, range(at, at + 1));
    if (!length) reportedUtf8 = true;
    at += length ? length : 1;
  }

  void name() {
    size_t begin = at;
    while (at < text.size() && inName(text[at])) ++at;
    std::string_view word = text.substr(begin, at - begin);
    auto keyword = byName.find(word);
    if (keyword != byName.end())
      push(keyword->second, begin);
    else
      push(TokenKind::Name, begin).symbol = sources.intern(word);
  }

  void number() {
    size_t begin = at;
    bool real = false;
    while (at < text.size() && isDigit(text[at])) ++at;
    if (at + 1 < text.size() && text[at] == '.' && isDigit(text[at + 1])) {
      real = true;
      ++at;
      while (at < text.size() && isDigit(text[at])) ++at;
    }
    size_t exponent = at;
    if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
      size_t digits = at + 1;
      if (digits < text.size() && (text[digits] == '+' || text[digits] == '-')) ++digits;
      if (digits < text.size() && isDigit(text[digits])) {
        real = true;
        at = digits;
        while (at < text.size() && isDigit(text[at])) ++at;
      }
    }
    if (at == exponent && at < text.size() && (inName(text[at]) || text[at] == '.')) {
      while (at < text.size() && (inName(text[at]) || text[at] == '.')) ++at;
      diagnostics.error(Diag::BadNumber, range(begin, at), {text.substr(begin, at - begin)});
      push(TokenKind::Integer, begin);
      return;
    }
    if (at > exponent && at < text.size() && inName(text[at])) {
      while (at < text.size() && inName(text[at])) ++at;
      diagnostics.error(Diag::BadNumber, range(begin, at), {text.substr(begin, at - begin)});
      push(TokenKind::Integer, begin);
      return;
    }
    std::string digits(text.substr(begin, at - begin));
    if (real) {
      double value = 0;
      auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
      (void)end;
      if (code == std::errc::result_out_of_range) value = digits.find("e-") != std::string::npos || digits.find("E-") != std::string::npos ? 0 : HUGE_VAL;
      // The halfway point between the largest float and the next power of two rounds away from every float.
      if (!(std::fabs(value) < 3.4028235677973366e38)) diagnostics.error(Diag::RealTooLarge, range(begin, at), {digits});
      push(TokenKind::Real, begin).real = static_cast<double>(static_cast<float>(std::fabs(value) < 3.4028235677973366e38 ? value : 0));
      return;
    }
    int64_t value = 0;
    for (char digit : digits) value = std::min<int64_t>(value * 10 + (digit - '0'), int64_t{1} << 40);
    if (value > (int64_t{1} << 31)) {
      diagnostics.error(Diag::IntegerTooLarge, range(begin, at), {digits});
      value = 0;
    }
    push(TokenKind::Integer, begin).integer = value;
  }

  void string() {
    size_t begin = at++;
    while (at < text.size() && text[at] != '"' && text[at] != '\n') step();
    if (at >= text.size() || text[at] != '"') {
      diagnostics.error(Diag::UnterminatedString, range(begin, begin + 1));
      push(TokenKind::String, begin).symbol = sources.intern("");
      return;
    }
    std::string_view inside = text.substr(begin + 1, at - begin - 1);
    ++at;
    push(TokenKind::String, begin).symbol = sources.intern(inside);
  }

  bool punctuationMark() {
    for (const Spelled &mark : punctuation)
      if (text.substr(at, mark.text.size()) == mark.text) {
        size_t begin = at;
        at += mark.text.size();
        push(mark.kind, begin);
        return true;
      }
    return false;
  }

  void unknown() {
    size_t begin = at, length = utf8Length(text, at);
    if (!length) return step();
    at += length;
    auto byte = static_cast<unsigned char>(text[begin]);
    char hex[8];
    std::snprintf(hex, sizeof hex, "0x%02x", byte);
    std::string_view character = text.substr(begin, length);
    bool axis = !tokens.empty() && tokens.back().kind == TokenKind::LeftBracket;
    std::string hint = axis && character == "?" ? "; an axis has a name" : characterHint(character);
    std::string shown = length == 1 && (byte < 0x20 || byte == 0x7f) ? std::string(hex) : std::string(character);
    // A run of such characters is one error, and so are the line ends of a file.
    if (begin != afterUnknown && !(byte == '\r' && reportedReturn)) diagnostics.error(Diag::UnknownCharacter, range(begin, at), {shown, hint});
    reportedReturn |= byte == '\r';
    afterUnknown = at;
  }

  uint32_t file;
  SourceManager &sources;
  Diagnostics &diagnostics;
  std::string_view text;
  size_t at = 0, afterUnknown = ~size_t{0};
  bool reportedUtf8 = false, reportedReturn = false;
  std::vector<Token> tokens;
  std::unordered_map<std::string_view, TokenKind> byName;
};

}  // namespace

std::string spelling(TokenKind kind) {
  switch (kind) {
  case TokenKind::End: return "the end of the file";
  case TokenKind::Name: return "a name";
  case TokenKind::Integer:
  case TokenKind::Real: return "a number";
  case TokenKind::String: return "a string";
  default: break;
  }
  for (const Spelled &keyword : keywords)
    if (keyword.kind == kind) return "`" + std::string(keyword.text) + "`";
  for (const Spelled &mark : punctuation)
    if (mark.kind == kind) return "`" + std::string(mark.text) + "`";
  return "a token";
}

std::vector<Token> lex(uint32_t file, SourceManager &sources, Diagnostics &diagnostics) { return Lexer(file, sources, diagnostics).run(); }

}  // namespace fovea
