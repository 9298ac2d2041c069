// The configuration of a checkpoint: the JSON file that a model's `config` names (rule S5).
#ifndef FOVEA_FRONTEND_CONFIG_H
#define FOVEA_FRONTEND_CONFIG_H

#include "frontend/Ast.h"
#include "frontend/Diagnostics.h"
#include "frontend/Frontend.h"

#include <map>

namespace fovea {

class Config {
public:
  // Reads the file and checks what the model says of its keys. False after an error, which is reported.
  bool read(const ast::ConfigPart &part, const CheckOptions &options, SourceManager &sources, Diagnostics &diagnostics);

  // The value of a key, or the model's for a key that the file lacks. Null after an error at `at`.
  const ast::Literal *find(const ast::Name &key, SourceRange at, Diagnostics &diagnostics) const;

private:
  bool parse(uint32_t file, SourceManager &sources, Diagnostics &diagnostics);

  bool given = false, broken = false;
  std::string path;
  std::map<std::string, ast::Literal, std::less<>> values;
  std::map<std::string, std::string, std::less<>> unusable;  // why a key has no value
};

}  // namespace fovea

#endif  // FOVEA_FRONTEND_CONFIG_H
