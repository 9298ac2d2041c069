// fovea-leaf: one specification of a leaf or a nest as JSON on standard input, one object file out. See README.md.
#include "lowering/halide/Builder.h"
#include "lowering/halide/Nest.h"

#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <stdexcept>

using namespace fovea::leaf;

namespace {

// Halide's warnings are not the user's business; its errors become one sentence in main.
struct Reporter : Halide::CompileTimeErrorReporter {
  void warning(const char *) override {}
  void error(const char *message) override { throw std::runtime_error(message); }
};

Halide::Module compile(const std::string &text, bool withoutAvx512) {
  std::string error;
  if (isNest(text)) {
    auto nest = nestFromJson(text, error);
    if (!nest) throw std::invalid_argument(error);
    return buildNest(*nest, nestTarget(nest->target));
  }
  auto spec = fromJson(text, error);
  if (!spec) throw std::invalid_argument(error);
  const TargetInfo &info = *findTarget(spec->target);
  const bool avx512 = std::strstr(info.halide, "-avx512");   // tiles and layouts stay those of the target
  const Halide::Target target(std::string(avx512 && withoutAvx512 ? findTarget("x86-64-v3")->halide : info.halide) + "-no_runtime-no_bounds_query-no_asserts");
  Built built = spec->kind == LeafSpec::ContractLeaf ? buildContract(*spec, info) : spec->attend.split ? buildWeigh(*spec, info) : spec->attend.queryLanes ? buildAttendLanes(*spec, info) : buildAttendStep(*spec, info);
  Halide::Module module = Halide::Pipeline(built.outputs).compile_to_module(built.arguments, spec->name, target, Halide::LinkageType::External);
  return withPlainSignature(module, *spec, built);
}

// What the host's code launches, a line of comment each: the function, its threads, and the shared memory that the launch adds.
struct Launches : Halide::Internal::IRVisitor {
  using IRVisitor::visit;
  std::ostringstream lines;
  void visit(const Halide::Internal::Call *call) override {
    IRVisitor::visit(call);
    if (call->name != "halide_cuda_run" && call->name != "halide_opencl_run") return;
    const std::vector<Halide::Expr> &a = call->args;  // state, name, blocks, threads, shared memory, ...
    const auto *name = a.at(1).as<Halide::Internal::StringImm>();
    lines << "// launch " << (name ? name->value : "") << ": threads " << a.at(5) << " x " << a.at(6) << " x " << a.at(7) << ", shared memory " << Halide::Internal::simplify(a.at(8)) << "\n";
  }
};

// A nest's source for the device: PTX or OpenCL C.
void writeDeviceCode(const Halide::Module &module, const std::string &path) {
  Launches launches;
  for (const Halide::Internal::LoweredFunc &function : module.functions()) function.body.accept(&launches);
  for (const Halide::Buffer<void> &buffer : module.buffers()) {
    if (buffer.name().find("gpu_source_kernels") == std::string::npos) continue;
    std::string_view text(static_cast<const char *>(buffer.data()), buffer.size_in_bytes());
    text = text.substr(0, text.find('\0'));
    std::ofstream out(path, std::ios::binary);
    if (out << launches.lines.str() << text << std::flush) return;
    throw std::runtime_error(path + ": cannot write");
  }
  throw std::invalid_argument("a leaf has no device code");
}

}  // namespace

int main(int argc, char **argv) {
  const char *usage = "usage: fovea-leaf [--emit=obj|asm|stmt|llvm|device] [--without-avx512] -o OUT < SPECIFICATION\n       fovea-leaf --device-runtime -o OUT\n       fovea-leaf --move-rows=opencl|cuda -o OUT\n";
  std::string out, emit = "obj", moveRows;
  bool withoutAvx512 = false, deviceRuntime = false;
  for (int n = 1; n < argc; n++) {
    if (!std::strcmp(argv[n], "-o") && n + 1 < argc) {
      out = argv[++n];
    } else if (!std::strncmp(argv[n], "--emit=", 7)) {
      emit = argv[n] + 7;
    } else if (!std::strcmp(argv[n], "--without-avx512")) {
      withoutAvx512 = true;
    } else if (!std::strcmp(argv[n], "--device-runtime")) {
      deviceRuntime = true;
    } else if (!std::strcmp(argv[n], "--move-rows=opencl") || !std::strcmp(argv[n], "--move-rows=cuda")) {
      moveRows = argv[n] + 12;
    } else {
      std::cerr << usage;
      return 2;
    }
  }
  const std::map<std::string, Halide::OutputFileType> forms = {{"obj", Halide::OutputFileType::object},
                                                               {"asm", Halide::OutputFileType::assembly},
                                                               {"stmt", Halide::OutputFileType::stmt},
                                                               {"llvm", Halide::OutputFileType::llvm_assembly}};
  if (out.empty() || !(forms.count(emit) || emit == "device")) {
    std::cerr << usage;
    return 2;
  }
  Reporter reporter;
  Halide::set_custom_compile_time_error_reporter(&reporter);
  try {
    if (deviceRuntime) return Halide::compile_standalone_runtime(out, Halide::Target("x86-64-linux-opencl-cuda")), 0;
    if (!moveRows.empty()) return buildMoveRows(moveRows).compile({{Halide::OutputFileType::object, out}}), 0;
    const std::string text(std::istreambuf_iterator<char>(std::cin), {});
    const Halide::Module module = compile(text, withoutAvx512);
    if (emit == "device") writeDeviceCode(module, out);
    else module.compile({{forms.at(emit), out}});
  } catch (const Halide::Error &e) {
    std::cerr << "fovea-leaf: " << e.what() << "\n";
    return 1;
  } catch (const std::exception &e) {
    std::cerr << "fovea-leaf: " << e.what() << "\n";
    return 1;
  }
  return 0;
}
