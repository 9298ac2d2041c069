// From checked programs to objects: what the driver's commands share.
#ifndef FOVEA_LOWERING_COMPILER_H
#define FOVEA_LOWERING_COMPILER_H

#include "frontend/Core.h"
#include "lowering/Decisions.h"
#include "lowering/LeafWork.h"
#include "lowering/Timing.h"
#include "lowering/halide/DeviceTarget.h"
#include "lowering/program/ProgramTable.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace fovea {

enum class Form { Attn, Fused, Schedule, Stmt, Asm, Ptx, Object };  // of --emit

struct CompileOptions {
  std::string target = "host";
  Form form = Form::Object;
  enum Arithmetic { Compiled, OracleF64, OracleF32 } arithmetic = Compiled;  // the oracle: upstream passes only
  bool quick = false;        // compile fast, run slowly
  bool quantise = false;     // a model's matrix products with weights: in int8
  bool countOnly = false;    // of target host-count: only what decides the counts
  bool explained = false;    // of a GPU: its decisions are asked for
  Timing *timing = nullptr;  // measures, if given
  bool ofDevice() const { return leaf::findDevice(target) != nullptr; }
  bool onDevice() const { return ofDevice() && arithmetic == Compiled; }
  bool counting() const { return target == "host-count" && arithmetic == Compiled; }
};

// What one compilation gives: text for the text forms, else host code and the leaves that it calls, which may still be at work.
struct Compiled {
  std::string text;
  std::vector<std::string> code;    // contents of object files: of target `portable` several
  std::shared_ptr<LeafWork> leaves = std::make_shared<LeafWork>();
  bool onDevice = false;            // the object needs the runtime of GPUs
  Decisions decisions;
  std::vector<int64_t> reads;       // countOnly, of one kernel: the parameters whose values decide the counts
};

// Compiles kernels into one unit. A failure leaves one sentence in `error`; `internal` says that it is our fault.
bool compileKernels(const std::vector<const core::Function *> &kernels, const std::vector<std::string> &files, const CompileOptions &options, Compiled &out,
                    std::string &error, bool &internal);

// Parameters that the program's runtime lays in panels for the products that read them: the number of axes that are summed (the
// parameter's first ones), and the columns of a panel.
using Panels = std::map<std::string, std::pair<int64_t, int64_t>>;

// A weight that products read as small integers: the axes of the parameter that are summed and those that are kept, each in the order of
// the product, and how it lies (attn.quantised_product). Its scales and, if there are any, its sums are arguments beside it.
struct QuantisedWeight {
  std::vector<int64_t> summed, kept;
  int64_t columns = 0, group = 0;
};

// What the stages read instead of a model's parameters as they are.
struct WeightLayouts {
  Panels panels;
  std::map<std::string, QuantisedWeight> quantised;
  struct Argument {
    std::string what, name, type;     // as the program's table spells them
    std::vector<int64_t> shape;
  };
  struct Change {
    std::vector<std::string> dropped;  // parameters that the stage does not take any more
    std::vector<Argument> added;       // arguments that it takes after all others
  };
  std::map<std::string, Change> stages;
};

// A model's stages and its table, as one unit that exports `fovea_model_table`.
struct ModelParts {
  std::vector<std::string> names;                  // of the stages: "load", "encode", "step"
  std::vector<const core::Function *> functions;
  std::function<std::string(const WeightLayouts &, const std::vector<program::Operation> &)> table;  // its JSON, once the layout of the weights is known
  std::vector<std::string> embedded;               // contents of the files inside the program
};
bool compileModel(const ModelParts &model, const std::vector<std::string> &files, const CompileOptions &options, Compiled &out, std::string &error, bool &internal);

}  // namespace fovea

#endif  // FOVEA_LOWERING_COMPILER_H
