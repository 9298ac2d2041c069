// Text to tokens (rules T1 to T3).
#ifndef FOVEA_FRONTEND_LEXER_H
#define FOVEA_FRONTEND_LEXER_H

#include "frontend/Diagnostics.h"

#include <vector>

namespace fovea {

enum class TokenKind : uint8_t {
  End,
  Name,
  Integer,
  Real,
  String,
#define KEYWORD(id, spelling) Kw##id,
#define PUNCTUATION(id, spelling) id,
#include "frontend/tokens.def"
#undef KEYWORD
#undef PUNCTUATION
};

// "`then`", "a name": as messages say it.
std::string spelling(TokenKind kind);

struct Token {
  TokenKind kind = TokenKind::End;
  SourceRange range;
  Symbol symbol = nullptr;  // Name, String (without its quotes)
  double real = 0;          // Real
  int64_t integer = 0;      // Integer: 0 .. 2147483648 (that one only after a minus)
};

// Bytes that are no token are reported once a run and skipped. The last token is End.
std::vector<Token> lex(uint32_t file, SourceManager &sources, Diagnostics &diagnostics);

}  // namespace fovea

#endif  // FOVEA_FRONTEND_LEXER_H
