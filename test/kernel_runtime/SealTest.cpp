// Sealed objects: two of them, made from stand-ins for compiled kernels, link into one program and one shared library, with
// nothing global but their kernels and the three weak functions.
#include "lowering/host/Object.h"

#include "lowering/host/Header.h"
#include "lowering/host/Process.h"
#include "runtime/support/File.h"
#include "test/kernel_runtime/Kernels.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <filesystem>

using namespace fovea;
using namespace fovea::test;

namespace {

void write(const std::string &path, const std::string &text) {
  std::string error;
  ASSERT_TRUE(writeFileAtomically(path, text, error)) << error;
}

void expectRuns(const std::vector<std::string> &args, const std::string &expected = "") {
  ProcessResult result = runProcess(args);
  EXPECT_TRUE(result.good()) << fmt::format("{}", fmt::join(args, " ")) << "\n" << result.complaint() << "\n" << result.out;
  EXPECT_EQ(result.out, expected);
}

// What the compiler emits for `kernel NAME(x: f32[i]) -> o: f32[i]`, o = factor * x, with a parallel loop, a temporary of the
// arena, scratch of a leaf, and a helper that every object calls by the same name.
std::string standIn(const std::string &name, const std::string &factor) {
  Kernel kernel = Kernel(name).in("x", Type::F32, "i").out("o", Type::F32, "i");
  std::string error;
  Descriptor descriptor = *describe(kernel.f, error);
  std::vector<int> strings(descriptor.strings.begin(), descriptor.strings.end());
  return fmt::format(R"(
#include "runtime/kernel/runtime.h"
#include <stddef.h>
void *halide_malloc(void *context, size_t size);
void halide_free(void *context, void *at);
static const int32_t words[] = {{{}}};
static const char strings[] = {{{}}};
struct pair {{ float *x, *o; }};
__attribute__((weak)) float leaf(float x) {{ return x * {factor}; }}
static void scale(int64_t i, void *context) {{
  struct pair *p = context;
  float *scratch = halide_malloc(NULL, 40000);
  scratch[9999] = leaf(p->x[i]);
  p->o[i] = scratch[9999];
  halide_free(NULL, scratch);
}}
int32_t {name}_impl(void **args) {{
  int64_t *x = args[0], *o = args[1];
  struct pair *p = fovea_alloc(1, sizeof *p);
  p->x = (float *)x[1];
  p->o = (float *)o[1];
  fovea_parallel_for(scale, p, x[3]);
  return 0;
}}
int {name}(const DLTensor *x, DLTensor *o) {{
  void *arguments[] = {{(void *)x, o}};
  return fovea_rt_invoke(words, strings, {name}_impl, arguments);
}}
)", fmt::join(descriptor.words, ", "), fmt::join(strings, ", "), fmt::arg("name", name), fmt::arg("factor", factor));
}

const char *const mainProgram = R"(
#include "twice.h"
#include "thrice.h"
#include <stdio.h>
int main(void) {
  float x[1000], a[1000], b[1000];
  for (int i = 0; i < 1000; ++i) x[i] = (float)i;
  int64_t n = 1000, m = 999;
  DLTensor tx = {x, {kDLCPU, 0}, 1, {kDLFloat, 32, 1}, &n, NULL, 0}, ta = tx, tb = tx, bad = tx;
  ta.data = a, tb.data = b, bad.shape = &m;
  if (twice(&tx, &ta) || thrice(&tx, &tb)) return 1;
  for (int i = 0; i < 1000; ++i) if (a[i] != 2 * x[i] || b[i] != 3 * x[i]) return 2;
  /* Each copy of the runtime reports through the one function that was kept. */
  if (twice(&tx, &bad) != FOVEA_WRONG_EXTENT) return 3;
  puts(fovea_last_error());
  if (thrice(&tx, &bad) != FOVEA_WRONG_EXTENT) return 4;
  puts(fovea_last_error());
  printf("%d %d\n", fovea_set_threads(3), fovea_abi_version());
  return 0;
}
)";
const char *const expectedOutput = "twice: axis `i` is 1000 in `x` but 999 in `o`\nthrice: axis `i` is 1000 in `x` but 999 in `o`\n3 1\n";

