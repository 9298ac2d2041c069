// The generated header: compiles alone in C99 and C++, beside the real dlpack.h, and avoids what a name could clash with.
#include "lowering/host/Header.h"

#include "lowering/host/Process.h"
#include "runtime/support/File.h"
#include "test/kernel_runtime/Kernels.h"

#include <unistd.h>

using namespace fovea;
using namespace fovea::test;

namespace {

Kernel attend() {
  Kernel kernel = Kernel("attend").in("q", Type::BF16, "b h i d").in("k", Type::BF16, "b g j d").in("len", Type::I32, "b", true)
                      .scalar("past", Type::I32).scalar("scale", Type::F16).scalar("causal", Type::Bool).out("o", Type::BF16, "b h i d").out("n", Type::I32, "");
  kernel.check(kernel.add(Op::Eq, Type::Bool, {kernel.extent("h"), kernel.add(Op::Mul, Type::I32, {kernel.number(4), kernel.extent("g")})}), "h = 4*g");
  core::Index &d = kernel.f.indices[kernel.index("d")];
  d.choices = {64, 128}, d.choicesOnly = true;
  kernel.f.indices[kernel.index("j")].bound = 65536;
  return kernel;
}

// Compiles `source`, with the header at kernels.h in an include folder; "" when it does without a word.
std::string compile(const std::string &header, const std::string &source, const std::string &compiler, std::vector<std::string> flags) {
  TemporaryFolder folder;
  std::string error;
  EXPECT_TRUE(writeFileAtomically(folder.path() + "/kernels.h", header, error)) << error;
  std::vector<std::string> args = {compiler, "-fsyntax-only", "-Wall", "-Wextra", "-pedantic", "-Werror", "-I" + folder.path()};
  args.insert(args.end(), flags.begin(), flags.end());
  args.push_back("-");
  ProcessResult result = runProcess(args, source);
  return result.good() ? "" : result.complaint();
}

void expectCompiles(const std::string &header, const std::string &source = "#include \"kernels.h\"\n") {
  EXPECT_EQ(compile(header, source, "gcc", {"-std=c99", "-x", "c"}), "");
  EXPECT_EQ(compile(header, source, "gcc", {"-std=c11", "-x", "c"}), "");
  EXPECT_EQ(compile(header, source, "gcc", {"-std=gnu17", "-x", "c"}), "");
  for (const char *standard : {"-std=c++11", "-std=c++17", "-std=c++20"})
    EXPECT_EQ(compile(header, source, "g++", {standard, "-x", "c++"}), "");
}

TEST(Header, SaysWhatAKernelTakes) {
  Kernel kernel = attend();
  std::string text = writeHeader({&kernel.f}, "out/kernels.h");
  EXPECT_NE(text.find(R"(/* attend
 *
 *   q       bf16[b, h, i, d]  in
 *   k       bf16[b, g, j, d]  in
 *   len     i32[b]            in, sorted along the last axis
 *   past    i32               in
 *   scale   f16               in
 *   causal  bool              in
 *   o       bf16[b, h, i, d]  out
 *   n       i32[]             out
 *
 *   where h = 4*g
 *   where d in {64, 128} only
 *   where j <= 65536
 */
int attend(const DLTensor *q, const DLTensor *k, const DLTensor *len, int32_t past, float scale, bool causal, DLTensor *o, DLTensor *n);
)"), std::string::npos) << text.substr(text.find("/* attend"));
  EXPECT_EQ(text.rfind("/* kernels.h: ", 0), 0u);
  EXPECT_NE(text.find("#ifndef FOVEA_KERNELS_KERNELS_H\n#define FOVEA_KERNELS_KERNELS_H\n"), std::string::npos);
}

TEST(Header, CompilesAlone) {
  Kernel kernel = attend();
  expectCompiles(writeHeader({&kernel.f}, "kernels.h"));
  expectCompiles(writeHeader({&kernel.f}, "kernels.h"), "#include \"kernels.h\"\n#include \"kernels.h\"\nint version = FOVEA_ABI_VERSION;\n");
}

TEST(Header, StandsBesideTheRealDlpack) {
  if (access("/usr/include/dlpack/dlpack.h", R_OK) != 0)
    GTEST_SKIP() << "[SKIP] no dlpack.h on this machine";
  Kernel kernel = attend();
  std::string header = writeHeader({&kernel.f}, "kernels.h");
  const std::string use = "int use(DLTensor *t);\nint use(DLTensor *t) { return attend(t, t, t, 0, 1.0f, 1, t, t) == FOVEA_OK && t->dtype.code == kDLBfloat; }\n";
  expectCompiles(header, "#include <dlpack/dlpack.h>\n#include \"kernels.h\"\n" + use);
  expectCompiles(header, "#include \"kernels.h\"\n#include <dlpack/dlpack.h>\n" + use);
}

TEST(Header, LayoutIsTheRealOne) {
  if (access("/usr/include/dlpack/dlpack.h", R_OK) != 0)
    GTEST_SKIP() << "[SKIP] no dlpack.h on this machine";
  std::string ours = writeHeader({}, "ours.h"), error, real = readFile("/usr/include/dlpack/dlpack.h", error).value_or("");
  const std::string check = R"(
typedef char size[sizeof(DLTensor) == 48 ? 1 : -1];
typedef char data[offsetof(DLTensor, data) == 0 ? 1 : -1];
typedef char device[offsetof(DLTensor, device) == 8 ? 1 : -1];
typedef char ndim[offsetof(DLTensor, ndim) == 16 ? 1 : -1];
typedef char dtype[offsetof(DLTensor, dtype) == 20 ? 1 : -1];
typedef char shape[offsetof(DLTensor, shape) == 24 ? 1 : -1];
typedef char strides[offsetof(DLTensor, strides) == 32 ? 1 : -1];
typedef char byte_offset[offsetof(DLTensor, byte_offset) == 40 ? 1 : -1];
typedef char managed[sizeof(DLManagedTensor) == 64 ? 1 : -1];
)";
  expectCompiles(ours, "#include <stddef.h>\n#include \"kernels.h\"\n" + check);
  expectCompiles(real, "#include <stddef.h>\n#include \"kernels.h\"\n" + check);
}

TEST(Header, AvoidsKeywordsMacrosAndClashes) {
  Kernel kernel("odd");
  for (const char *name : {"new", "I", "NULL", "EOF", "register", "_x", "__linux__", "this", "linux", "errno", "stdin", "uint8_t", "DLTensor", "new_", "kDLCPU",
                           "odd", "even", "INT_MAX", "typename", "Q", "true", "assert", "fovea_status"})
    kernel.in(name, Type::F32, "a");
  kernel.scalar("bool", Type::Bool).scalar("int", Type::I8).out("return", Type::F32, "a").out("class", Type::F32, "a");
  Kernel even = Kernel("even").out("o", Type::F32, "a");
  std::string text = writeHeader({&kernel.f, &even.f}, "1-odd näme.h");
  EXPECT_NE(text.find("int odd(const DLTensor *new__, const DLTensor *I_, const DLTensor *NULL_,"), std::string::npos);
  EXPECT_NE(text.find("const DLTensor *new_, "), std::string::npos);
  EXPECT_NE(text.find("const DLTensor *Q, "), std::string::npos);
  expectCompiles(text, "#include <stdio.h>\n#include <errno.h>\n#include <limits.h>\n#include <complex.h>\n#include <assert.h>\n#include \"kernels.h\"\n");
  EXPECT_NE(text.find("#ifndef FOVEA_KERNELS_1_ODD_NxC3xA4ME_H\n"), std::string::npos);
}

TEST(Header, CommentsCannotBeClosed) {
  Kernel kernel = Kernel("f").out("o", Type::F32, "a");
  kernel.check(kernel.number(1), "a */ int x; /* > \n 0");
  expectCompiles(writeHeader({&kernel.f}, "a*/b.h"));
}

TEST(Header, TwoOfThemInOneFile) {
  Kernel first = Kernel("first").out("o", Type::F32, "a"), second = Kernel("second").out("o", Type::F32, "a");
  expectCompiles(writeHeader({&first.f}, "first.h"), writeHeader({&second.f}, "second.h") + "#include \"kernels.h\"\n");
}

}  // namespace
