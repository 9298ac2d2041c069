// Every kernel of examples/kernels has a descriptor and a header that compiles.
#include "frontend/Frontend.h"
#include "lowering/host/Descriptor.h"
#include "lowering/host/Header.h"
#include "lowering/host/Process.h"
#include "runtime/kernel/runtime.h"

#include <filesystem>
#include <gtest/gtest.h>

using namespace fovea;

namespace {

TEST(Examples, DescriptorsAndHeaders) {
  std::string together;
  int kernels = 0;
  for (const auto &entry : std::filesystem::directory_iterator(FOVEA_ROOT "/examples/kernels")) {
    if (entry.path().extension() != ".attn")
      continue;
    SCOPED_TRACE(entry.path().filename().string());
    SourceManager sources;
    Diagnostics diagnostics(sources);
    std::optional<core::Module> module = check(entry.path().string(), sources, diagnostics);
    ASSERT_TRUE(module) << diagnostics.str();
    std::vector<const core::Function *> functions;
    for (const core::Function &kernel : module->kernels) {
      functions.push_back(&kernel);
      std::string error;
      std::optional<Descriptor> descriptor = describe(kernel, error);
      ASSERT_TRUE(descriptor) << error;
      ++kernels;
      // Refused, not crashed into, without any tensor.
      std::vector<void *> none(kernel.parameters.size() + kernel.results.size());
      double scalar = 0;
      for (size_t k = 0; k < kernel.parameters.size(); ++k)
        none[k] = kernel.parameters[k].scalar ? &scalar : nullptr;
      EXPECT_EQ(fovea_rt_invoke(descriptor->words.data(), descriptor->strings.data(), [](void **) { return 0; }, none.data()), FOVEA_NULL_POINTER)
          << fovea_last_error();
    }
    together += writeHeader(functions, entry.path().stem().string() + ".h");
  }
  EXPECT_GT(kernels, 50);
  ProcessResult c = runProcess({"gcc", "-std=c99", "-fsyntax-only", "-Wall", "-Wextra", "-pedantic", "-Werror", "-x", "c", "-"}, together);
  EXPECT_TRUE(c.good()) << c.complaint();
  ProcessResult cxx = runProcess({"g++", "-std=c++11", "-fsyntax-only", "-Wall", "-Wextra", "-pedantic", "-Werror", "-x", "c++", "-"}, together);
  EXPECT_TRUE(cxx.good()) << cxx.complaint();
}

}  // namespace