struct Seal : testing::Test {
  // Two sealed objects with headers; each has a weak function `leaf`, different in each.
  void SetUp() override {
    ASSERT_NE(runtimeObject, "") << error;
    for (auto [name, factor] : {std::pair("twice", "2"), std::pair("thrice", "3")}) {
      write(in(name) + ".c", standIn(name, factor));
      expectRuns({"gcc", "-O2", "-fPIC", "-c", "-I", FOVEA_ROOT, in(name) + ".c", "-o", in(name) + "_host.o"});
      ASSERT_TRUE(seal({in(name) + "_host.o", runtimeObject}, {name}, in(name) + ".o", error)) << error;
      Kernel kernel = Kernel(name).in("x", Type::F32, "i").out("o", Type::F32, "i");
      write(in(name) + ".h", writeHeader({&kernel.f}, std::string(name) + ".h"));
    }
    write(in("main.c"), mainProgram);
  }
  std::string in(const std::string &name) const { return folder.path() + "/" + name; }
  TemporaryFolder folder;
  std::string error, runtimeObject = kernelRuntimeObject(error);
};

TEST_F(Seal, OnlyThePublicNamesAreGlobal) {
  expectRuns({"nm", "-g", "--defined-only", "--format=just-symbols", in("twice.o")},
             "fovea_abi_version\nfovea_last_error\nfovea_set_threads\ntwice\n");
  ProcessResult weak = runProcess({"nm", "-g", "--defined-only", in("twice.o")});
  EXPECT_NE(weak.out.find(" W fovea_last_error\n"), std::string::npos) << weak.out;
  EXPECT_NE(weak.out.find(" W fovea_set_threads\n"), std::string::npos);
  EXPECT_NE(weak.out.find(" W fovea_abi_version\n"), std::string::npos);
}
TEST_F(Seal, NeedsLibcAlone) {
  ProcessResult undefined = runProcess({"nm", "-u", "--format=just-symbols", in("twice.o")});
  EXPECT_EQ(undefined.out.find("_Z"), std::string::npos) << undefined.out;
  EXPECT_EQ(undefined.out.find("halide"), std::string::npos) << undefined.out;
  EXPECT_EQ(undefined.out.find("__asan"), std::string::npos) << undefined.out;
}
TEST_F(Seal, ThreadVariablesAreGeneralDynamic) {
  ProcessResult relocations = runProcess({"objdump", "-r", in("twice.o")});
  EXPECT_NE(relocations.out.find("R_X86_64_TLSGD"), std::string::npos);
  EXPECT_EQ(relocations.out.find("R_X86_64_TPOFF"), std::string::npos);
  EXPECT_EQ(relocations.out.find("R_X86_64_GOTTPOFF"), std::string::npos);
}
TEST_F(Seal, TwoInOneProgram) {
  expectRuns({"gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-Wl,--fatal-warnings", in("main.c"), in("twice.o"), in("thrice.o"), "-o", in("main")});
  expectRuns({in("main")}, expectedOutput);
}
TEST_F(Seal, TwoInOneStaticProgram) {
  expectRuns({"gcc", "-static", in("main.c"), in("twice.o"), in("thrice.o"), "-o", in("main")});
  expectRuns({in("main")}, expectedOutput);
}
TEST_F(Seal, TwoInOneSharedLibrary) {
  expectRuns({"gcc", "-shared", "-Wl,-z,text", "-Wl,--fatal-warnings", in("twice.o"), in("thrice.o"), "-o", in("libboth.so")});
  expectRuns({"gcc", in("main.c"), "-L" + folder.path(), "-lboth", "-Wl,-rpath," + folder.path(), "-o", in("main")});
  expectRuns({in("main")}, expectedOutput);
}
TEST_F(Seal, ALibraryCanBeUnloaded) {
  // By the linker alone, as `fovea run` does: no start files, no libraries.
  expectRuns({"ld", "-shared", in("twice_host.o"), runtimeObject, "-o", in("libtwice.so")});
  write(in("load.c"), R"(
#include "twice.h"
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv) {
  for (int round = 0; round < 20; ++round) {
    void *library = dlopen(argv[argc - 1], RTLD_NOW);
    if (!library) return puts(dlerror()), 1;
    int (*twice)(const DLTensor *, DLTensor *);
    *(void **)&twice = dlsym(library, "twice");
    int (*threads)(int);
    *(void **)&threads = dlsym(library, "fovea_set_threads");
    threads(4);
    float x[100] = {1}, o[100];
    int64_t n = 100;
    DLTensor tx = {x, {kDLCPU, 0}, 1, {kDLFloat, 32, 1}, &n, NULL, 0}, to = tx;
    to.data = o;
    if (twice(&tx, &to) || o[0] != 2) return 2;
    dlclose(library);
    if (dlopen(argv[argc - 1], RTLD_NOW | RTLD_NOLOAD)) return 3;
  }
  return 0;
}
)");
  expectRuns({"gcc", in("load.c"), "-ldl", "-o", in("load")});
  expectRuns({in("load"), in("libtwice.so")});
}
TEST_F(Seal, AForkedProgramEnds) {   // it must not wait for its parent's workers
  write(in("fork.c"), R"(
#include "twice.h"
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
  float x[100] = {1}, o[100];
  int64_t n = 100;
  DLTensor tx = {x, {kDLCPU, 0}, 1, {kDLFloat, 32, 1}, &n, NULL, 0}, to = tx;
  to.data = o;
  fovea_set_threads(4);
  if (twice(&tx, &to)) return 2;
  pid_t child = fork();
  if (child == 0) return argc > 1 ? 0 : twice(&tx, &to);
  int status;
  return waitpid(child, &status, 0) != child || status;
}
)");
  expectRuns({"gcc", in("fork.c"), in("twice.o"), "-o", in("fork")});
  expectRuns({"timeout", "20", in("fork")});
  expectRuns({"timeout", "20", in("fork"), "idle"});
}
TEST_F(Seal, BesideAForeignObjectOfTheSameNames) {
  write(in("foreign.c"), R"(
#include <stdlib.h>
void *halide_malloc(void *context, size_t size) { (void)context, (void)size; abort(); }
void halide_free(void *context, void *at) { (void)context, (void)at; abort(); }
void fovea_parallel_for(void) { abort(); }
float leaf(float x) { (void)x; abort(); }
)");
  expectRuns({"gcc", "-std=c99", in("main.c"), in("foreign.c"), in("thrice.o"), in("twice.o"), "-o", in("main")});
  expectRuns({in("main")}, expectedOutput);
}
TEST_F(Seal, SeveralKernelsInOneObject) {
  ASSERT_TRUE(seal({in("twice_host.o"), in("thrice_host.o"), runtimeObject}, {"twice", "thrice"}, in("both.o"), error)) << error;
  expectRuns({"nm", "-g", "--defined-only", "--format=just-symbols", in("both.o")},
             "fovea_abi_version\nfovea_last_error\nfovea_set_threads\nthrice\ntwice\n");
}
TEST_F(Seal, FailsWhole) {
  write(in("old.o"), "what was there");
  EXPECT_FALSE(seal({in("no.o"), runtimeObject}, {"no"}, in("old.o"), error));
  EXPECT_NE(error.find("`ld` failed: exit status 1: "), std::string::npos) << error;
  EXPECT_NE(error.find("no.o"), std::string::npos) << error;
  EXPECT_EQ(readFile(in("old.o"), error), "what was there");
  EXPECT_FALSE(seal({in("twice_host.o")}, {"twice"}, in("nowhere/old.o"), error));
  EXPECT_EQ(error, in("nowhere/old.o") + ": cannot write: No such file or directory");
  size_t files = 0;
  for (const auto &entry : std::filesystem::directory_iterator(folder.path()))
    files += entry.path().filename().string().find(".o.") != std::string::npos;
  EXPECT_EQ(files, 0u) << "temporary files are left";
}
TEST_F(Seal, SaysWhichToolIsMissing) {
  std::string path = std::getenv("PATH");
  setenv("PATH", folder.path().c_str(), 1);
  EXPECT_FALSE(seal({in("twice_host.o")}, {"twice"}, in("x.o"), error));
  setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(error, "the program `ld` is missing: it is part of binutils, and must be on PATH");
}

}  // namespace
