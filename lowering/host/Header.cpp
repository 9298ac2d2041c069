#include "lowering/host/Header.h"

#include "lowering/host/Descriptor.h"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <set>

namespace fovea {
namespace {

using core::Function;
using core::Type;

// The text of runtime/include/fovea/*.h, put here by CMake.
#include "lowering/host/EmbeddedHeaders.inc"

constexpr const char *typeNames[] = {"f32", "f16", "bf16", "i32", "i8", "u8", "bool"};
constexpr const char *scalarTypes[] = {"float", "float", "float", "int32_t", "int32_t", "int32_t", "bool"};

// Words that a C or C++ parameter cannot be called, and lower-case macros and types of the headers that this one includes.
const std::set<std::string> reserved = {
    "alignas", "alignof", "and", "and_eq", "asm", "assert", "atomic_cancel", "atomic_commit", "atomic_noexcept", "auto", "bitand",
    "bitor", "bool", "break", "case", "catch", "char", "char16_t", "char32_t", "char8_t", "class", "co_await", "co_return", "co_yield",
    "compl", "complex", "concept", "const", "const_cast", "consteval", "constexpr", "constinit", "continue", "contract_assert",
    "decltype", "default", "delete", "do", "double", "dynamic_cast", "else", "enum", "errno", "explicit", "export", "extern", "false",
    "final", "float", "for", "friend", "fovea_status", "goto", "i386", "if", "imaginary", "import", "inline", "int", "linux", "long",
    "module", "mutable", "namespace", "new", "noexcept", "noreturn", "not", "not_eq", "nullptr", "offsetof", "operator", "or", "or_eq",
    "override", "private", "protected", "public", "reflexpr", "register", "reinterpret_cast", "requires", "restrict", "return", "setjmp",
    "short", "signed", "sizeof", "static", "static_assert", "static_cast", "stderr", "stdin", "stdout", "struct", "switch",
    "synchronized", "template", "this", "thread_local", "throw", "true", "try", "typedef", "typeid", "typename", "typeof",
    "typeof_unqual", "union", "unix", "unsigned", "using", "va_arg", "va_copy", "va_end", "va_start", "virtual", "void", "volatile",
    "wchar_t", "while", "xor", "xor_eq", "I", "DLTensor", "DLDevice", "DLDataType", "DLManagedTensor", "DLPackVersion", "DLDeviceType",
    "DLDataTypeCode", "DLManagedTensorVersioned",
};

bool endsWith(const std::string &text, const char *end) {
  std::string tail = end;
  return text.size() >= tail.size() && text.compare(text.size() - tail.size(), tail.size(), tail) == 0;
}

// Macros are written in capitals, or begin with an underscore; types of <stdint.h> end in _t.
bool mayBeTaken(const std::string &name) {
  bool capitals = name.size() > 1 && std::none_of(name.begin(), name.end(), [](unsigned char c) { return std::islower(c); });
  return capitals || name.front() == '_' || endsWith(name, "_t") || name.rfind("kDL", 0) == 0 || reserved.count(name);
}

std::vector<std::string> parameterNames(const std::vector<std::string> &names, const std::set<std::string> &kernels) {
  std::set<std::string> used(names.begin(), names.end());
  std::vector<std::string> result;
  for (std::string name : names) {
    if (mayBeTaken(name) || kernels.count(name)) {
      // A leading underscore is reserved whatever follows.
      name = name.front() == '_' ? "p" + name + "_" : name + "_";
      while (used.count(name) || kernels.count(name) || reserved.count(name))
        name += "_";
      used.insert(name);
    }
    result.push_back(name);
  }
  return result;
}

// `f32[b, h, i, d]`
std::string formatType(const Function &f, Type type, const std::vector<core::IndexId> &axes) {
  std::string text = typeNames[static_cast<int>(type)];
  text += "[";
  for (size_t k = 0; k < axes.size(); ++k)
    text += (k ? ", " : "") + f.indices[axes[k]].name;
  return text + "]";
}

// Comments must not end early, and hold one line a line.
std::string inComment(std::string text) {
  for (char &c : text)
    if (static_cast<unsigned char>(c) < ' ')
      c = ' ';
  for (size_t at; (at = text.find("*/")) != std::string::npos;)
    text.replace(at, 2, "* /");
  for (size_t at; (at = text.find("/*")) != std::string::npos;)
    text.replace(at, 2, "/ *");
  return text;
}

std::string joinNumbers(const std::vector<int64_t> &numbers) {
  std::string text;
  for (size_t k = 0; k < numbers.size(); ++k)
    text += (k ? ", " : "") + std::to_string(numbers[k]);
  return text;
}

// What the constraints say, in the language's words, one a line. Only of indices that a caller sees.
std::vector<std::string> constraints(const Function &f) {
  std::set<core::IndexId> seen;
  for (const Function::Parameter &parameter : f.parameters)
    if (!parameter.scalar)
      seen.insert(f.tensors[parameter.id].axes.begin(), f.tensors[parameter.id].axes.end());
  for (const core::Result &result : f.results)
    seen.insert(result.axes.begin(), result.axes.end());
  std::vector<std::string> lines;
  // A constraint as written and the same one printed from its node are one line.
  std::set<std::string> said;
  auto add = [&](std::string line) {
    std::string key = line;
    std::erase(key, ' ');
    if (said.insert(key).second)
      lines.push_back(std::move(line));
  };
  // The check that a `dim` is not negative has the dim's name as its text: nothing to tell.
  auto isName = [](const std::string &text) {
    return std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c) || c == '_'; });
  };
  for (const core::Check &check : f.checks)
    if (!isName(check.text))
      add(check.text);
  for (core::IndexId k : seen) {
    const core::Index &index = f.indices[k];
    if (index.fixed)
      add(fmt::format("{} = {}", index.name, *index.fixed));
    else if (index.extent != core::none)
      add(fmt::format("{} = {}", index.name, formatNode(f, index.extent)));
    if (!index.choices.empty())
      add(index.choicesOnly ? fmt::format("{} in {{{}}} only", index.name, joinNumbers(index.choices))
                            : fmt::format("{} in {{{}}} is expected, others work", index.name, joinNumbers(index.choices)));
    if (index.bound)
      add(fmt::format("{} <= {}", index.name, *index.bound));
    for (core::IndexId other : seen)
      if (other < k && f.indices[other].extentClass == index.extentClass && f.indices[other].name != index.name) {
        add(fmt::format("{} = {}", index.name, f.indices[other].name));
        break;
      }
  }
  return lines;
}

