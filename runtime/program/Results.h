// What is written for a line: text with columns behind it, or JSON. The contract is docs/programs.md, "Results".
#ifndef FOVEA_RUNTIME_PROGRAM_RESULTS_H
#define FOVEA_RUNTIME_PROGRAM_RESULTS_H

#include "runtime/program/Options.h"

#include <string>

namespace fovea::program {

class Results {
public:
  Results(const Model &model, const Options &options) : model(model), options(options) {}

  // Of a line that is done, with or without an error; with line ends. `input`: its text, needed with --replace-unknown.
  std::string lines(const std::string &input, const Job &job) const;
  // What stands behind a result's text, from the first TAB on.
  std::string columns(const Hypothesis &hypothesis) const;

private:
  const Model &model;
  const Options &options;

  std::string text(const std::string &input, const Hypothesis &hypothesis) const;
  std::string json(const std::string &input, const Job &job) const;
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_RESULTS_H
