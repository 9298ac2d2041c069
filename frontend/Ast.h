// The syntax tree. Nodes belong to the File they were parsed into and point at each other freely.
#ifndef FOVEA_FRONTEND_AST_H
#define FOVEA_FRONTEND_AST_H

#include "frontend/Source.h"

#include <deque>
#include <optional>
#include <vector>

namespace fovea::ast {

struct Name {
  Symbol symbol = nullptr;
  SourceRange range;
  const std::string &text() const { return *symbol; }
};

enum class Operator : uint8_t { Neg, Not, Mul, Div, Mod, Add, Sub, Lt, Le, Gt, Ge, Eq, Ne, And, Or };
const char *spelling(Operator op);

struct Expr;
struct Statement;

// A constant as written, or as a configuration has it.
struct Literal {
  enum Kind : uint8_t { Integer, Real, Boolean, Text } kind{};
  int64_t integer = 0;  // Integer; Boolean: 0 or 1
  double real = 0;
  std::string text;
};

// One entry of a bracket: `e` or `a: e`.
struct Subscript {
  std::optional<Name> axis;
  Expr *value = nullptr;
};

// A defined name with the axes stated for it: `x`, `x[b,i]`.
struct Target {
  Name name;
  bool stated = false;
  std::vector<Name> axes;
};

struct Expr {
  enum Kind : uint8_t {
    Integer,    // integer
    Real,       // real
    Boolean,    // integer: 0 or 1
    Text,       // path[0], without its quotes
    Reference,  // path: x, or encode.h and config.d_model in a model
    Extent,     // path[0]: |d|
    Unary,      // op, args[0]
    Binary,     // op, args[0], args[1]
    If,         // args: condition, then, else
    Call,       // path, indices, args: f(x), sum[j](x), layer.step(x); also f32(x), i32(x)
    Index,      // args[0], subscripts
    Tuple,      // args
    Block,      // statements, args[0]: { let x = 1; x }
    Iterate,    // args: count, init, next; targets
    Fold,       // path[0]: index; args: init, next; targets
    Scan,       // as Fold; reverse
  } kind{};
  SourceRange range;
  Operator op{};
  bool hasIndices = false, reverse = false, grouped = false;
  uint32_t depth = 1;
  double real = 0;
  int64_t integer = 0;
  std::vector<Name> path, indices;
  std::vector<Expr *> args;
  std::vector<Subscript> subscripts;
  std::vector<Target> targets;
  std::vector<Statement *> statements;
};

struct Dim {
  Name name;
  Expr *extent = nullptr;
};

struct Statement {
  enum Kind : uint8_t {
    Let,     // targets, value; score
    Mask,    // value
    Dims,    // dims
    Assign,  // targets (names), value
    Append,  // targets[0], value
    Trace,   // targets[0]; grid
    For,     // targets[0], over, body
  } kind{};
  SourceRange range;
  bool score = false, tuple = false;
  std::vector<Target> targets;
  Expr *value = nullptr;
  std::vector<Dim> dims;
  std::vector<int64_t> grid;
  Name over;
  std::vector<Statement *> body;
};

// A type as written. Token, Length and Position are models' (`src: token[b,i]`).
struct Type {
  enum Kind : uint8_t { Storage, Token, Length, Position } kind = Storage;
  core::Type storage{};
  SourceRange range;
  bool tensor = false, sorted = false;
  std::vector<Name> axes;
};

struct Parameter {
  Name name;
  Type type;
  bool state = false;     // step: `state h: f32[b,m] = e`
  Expr *init = nullptr;
};

struct Constraint {
  enum Kind : uint8_t { Relation, Choices, Bound } kind{};
  SourceRange range;
  Expr *left = nullptr;   // Relation: either side; Choices, Bound: a Reference
  Expr *right = nullptr;  // Relation, Bound
  std::vector<Expr *> choices;
  bool only = false;
};

struct Kernel {
  Name name;
  SourceRange range;
  std::vector<Parameter> parameters, results;
  std::vector<Constraint> constraints;
  std::vector<Statement *> body;
  SourceRange end;        // the closing brace
};

// A function's value parameter: `x`, or `v[x]` in a block, which says the axes it works on.
struct Function {
  Name name;
  SourceRange range;
  std::vector<Name> indices;
  std::vector<Target> values;
  Expr *body = nullptr;
};

// `param w: f32[h,d,m] from "q.weight" or "query.weight"[(h d), m];`, `cache k: f32[b,t,h,d];`
struct Weight {
  Name name;
  Type type;
  bool cache = false, hasLayout = false;
  std::vector<Name> foreign;  // the strings; an empty one: zeros
  std::vector<std::vector<Name>> layout;
};

// `layer: encoder_layer(m, f)[6] from "model.encoder.layers.{n}";`
struct Instance {
  Name name, block;
  std::vector<Name> axes;
  Expr *count = nullptr;
  std::vector<Name> foreign;  // the strings
};

struct Member {
  enum Kind : uint8_t { Dims, Parameter, Sub } kind{};
  std::vector<Dim> dims;
  Weight weight;
  Instance instance;
};

struct Block {
  Name name;
  SourceRange range;
  std::vector<Name> axes;
  std::vector<Member> members;
  std::vector<Function *> functions;
};

// `reads text by characters "x.vocab" end "</s>" unknown "<unk>";`
struct Format {
  SourceRange range;
  bool given = false;
  core::TextFormat value;
  std::optional<Name> start, end, atMost;  // keys of the configuration
};

// `config "config.json" { scale = 1; act in {"relu", "gelu"}; }`
struct ConfigKey {
  Name name;
  std::optional<Literal> otherwise;  // where the file has none
  std::optional<Name> other;         // or another key
  std::vector<Literal> allowed;      // empty: any
};
struct ConfigPart {
  bool given = false;
  SourceRange range;
  Name file;                         // the string
  std::vector<Name> others;          // of files that may be missing; what they say counts more
  std::vector<ConfigKey> keys;
};

// `encode(...) -> (...) {...}`, `step(...) -> ... {...}`
struct Stage {
  bool given = false;
  SourceRange range;      // the keyword
  std::vector<Parameter> parameters, results;
  std::vector<Statement *> body;
  SourceRange end;
};

struct Model {
  Name name;
  SourceRange range;
  ConfigPart config;
  Format reads, writes;
  std::vector<Member> members;
  std::vector<Function *> functions;
  Stage encode, step;
};

// `queries = 32;`, or `few = none;`; `attend` and `version` are the blocks that it stands in.
struct Setting {
  int64_t attend = 0;           // 0: each
  std::optional<Name> version;
  Name key;
  bool block = false;           // `few {`: only says that the block is there
  Symbol word = nullptr;        // the value, else it is `number`
  int64_t number = 0;
  SourceRange value;
};

// `schedule attend for zen4 { ... }`
struct Schedule {
  Name kernel;
  SourceRange target;
  SourceRange range;
  std::vector<Setting> settings;
};

struct Import {
  std::string path;
  SourceRange range;
};

struct File {
  uint32_t file = 0;
  bool ok = true;         // without syntax errors
  std::vector<Import> imports;
  std::vector<Function *> functions;
  std::vector<Kernel *> kernels;
  std::vector<Block *> blocks;
  std::vector<Model *> models;
  std::vector<Schedule> schedules;

  std::deque<Expr> exprs;
  std::deque<Statement> statementPool;
  std::deque<Function> functionPool;
  std::deque<Kernel> kernelPool;
  std::deque<Block> blockPool;
  std::deque<Model> modelPool;
};

}  // namespace fovea::ast

#endif  // FOVEA_FRONTEND_AST_H
