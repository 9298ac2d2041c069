// The driver. What the commands do lives in lowering/ and beside this file; here is the command line.
#include "frontend/Diagnostics.h"
#include "frontend/Frontend.h"
#include "frontend/Source.h"
#include "lowering/Compiler.h"
#include "lowering/Link.h"
#include "lowering/host/Header.h"
#include "runtime/support/File.h"
#include "runtime/support/Progress.h"
#include "tools/Build.h"
#include "tools/Devices.h"
#include "tools/Run.h"
#include "tools/explain/Explain.h"
#include "tools/tune/Tune.h"

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <sys/resource.h>
#include <system_error>

using namespace fovea;

namespace {

constexpr const char *version = "0.1.0";

int complain(const std::string &message, int status = 1) {
  // fputs does not throw where standard error is closed.
  fputs(fmt::format("{}{}\n", message.find("error: ") == std::string::npos ? "fovea: error: " : "", message).c_str(), stderr);
  if (status == 3) fputs("fovea: this is a bug of Fovea; please report it with the program\n", stderr);
  return status;
}

// Checks a file; prints what is wrong with it.
std::optional<core::Module> checked(const std::string &path, SourceManager &sources, Timing *timing = nullptr, const CheckOptions &options = {}) {
  Timing::Phase phase(timing, "frontend");
  Diagnostics diagnostics(sources);
  std::optional<core::Module> module = check(path, sources, diagnostics, options);
  if (!module) fputs(diagnostics.str().c_str(), stderr);
  return module;
}

// The kernel called `name`, or the only one. Null, after a message, if there is none or a choice.
const core::Function *chooseKernel(const core::Module &module, const std::string &path, const std::string &name) {
  std::string known;
  for (const core::Function &k : module.kernels) {
    if (k.name == name || (name.empty() && module.kernels.size() == 1)) return &k;
    known += (known.empty() ? "`" : ", `") + k.name + "`";
  }
  if (module.kernels.empty()) complain(path + " has no kernel");
  else if (name.empty()) complain(fmt::format("{} has several kernels: choose one of {} with --kernel", path, known));
  else complain(fmt::format("{} has no kernel `{}`; it has {}", path, name, known));
  return nullptr;
}

const std::map<std::string, Form> forms = {{"attn", Form::Attn}, {"fused", Form::Fused}, {"schedule", Form::Schedule}, {"stmt", Form::Stmt},
                                          {"asm", Form::Asm},   {"ptx", Form::Ptx},     {"obj", Form::Object}};

// A target without this form leaves a complaint.
bool hasForm(Form form, const std::string &target) {
  if (form == Form::Ptx && target != "cuda") complain(fmt::format("--emit=ptx: target `{}` has no PTX", target));
  return form != Form::Ptx || target == "cuda";
}

// F with another ending.
std::string withEnding(const std::string &path, const std::string &ending) { return std::filesystem::path(path).replace_extension(ending).string(); }

int compileCommand(const std::string &file, std::string out, const std::string &kernel, const std::string &target, const std::string &emit, Timing *timing) {
  SourceManager sources;
  if (emit == "ast") {
    Diagnostics diagnostics(sources);
    auto id = sources.load(file);
    if (!id) return complain(fmt::format("cannot read {}", file));
    auto tree = parse(*id, sources, diagnostics);
    if (diagnostics.hasErrors()) return fputs(diagnostics.str().c_str(), stderr), 1;
    std::string text = printAst(*tree), error;
    if (out.empty()) return fputs(text.c_str(), stdout), 0;
    return writeFileAtomically(out, text, error) ? 0 : complain(error);
  }
  auto module = checked(file, sources, timing);
  if (!module) return 1;
  CompileOptions options;
  options.timing = timing;
  options.target = target;
  options.form = forms.at(emit);
  if (!hasForm(options.form, target)) return 2;
  if (target == "portable" && (options.form == Form::Schedule || options.form == Form::Stmt || options.form == Form::Asm))
    return complain(fmt::format("--emit={}: target `portable` is several, and each has its own: name one of them with --target", emit), 2);
  std::vector<const core::Function *> kernels;
  if (!kernel.empty()) {
    const core::Function *k = chooseKernel(*module, file, kernel);
    if (!k) return 1;
    kernels.push_back(k);
  } else {
    for (const core::Function &k : module->kernels) kernels.push_back(&k);
  }
  if (kernels.empty()) return complain(file + " has no kernel to compile (a model is built with `fovea build`)");
  Compiled compiled;
  std::string error;
  bool internal = false;
  if (!compileKernels(kernels, module->files, options, compiled, error, internal)) return complain(error, internal ? 3 : 1);
  if (options.form != Form::Object) {
    if (out.empty()) return fputs(compiled.text.c_str(), stdout), 0;
    return writeFileAtomically(out, compiled.text, error) ? 0 : complain(error);
  }
  if (out.empty()) out = withEnding(file, ".o");
  std::vector<std::string> names;
  for (const core::Function *k : kernels) names.push_back(k->name);
  std::string header = withEnding(out, ".h");
  if (header == out) return complain(fmt::format("-o {}: the header would overwrite the object", out), 2);
  if (!linkObject(compiled, names, out, error, timing)) return complain(error);
  if (!writeFileAtomically(header, writeHeader(kernels, std::filesystem::path(header).filename().string(), options.counting(), options.onDevice()), error)) return complain(error);
  return 0;
}

int runCommand(const std::string &file, const std::string &kernel, const RunOptions &options) {
  if (options.oracle && options.target == "host-count") return complain("--oracle counts nothing: leave one of --oracle and --target host-count out", 2);
  SourceManager sources;
  auto module = checked(file, sources);
  if (!module) return 1;
  const core::Function *k = chooseKernel(*module, file, kernel);
  return k ? runKernel(*k, module->files, options) : 1;
}

int buildCommand(const std::string &file, BuildOptions options, const std::string &emit) {
  options.form = forms.at(emit);
  if (!hasForm(options.form, options.target)) return 2;
  if (options.form == Form::Object && options.out.empty()) return complain("-o is required: the program", 2);
  SourceManager sources;
  auto module = checked(file, sources, options.timing, {options.config, std::filesystem::path(options.weights).parent_path().string()});
  if (!module) return 1;
  if (module->models.size() != 1) return complain(fmt::format("{} has {} models; a program is built from one", file, module->models.size()));
  return buildModel(module->models[0], *module, file, options);
}

int tuneCommand(const std::string &file, const std::string &kernel, const TuneOptions &options) {
  SourceManager sources;
  auto module = checked(file, sources);
  if (!module) return 1;
  const core::Function *k = chooseKernel(*module, file, kernel);
  return k ? tuneKernel(*k, module->files, sources, options) : 1;
}

int explainCommand(const std::string &file, const std::string &kernel, const std::string &config, const ExplainOptions &options) {
  SourceManager sources;
  auto module = checked(file, sources, nullptr, {config, ""});
  if (!module) return 1;
  // Extents and values are of one kernel.
  const core::Function *k = nullptr;
  if ((!kernel.empty() || options.asked()) && !(k = chooseKernel(*module, file, kernel))) return 1;
  return explain(*module, k, options);
}

// The compiler recurses as deeply as values are computed from each other (Builder::tooDeep says how deeply that is at most).
void takeStack() {
  rlimit limit{};
  const rlim_t wanted = rlim_t{120} << 20;  // below what lies under any main thread's stack
  if (getrlimit(RLIMIT_STACK, &limit) || limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  (void)setrlimit(RLIMIT_STACK, &limit);
}

}  // namespace

int main(int argc, char **argv) {
  takeStack();
  holdStandardDescriptors();
  removeTemporariesOnSignals();
  CLI::App app{"Fovea: a compiler for attention. A .attn file becomes an object file with a C header, or, for a model, a program.", "fovea"};
  app.set_version_flag("--version", std::string("fovea ") + version);
  app.require_subcommand(1);
  std::vector<std::string> targets = {"host", "host-count", "x86-64-v2", "x86-64-v3", "x86-64-v4", "zen4", "sapphirerapids", "portable"}, devices;
  for (const leaf::DeviceTarget &device : leaf::deviceTargets) devices.emplace_back(device.name);
  targets.insert(targets.end(), devices.begin(), devices.end());

  const std::string targetHelp = "machine to compile for; host-count: this one, with counters of the points that loops under masks visit; portable: x86-64-v2 to sapphirerapids in one, "
                                 "of which a kernel chooses the best that the machine runs, or the one that FOVEA_TARGET names";

  std::string file, out, kernel, target = "host", emit = "obj";
  auto *compile = app.add_subcommand("compile", "Compile kernels to an object file and a C header");
  compile->add_option("file", file, "the program, F.attn")->required();
  compile->add_option("-o", out, "output (default: F.o and F.h; text forms go to standard output)");
  compile->add_option("--kernel", kernel, "only this kernel (default: all)");
  compile->add_option("--target", target, targetHelp)->check(CLI::IsMember(targets))->capture_default_str();
  compile->add_option("--emit", emit, "what to write")->check(CLI::IsMember({"ast", "attn", "fused", "schedule", "stmt", "asm", "ptx", "obj"}))->capture_default_str();

  std::string timePasses;
  const std::string timeHelp = "also print, on standard error, the milliseconds of each phase and pass; =json: for programs";
  compile->add_flag("--time-passes{text}", timePasses, timeHelp)->check(CLI::IsMember({"text", "json"}));

  RunOptions run;
  auto *runApp = app.add_subcommand("run", "Run one kernel on tensors from a safetensors file");
  runApp->add_option("file", file, "the program, F.attn")->required();
  runApp->add_option("--kernel", kernel, "the kernel, if there are several");
  runApp->add_option("--in", run.in, "input tensors by parameter name (safetensors)");
  runApp->add_option("--out", run.out, "where results go (safetensors)");
  runApp->add_option("--set", run.set, "a scalar: --set past=3; wins over the input file")->allow_extra_args(false);
  runApp->add_option("--target", run.target, targetHelp)->check(CLI::IsMember(targets))->capture_default_str();
  runApp->add_option("--threads", run.threads, "threads (default: all)")->check(CLI::Range(1, 1024));
  runApp->add_option("--time", run.time, "also print the minimum and median of N runs in milliseconds")->check(CLI::Range(1, 1000000));
  runApp->add_flag("--oracle", run.oracle, "run the oracle instead: every step materialised, in f64");
  runApp->add_flag("--compare", run.compare, "run the kernel and compare it with the oracle in f64 and strict f32");

  BuildOptions build;
  auto *buildApp = app.add_subcommand("build", "Build a model into a program");
  buildApp->add_option("file", file, "the model, MODEL.attn")->required();
  buildApp->add_option("--weights", build.weights, "weights to put beside the program (safetensors)");
  const std::string configHelp = "the model's configuration (JSON; default: what the model names, beside the weights or else beside the model)";
  buildApp->add_option("--config", build.config, configHelp);
  buildApp->add_option("-o", build.out, "the program; with --emit, where the text goes (default: standard output)");
  buildApp->add_option("--emit", emit, "instead of a program, what its stages become")->check(CLI::IsMember({"attn", "fused", "schedule", "stmt", "asm", "ptx"}));
  buildApp->add_option("--target", build.target, "machine to compile for")->check(CLI::IsMember(targets))->capture_default_str();

  buildApp->add_option("--quantize", build.quantize, "weights of matrix products as int8, a scale for each row; activations are quantised as they come")->check(CLI::IsMember({"int8"}));
  buildApp->add_flag("--time-passes{text}", timePasses, timeHelp)->check(CLI::IsMember({"text", "json"}));

  TuneOptions tuned;
  auto *tuneApp = app.add_subcommand("tune", "Search the fastest schedule for a kernel on given tensors, and write the program with it");
  tuneApp->add_option("file", file, "the program, F.attn")->required();
  tuneApp->add_option("--kernel", kernel, "the kernel, if there are several");
  tuneApp->add_option("--in", tuned.in, "input tensors by parameter name (safetensors): the schedule is for their shapes");
  tuneApp->add_option("--set", tuned.set, "a scalar: --set past=3; wins over the input file")->allow_extra_args(false);
  tuneApp->add_option("--target", tuned.target, "machine to tune for: one that this machine runs")->check(CLI::IsMember({"host", "x86-64-v2", "x86-64-v3", "x86-64-v4", "zen4", "sapphirerapids"}))->capture_default_str();
  tuneApp->add_option("--threads", tuned.threads, "threads (default: all)")->check(CLI::Range(1, 1024));
  tuneApp->add_option("--seconds", tuned.seconds, "time for the search")->check(CLI::Range(1, 86400))->capture_default_str();
  tuneApp->add_option("-o", tuned.out, "the program with its schedule (default: standard output); the table of what was tried goes to standard error");

  ExplainOptions explained;
  std::vector<std::string> explainable = devices;
  explainable.insert(explainable.begin(), "host");
  auto *explainApp = app.add_subcommand("explain", "Say in words what becomes of a program: support, stages, fusion, schedule, flops and bytes");
  explainApp->add_option("file", file, "the program, F.attn")->required();
  explainApp->add_option("--kernel", kernel, "only this kernel (default: all)");
  explainApp->add_option("--target", explained.target, "a GPU: launches, blocks, memory, what is not fused and why; host: this CPU")->check(CLI::IsMember(explainable))->capture_default_str();
  explainApp->add_option("--config", build.config, "a model's configuration (JSON; default: what the model names, beside it)");
  explainApp->add_option("--extent", explained.extents, "an extent: --extent i=4096; then also how many points the masks keep and the loops visit")->allow_extra_args(false);
  explainApp->add_option("--in", explained.in, "tensors by parameter name (safetensors): their extents, and the values that masks read");
  explainApp->add_option("--set", explained.set, "a scalar: --set past=3; wins over the input file")->allow_extra_args(false);

  DevicesOptions listed;
  auto *devicesApp = app.add_subcommand("devices", "List what there is to run on: the CPU with its targets, OpenCL and CUDA devices");
  devicesApp->add_flag("--json", listed.json, "for programs");
  devicesApp->add_option("--probe", listed.probe)->check(CLI::IsMember(devices))->group("");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    std::optional<Timing> timing;
    if (!timePasses.empty()) timing.emplace(), build.timing = &*timing;
    std::optional<Progress> progress;
    if (*compile || *buildApp) progress.emplace(*compile ? "fovea compile" : "fovea build");
    int status = *compile      ? compileCommand(file, out, kernel, target, emit, timing ? &*timing : nullptr)
                 : *tuneApp    ? tuneCommand(file, kernel, tuned)
                 : *runApp     ? runCommand(file, kernel, run)
                 : *buildApp   ? buildCommand(file, build, emit)
                 : *devicesApp ? listDevices(listed)
                               : explainCommand(file, kernel, build.config, explained);
    progress.reset();
    if (timing && !status) fputs((timePasses == "json" ? timing->json() : timing->text()).c_str(), stderr);
    if (fflush(stdout) || ferror(stdout)) return complain(fmt::format("standard output: {}", std::strerror(errno)));
    return status;
  } catch (const std::system_error &e) {  // of fmt::print
    return complain(fmt::format("cannot write: {}", e.code().message()));
  } catch (const std::bad_alloc &) {
    return complain("out of memory");
  } catch (const std::exception &e) {
    return complain(e.what(), 3);
  }
}
