// fovea-leaf: one leaf specification as JSON on standard input, one object file out. See README.md.
#include "lowering/halide/Builder.h"

#include <cstring>
#include <iostream>
#include <iterator>
#include <stdexcept>

using namespace fovea::leaf;

namespace {

// Halide's warnings are not the user's business; its errors become one sentence in main.
struct Reporter : Halide::CompileTimeErrorReporter {
  void warning(const char *) override {}
  void error(const char *message) override { throw std::runtime_error(message); }
};

}  // namespace

int main(int argc, char **argv) {
  const char *usage = "usage: fovea-leaf [--emit=obj|asm|stmt|llvm] [--without-avx512] -o OUT < SPECIFICATION\n";
  std::string out, emit = "obj";
  bool withoutAvx512 = false;
  for (int n = 1; n < argc; n++) {
    if (!std::strcmp(argv[n], "-o") && n + 1 < argc) {
      out = argv[++n];
    } else if (!std::strncmp(argv[n], "--emit=", 7)) {
      emit = argv[n] + 7;
    } else if (!std::strcmp(argv[n], "--without-avx512")) {
      withoutAvx512 = true;
    } else {
      std::cerr << usage;
      return 2;
    }
  }
  const std::map<std::string, Halide::OutputFileType> forms = {{"obj", Halide::OutputFileType::object},
                                                               {"asm", Halide::OutputFileType::assembly},
                                                               {"stmt", Halide::OutputFileType::stmt},
                                                               {"llvm", Halide::OutputFileType::llvm_assembly}};
  if (out.empty() || !forms.count(emit)) {
    std::cerr << usage;
    return 2;
  }
  std::string error;
  auto spec = fromJson(std::string(std::istreambuf_iterator<char>(std::cin), {}), error);
  if (!spec) {
    std::cerr << "fovea-leaf: " << error << "\n";
    return 1;
  }
  Reporter reporter;
  Halide::set_custom_compile_time_error_reporter(&reporter);
  try {
    const TargetInfo &info = *findTarget(spec->target);
    const bool avx512 = std::strstr(info.halide, "-avx512");   // tiles and layouts stay those of the target
    const Halide::Target target(std::string(avx512 && withoutAvx512 ? findTarget("x86-64-v3")->halide : info.halide) + "-no_runtime-no_bounds_query-no_asserts");
    Built built = spec->kind == LeafSpec::ContractLeaf ? buildContract(*spec, info) : spec->attend.split ? buildWeigh(*spec, info) : buildAttendStep(*spec, info);
    Halide::Module module = Halide::Pipeline(built.outputs).compile_to_module(built.arguments, spec->name, target, Halide::LinkageType::External);
    withPlainSignature(module, *spec, built).compile({{forms.at(emit), out}});
  } catch (const Halide::Error &e) {
    std::cerr << "fovea-leaf: " << e.what() << "\n";
    return 1;
  } catch (const std::exception &e) {
    std::cerr << "fovea-leaf: " << e.what() << "\n";
    return 1;
  }
  return 0;
}
