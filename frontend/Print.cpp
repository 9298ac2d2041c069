// Text forms of the syntax tree and of core, for people and tests.
#include "frontend/Frontend.h"

#include <algorithm>
#include <cstdio>

namespace fovea {

using namespace ast;

namespace {

std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

const char *typeName(core::Type type) {
  static const char *const names[] = {"f32", "f16", "bf16", "i32", "i8", "u8", "bool"};
  return names[static_cast<size_t>(type)];
}

std::string names(const std::vector<Name> &list) {
  std::string text;
  for (const Name &name : list) text += (text.empty() ? "" : ",") + name.text();
  return text;
}

// One node a line, children indented; a line is `(kind detail`, as in an s-expression.
class AstPrinter {
public:
  std::string out;

  void file(const File &f) {
    for (const Import &import : f.imports) line("(import \"" + import.path + "\")");
    for (const ast::Function *function : f.functions) this->function(*function);
    for (const ast::Kernel *k : f.kernels) kernel(*k);
    for (const ast::Block *b : f.blocks) {
      open("block " + b->name.text() + "(" + names(b->axes) + ")");
      for (const Member &m : b->members) member(m);
      for (const ast::Function *f : b->functions) function(*f);
      close();
    }
    for (const ast::Schedule &s : f.schedules) schedule(s);
    for (const ast::Model *m : f.models) {
      open("model " + m->name.text());
      for (const Member &member : m->members) this->member(member);
      for (const ast::Function *f : m->functions) function(*f);
      if (m->encode.given) stage("encode", m->encode);
      if (m->step.given) stage("step", m->step);
      close();
    }
  }

private:
  void line(const std::string &text) { out += std::string(indent * 2, ' ') + text + "\n"; }
  void open(const std::string &text) { line("(" + text), ++indent; }
  void close() {
    --indent;
    out.back() = ')';
    out += '\n';
  }

  static std::string type(const ast::Type &t) {
    std::string text = t.kind == ast::Type::Token ? "token" : t.kind == ast::Type::Length ? "length" : t.kind == ast::Type::Position ? "position" : typeName(t.storage);
    if (t.tensor) text += "[" + names(t.axes) + "]";
    return text + (t.sorted ? " sorted" : "");
  }
  static std::string target(const Target &t) { return t.name.text() + (t.stated ? "[" + names(t.axes) + "]" : ""); }
  static std::string targets(const std::vector<Target> &list) {
    std::string text;
    for (const Target &t : list) text += (text.empty() ? "" : ", ") + target(t);
    return list.size() == 1 ? text : "(" + text + ")";
  }

  void function(const ast::Function &f) {
    open("fn " + f.name.text() + (f.indices.empty() ? "" : "[" + names(f.indices) + "]") + targets(f.values));
    expr(f.body);
    close();
  }
  void parameter(const char *kind, const Parameter &p) {
    open(std::string(p.state ? "state" : kind) + " " + p.name.text() + ": " + type(p.type));
    if (p.init) expr(p.init);
    close();
  }
  void kernel(const ast::Kernel &k) {
    open("kernel " + k.name.text());
    for (const Parameter &p : k.parameters) parameter("param", p);
    for (const Parameter &r : k.results) parameter("result", r);
    for (const Constraint &c : k.constraints) {
      open(c.kind == Constraint::Relation ? "where =" : c.kind == Constraint::Bound ? "where <=" : c.only ? "where in only" : "where in");
      expr(c.left);
      if (c.right) expr(c.right);
      for (const Expr *choice : c.choices) expr(choice);
      close();
    }
    for (const Statement *s : k.body) statement(*s);
    close();
  }
  void schedule(const ast::Schedule &s) {
    open("schedule " + s.kernel.text());
    for (const ast::Setting &setting : s.settings)
      line((setting.attend ? std::to_string(setting.attend) + "." : "") + (setting.version ? setting.version->text() + "." : "") +
           (setting.block ? "" : setting.key.text() + " = " + (setting.word ? *setting.word : std::to_string(setting.number))));
    close();
  }
  static std::string foreign(const std::vector<Name> &names) {
    std::string out;
    for (const Name &name : names) out += (out.empty() ? " from \"" : " or \"") + name.text() + "\"";
    return out;
  }
  void member(const Member &m) {
    if (m.kind == Member::Dims) {
      for (const Dim &d : m.dims) dim(d);
    } else if (m.kind == Member::Parameter) {
      line(std::string(m.weight.cache ? "(cache " : "(param ") + m.weight.name.text() + ": " + type(m.weight.type) +
           foreign(m.weight.foreign) + ")");
    } else {
      line("(part " + m.instance.name.text() + ": " + m.instance.block.text() + "(" + names(m.instance.axes) + ")" + (m.instance.count ? "[]" : "") +
           foreign(m.instance.foreign) + ")");
    }
  }
  void stage(const char *name, const Stage &s) {
    open(name);
    for (const Parameter &p : s.parameters) parameter("param", p);
    for (const Parameter &r : s.results) parameter("result", r);
    for (const Statement *st : s.body) statement(*st);
    close();
  }
  void dim(const Dim &d) {
    open("dim " + d.name.text());
    expr(d.extent);
    close();
  }

