// From checked programs to objects: what the driver's commands share.
#ifndef FOVEA_LOWERING_COMPILER_H
#define FOVEA_LOWERING_COMPILER_H

#include "frontend/Core.h"

#include <string>
#include <vector>

namespace fovea {

enum class Form { Attn, Fused, Schedule, Stmt, Asm, Ptx, Object };  // of --emit

struct CompileOptions {
  std::string target = "host";
  Form form = Form::Object;
  enum Arithmetic { Compiled, OracleF64, OracleF32 } arithmetic = Compiled;  // the oracle: upstream passes only
};

// What one compilation gives: text for the text forms, else host code and the leaves that it calls.
struct Compiled {
  std::string text;
  std::string code;                 // an object file's contents
  std::vector<std::string> leaves;  // specifications for fovea-leaf (lowering/halide/LeafSpec.h)
};

// Compiles kernels into one unit. A failure leaves one sentence in `error`; `internal` says that it is our fault.
bool compileKernels(const std::vector<const core::Function *> &kernels, const std::vector<std::string> &files, const CompileOptions &options, Compiled &out,
                    std::string &error, bool &internal);

// A model's stages and its table, as one unit that exports `fovea_model_table`.
struct ModelParts {
  std::vector<std::string> names;                  // of the stages: "load", "encode", "step"
  std::vector<const core::Function *> functions;
  std::string json;                                // lowering/program/ProgramTable.h
  std::vector<std::string> embedded;               // contents of the files inside the program
};
bool compileModel(const ModelParts &model, const std::vector<std::string> &files, const CompileOptions &options, Compiled &out, std::string &error, bool &internal);

}  // namespace fovea

#endif  // FOVEA_LOWERING_COMPILER_H
