// Blocks and models (section 7).
#include "frontend/Parser.h"

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

// model <- 'model' name '{' (reads / writes / member / function / encode / step)* '}'
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
    default: ok = parseMember(model.members, true); break;
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

// weight <- name ':' type ('from' string layout?)? ';'
bool Parser::parseWeight(Weight &weight) {
  if (!expectName(weight.name) || !expect(TokenKind::Colon) || !parseType(weight.type, false)) return false;
  if (!weight.cache && accept(TokenKind::KwFrom)) {
    if (!is(TokenKind::String)) return unexpected("a string"), false;
    Token token = take();
    weight.foreign = Name{token.symbol, token.range};
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

// instance <- name '(' names? ')' ('[' expr ']')? ';'
bool Parser::parseInstance(Instance &instance) {
  if (!expectName(instance.block) || !expect(TokenKind::LeftParen)) return false;
  if (!accept(TokenKind::RightParen) && !parseNames(instance.axes, TokenKind::RightParen)) return false;
  if (accept(TokenKind::LeftBracket) && (!(instance.count = parseExpr()) || !expect(TokenKind::RightBracket))) return false;
  return expect(TokenKind::Semicolon);
}

// format <- ('reads' / 'writes') kind ('by' unit)? string? ('start' string / 'end' string / 'unknown' string / 'at' 'most' integer)* ';'
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
  }
  if (is(TokenKind::String) && !expectString(format.value.vocabulary)) return false;
  while (!is(TokenKind::Semicolon)) {
    if (acceptWord("start")) {
      if (!expectString(format.value.start)) return false;
    } else if (acceptWord("end")) {
      if (!expectString(format.value.end)) return false;
    } else if (acceptWord("unknown")) {
      if (!expectString(format.value.unknown)) return false;
    } else if (acceptWord("at")) {
      if (!expectWord("most") || !expectInteger(format.value.atMost)) return false;
    } else {
      unexpected("`start`, `end`, `unknown`, `at most` or `;`");
      return false;
    }
  }
  take();
  format.range = join(begin, previous());
  return true;
}

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