  void statement(const Statement &s) {
    static const char *const kinds[] = {"let", "mask", "dim", "assign", "append", "trace", "for"};
    if (s.kind == Statement::Dims) {
      for (const Dim &d : s.dims) dim(d);
      return;
    }
    std::string head = s.score ? "score" : kinds[s.kind];
    if (!s.targets.empty()) head += " " + targets(s.targets);
    if (s.kind == Statement::For) head += " in " + s.over.text();
    open(head);
    if (s.value) expr(s.value);
    for (const Statement *inner : s.body) statement(*inner);
    close();
  }

  void expr(const Expr *e) {
    switch (e->kind) {
    case Expr::Integer: return line(std::to_string(e->integer));
    case Expr::Real: return line(number(e->real) + (number(e->real).find_first_of(".en") == std::string::npos ? ".0" : ""));
    case Expr::Boolean: return line(e->integer ? "true" : "false");
    case Expr::Text: return line("\"" + e->path[0].text() + "\"");
    case Expr::Extent: return line("|" + e->path[0].text() + "|");
    case Expr::Reference: {
      std::string text;
      for (const Name &part : e->path) text += (text.empty() ? "" : ".") + part.text();
      return line(text);
    }
    case Expr::Unary:
    case Expr::Binary: open(spelling(e->op)); break;
    case Expr::If: open("if"); break;
    case Expr::Call: {
      std::string text;
      for (const Name &part : e->path) text += (text.empty() ? "" : ".") + part.text();
      open("call " + text + (e->hasIndices ? "[" + names(e->indices) + "]" : ""));
      break;
    }
    case Expr::Index: open("index"); break;
    case Expr::Tuple: open("tuple"); break;
    case Expr::Block: open("block"); break;
    case Expr::Iterate: open("iterate " + targets(e->targets)); break;
    case Expr::Fold: open("fold " + e->path[0].text() + " " + targets(e->targets)); break;
    case Expr::Scan: open(std::string("scan ") + (e->reverse ? "reverse " : "") + e->path[0].text() + " " + targets(e->targets)); break;
    }
    for (const Statement *s : e->statements) statement(*s);
    for (const Expr *arg : e->args) expr(arg);
    for (const Subscript &s : e->subscripts) {
      if (!s.axis) {
        expr(s.value);
        continue;
      }
      open(s.axis->text() + ":");
      expr(s.value);
      close();
    }
    close();
  }

  size_t indent = 0;
};

// --- core -----------------------------------------------------------------------------------------------------------

class CorePrinter {
public:
  explicit CorePrinter(const core::Function &f) : f(f) {}

