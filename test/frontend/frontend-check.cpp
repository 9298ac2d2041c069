// Parses and checks a file: frontend-check [--ast] [--core] FILE. Diagnostics go to standard error; exit code 1 after an error.
#include "frontend/Frontend.h"

#include <cstdio>
#include <cstring>

int main(int argc, char **argv) {
  bool ast = false, core = false;
  const char *path = nullptr;
  for (int k = 1; k < argc; ++k) {
    if (!std::strcmp(argv[k], "--ast")) {
      ast = true;
    } else if (!std::strcmp(argv[k], "--core")) {
      core = true;
    } else if (argv[k][0] != '-' && !path) {
      path = argv[k];
    } else {
      path = nullptr;
      break;
    }
  }
  if (!path) {
    std::fputs("usage: frontend-check [--ast] [--core] FILE\n", stderr);
    return 2;
  }
  fovea::SourceManager sources;
  fovea::Diagnostics diagnostics(sources);
  if (ast) {
    if (auto file = sources.load(path)) std::fputs(fovea::printAst(*fovea::parse(*file, sources, diagnostics)).c_str(), stdout);
    std::fputs(diagnostics.str().c_str(), stderr);
    return diagnostics.hasErrors();
  }
  auto module = fovea::check(path, sources, diagnostics);
  std::fputs(diagnostics.str().c_str(), stderr);
  if (module && core) std::fputs(fovea::printCore(*module).c_str(), stdout);
  return module ? 0 : 1;
}
