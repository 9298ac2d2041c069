#include "tools/Build.h"

#include "tools/Vocabularies.h"

#include "lowering/Compiler.h"
#include "lowering/Link.h"
#include "lowering/host/Object.h"
#include "lowering/host/Process.h"
#include "lowering/program/ProgramTable.h"
#include "lowering/stage/Stage.h"
#include "runtime/program/Error.h"
#include "runtime/program/ModelTable.h"
#include "runtime/program/Weights.h"
#include "runtime/support/File.h"

#include <fmt/core.h>

#include <filesystem>
#include <set>
#include <sys/stat.h>

namespace fovea {

namespace fs = std::filesystem;

static int complain(const std::string &message, int status = 1) {
  fmt::print(stderr, "{}{}\n", message.find("error: ") == std::string::npos ? "fovea: error: " : "", message);
  return status;
}

// The arguments of a stage whose products take quantised weights.
static void changeArguments(program::TableStage &stage, const WeightLayouts::Change &change) {
  std::erase_if(stage.arguments, [&](const program::StageArgument &argument) {
    return argument.what == "parameter" && std::find(change.dropped.begin(), change.dropped.end(), argument.name) != change.dropped.end();
  });
  for (const WeightLayouts::Argument &added : change.added) {
    std::vector<std::string> shape;
    for (int64_t extent : added.shape) shape.push_back(std::to_string(extent));
    stage.arguments.push_back({added.what, added.name, added.type, shape});
  }
}

int buildModel(const core::Model &model, const core::Module &module, const std::string &path, const BuildOptions &options) {
  std::string error;
  // Vocabularies travel inside the program.
  program::TableParts parts;
  ModelParts code;
  for (const core::Result &result : model.step.results)
    if (result.name == "logits" && result.axes.size() == 2) parts.scored = model.step.indices[result.axes[1]].fixed.value_or(0);
  core::Model described = model;
  auto files = vocabularyFiles(described, path, options.weights, parts.scored, error);
  if (!files) return complain(error);
  for (const VocabularyFile &file : *files) parts.files.push_back({file.name, file.bytes.size()});
  if (!options.weights.empty()) {
    parts.weights = fs::path(options.out).filename().string() + ".safetensors";
  }
  parts.compiler = "0.1.0";

  Timing::Phase staging(options.timing, "stages");
  StagedModel staged = stageModel(model);
  for (const Stage &stage : staged.stages) {
    program::TableStage entry{stage.name, {}};
    for (const StageSlot &slot : stage.slots) entry.arguments.push_back({slot.what, slot.name, program::typeName(slot.type), slot.shape});
    parts.stages.push_back(entry);
    code.names.push_back(stage.name);
    code.functions.push_back(&stage.function);
  }
  described.encode.tensors = staged.parameters;
  // A parameter that no stage reads need not be among the weights.
  std::set<std::string> read;
  for (const Stage &stage : staged.stages)
    for (const StageSlot &slot : stage.slots)
      if (slot.what == "parameter") read.insert(slot.name);
  std::erase_if(described.encode.tensors, [&](const core::Tensor &tensor) { return tensor.role == core::Tensor::Parameter && !read.count(tensor.name); });
  std::string table;
  code.table = [&](const WeightLayouts &layouts, const std::vector<program::Operation> &operations) {
    parts.panels = layouts.panels;
    parts.operations = operations;
    for (const auto &[name, layout] : layouts.quantised) parts.quantised[name] = {layout.summed, layout.kept, layout.columns, layout.group};
    for (program::TableStage &stage : parts.stages)
      if (auto change = layouts.stages.find(stage.name); change != layouts.stages.end()) changeArguments(stage, change->second);
    return table = program::programTable(described, parts);
  };

  staging.end();

  if (!options.weights.empty()) {
    Timing::Phase phase(options.timing, "check weights");
    try {
      program::Weights weights(options.weights);
      for (const program::Parameter &parameter : program::readParameters(program::programTable(described, parts))) weights.check(parameter);
    } catch (const program::Error &wrong) {
      return complain(wrong.what());
    }
  }

  if (!checkVocabularies(described, *files, parts.scored, error)) return complain(error);
  for (VocabularyFile &file : *files) code.embedded.push_back(std::move(file.bytes));

  CompileOptions compile;
  compile.target = options.target;
  compile.form = options.form;
  compile.timing = options.timing;
  compile.quantise = !options.quantize.empty();
  Compiled compiled;
  bool internal = false;
  if (!compileModel(code, module.files, compile, compiled, error, internal)) return complain(error, internal ? 3 : 1);
  if (options.form != Form::Object) {
    if (options.out.empty()) return fputs(compiled.text.c_str(), stdout), 0;
    return writeFileAtomically(options.out, compiled.text, error) ? 0 : complain(error);
  }

  TemporaryFolder folder;
  if (folder.path().empty()) return complain("cannot make a temporary folder");
  std::string object = folder.path() + "/model.o", program = folder.path() + "/program";
  if (!linkObject(compiled, {"fovea_model_table"}, object, error, options.timing)) return complain(error);
  Timing::Phase linking(options.timing, "link program");
  std::vector<std::string> command{"c++", "-o", program, object};
  // What cuts text into pieces is taken whole, since no other part names it, and only where it is needed.
  std::vector<std::string> libraries;
  auto isUnit = [&](const char *unit) { return described.reads.unit == unit || described.writes.unit == unit; };
  for (auto [unit, library] : {std::pair{"sentencepiece", "libFoveaSentencePiece.a"}, {"bytepairs", "libFoveaBytePairs.a"}})
    if (isUnit(unit)) libraries.insert(libraries.end(), {"-Wl,--whole-archive", library, "-Wl,--no-whole-archive"});
  libraries.push_back("libFoveaProgram.a");
  if (isUnit("sentencepiece")) libraries.push_back("libsentencepiece.a");
  if (isUnit("bytepairs")) libraries.push_back("libutf8proc.a");
  for (const std::string &library : libraries) {
    command.push_back(library[0] == '-' ? library : programLibrary(library, error));
    if (command.back().empty()) return complain(error);
  }
  command.insert(command.end(), {"-lm", "-lpthread"});
  ProcessResult linked = runProcess(command);
  if (!linked.good()) return complain("linking the program failed: " + linked.complaint());
  std::string beside = options.out + ".safetensors";
  std::error_code ignored;
  const bool inPlace = fs::equivalent(options.weights, beside, ignored);
  if (!options.weights.empty() && compile.quantise) {
    if (inPlace) return complain(fmt::format("{}: the quantised weights would replace these, which are exact: give the program another name", beside));
    try {
      program::Weights(options.weights).writeFor(program::readParameters(table), beside);
    } catch (const program::Error &wrong) {
      return complain(wrong.what());
    }
  } else if (!options.weights.empty() && !inPlace) {
    auto bytes = readFile(options.weights, error);
    if (!bytes) return complain(error);
    if (!writeFileAtomically(beside, *bytes, error)) return complain(error);
  }
  auto bytes = readFile(program, error);
  if (!bytes || !writeFileAtomically(options.out, *bytes, error)) return complain(error);
  if (chmod(options.out.c_str(), 0755)) return complain(options.out + ": cannot be made executable");
  return 0;
}

}  // namespace fovea