  std::string run(const char *kind) {
    std::string out = std::string(kind) + " " + f.name + "\n";
    for (core::IndexId k = 0; k < f.indices.size(); ++k) {
      const core::Index &i = f.indices[k];
      out += "  index " + index(k);
      if (i.fixed) out += " = " + std::to_string(*i.fixed);
      if (i.extent != core::none) out += " extent %" + std::to_string(i.extent);
      if (!i.choices.empty()) {
        out += " in {";
        for (size_t c = 0; c < i.choices.size(); ++c) out += (c ? ", " : "") + std::to_string(i.choices[c]);
        out += i.choicesOnly ? "} only" : "}";
      }
      if (i.bound) out += " <= " + std::to_string(*i.bound);
      if (i.extentClass != k) out += " as " + index(i.extentClass);
      out += "\n";
    }
    static const char *const roles[] = {"input", "parameter", "encoded", "state", "cache", "appended"};
    for (const core::Tensor &t : f.tensors) {
      out += std::string("  ") + roles[t.role] + " " + t.name + ": " + typeName(t.type) + "[" + list(t.axes) + "]" + (t.sorted ? " sorted" : "");
      for (const std::string &name : t.foreign) out += (&name == t.foreign.data() ? " from \"" : " or \"") + name + "\"";
      if (!t.layout.empty()) {
        out += "[";
        for (size_t g = 0; g < t.layout.size(); ++g) out += (g ? ", (" : "(") + list(t.layout[g]) + ")";
        out += "]";
      }
      if (t.growing != core::none) out += " grows " + index(t.growing);
      if (t.base != core::none) out += " after " + f.tensors[t.base].name + "#" + std::to_string(t.base) + " %" + std::to_string(t.value);
      if (t.batch != core::none) out += " batch " + index(t.batch);
      out += "\n";
    }
    for (const core::Scalar &s : f.scalars) out += "  scalar " + s.name + ": " + typeName(s.type) + (s.position ? " position" : "") + "\n";
    for (core::NodeId k = 0; k < f.nodes.size(); ++k) out += "  %" + std::to_string(k) + " = " + node(f.nodes[k]) + "\n";
    for (const core::Check &c : f.checks) out += "  check %" + std::to_string(c.condition) + " \"" + c.text + "\"\n";
    for (const core::Result &r : f.results)
      out += "  result " + r.name + ": " + typeName(r.type) + "[" + list(r.axes) + "] = %" + std::to_string(r.node) + "\n";
    for (const core::Schedule &schedule : f.schedules) {
      out += "  schedule " + schedule.target;
      for (const core::Schedule::Setting &s : schedule.settings)
        if (!s.key.empty())
          out += " " + (s.attend ? std::to_string(s.attend) + "." : "") + (s.version.empty() ? "" : s.version + ".") + s.key + "=" + (s.word.empty() ? std::to_string(s.number) : s.word);
      out += "\n";
    }
    return out;
  }

private:
  std::string index(core::IndexId id) const {
    if (id == core::none) return "-";
    for (core::IndexId k = 0; k < f.indices.size(); ++k)
      if (k != id && f.indices[k].name == f.indices[id].name) return f.indices[id].name + "#" + std::to_string(id);
    return f.indices[id].name;
  }
  std::string list(const std::vector<core::IndexId> &ids) const {
    std::string text;
    for (core::IndexId id : ids) text += (text.empty() ? "" : ",") + index(id);
    return text;
  }
  static std::string args(const core::Node &n, size_t from = 0) {
    std::string text;
    for (size_t k = from; k < n.args.size(); ++k) text += (text.empty() ? "%" : ", %") + std::to_string(n.args[k]);
    return text;
  }
  static std::string masks(const core::Node &n, size_t from = 1) { return n.args.size() > from ? " where " + args(n, from) : ""; }

