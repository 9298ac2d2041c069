// Tokens to syntax tree. Above each parse function stands its production.
#ifndef FOVEA_FRONTEND_PARSER_H
#define FOVEA_FRONTEND_PARSER_H

#include "frontend/Ast.h"
#include "frontend/Lexer.h"

#include <algorithm>
#include <memory>

namespace fovea {

class Parser {
public:
  Parser(uint32_t file, SourceManager &sources, Diagnostics &diagnostics);
  std::unique_ptr<ast::File> parseFile();

private:
  // Parser.cpp: definitions.
  void parseDefinition();
  void parseImport();
  bool parseKernel();
  bool parseFunction(std::vector<ast::Function *> &into);
  bool parseParameters(std::vector<ast::Parameter> &parameters, bool stage);
  bool parseParameter(ast::Parameter &parameter, bool stage);
  bool parseResults(std::vector<ast::Parameter> &results);
  bool parseType(ast::Type &type, bool stage);
  bool parseConstraints(std::vector<ast::Constraint> &constraints);
  bool parseConstraint(ast::Constraint &constraint);

  // ParseSchedule.cpp.
  bool parseSchedule();
  bool parseScheduleTarget(SourceRange &range);
  bool parseSettings(ast::Schedule &schedule, ast::Setting within, bool nested);

  // ParseStatement.cpp.
  bool parseStatements(std::vector<ast::Statement *> &statements, SourceRange &end);
  ast::Expr *parseBlockExpr();
  bool startsStatement() const;
  ast::Statement *parseStatement();
  ast::Statement *parseLet();
  ast::Statement *parseDims();
  ast::Statement *parseTrace();
  ast::Statement *parseFor();
  ast::Statement *parseAssign(ast::Expr *left);
  bool parseTarget(ast::Target &target);
  bool parseTargets(std::vector<ast::Target> &targets, bool &tuple);
  bool parseDimList(std::vector<ast::Dim> &dims);

  // ParseExpr.cpp.
  ast::Expr *parseExpr();
  ast::Expr *parseOr();
  ast::Expr *parseAnd();
  ast::Expr *parseNot();
  ast::Expr *parseComparison();
  ast::Expr *parseSum();
  ast::Expr *parseProduct();
  ast::Expr *parseUnary();
  ast::Expr *parsePostfix();
  ast::Expr *parsePrimary();
  ast::Expr *parseBracket(ast::Expr *base);
  ast::Expr *parseCallArguments(ast::Expr *call);
  ast::Expr *parseLoop();
  ast::Expr *parseTupleOrBlock();

  // ParseModel.cpp.
  bool parseBlock();
  bool parseModel();
  bool parseMember(std::vector<ast::Member> &members, bool caches);
  bool parseWeight(ast::Weight &weight);
  bool parseLayout(ast::Weight &weight);
  bool parseInstance(ast::Instance &instance);
  bool parseConfig(ast::ConfigPart &config);
  bool parseLiteral(ast::Literal &literal);
  bool parseFormat(ast::Format &format);
  bool parseTokens(std::vector<std::string> &tokens);
  bool parseConfigKey(std::optional<ast::Name> &key);   // `config.key`, if it stands here
  bool parseSpecial(std::string &token, std::optional<ast::Name> &key);
  bool parseStage(ast::Stage &stage);

  // Tokens.
  const Token &peek(size_t ahead = 0) const { return tokens[std::min(at + ahead, tokens.size() - 1)]; }
  bool is(TokenKind kind) const { return peek().kind == kind; }
  bool isWord(std::string_view word) const { return is(TokenKind::Name) && *peek().symbol == word; }
  Token take() {
    depth += is(TokenKind::LeftBrace) - is(TokenKind::RightBrace);
    return at + 1 < tokens.size() ? tokens[at++] : tokens[at];
  }
  bool accept(TokenKind kind) { return is(kind) && (take(), true); }
  bool acceptWord(std::string_view word) { return isWord(word) && (take(), true); }
  bool expect(TokenKind kind);                       // reports what stands there instead
  bool expectClose(TokenKind kind);                  // the end of a list, where a comma could stand too
  bool expectWord(std::string_view word);
  bool expectName(ast::Name &name);
  bool expectString(std::string &text);
  bool expectInteger(int64_t &value);
  bool parseNames(std::vector<ast::Name> &names, TokenKind close);  // name (, name)* close
  void unexpected(std::string_view wanted);
  std::string hint(std::string_view wanted) const;   // what may have been meant by the token that was not expected
  bool beginsNothing(const ast::Expr *left);         // reports a word at the start of a statement that is none of its keywords
  void skipStatement(int level);                     // past the next `;` at this depth of braces, or to the `}` that closes it
  void skipDefinition();                             // to the next definition

  ast::Expr *make(ast::Expr::Kind kind, SourceRange begin);
  ast::Expr *finish(ast::Expr *expr);                // sets the range's end and the depth
  ast::Statement *makeStatement(ast::Statement::Kind kind);
  SourceRange previous() const { return tokens[at ? at - 1 : 0].range; }
  static SourceRange join(SourceRange a, SourceRange b) { return {a.file, a.begin, b.end}; }

  // Bounds recursion: one per level of nesting.
  struct Nesting {
    explicit Nesting(Parser &p) : p(p) { ++p.nesting; }
    ~Nesting() { --p.nesting; }
    Parser &p;
  };
  bool tooDeep();

  SourceManager &sources;
  Diagnostics &diagnostics;
  std::vector<Token> tokens;
  size_t at = 0, firstMessage = 0;
  unsigned nesting = 0;
  int depth = 0;                                     // braces open before `at`
  std::unique_ptr<ast::File> file;
};

}  // namespace fovea

#endif  // FOVEA_FRONTEND_PARSER_H
