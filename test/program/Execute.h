// Runs a model's program in a process of its own.
#ifndef FOVEA_TEST_PROGRAM_EXECUTE_H
#define FOVEA_TEST_PROGRAM_EXECUTE_H

#include "runtime/program/table.h"

#include <string>
#include <vector>

struct Outcome {
  int code = -1;         // exit code, or minus the signal that ended it
  std::string out, err;
  std::vector<std::string> lines() const;  // of `out`
};

Outcome execute(const fovea_model &model, const std::vector<std::string> &arguments, const std::string &input);

// A fresh folder, removed at the end of the test program.
std::string temporaryFolder();
std::string readFile(const std::string &path);
void writeFile(const std::string &path, const std::string &bytes);

#endif  // FOVEA_TEST_PROGRAM_EXECUTE_H
