// Syntax tree to core: names, types, axes, masks and functions of one kernel, or of one stage of a model.
//
// Expressions are evaluated straight into a hash-consed graph. A `let` without stated axes is evaluated again for each definition
// that uses it, since masks apply to its reductions as they do there (rule M2); what such an evaluation asked about the using
// definition is recorded, so that it is repeated only where the answer differs.
#ifndef FOVEA_FRONTEND_ELABORATE_H
#define FOVEA_FRONTEND_ELABORATE_H

#include "frontend/Ast.h"
#include "frontend/Builder.h"
#include "frontend/Diagnostics.h"

#include <map>
#include <memory>
#include <set>
#include <unordered_map>

namespace fovea {

using core::IndexId;
using core::NodeId;

class Config;
struct FileScope;
struct FunctionEntry {
  const ast::Function *function = nullptr;
  const FileScope *scope = nullptr;
};
struct BlockEntry {
  const ast::Block *block = nullptr;
  const FileScope *scope = nullptr;
};

// The functions and blocks that a file's definitions see: its own, those of its imports, the prelude's.
struct FileScope {
  const ast::File *file = nullptr;
  bool prelude = false;
  std::unordered_map<Symbol, FunctionEntry> functions;
  std::unordered_map<Symbol, BlockEntry> blocks;
};

// One call being inlined.
struct Activation {
  const ast::Function *function = nullptr;
  const Activation *caller = nullptr;
  SourceRange call;
  unsigned depth = 0;
  std::string name;                        // as written: `layer.step`
  std::string path;                        // of the block instance, with a final dot
  std::map<Symbol, SourceRange> asFunction;  // names used as functions here
};

// An instance of a block, in one stage of a model.
struct Env;
struct Instance {
  const ast::Block *block = nullptr;
  const FileScope *file = nullptr;
  std::string path;                        // "dec.0."
  std::vector<std::string> foreign;        // the same in the weight file, or one of these
  int64_t number = 0;                      // {n} in names of foreign tensors
  const Env *env = nullptr;                // axes, parameters, caches and parts
  std::vector<IndexId> inner, outer;       // block axes: inside, and what they were given
  std::map<Symbol, Instance *> single;
  std::map<Symbol, std::vector<Instance *>> several;
};

struct Mask {
  NodeId node;
  const Mask *next;
};

struct Scope {
  const Env *env = nullptr;
  const Mask *masks = nullptr;
  const FileScope *file = nullptr;
  Activation *activation = nullptr;
  const Instance *instance = nullptr;      // whose function this is the body of
};

// A let without stated axes.
struct Lazy {
  const ast::Statement *statement = nullptr;
  Scope scope;
  struct Entry {
    std::vector<IndexId> asked, held;      // what was asked about the using definition's axes, and which of it held
    std::vector<NodeId> nodes;
  };
  std::vector<Entry> entries;
};

struct Binding {
  enum Kind : uint8_t { Index, Indices, Tensor, Scalar, Value, Lazily, Result, Instance, Instances, Poison } kind = Poison;
  SourceRange declared;
  uint32_t id = 0;                         // index, tensor, scalar, result; component of a Lazy
  NodeId node = core::none;                // Value
  bool stated = false;
  std::vector<IndexId> axes;               // Value with stated axes; Indices
  Lazy *lazy = nullptr;
  fovea::Instance *instance = nullptr;
  std::vector<fovea::Instance *> instances;
};

struct Env {
  Symbol name = nullptr;
  Binding binding;
  const Env *parent = nullptr;
};

class Elaborator {
public:
  // `config`: a model's.
  Elaborator(SourceManager &sources, Diagnostics &diagnostics, const FileScope &file, const Config *config = nullptr)
      : sources(sources), diagnostics(diagnostics), file(file), config(config) {}

  bool kernel(const ast::Kernel &kernel);              // ElaborateKernel.cpp
  // A model's stage; `encode` is the finished encode for step. ElaborateModel.cpp.
  bool encode(const ast::Model &model);
  bool step(const ast::Model &model, Elaborator &encode, core::Model &into);
  // Copies extents that one stage found to the other, then finishes both.
  static bool finishModel(Elaborator &encode, Elaborator &step);

  Builder b;

private:
  using Nodes = std::vector<NodeId>;

