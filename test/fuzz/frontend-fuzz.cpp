// Mutated .attn texts through lexer, parser and checker: any bytes give a module or errors, never both or neither.
#include "frontend/Frontend.h"
#include "test/fuzz/Fuzz.h"

static fovea::Verdict check(const std::string &text, std::string &fault) {
  fovea::SourceManager sources;
  fovea::Diagnostics diagnostics(sources);
  // Imports are relative to a folder without files.
  auto module = fovea::check(sources.add("nowhere/fuzz.attn", text), sources, diagnostics);
  if (module) (void)fovea::printCore(*module);
  if (diagnostics.str().empty() != module.has_value()) fault = "neither a module nor an error, or both";
  return module ? fovea::Verdict::Right : fovea::Verdict::Wrong;
}

int main(int argc, char **argv) { return fovea::fuzz(argc, argv, check); }
