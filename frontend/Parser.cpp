// Files and their definitions.
#include "frontend/Parser.h"
#include "frontend/NearMiss.h"

#include <cctype>

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

// file <- (import / kernel / function / block / model / schedule)*
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
  case TokenKind::KwSchedule: ok = parseSchedule(); break;
  default: unexpected("`kernel`, `fn`, `block`, `model`, `schedule` or `import`"); break;
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
    skipStatement(depth);
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
  return expectClose(TokenKind::RightParen);
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
      diagnostics.error(Diag::UnknownType, peek().range, {*peek().symbol, typeHint(*peek().symbol)});
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
    diagnostics.error(Diag::UnexpectedToken, token.range, {wanted, found, hint(wanted)});
}

// What other languages write there, or a keyword that is nearly what stands there.
std::string Parser::hint(std::string_view wanted) const {
  auto after = [&](TokenKind kind) { return at > 0 && tokens[at - 1].kind == kind && previous().end == peek().range.begin; };
  auto before = [&](TokenKind kind) { return peek(1).kind == kind && peek(1).range.begin == peek().range.end; };
  if (is(TokenKind::Name)) {
    std::vector<std::string_view> keywords;
    for (size_t begin = wanted.find('`'); begin != std::string_view::npos; begin = wanted.find('`', begin + 1)) {
      size_t end = wanted.find('`', begin + 1);
      if (end == std::string_view::npos) break;
      if (std::isalpha(static_cast<unsigned char>(wanted[begin + 1]))) keywords.push_back(wanted.substr(begin + 1, end - begin - 1));
      begin = end;
    }
    if (wanted == "`{`") keywords.push_back("where");
    return keywords.empty() ? "" : nearMiss(*peek().symbol, keywords);
  }
  if (is(TokenKind::KwIf)) return wanted == "a statement or `}`" ? "; `if` is an expression, as in `o = if c then a else b;`" : "";
  bool storage = is(TokenKind::KwF16) || is(TokenKind::KwBf16) || is(TokenKind::KwI8) || is(TokenKind::KwU8) || is(TokenKind::KwBool);
  if (storage && wanted == "an expression") return "; values are f32, i32 and bool, other types are for what is stored";
  if (is(TokenKind::Star) && after(TokenKind::Star)) return "; a power is `pow(x, y)`";
  if (is(TokenKind::Slash) && before(TokenKind::Star)) return "; a comment begins with `//`";
  if (is(TokenKind::Bar)) return characterHint("|");
  if (is(TokenKind::EqualEqual)) return wanted.substr(0, 3) == "`=`" ? "; a relation between extents is written `=`" : "";
  if (is(TokenKind::Equal)) return wanted == "`->`" || wanted == "a name" || wanted == "an expression" || wanted == "`:`" ? "" : "; `==` compares";
  if (wanted == "`=`" && before(TokenKind::Equal)) return "; a result is assigned once, as `o = e;`";
  if (wanted == "`|`") return "; `|n|` is the extent of an index, `abs(e)` an absolute value";
  if (is(TokenKind::Dot) && wanted == "an expression" && peek(1).kind == TokenKind::Integer) return "; write `0." + std::string(sources.text(peek(1).range)) + "`";
  return "";
}

bool Parser::beginsNothing(const Expr *left) {
  if (left->kind != Expr::Reference || left->grouped || left->path.size() != 1 || (!is(TokenKind::Name) && !is(TokenKind::Integer) && !is(TokenKind::Real))) return false;
  file->ok = false;
  std::string near = nearMiss(left->path[0].text(), {"let", "score", "mask", "dim"});
  diagnostics.error(Diag::UnknownStatement, left->range, {left->path[0].text(), near.empty() ? "; there are `let`, `score`, `mask`, `dim` and `result = e`" : near});
  return true;
}

bool Parser::expect(TokenKind kind) {
  if (accept(kind)) return true;
  // What is missing at a line's end is missed there, not at the start of the next line.
  if (kind == TokenKind::Semicolon && at > 0 && sources.place(previous()).line != sources.place(peek().range).line) {
    file->ok = false;
    SourceRange end = previous();
    std::string_view line = sources.text({end.file, end.end, peek().range.begin});
    bool comment = line.substr(0, line.find('\n')).find("//") != std::string_view::npos;
    diagnostics.error(Diag::MissingSemicolon, {end.file, end.end, end.end}, {comment ? ", before the comment" : ""});
    return false;
  }
  unexpected(spelling(kind));
  return false;
}

bool Parser::expectClose(TokenKind kind) {
  if (accept(kind)) return true;
  unexpected("`,` or " + spelling(kind));
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
  return expectClose(close);
}

void Parser::skipStatement(int level) {
  // A statement that ends where something else was expected has left its braces open.
  if (is(TokenKind::Semicolon)) depth = level;
  while (!is(TokenKind::End)) {
    if (depth <= level && is(TokenKind::RightBrace)) return;
    if (depth <= level && is(TokenKind::Semicolon)) return void(take());
    // A definition inside braces means that a brace is missing.
    if (is(TokenKind::KwKernel) || is(TokenKind::KwModel)) return;
    bool closed = take().kind == TokenKind::RightBrace && depth <= level;
    // As in C, `if x { ... }` ends with its brace.
    if (closed && sources.place(previous()).line != sources.place(peek().range).line && !is(TokenKind::Semicolon) && !is(TokenKind::KwElse)) return;
  }
}

void Parser::skipDefinition() {
  depth = 0;
  while (!is(TokenKind::End) && !is(TokenKind::KwKernel) && !is(TokenKind::KwModel) && !is(TokenKind::KwFn) && !is(TokenKind::KwBlock) && !is(TokenKind::KwSchedule) && !is(TokenKind::KwImport))
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