  // Elaborate.cpp: names, scopes, errors.
  const Env *find(const Env *env, Symbol name) const;
  void bind(Scope &scope, Symbol name, Binding binding);
  void poison(Scope &scope, Symbol name, SourceRange at);
  void error(Diag id, SourceRange at, DiagArgs args = {});
  SourceRange visible(SourceRange at) const;           // the call, for a place in the prelude
  std::string suggestion(const Scope &scope, Symbol name, bool function) const;
  const char *kindName(const Binding &binding) const;
  std::string withAxis(const std::string &name, std::vector<IndexId> axes, IndexId index) const { return axes.push_back(index), axesText(name, axes); }
  bool isKernel(const Scope &scope, Symbol name) const;
  std::optional<IndexId> findIndex(Scope &scope, const ast::Name &name, bool report = true, bool extent = false);
  bool findIndices(Scope &scope, const std::vector<ast::Name> &names, std::vector<IndexId> &indices);
  bool claim(Scope &scope, const ast::Name &name, bool value);  // a name means one thing (rule T2)
  bool stackLeft(SourceRange at);
  std::string axesText(const std::string &name, const std::vector<IndexId> &axes) const;
  const std::string &indexName(IndexId index) const { return b.function.indices[index].name; }

  // ElaborateExpr.cpp.
  NodeId value(const ast::Expr *expr, Scope &scope);
  Nodes values(const ast::Expr *expr, Scope &scope);   // a tuple's parts; empty after an error
  NodeId number(const ast::Expr *expr, Scope &scope);  // F32 or I32
  NodeId integer(const ast::Expr *expr, Scope &scope, Diag otherwise);
  NodeId condition(const ast::Expr *expr, Scope &scope);
  const ast::Literal *configured(const ast::Expr *expr, Scope &scope);  // of `config.key`; null for other expressions, and after an error
  const std::string *text(const ast::Expr *expr, Scope &scope);        // of a text; null for other values
  NodeId reference(const ast::Expr *expr, Scope &scope);
  NodeId reference(const Env *entry, const ast::Name &name, Scope &scope);
  NodeId unary(const ast::Expr *expr, Scope &scope);
  NodeId binary(const ast::Expr *expr, Scope &scope);
  Nodes conditional(const ast::Expr *expr, Scope &scope);
  Nodes block(const ast::Expr *expr, Scope &scope);
  bool join(NodeId &a, NodeId &c);                     // to one type; false for bool with a number
  NodeId index(const ast::Expr *expr, Scope &scope);   // t[...]
  const char *typeName(NodeId node) const;

  // ElaborateCall.cpp.
  Nodes call(const ast::Expr *expr, Scope &scope);
  Nodes inlineCall(const ast::Expr *expr, const ast::Function &function, Scope inside, Scope &scope, const Instance *instance);
  Nodes instanceCall(const ast::Expr *expr, const Env *entry, Scope &scope);
  NodeId builtin(const ast::Expr *expr, Scope &scope);
  NodeId concat(const ast::Expr *expr, Scope &scope);
  NodeId random(const ast::Expr *expr, Scope &scope);
  NodeId reduction(const ast::Expr *expr, Scope &scope, core::Op op, bool mean);  // ElaborateReduce.cpp
  std::vector<NodeId> masksFor(const std::vector<IndexId> &reduced, NodeId operand, const Scope &scope);
  NodeId keep(NodeId node, const std::vector<IndexId> &axes, const Scope &scope);
  bool usesContext(IndexId index);                     // asks, and records that it asked

  // ElaborateLoop.cpp.
  Nodes loop(const ast::Expr *expr, Scope &scope);

  // ElaborateStatement.cpp.
  void statements(const std::vector<ast::Statement *> &list, Scope &scope);
  void statement(const ast::Statement &statement, Scope &scope);
  void let(const ast::Statement &statement, Scope &scope);
  Nodes lazily(Lazy &lazy, bool &failed);
  NodeId stated(const ast::Target &target, const ast::Statement &statement, size_t number, Scope &scope, std::vector<IndexId> &axes);
  void mask(const ast::Statement &statement, Scope &scope);
  void dim(const ast::Dim &dim, Scope &scope);
  void assign(const ast::Statement &statement, Scope &scope);
  void poisonConcats(const ast::Expr *expr, Scope &scope);
  void assignResult(uint32_t result, NodeId node, const ast::Expr *expr, Scope &scope);
  bool fits(NodeId node, const std::vector<IndexId> &axes, const std::string &name, SourceRange declared, const ast::Expr *expr, Scope &scope);
  const ast::Expr *culprit(const ast::Expr *expr, IndexId index, Scope &scope);
  NodeId store(NodeId node, core::Type type, const ast::Expr *expr, const std::string &name);