// The comment and the prototype of one kernel.
std::string writeKernel(const Function &f, const std::set<std::string> &kernels) {
  struct Row {
    std::string name, declaration, type, note;
  };
  std::vector<std::string> names;
  for (const Function::Parameter &parameter : f.parameters)
    names.push_back(parameter.scalar ? f.scalars[parameter.id].name : f.tensors[parameter.id].name);
  for (const core::Result &result : f.results)
    names.push_back(result.name);
  names = parameterNames(names, kernels);

  std::vector<Row> rows;
  for (const Function::Parameter &parameter : f.parameters) {
    const std::string &name = names[rows.size()];
    if (parameter.scalar) {
      Type type = f.scalars[parameter.id].type;
      rows.push_back({name, std::string(scalarTypes[static_cast<int>(type)]) + " " + name, typeNames[static_cast<int>(type)], "in"});
    } else {
      const core::Tensor &tensor = f.tensors[parameter.id];
      rows.push_back({name, "const DLTensor *" + name, formatType(f, tensor.type, tensor.axes),
                      tensor.sorted ? "in, sorted along the last axis" : "in"});
    }
  }
  for (const core::Result &result : f.results) {
    const std::string &name = names[rows.size()];
    rows.push_back({name, "DLTensor *" + name, formatType(f, result.type, result.axes), "out"});
  }

  size_t nameWidth = 0, typeWidth = 0;
  for (const Row &row : rows) {
    nameWidth = std::max(nameWidth, row.name.size());
    typeWidth = std::max(typeWidth, row.type.size());
  }
  std::string text = fmt::format("/* {}\n *\n", f.name), declarations;
  for (const Row &row : rows) {
    text += fmt::format(" *   {:{}}  {:{}}  {}\n", row.name, nameWidth, row.type, typeWidth, row.note);
    declarations += (declarations.empty() ? "" : ", ") + row.declaration;
  }
  std::vector<std::string> lines = constraints(f);
  if (!lines.empty())
    text += " *\n";
  for (const std::string &line : lines)
    text += " *   where " + inComment(line) + "\n";
  return text + fmt::format(" */\nint {}({});\n", f.name, declarations.empty() ? "void" : declarations);
}

std::string guardOf(const std::string &fileName) {
  std::string guard = "FOVEA_KERNELS_";
  for (unsigned char c : fileName)
    guard += std::isalnum(c) ? fmt::format("{}", static_cast<char>(std::toupper(c))) : c < 128 ? "_" : fmt::format("x{:02X}", c);
  return guard;
}

}  // namespace

std::string writeHeader(const std::vector<const core::Function *> &kernels, const std::string &fileName, bool counts, bool device) {
  std::set<std::string> names;
  for (const Function *kernel : kernels)
    names.insert(kernel->name);
  std::string guard = guardOf(fileName.substr(fileName.rfind('/') + 1));
  std::string text = fmt::format(
      "/* {}: kernels compiled by Fovea.\n"
      " *\n"
      " * Tensors are DLPack's, in CPU memory{}, with an innermost stride of 1; other strides are free, and axes of one name have\n"
      " * equal extents. Results are written into the tensors given. A kernel returns 0 or a fovea_status; fovea_last_error()\n"
      " * then says what is wrong. Calls are re-entrant. */\n"
      "#ifndef {}\n#define {}\n\n#include <stdint.h>\n#ifndef __cplusplus\n#include <stdbool.h>\n#endif\n\n",
      inComment(fileName.substr(fileName.rfind('/') + 1)), device ? " or on the device (fovea_set_device_stream)" : "", guard, guard);
  text += embeddedDlpack;
  text += "\n";
  text += embeddedStatus;
  if (counts) text += std::string("\n") + embeddedCounts;
  if (device) text += std::string("\n") + embeddedDevice;
  text += "\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
  for (const Function *kernel : kernels)
    text += writeKernel(*kernel, names) + "\n";
  return text + fmt::format("#ifdef __cplusplus\n}}\n#endif\n#endif /* {} */\n", guard);
}

}  // namespace fovea