  std::string node(const core::Node &n) const {
    using core::Op;
    static const char *const ops[] = {"const", "const", "const", "position", "extent", "scalar", "load", "read", "state", "neg", "add", "sub", "mul", "div", "mod",
                                      "pow", "min", "max", "abs", "sign", "relu", "exp", "log", "exp2", "tanh", "sigmoid", "leaky_relu", "gelu", "silu",
                                      "softplus", "erf", "sqrt", "rsqrt", "floor", "ceil", "round", "sin", "cos", "lt", "le", "gt", "ge", "eq", "ne", "not",
                                      "and", "or", "select", "keep", "f32", "i32", "sum", "prod", "max", "min", "any", "all", "count", "argmax", "argmin",
                                      "loop", "result", "sample", "normal"};
    static_assert(std::size(ops) == static_cast<size_t>(Op::Normal) + 1);
    std::string name = ops[static_cast<size_t>(n.op)], type = typeName(n.type), free = "  [" + list(n.free) + "]";
    switch (n.op) {
    case Op::ConstF32: return number(n.real) + ": f32";
    case Op::ConstI32: return std::to_string(n.integer) + ": i32";
    case Op::ConstBool: return n.integer ? "true" : "false";
    case Op::Position: return "position " + index(n.ref);
    case Op::Extent: return "extent " + index(n.ref);
    case Op::Scalar: return "scalar " + f.scalars[n.ref].name;
    case Op::Load: return "load " + f.tensors[n.ref].name + (f.tensors[n.ref].role == core::Tensor::Appended ? "'" : "") + "(" + args(n) + ")" + free;
    case Op::Read: return "read %" + std::to_string(n.args[0]) + "[" + list(n.indices) + "](" + args(n, 1) + ")" + free;
    case Op::State: return "state " + std::to_string(n.ref) + "." + std::to_string(n.integer) + free;
    case Op::Keep: return "keep %" + std::to_string(n.args[0]) + masks(n) + free;
    case Op::Loop: return loop(f.loops[n.ref]);
    case Op::LoopResult: return "result " + std::to_string(n.integer) + " of " + args(n) + free;
    default: break;
    }
    if ((n.op >= Op::Sum && n.op <= Op::ArgMin) || n.op == Op::Sample)
      return name + "[" + list(n.indices) + "](%" + std::to_string(n.args[0]) + ")" + masks(n) + ": " + type + free;
    return name + "(" + args(n) + "): " + type + free;
  }

  std::string loop(const core::Loop &l) const {
    static const char *const kinds[] = {"iterate", "fold", "scan"};
    std::string text = std::string(kinds[l.kind]) + (l.reverse ? " reverse" : "") + (l.index != core::none ? " " + index(l.index) : " %" + std::to_string(l.count)) +
                       " tag " + std::to_string(l.tag);
    for (const core::Loop::Item &item : l.items)
      text += " {" + item.name + "[" + list(item.axes) + "]: " + typeName(item.type) + " = %" + std::to_string(item.init) + " -> %" + std::to_string(item.next) + "}";
    return text;
  }

  const core::Function &f;
};

}  // namespace

std::string printAst(const File &file) {
  AstPrinter printer;
  printer.file(file);
  return printer.out;
}

std::string printCore(const core::Function &function) { return CorePrinter(function).run("kernel"); }

std::string printCore(const core::Module &module) {
  std::string out;
  for (const core::Function &k : module.kernels) out += CorePrinter(k).run("kernel");
  for (const core::Model &m : module.models) {
    out += "model " + m.name + "\n";
    auto format = [](const char *kind, const core::TextFormat &f) {
      auto special = [](const std::string &token, int64_t number) { return number >= 0 ? std::to_string(number) : "\"" + token + "\""; };
      auto list = [](const char *word, const std::vector<std::string> &strings) {
        std::string text;
        for (const std::string &string : strings) text += (text.empty() ? std::string(word) : std::string(", ")) + " \"" + string + "\"";
        return text;
      };
      std::string files = f.pieces.empty() ? "" : " \"" + f.pieces + "\"" + (f.vocabularies.empty() ? "" : " in");
      for (const std::string &name : f.vocabularies) files += std::string(&name == f.vocabularies.data() ? "" : " or") + " \"" + name + "\"";
      std::string text = std::string("  ") + kind + " " + f.kind + " by " + f.unit + files + list(" with", f.with) + list(" without", f.without) + " start " + special(f.start, f.startId) + " end " +
                         special(f.end, f.endId) + " unknown \"" +
                         f.unknown + "\" at most " + std::to_string(f.atMost) + "\n";
      return text;
    };
    out += format("reads", m.reads) + format("writes", m.writes);
    for (const core::StateLink &s : m.states)
      out += "  state " + s.name + ": next " + std::to_string(s.next) + ", first encode " + std::to_string(s.init) + "\n";
    for (const core::Trace &t : m.traces) out += "  trace " + t.name + ": result " + std::to_string(t.result) + "\n";
    out += CorePrinter(m.encode).run("encode") + CorePrinter(m.step).run("step");
  }
  return out;
}

}  // namespace fovea