  // ElaborateKernel.cpp: signatures, extents.
  std::optional<IndexId> axis(Scope &scope, const ast::Name &name, bool known);
  bool axes(Scope &scope, const std::vector<ast::Name> &names, std::vector<IndexId> &into, bool known);
  std::optional<core::TensorId> tensor(Scope &scope, const ast::Name &name, const ast::Type &type, core::Tensor::Role role);
  void parameter(Scope &scope, const ast::Parameter &parameter);
  void results(Scope &scope, const std::vector<ast::Parameter> &results);
  void constraint(const ast::Constraint &constraint, Scope &scope);
  void defineExtent(IndexId index, NodeId extent, SourceRange at, bool known);
  void setFixed(IndexId index, int64_t size, SourceRange at);
  NodeId extentExpr(const ast::Expr *expr, Scope &scope);
  bool knownExtent(IndexId index) const;
  void checkResults(SourceRange end);
  bool checkExtents();
  void check(NodeId condition, SourceRange at);
  SourceRange rangeOf(core::Place place, const std::string &text) const;

  // ElaborateModel.cpp.
  const Env *lookup(const Scope &scope, Symbol name) const;
  void model(const ast::Model &model, Scope &scope);
  void members(const std::vector<ast::Member> &list, Scope &scope, Instance *owner, unsigned depth);
  Instance *instantiate(const ast::Instance &part, const Instance *owner, int64_t index, Scope &scope, unsigned depth);
  bool formats(const ast::Model &model, core::Model &into);
  void weight(const ast::Weight &weight, Scope &scope, const Instance *owner);
  void stageParameter(Scope &scope, const ast::Parameter &parameter);
  void encoded(const ast::Parameter &parameter, Scope &scope);
  void instanceCaches(Instance &instance);
  void append(const ast::Statement &statement, Scope &scope);
  void trace(const ast::Statement &statement, Scope &scope);
  void forEach(const ast::Statement &statement, Scope &scope);
  core::TensorId currentCache(core::TensorId tensor) const;

  SourceManager &sources;
  Diagnostics &diagnostics;
  const FileScope &file;
  const Config *config;
  std::deque<Env> envs;
  std::deque<Mask> maskPool;
  std::deque<Activation> activations;
  std::deque<Lazy> lazies;
  std::deque<Instance> instances;
  Activation *now = nullptr;                           // the call being inlined
  std::vector<IndexId> context;                        // axes of the definition being evaluated, sorted
  std::set<IndexId> *asked = nullptr;
  bool extents = false;                                // a bare index name stands for its extent
  bool inModel = false, inStep = false;
  std::set<Symbol> refusedResults;                     // whose names were taken
  bool otherTarget = false;                            // an assignment that may have meant a result, which is then not said to lack one
  bool failed = false;                                 // an error that later ones may follow from
  bool aborted = false;                                // out of stack or of patience; reported at the end
  std::optional<std::pair<Diag, SourceRange>> abort;
  uint64_t work = 0;
  unsigned nested = 0;                                 // blocks around the statement
  unsigned effects = 0;                                // appends, traces and random draws so far
  std::vector<bool> given;                             // indices that a tensor carries
  struct Assigned {
    bool done = false, bad = false;
    bool early = false;  // was read before, and this was said
    NodeId node = core::none;
    std::vector<ast::Name> axisNames;
    bool tensor = false;
  };
  std::vector<Assigned> assigned;
  std::vector<SourceRange> resultRanges;
  std::map<IndexId, SourceRange> choiceRanges;
  std::map<std::pair<const void *, NodeId>, IndexId> introduced;  // by a dim or a concat, with its extent
  std::set<IndexId> local;                             // those introduced in a function: they must not leave it

  // Models.
  FileScope modelFile;                                 // the file's functions and the model's own
  Scope top;                                           // a stage's outermost scope
  const Env *encodeEnv = nullptr;                      // what encode took and returned
  std::optional<IndexId> batch;
  std::map<core::TensorId, core::TensorId> appended;   // a cache -> what it is after the step's append
  struct TraceRequest {
    std::string name;
    NodeId node;
    std::vector<IndexId> axes;
    std::vector<int64_t> grid;
    SourceRange at;
  };
  std::vector<TraceRequest> traces;
  std::vector<core::TensorId> caches;
  std::set<IndexId> growingIndices;
  size_t modelIndices = 0;                             // indices that both stages have, in the same order

public:
  // The stack's end for the thread that elaborates; deeper recursion is an error, not a crash.
  static thread_local const char *stackEnd;
};

}  // namespace fovea

#endif  // FOVEA_FRONTEND_ELABORATE_H
