// The front end: .attn text to core.
//
//   SourceManager sources;
//   Diagnostics diagnostics(sources);
//   auto module = fovea::check("attend.attn", sources, diagnostics);
//   if (!module) fputs(diagnostics.str().c_str(), stderr);
//
// No exception leaves these functions.
#ifndef FOVEA_FRONTEND_FRONTEND_H
#define FOVEA_FRONTEND_FRONTEND_H

#include "frontend/Ast.h"
#include "frontend/Core.h"
#include "frontend/Diagnostics.h"
#include "frontend/Source.h"

#include <memory>
#include <optional>
#include <string>

namespace fovea {

// Parses one file. The tree is returned also when there were errors; its `ok` tells.
std::unique_ptr<ast::File> parse(uint32_t file, SourceManager &sources, Diagnostics &diagnostics);

struct CheckOptions {
  std::string config;  // the configuration, whatever the model calls it
  std::string folder;  // where files that a model names are looked for before its own folder: that of the weights
};

// Reads, parses and checks a file with all that it imports; nullopt after an error. The file must be the first of `sources`,
// since it is file 0 of the module.
std::optional<core::Module> check(const std::string &path, SourceManager &sources, Diagnostics &diagnostics, const CheckOptions &options = {});
// The same for a text that has been added to `sources`; imports are relative to the folder of its name.
std::optional<core::Module> check(uint32_t file, SourceManager &sources, Diagnostics &diagnostics, const CheckOptions &options = {});

// For people and tests; the form of the text is not fixed.
std::string printAst(const ast::File &file);
std::string printCore(const core::Module &module);
std::string printCore(const core::Function &function);

}  // namespace fovea

#endif  // FOVEA_FRONTEND_FRONTEND_H
