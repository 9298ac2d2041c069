// Blocks and models (section 7).
#include "frontend/Parser.h"

#include <algorithm>
#include <charconv>

namespace fovea {

using namespace ast;

// blockdef <- 'block' name '(' names? ')' '{' (member / function)* '}'
bool Parser::parseBlock() {
  SourceRange begin = take().range;
  ast::Block block;
  if (!expectName(block.name) || !expect(TokenKind::LeftParen)) return false;
  if (!accept(TokenKind::RightParen) && !parseNames(block.axes, TokenKind::RightParen)) return false;
  if (!expect(TokenKind::LeftBrace)) return false;
  int inside = depth;
  while (!accept(TokenKind::RightBrace)) {
    if (is(TokenKind::End) || is(TokenKind::KwKernel) || is(TokenKind::KwModel) || diagnostics.full()) return unexpected("`}`"), false;
    bool ok = is(TokenKind::KwFn) ? parseFunction(block.functions) : parseMember(block.members, true);
    if (!ok) {
      file->ok = false;
      skipStatement(inside);
    }
  }
  block.range = join(begin, previous());
  file->blockPool.push_back(std::move(block));
  file->blocks.push_back(&file->blockPool.back());
  return true;
}

// model <- 'model' name '{' (config / reads / writes / member / function / encode / step)* '}'
bool Parser::parseModel() {
  SourceRange begin = take().range;
  ast::Model model;
  if (!expectName(model.name) || !expect(TokenKind::LeftBrace)) return false;
  int inside = depth;
  while (!accept(TokenKind::RightBrace)) {
    if (is(TokenKind::End) || is(TokenKind::KwKernel) || is(TokenKind::KwModel) || diagnostics.full()) return unexpected("`}`"), false;
    bool ok = false;
    switch (peek().kind) {
    case TokenKind::KwReads: ok = parseFormat(model.reads); break;
    case TokenKind::KwWrites: ok = parseFormat(model.writes); break;
    case TokenKind::KwEncode: ok = parseStage(model.encode); break;
    case TokenKind::KwStep: ok = parseStage(model.step); break;
    case TokenKind::KwFn: ok = parseFunction(model.functions); break;
    default: ok = isWord("config") && peek(1).kind == TokenKind::String ? parseConfig(model.config) : parseMember(model.members, true); break;
    }
    if (!ok) {
      file->ok = false;
      skipStatement(inside);
    }
  }
  model.range = join(begin, previous());
  file->modelPool.push_back(std::move(model));
  file->models.push_back(&file->modelPool.back());
  return true;
}

// member <- 'dim' dims / 'param' weight / 'cache' weight / names ':' instance      names <- name (',' name)*
bool Parser::parseMember(std::vector<Member> &members, bool caches) {
  Member member;
  if (accept(TokenKind::KwDim)) {
    member.kind = Member::Dims;
    if (!parseDimList(member.dims)) return false;
  } else if (is(TokenKind::KwParam) || (caches && is(TokenKind::KwCache))) {
    member.kind = Member::Parameter;
    member.weight.cache = take().kind == TokenKind::KwCache;
    if (!parseWeight(member.weight)) return false;
  } else if (is(TokenKind::Name)) {
    member.kind = Member::Sub;
    std::vector<Name> names;
    if (!parseNames(names, TokenKind::Colon) || !parseInstance(member.instance)) return false;
    for (const Name &name : names) {
      member.instance.name = name;
      members.push_back(member);
    }
    return true;
  } else {
    unexpected("`param`, `dim`, `fn`, an instance of a block or `}`");
    return false;
  }
  members.push_back(std::move(member));
  return true;
}

// weight <- name ':' type ('from' string ('or' string)* ('or' '0')? layout?)? ';'
bool Parser::parseWeight(Weight &weight) {
  if (!expectName(weight.name) || !expect(TokenKind::Colon) || !parseType(weight.type, false)) return false;
  if (!weight.cache && accept(TokenKind::KwFrom)) {
    bool zeros = false;
    do {
      zeros = !weight.foreign.empty() && is(TokenKind::Integer) && peek().integer == 0;
      if (!zeros && !is(TokenKind::String)) return unexpected(weight.foreign.empty() ? "a string" : "a string or `0`"), false;
      Token token = take();
      weight.foreign.push_back({zeros ? sources.intern("") : token.symbol, token.range});
    } while (!zeros && accept(TokenKind::KwOr));
    if (accept(TokenKind::LeftBracket) && !parseLayout(weight)) return false;
  }
  return expect(TokenKind::Semicolon);
}

// layout <- '[' group (',' group)* ']'      group <- name / '(' name+ ')'
bool Parser::parseLayout(Weight &weight) {
  weight.hasLayout = true;
  do {
    std::vector<Name> group;
    bool parens = accept(TokenKind::LeftParen);
    do {
      Name name;
      if (!expectName(name)) return false;
      group.push_back(name);
    } while (parens && !is(TokenKind::RightParen));
    if (parens) take();
    weight.layout.push_back(std::move(group));
  } while (accept(TokenKind::Comma));
  return expect(TokenKind::RightBracket);
}

// instance <- name '(' names? ')' ('[' expr ']')? ('from' string ('or' string)*)? ';'
bool Parser::parseInstance(Instance &instance) {
  if (!expectName(instance.block) || !expect(TokenKind::LeftParen)) return false;
  if (!accept(TokenKind::RightParen) && !parseNames(instance.axes, TokenKind::RightParen)) return false;
  if (accept(TokenKind::LeftBracket) && (!(instance.count = parseExpr()) || !expect(TokenKind::RightBracket))) return false;
  if (accept(TokenKind::KwFrom)) {
    do {
      if (!is(TokenKind::String)) return unexpected("a string"), false;
      Token token = take();
      instance.foreign.push_back({token.symbol, token.range});
    } while (accept(TokenKind::KwOr));
  }
  return expect(TokenKind::Semicolon);
}

// config <- 'config' string (',' string)* (';' / '{' (name ('=' (literal / key))? ('in' '{' literal (',' literal)* '}')? ';')* '}')
bool Parser::parseConfig(ConfigPart &config) {
  SourceRange begin = take().range;
  if (config.given) {
    diagnostics.error(Diag::RepeatedPart, begin, {sources.text(begin)});
    return false;
  }
  config.given = true;
  config.range = begin;
  Token token = take();
  config.file = {token.symbol, token.range};
  while (accept(TokenKind::Comma)) {
    if (!is(TokenKind::String)) return unexpected("a string"), false;
    token = take();
    config.others.push_back({token.symbol, token.range});
  }
  if (!is(TokenKind::LeftBrace)) return expect(TokenKind::Semicolon);
  take();
  while (!accept(TokenKind::RightBrace)) {
    ConfigKey key;
    if (!expectName(key.name)) return false;
    for (const ConfigKey &other : config.keys)
      if (other.name.symbol == key.name.symbol) {
        diagnostics.error(Diag::RepeatedPart, key.name.range, {key.name.text()});
        return false;
      }
    if (accept(TokenKind::Equal) && !parseConfigKey(key.other) && !parseLiteral(key.otherwise.emplace())) return false;
    if (accept(TokenKind::KwIn)) {
      if (!expect(TokenKind::LeftBrace)) return false;
      do {
        if (!parseLiteral(key.allowed.emplace_back())) return false;
      } while (accept(TokenKind::Comma));
      if (!expectClose(TokenKind::RightBrace)) return false;
    }
    if (!expect(TokenKind::Semicolon)) return false;
    config.keys.push_back(std::move(key));
  }
  return true;
}

// literal <- '-'? number / 'true' / 'false' / string
bool Parser::parseLiteral(Literal &literal) {
  bool minus = accept(TokenKind::Minus);
  const Token token = peek();
  switch (token.kind) {
  case TokenKind::Integer:
    literal.kind = Literal::Integer;
    literal.integer = minus ? -token.integer : token.integer;
    if (literal.integer > INT32_MAX) diagnostics.error(Diag::IntegerTooLarge, token.range, {sources.text(token.range)});
    break;
  case TokenKind::Real:
    literal.kind = Literal::Real;
    literal.real = minus ? -token.real : token.real;
    break;
  case TokenKind::KwTrue:
  case TokenKind::KwFalse:
    literal.kind = Literal::Boolean;
    literal.integer = token.kind == TokenKind::KwTrue;
    break;
  case TokenKind::String:
    literal.kind = Literal::Text;
    literal.text = *token.symbol;
    break;
  default: return unexpected("a number, `true`, `false` or a string"), false;
  }
  if (minus && token.kind != TokenKind::Integer && token.kind != TokenKind::Real) return unexpected("a number"), false;
  take();
  return true;
}

static bool ofPieces(const std::string &unit) { return unit == "sentencepiece" || unit == "bytepairs"; }

// format <- ('reads' / 'writes') kind ('by' unit files?)? (('start' / 'end') (string / key) / 'unknown' string / ('with' / 'without') string (',' string)* /
//            'at' 'most' (integer / key))* ';'
// files <- string ('or' string)* / pieces ('in' string ('or' string)*)?      pieces <- string, where the unit is one of pieces
// key <- 'config' '.' name
bool Parser::parseFormat(Format &format) {
  SourceRange begin = take().range;
  if (format.given) {
    diagnostics.error(Diag::RepeatedPart, begin, {sources.text(begin)});
    return false;
  }
  format.given = true;
  Name kind, unit;
  if (!expectName(kind)) return false;
  format.value.kind = kind.text();
  if (acceptWord("by")) {
    if (!expectName(unit)) return false;
    format.value.unit = unit.text();
    if (kind.text() == "text" && unit.text() != "characters" && unit.text() != "words" && !ofPieces(unit.text())) {
      diagnostics.error(Diag::TextUnit, unit.range, {unit.text()});
      return false;
    }
  }
  const bool hasPieces = unit.symbol && ofPieces(unit.text());
  if (hasPieces && !expectString(format.value.pieces)) return false;
  if (hasPieces && unit.text() == "bytepairs" && !is(TokenKind::KwIn)) return unexpected("`in`"), false;
  if (hasPieces ? accept(TokenKind::KwIn) : is(TokenKind::String)) {
    do {
      if (!expectString(format.value.vocabularies.emplace_back())) return false;
    } while (accept(TokenKind::KwOr));
  }
  while (!is(TokenKind::Semicolon)) {
    if (acceptWord("start")) {
      if (!parseSpecial(format.value.start, format.start)) return false;
    } else if (acceptWord("end")) {
      if (!parseSpecial(format.value.end, format.end)) return false;
    } else if (acceptWord("unknown")) {
      if (!expectString(format.value.unknown)) return false;
    } else if (isWord("with") || isWord("without")) {
      auto &list = isWord("with") ? format.value.with : format.value.without;
      take();
      do {
        if (!parseTokens(list)) return false;
      } while (accept(TokenKind::Comma));
    } else if (acceptWord("at")) {
      if (!expectWord("most") || !(parseConfigKey(format.atMost) || expectInteger(format.value.atMost))) return false;
    } else {
      unexpected("`start`, `end`, `unknown`, `with`, `without`, `at most` or `;`");
      return false;
    }
  }
  take();
  format.range = join(begin, previous());
  return true;
}

// A string, or many: `"<x{9..0}>"` is `<x9>`, `<x8>`, ..., `<x0>`.
bool Parser::parseTokens(std::vector<std::string> &tokens) {
  constexpr int most = 9999;
  const SourceRange at = peek().range;
  std::string text;
  if (!expectString(text)) return false;
  const size_t open = text.find('{'), dots = text.find("..", open), close = text.find('}', open);
  if (open == std::string::npos || dots > close || close == std::string::npos) return tokens.push_back(text), true;
  auto number = [&](size_t from, size_t to) {
    int value = -1;
    auto [last, status] = std::from_chars(text.data() + from, text.data() + to, value);
    return status == std::errc() && last == text.data() + to ? value : -1;
  };
  const int first = number(open + 1, dots), last = number(dots + 2, close);
  if (std::min(first, last) < 0 || std::max(first, last) > most) return diagnostics.error(Diag::TokenRange, at, {text, std::to_string(most)}), false;
  for (int n = first, step = first < last ? 1 : -1; n != last + step; n += step) tokens.push_back(text.substr(0, open) + std::to_string(n) + text.substr(close + 1));
  return true;
}

bool Parser::parseConfigKey(std::optional<Name> &key) {
  if (!isWord("config") || peek(1).kind != TokenKind::Dot || peek(2).kind != TokenKind::Name) return false;
  take(), take();
  return expectName(key.emplace());
}

bool Parser::parseSpecial(std::string &token, std::optional<Name> &key) { return parseConfigKey(key) || expectString(token); }

// stage <- ('encode' / 'step') '(' parameters ')' '->' results '{' statement* '}'
bool Parser::parseStage(Stage &stage) {
  SourceRange begin = take().range;
  if (stage.given) {
    diagnostics.error(Diag::RepeatedPart, begin, {sources.text(begin)});
    return false;
  }
  stage.given = true;
  stage.range = begin;
  if (!expect(TokenKind::LeftParen) || !parseParameters(stage.parameters, true)) return false;
  if (!expect(TokenKind::Arrow) || !parseResults(stage.results)) return false;
  return expect(TokenKind::LeftBrace) && parseStatements(stage.body, stage.end);
}

}  // namespace fovea
