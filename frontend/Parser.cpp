// Files and their definitions.
#include "frontend/Parser.h"

namespace fovea {

using namespace ast;

Parser::Parser(uint32_t id, SourceManager &sources, Diagnostics &diagnostics) : sources(sources), diagnostics(diagnostics), file(std::make_unique<File>()) {
  file->file = id;
  firstMessage = diagnostics.all().size();
  unsigned before = diagnostics.errorCount();
  tokens = lex(id, sources, diagnostics);
  if (diagnostics.errorCount() == before) return;
  file->ok = false;
  for (const Diagnostics::Message &message : diagnostics.all())
    if (message.range.file == id) diagnostics.quietAfter(message.range);
}

// file <- (import / kernel / function / block / model)*
std::unique_ptr<File> Parser::parseFile() {
  while (!is(TokenKind::End) && !diagnostics.full()) parseDefinition();
  diagnostics.sort(firstMessage);
  return std::move(file);
}

void Parser::parseDefinition() {
  size_t first = at;
  bool ok = false;
  switch (peek().kind) {
  case TokenKind::KwImport: parseImport(); return;
  case TokenKind::KwKernel: ok = parseKernel(); break;
  case TokenKind::KwFn: ok = parseFunction(file->functions); break;
  case TokenKind::KwBlock: ok = parseBlock(); break;
  case TokenKind::KwModel: ok = parseModel(); break;
  default: unexpected("`kernel`, `fn`, `block`, `model` or `import`"); break;
  }
  if (!ok) {
    file->ok = false;
    if (at == first) take();
    skipDefinition();
  }
}

// import <- 'import' string ';'
void Parser::parseImport() {
  take();
  Import import;
  import.range = peek().range;
  if (expectString(import.path) && expect(TokenKind::Semicolon)) {
    file->imports.push_back(std::move(import));
  } else {
    file->ok = false;
    skipStatement();
  }
}

// kernel <- 'kernel' name '(' parameters ')' '->' results where? '{' statement* '}'
bool Parser::parseKernel() {
  SourceRange begin = take().range;
  Kernel kernel;
  if (!expectName(kernel.name) || !expect(TokenKind::LeftParen) || !parseParameters(kernel.parameters, false)) return false;
  if (!expect(TokenKind::Arrow) || !parseResults(kernel.results)) return false;
  if (is(TokenKind::KwWhere) && !parseConstraints(kernel.constraints)) return false;
  if (!expect(TokenKind::LeftBrace) || !parseStatements(kernel.body, kernel.end)) return false;
  kernel.range = join(begin, previous());
  file->kernelPool.push_back(std::move(kernel));
  file->kernels.push_back(&file->kernelPool.back());
  return true;
}

// function <- 'fn' name ('[' names ']')? '(' values ')' ('=' expr ';' / block)
// values   <- (name ('[' names ']')? (',' ...)*)?
bool Parser::parseFunction(std::vector<Function *> &into) {
  SourceRange begin = take().range;
  Function function;
  if (is(TokenKind::KwStep)) {
    // A block's function may be called `step`, as in `layer.step(x)`.
    Token token = take();
    function.name = {sources.intern("step"), token.range};
  } else if (!expectName(function.name)) {
    return false;
  }
  if (accept(TokenKind::LeftBracket) && !parseNames(function.indices, TokenKind::RightBracket)) return false;
  if (!expect(TokenKind::LeftParen)) return false;
  if (!accept(TokenKind::RightParen)) {
    do {
      Target value;
      if (!parseTarget(value)) return false;
      function.values.push_back(std::move(value));
    } while (accept(TokenKind::Comma));
    if (!expect(TokenKind::RightParen)) return false;
  }
  if (is(TokenKind::LeftBrace)) {
    if (!(function.body = parseBlockExpr())) return false;
  } else {
    if (!expect(TokenKind::Equal) || !(function.body = parseTupleOrBlock()) || !expect(TokenKind::Semicolon)) return false;
  }
  function.range = join(begin, previous());
  file->functionPool.push_back(std::move(function));
  into.push_back(&file->functionPool.back());
  return true;
}

// parameters <- (parameter (',' parameter)*)? ')'
bool Parser::parseParameters(std::vector<Parameter> &parameters, bool stage) {
  if (accept(TokenKind::RightParen)) return true;
  do {
    Parameter parameter;
    if (!parseParameter(parameter, stage)) return false;
    parameters.push_back(std::move(parameter));
  } while (accept(TokenKind::Comma));
  return expect(TokenKind::RightParen);
}

// parameter <- 'state'? name ':' type ('=' expr)?      # state and its first value in a step alone
bool Parser::parseParameter(Parameter &parameter, bool stage) {
  parameter.state = stage && accept(TokenKind::KwState);
  if (!expectName(parameter.name) || !expect(TokenKind::Colon) || !parseType(parameter.type, stage)) return false;
  if (parameter.state && (!expect(TokenKind::Equal) || !(parameter.init = parseExpr()))) return false;
  return true;
}

// results <- result (',' result)* / '(' result (',' result)* ')'      result <- name ':' type
bool Parser::parseResults(std::vector<Parameter> &results) {
  bool parens = accept(TokenKind::LeftParen);
  do {
    Parameter result;
    if (!parseParameter(result, false)) return false;
    results.push_back(std::move(result));
  } while (accept(TokenKind::Comma));
  return !parens || expect(TokenKind::RightParen);
}

// type <- ('f32' / 'f16' / 'bf16' / 'i32' / 'i8' / 'u8' / 'bool' / 'token' / 'length' / 'position') ('[' names ']' 'sorted'?)?
bool Parser::parseType(ast::Type &type, bool stage) {
  type.range = peek().range;
  switch (peek().kind) {
  case TokenKind::KwF32: type.storage = core::Type::F32; break;
  case TokenKind::KwF16: type.storage = core::Type::F16; break;
  case TokenKind::KwBf16: type.storage = core::Type::BF16; break;
  case TokenKind::KwI32: type.storage = core::Type::I32; break;
  case TokenKind::KwI8: type.storage = core::Type::I8; break;
  case TokenKind::KwU8: type.storage = core::Type::U8; break;
  case TokenKind::KwBool: type.storage = core::Type::Bool; break;
  default:
    type.storage = core::Type::I32;
    if (stage && isWord("token")) {
      type.kind = ast::Type::Token;
    } else if (stage && isWord("length")) {
      type.kind = ast::Type::Length;
    } else if (stage && isWord("position")) {
      type.kind = ast::Type::Position;
    } else if (is(TokenKind::Name)) {
      diagnostics.error(Diag::UnknownType, peek().range, {*peek().symbol});
      return false;
    } else {
      unexpected("a type");
      return false;
    }
  }
  take();
  if (accept(TokenKind::LeftBracket)) {
    type.tensor = true;
    if (is(TokenKind::Integer)) {
      diagnostics.error(Diag::NumberAsAxis, peek().range, {sources.text(peek().range)});
      return false;
    }
    if (!parseNames(type.axes, TokenKind::RightBracket)) return false;
  }
  if (is(TokenKind::KwSorted)) {
    Token token = take();
    type.sorted = true;
    if (!type.tensor || type.storage == core::Type::Bool) {
      diagnostics.error(Diag::SortedType, token.range);
      return false;
    }
  }
  return true;
}

// where <- 'where' constraint (',' constraint)*
bool Parser::parseConstraints(std::vector<Constraint> &constraints) {
  take();
  do {
    Constraint constraint;
    if (!parseConstraint(constraint)) return false;
    constraints.push_back(std::move(constraint));
  } while (accept(TokenKind::Comma));
  return true;
}

// constraint <- sum '=' sum / name 'in' '{' sum (',' sum)* '}' 'only'? / name '<=' sum
bool Parser::parseConstraint(Constraint &constraint) {
  SourceRange begin = peek().range;
  if (!(constraint.left = parseSum())) return false;
  bool name = constraint.left->kind == Expr::Reference && constraint.left->path.size() == 1;
  if (accept(TokenKind::Equal)) {
    constraint.kind = Constraint::Relation;
    if (!(constraint.right = parseSum())) return false;
  } else if (name && accept(TokenKind::LessEqual)) {
    constraint.kind = Constraint::Bound;
    if (!(constraint.right = parseSum())) return false;
  } else if (name && accept(TokenKind::KwIn)) {
    constraint.kind = Constraint::Choices;
    if (!expect(TokenKind::LeftBrace)) return false;
    do {
      Expr *choice = parseSum();
      if (!choice) return false;
      constraint.choices.push_back(choice);
    } while (accept(TokenKind::Comma));
    if (!expect(TokenKind::RightBrace)) return false;
    constraint.only = accept(TokenKind::KwOnly);
  } else {
    unexpected(name ? "`=`, `in` or `<=`" : "`=`");
    return false;
  }
  constraint.range = join(begin, previous());
  return true;
}

// --- tokens ---------------------------------------------------------------------------------------------------------

void Parser::unexpected(std::string_view wanted) {
  file->ok = false;
  const Token &token = peek();
  std::string found = spelling(token.kind);
  bool reserved = false;
#define KEYWORD(id, spelling) reserved |= token.kind == TokenKind::Kw##id;
#define PUNCTUATION(id, spelling)
#include "frontend/tokens.def"
#undef KEYWORD
#undef PUNCTUATION
  if (token.kind == TokenKind::Name || token.kind == TokenKind::Integer || token.kind == TokenKind::Real) {
    std::string_view text = sources.text(token.range);
    found = "`" + std::string(text.substr(0, 60)) + (text.size() > 60 ? "..." : "") + "`";
  }
  if (reserved && wanted == "a name")
    diagnostics.error(Diag::ReservedName, token.range, {sources.text(token.range)});
  else
    diagnostics.error(Diag::UnexpectedToken, token.range, {wanted, found});
}

bool Parser::expect(TokenKind kind) {
  if (accept(kind)) return true;
  // What is missing at a line's end is missed there, not at the start of the next line.
  if (kind == TokenKind::Semicolon && at > 0 && sources.place(previous()).line != sources.place(peek().range).line) {
    file->ok = false;
    SourceRange end = previous();
    diagnostics.error(Diag::MissingSemicolon, {end.file, end.end, end.end});
    return false;
  }
  unexpected(spelling(kind));
  return false;
}

bool Parser::expectWord(std::string_view word) {
  if (acceptWord(word)) return true;
  unexpected("`" + std::string(word) + "`");
  return false;
}

bool Parser::expectName(Name &name) {
  if (!is(TokenKind::Name)) return unexpected("a name"), false;
  Token token = take();
  name = {token.symbol, token.range};
  return true;
}

bool Parser::expectString(std::string &text) {
  if (!is(TokenKind::String)) return unexpected("a string"), false;
  text = *take().symbol;
  return true;
}

bool Parser::expectInteger(int64_t &value) {
  if (!is(TokenKind::Integer)) return unexpected("a whole number"), false;
  value = take().integer;
  return true;
}

bool Parser::parseNames(std::vector<Name> &names, TokenKind close) {
  do {
    Name name;
    if (!expectName(name)) return false;
    names.push_back(name);
  } while (accept(TokenKind::Comma));
  return expect(close);
}

void Parser::skipStatement() {
  int depth = 0;
  while (!is(TokenKind::End)) {
    if (is(TokenKind::LeftBrace)) ++depth;
    if (is(TokenKind::RightBrace) && depth-- == 0) return;
    if (depth == 0 && is(TokenKind::Semicolon)) return void(take());
    // A definition inside braces means that a brace is missing.
    if (is(TokenKind::KwKernel) || is(TokenKind::KwModel)) return;
    take();
  }
}

void Parser::skipDefinition() {
  while (!is(TokenKind::End) && !is(TokenKind::KwKernel) && !is(TokenKind::KwModel) && !is(TokenKind::KwFn) && !is(TokenKind::KwBlock) && !is(TokenKind::KwImport))
    take();
}

Expr *Parser::make(Expr::Kind kind, SourceRange begin) {
  file->exprs.emplace_back();
  Expr *expr = &file->exprs.back();
  expr->kind = kind;
  expr->range = begin;
  return expr;
}

// Depth of an expression tree: the checker recurses over it.
static constexpr uint32_t deepestExpr = 1000;
// Depth of the parser's own recursion.
static constexpr unsigned deepestNesting = 200;

Expr *Parser::finish(Expr *expr) {
  for (Expr *arg : expr->args)
    if (arg) expr->depth = std::max(expr->depth, arg->depth + 1);
  for (const Subscript &subscript : expr->subscripts) expr->depth = std::max(expr->depth, subscript.value->depth + 1);
  if (previous().end > expr->range.end) expr->range.end = previous().end;
  if (expr->depth > deepestExpr) {
    file->ok = false;
    diagnostics.error(Diag::TooDeep, {expr->range.file, expr->range.begin, expr->range.begin + 1});
    return nullptr;
  }
  return expr;
}

bool Parser::tooDeep() {
  if (nesting <= deepestNesting) return false;
  file->ok = false;
  diagnostics.error(Diag::TooDeep, peek().range);
  return true;
}

Statement *Parser::makeStatement(Statement::Kind kind) {
  file->statementPool.emplace_back();
  Statement *statement = &file->statementPool.back();
  statement->kind = kind;
  statement->range = peek().range;
  return statement;
}

}  // namespace fovea
