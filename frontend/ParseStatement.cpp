// Statements and blocks.
#include "frontend/Parser.h"

namespace fovea {

using namespace ast;

// statements <- statement* '}'
// After an error the next statement is read, so that a file's errors come out together.
bool Parser::parseStatements(std::vector<Statement *> &statements, SourceRange &end) {
  Nesting level(*this);
  if (tooDeep()) return false;
  SourceRange open = previous();
  int inside = depth;
  while (!is(TokenKind::RightBrace)) {
    if (is(TokenKind::End) || is(TokenKind::KwKernel) || is(TokenKind::KwModel)) {
      unexpected("`}`");
      diagnostics.note(Diag::OpenedHere, open);
      return false;
    }
    if (diagnostics.full()) return false;
    if (Statement *statement = parseStatement()) {
      statements.push_back(statement);
    } else {
      file->ok = false;
      skipStatement(inside);
    }
  }
  end = take().range;
  return true;
}

bool Parser::startsStatement() const {
  switch (peek().kind) {
  case TokenKind::KwLet:
  case TokenKind::KwScore:
  case TokenKind::KwMask:
  case TokenKind::KwDim:
  case TokenKind::KwAppend:
  case TokenKind::KwTrace:
  case TokenKind::KwFor: return true;
  default: return false;
  }
}

// statement <- let / score / mask / dim / assign / append / trace / for
Statement *Parser::parseStatement() {
  switch (peek().kind) {
  case TokenKind::KwLet:
  case TokenKind::KwScore: return parseLet();
  case TokenKind::KwDim: return parseDims();
  case TokenKind::KwTrace: return parseTrace();
  case TokenKind::KwFor: return parseFor();
  case TokenKind::KwMask: {  // mask <- 'mask' expr ';'
    Statement *statement = makeStatement(Statement::Mask);
    take();
    if (!(statement->value = parseExpr()) || !expect(TokenKind::Semicolon)) return nullptr;
    statement->range = join(statement->range, previous());
    return statement;
  }
  case TokenKind::KwAppend: {  // append <- 'append' name '=' expr ';'
    Statement *statement = makeStatement(Statement::Append);
    take();
    Target target;
    if (!expectName(target.name) || !expect(TokenKind::Equal) || !(statement->value = parseExpr()) || !expect(TokenKind::Semicolon)) return nullptr;
    statement->targets.push_back(std::move(target));
    statement->range = join(statement->range, previous());
    return statement;
  }
  case TokenKind::Name:
  case TokenKind::LeftParen: {
    Expr *left = parsePostfix();
    return left ? parseAssign(left) : nullptr;
  }
  default: unexpected("a statement or `}`"); return nullptr;
  }
}

// assign <- (name / '(' name (',' name)* ')') '=' value ';'
// `left` has been read as an expression, since in a block `(a, b)` may be the value.
Statement *Parser::parseAssign(Expr *left) {
  Statement *statement = makeStatement(Statement::Assign);
  statement->range = left->range;
  statement->tuple = left->kind == Expr::Tuple;
  std::vector<Expr *> parts = statement->tuple ? left->args : std::vector<Expr *>{left};
  if (!is(TokenKind::Equal)) {
    if (!beginsNothing(left)) unexpected("`=`");
    return nullptr;
  }
  for (Expr *part : parts) {
    if (part->kind != Expr::Reference || part->path.size() != 1) {
      diagnostics.error(Diag::BadAssignTarget, part->range, {part->kind == Expr::Index ? "; a result is assigned as a whole, with the axes of its declaration" : ""});
      return nullptr;
    }
    Target target;
    target.name = part->path[0];
    statement->targets.push_back(std::move(target));
  }
  take();
  if (!(statement->value = parseTupleOrBlock()) || !expect(TokenKind::Semicolon)) return nullptr;
  statement->range = join(statement->range, previous());
  return statement;
}

// let   <- 'let' targets '=' value ';'
// score <- 'score' target '=' expr ';'
Statement *Parser::parseLet() {
  Statement *statement = makeStatement(Statement::Let);
  statement->score = take().kind == TokenKind::KwScore;
  if (statement->score) {
    Target target;
    if (!parseTarget(target)) return nullptr;
    statement->targets.push_back(std::move(target));
  } else if (!parseTargets(statement->targets, statement->tuple)) {
    return nullptr;
  }
  if (!expect(TokenKind::Equal) || !(statement->value = parseTupleOrBlock())) return nullptr;
  // The sketches of models write several on one line; after a block's brace nothing else could follow.
  if (!expect(TokenKind::Semicolon)) return nullptr;
  statement->range = join(statement->range, previous());
  return statement;
}

// target <- name ('[' names ']')?
bool Parser::parseTarget(Target &target) {
  if (!expectName(target.name)) return false;
  if (!accept(TokenKind::LeftBracket)) return true;
  target.stated = true;
  if (is(TokenKind::Integer)) {
    diagnostics.error(Diag::NumberAsAxis, peek().range, {sources.text(peek().range)});
    return false;
  }
  return parseNames(target.axes, TokenKind::RightBracket);
}

// targets <- target / '(' target (',' target)* ')'
bool Parser::parseTargets(std::vector<Target> &targets, bool &tuple) {
  tuple = accept(TokenKind::LeftParen);
  do {
    Target target;
    if (!parseTarget(target)) return false;
    targets.push_back(std::move(target));
  } while (tuple && accept(TokenKind::Comma));
  return !tuple || expect(TokenKind::RightParen);
}

// dim <- 'dim' name '=' expr (',' name '=' expr)* ';'
Statement *Parser::parseDims() {
  Statement *statement = makeStatement(Statement::Dims);
  take();
  if (!parseDimList(statement->dims)) return nullptr;
  statement->range = join(statement->range, previous());
  return statement;
}

bool Parser::parseDimList(std::vector<Dim> &dims) {
  do {
    Dim dim;
    if (!expectName(dim.name) || !expect(TokenKind::Equal) || !(dim.extent = parseExpr())) return false;
    dims.push_back(dim);
  } while (accept(TokenKind::Comma));
  return expect(TokenKind::Semicolon);
}

// trace <- 'trace' name ('as' 'grid' '(' integer ',' integer ')')? ';'
Statement *Parser::parseTrace() {
  Statement *statement = makeStatement(Statement::Trace);
  take();
  Target target;
  if (!expectName(target.name)) return nullptr;
  statement->targets.push_back(std::move(target));
  if (acceptWord("as")) {
    int64_t rows = 0, columns = 0;
    if (!expectWord("grid") || !expect(TokenKind::LeftParen) || !expectInteger(rows) || !expect(TokenKind::Comma) || !expectInteger(columns) ||
        !expect(TokenKind::RightParen))
      return nullptr;
    statement->grid = {rows, columns};
  }
  if (!expect(TokenKind::Semicolon)) return nullptr;
  statement->range = join(statement->range, previous());
  return statement;
}

// for <- 'for' name 'in' name '{' statement* '}'
Statement *Parser::parseFor() {
  Statement *statement = makeStatement(Statement::For);
  take();
  Target target;
  if (!expectName(target.name) || !expect(TokenKind::KwIn) || !expectName(statement->over) || !expect(TokenKind::LeftBrace)) return nullptr;
  statement->targets.push_back(std::move(target));
  SourceRange end;
  if (!parseStatements(statement->body, end)) return nullptr;
  statement->range = join(statement->range, previous());
  return statement;
}

// block <- '{' statement* value '}'
Expr *Parser::parseBlockExpr() {
  Nesting level(*this);
  if (tooDeep()) return nullptr;
  Expr *block = make(Expr::Block, take().range);
  int inside = depth;
  while (true) {
    if (diagnostics.full() || is(TokenKind::End)) return unexpected("`}`"), nullptr;
    if (is(TokenKind::RightBrace)) {
      file->ok = false;
      diagnostics.error(Diag::BlockWithoutValue, peek().range);
      return nullptr;
    }
    Statement *statement = nullptr;
    if (startsStatement()) {
      if (!(statement = parseStatement())) {
        file->ok = false;
        skipStatement(inside);
        if (is(TokenKind::KwKernel) || is(TokenKind::KwModel)) return nullptr;
        if (is(TokenKind::RightBrace)) return take(), nullptr;
        continue;
      }
    } else {
      Expr *value = parseTupleOrBlock();
      if (!value) {
        file->ok = false;
        skipStatement(inside);
        if (is(TokenKind::KwKernel) || is(TokenKind::KwModel)) return nullptr;
        if (is(TokenKind::RightBrace)) return take(), nullptr;
        continue;
      }
      if (!is(TokenKind::Equal)) {
        block->args.push_back(value);
        if (beginsNothing(value) || !expect(TokenKind::RightBrace)) return nullptr;
        return finish(block);
      }
      if (!(statement = parseAssign(value))) return nullptr;
    }
    block->statements.push_back(statement);
  }
}

}  // namespace fovea
