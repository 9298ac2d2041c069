// Expressions, by precedence (rule E1).
#include "frontend/Parser.h"

namespace fovea {

using namespace ast;

const char *ast::spelling(Operator op) {
  static const char *const names[] = {"-", "not", "*", "/", "%", "+", "-", "<", "<=", ">", ">=", "==", "!=", "and", "or"};
  return names[static_cast<size_t>(op)];
}

static std::optional<Operator> comparison(TokenKind kind) {
  switch (kind) {
  case TokenKind::Less: return Operator::Lt;
  case TokenKind::LessEqual: return Operator::Le;
  case TokenKind::Greater: return Operator::Gt;
  case TokenKind::GreaterEqual: return Operator::Ge;
  case TokenKind::EqualEqual: return Operator::Eq;
  case TokenKind::NotEqual: return Operator::Ne;
  default: return std::nullopt;
  }
}

// value <- block / expr
Expr *Parser::parseTupleOrBlock() { return is(TokenKind::LeftBrace) ? parseBlockExpr() : parseExpr(); }

// expr <- 'if' expr 'then' expr 'else' expr / or
Expr *Parser::parseExpr() {
  Nesting level(*this);
  if (tooDeep()) return nullptr;
  if (!is(TokenKind::KwIf)) return parseOr();
  Expr *expr = make(Expr::If, take().range);
  for (TokenKind next : {TokenKind::KwThen, TokenKind::KwElse, TokenKind::End}) {
    Expr *part = parseExpr();
    if (!part) return nullptr;
    expr->args.push_back(part);
    if (next != TokenKind::End && !expect(next)) return nullptr;
  }
  return finish(expr);
}

// or <- and ('or' and)*
Expr *Parser::parseOr() {
  Expr *left = parseAnd();
  while (left && is(TokenKind::KwOr)) {
    take();
    Expr *expr = make(Expr::Binary, left->range), *right = parseAnd();
    if (!right) return nullptr;
    expr->op = Operator::Or;
    expr->args = {left, right};
    left = finish(expr);
  }
  return left;
}

// and <- not ('and' not)*
Expr *Parser::parseAnd() {
  Expr *left = parseNot();
  while (left && is(TokenKind::KwAnd)) {
    take();
    Expr *expr = make(Expr::Binary, left->range), *right = parseNot();
    if (!right) return nullptr;
    expr->op = Operator::And;
    expr->args = {left, right};
    left = finish(expr);
  }
  return left;
}

// not <- 'not' not / comparison
Expr *Parser::parseNot() {
  if (!is(TokenKind::KwNot)) return parseComparison();
  Nesting level(*this);
  if (tooDeep()) return nullptr;
  Expr *expr = make(Expr::Unary, take().range), *arg = parseNot();
  if (!arg) return nullptr;
  expr->op = Operator::Not;
  expr->args = {arg};
  return finish(expr);
}

// comparison <- sum (('<' / '<=' / '>' / '>=' / '==' / '!=') sum)?
Expr *Parser::parseComparison() {
  Expr *left = parseSum();
  if (!left) return nullptr;
  auto op = comparison(peek().kind);
  if (!op) return left;
  take();
  Expr *expr = make(Expr::Binary, left->range), *right = parseSum();
  if (!right) return nullptr;
  expr->op = *op;
  expr->args = {left, right};
  if (comparison(peek().kind)) {
    file->ok = false;
    diagnostics.error(Diag::ChainedComparison, peek().range);
    return nullptr;
  }
  return finish(expr);
}

// sum <- product (('+' / '-') product)*
Expr *Parser::parseSum() {
  Expr *left = parseProduct();
  while (left && (is(TokenKind::Plus) || is(TokenKind::Minus))) {
    Operator op = take().kind == TokenKind::Plus ? Operator::Add : Operator::Sub;
    Expr *expr = make(Expr::Binary, left->range), *right = parseProduct();
    if (!right) return nullptr;
    expr->op = op;
    expr->args = {left, right};
    left = finish(expr);
  }
  return left;
}

// product <- unary (('*' / '/' / '%') unary)*
Expr *Parser::parseProduct() {
  Expr *left = parseUnary();
  while (left && (is(TokenKind::Star) || is(TokenKind::Slash) || is(TokenKind::Percent))) {
    TokenKind kind = take().kind;
    Expr *expr = make(Expr::Binary, left->range), *right = parseUnary();
    if (!right) return nullptr;
    expr->op = kind == TokenKind::Star ? Operator::Mul : kind == TokenKind::Slash ? Operator::Div : Operator::Mod;
    expr->args = {left, right};
    left = finish(expr);
  }
  return left;
}

// unary <- '-' unary / postfix
Expr *Parser::parseUnary() {
  if (!is(TokenKind::Minus)) return parsePostfix();
  Nesting level(*this);
  if (tooDeep()) return nullptr;
  SourceRange begin = take().range;
  // The smallest i32 has no positive counterpart: the minus belongs to the number.
  if (is(TokenKind::Integer) && peek().integer == int64_t{1} << 31 && peek(1).kind != TokenKind::LeftBracket) {
    Expr *expr = make(Expr::Integer, begin);
    expr->integer = -take().integer;
    return finish(expr);
  }
  Expr *expr = make(Expr::Unary, begin), *arg = parseUnary();
  if (!arg) return nullptr;
  expr->op = Operator::Neg;
  expr->args = {arg};
  return finish(expr);
}

// postfix <- primary ('[' subscripts ']')*
Expr *Parser::parsePostfix() {
  Expr *expr = parsePrimary();
  while (expr && is(TokenKind::LeftBracket)) expr = parseBracket(expr);
  return expr;
}

// bracket <- '[' subscript (',' subscript)* ']' arguments?      subscript <- (name ':')? expr
// With arguments it is a call with indices, `sum[j](x)`.
Expr *Parser::parseBracket(Expr *base) {
  Nesting level(*this);
  if (tooDeep()) return nullptr;
  SourceRange open = take().range;
  Expr *expr = make(Expr::Index, base->range);
  do {
    Subscript subscript;
    if (is(TokenKind::Name) && peek(1).kind == TokenKind::Colon) {
      Token name = take();
      take();
      subscript.axis = Name{name.symbol, name.range};
    }
    if (!(subscript.value = parseExpr())) return nullptr;
    expr->subscripts.push_back(subscript);
  } while (accept(TokenKind::Comma));
  if (!expect(TokenKind::RightBracket)) return nullptr;
  SourceRange bracket = join(open, previous());
  if (!is(TokenKind::LeftParen)) {
    expr->args = {base};
    bool named = expr->subscripts[0].axis.has_value();
    for (const Subscript &s : expr->subscripts)
      if (s.axis.has_value() != named) {
        file->ok = false;
        diagnostics.error(Diag::MixedSubscripts, s.value->range);
        return nullptr;
      }
    return finish(expr);
  }
  if (base->kind != Expr::Reference || base->grouped) return unexpected("an operator or `;`"), nullptr;
  expr->kind = Expr::Call;
  expr->path = base->path;
  expr->hasIndices = true;
  for (const Subscript &s : expr->subscripts) {
    const Expr *v = s.value;
    if (s.axis || v->kind != Expr::Reference || v->path.size() != 1 || v->grouped) {
      file->ok = false;
      diagnostics.error(Diag::IndexListNames, bracket, {base->path.back().text()});
      return nullptr;
    }
    expr->indices.push_back(v->path[0]);
  }
  expr->subscripts.clear();
  return parseCallArguments(expr);
}

// arguments <- '(' (expr (',' expr)*)? ')'
Expr *Parser::parseCallArguments(Expr *call) {
  take();
  if (!accept(TokenKind::RightParen)) {
    do {
      Expr *arg = parseExpr();
      if (!arg) return nullptr;
      call->args.push_back(arg);
    } while (accept(TokenKind::Comma));
    if (!expectClose(TokenKind::RightParen)) return nullptr;
  }
  return finish(call);
}

// primary <- number / 'true' / 'false' / string / '|' name '|' / name ('.' name)* arguments? / ('f32' / 'i32') arguments
//          / '(' expr (',' expr)* ')' / loop
Expr *Parser::parsePrimary() {
  Nesting level(*this);
  if (tooDeep()) return nullptr;
  const Token token = peek();
  switch (token.kind) {
  case TokenKind::Integer: {
    Expr *expr = make(Expr::Integer, take().range);
    expr->integer = token.integer;
    if (token.integer > INT32_MAX) {
      file->ok = false;
      diagnostics.error(Diag::IntegerTooLarge, token.range, {sources.text(token.range)});
    }
    return finish(expr);
  }
  case TokenKind::Real: {
    Expr *expr = make(Expr::Real, take().range);
    expr->real = token.real;
    return finish(expr);
  }
  case TokenKind::KwTrue:
  case TokenKind::KwFalse: {
    Expr *expr = make(Expr::Boolean, take().range);
    expr->integer = token.kind == TokenKind::KwTrue;
    return finish(expr);
  }
  case TokenKind::String: {
    Expr *expr = make(Expr::Text, take().range);
    expr->path = {{token.symbol, token.range}};
    return finish(expr);
  }
  case TokenKind::Bar: {
    Expr *expr = make(Expr::Extent, take().range);
    Name name;
    if (!expectName(name) || !expect(TokenKind::Bar)) return nullptr;
    expr->path = {name};
    return finish(expr);
  }
  case TokenKind::KwF32:
  case TokenKind::KwI32: {
    Expr *expr = make(Expr::Call, take().range);
    expr->path = {{sources.intern(token.kind == TokenKind::KwF32 ? "f32" : "i32"), token.range}};
    if (!is(TokenKind::LeftParen)) return unexpected("`(`"), nullptr;
    return parseCallArguments(expr);
  }
  case TokenKind::KwEncode:  // encode.h
  case TokenKind::Name: {
    Expr *expr = make(Expr::Reference, take().range);
    expr->path = {{token.kind == TokenKind::Name ? token.symbol : sources.intern("encode"), token.range}};
    if (token.kind == TokenKind::KwEncode && !is(TokenKind::Dot)) return unexpected("`.`"), nullptr;
    while (accept(TokenKind::Dot)) {
      Name part;
      if (is(TokenKind::KwStep)) {
        part = {sources.intern("step"), take().range};
      } else if (!expectName(part)) {
        return nullptr;
      }
      expr->path.push_back(part);
    }
    if (is(TokenKind::LeftParen)) {
      expr->kind = Expr::Call;
      return parseCallArguments(expr);
    }
    return finish(expr);
  }
  case TokenKind::LeftParen: {
    SourceRange begin = take().range;
    Expr *first = parseExpr();
    if (!first) return nullptr;
    if (accept(TokenKind::RightParen)) {
      first->grouped = true;
      return first;
    }
    Expr *tuple = make(Expr::Tuple, begin);
    tuple->args = {first};
    while (accept(TokenKind::Comma)) {
      Expr *next = parseExpr();
      if (!next) return nullptr;
      tuple->args.push_back(next);
    }
    if (!expect(TokenKind::RightParen)) return nullptr;
    return finish(tuple);
  }
  case TokenKind::KwIterate:
  case TokenKind::KwFold:
  case TokenKind::KwScan: return parseLoop();
  case TokenKind::KwIf:
    file->ok = false;
    diagnostics.error(Diag::IfNeedsParens, token.range);
    return nullptr;
  default: unexpected("an expression"); return nullptr;
  }
}

// loop <- ('iterate' sum / 'fold' name / 'scan' 'reverse'? name) '{' targets '=' expr '->' value '}'
Expr *Parser::parseLoop() {
  const Token token = take();
  Expr *loop = make(token.kind == TokenKind::KwIterate ? Expr::Iterate : token.kind == TokenKind::KwFold ? Expr::Fold : Expr::Scan, token.range);
  if (loop->kind == Expr::Iterate) {
    Expr *count = parseExpr();
    if (!count) return nullptr;
    loop->args.push_back(count);
  } else {
    loop->reverse = loop->kind == Expr::Scan && accept(TokenKind::KwReverse);
    Name index;
    if (!expectName(index)) return nullptr;
    loop->path = {index};
  }
  bool tuple = false;
  if (!expect(TokenKind::LeftBrace) || !parseTargets(loop->targets, tuple) || !expect(TokenKind::Equal)) return nullptr;
  Expr *init = parseExpr();
  if (!init || !expect(TokenKind::Arrow)) return nullptr;
  Expr *next = parseTupleOrBlock();
  if (!next || !expect(TokenKind::RightBrace)) return nullptr;
  loop->args.push_back(init);
  loop->args.push_back(next);
  return finish(loop);
}

}  // namespace fovea
