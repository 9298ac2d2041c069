// Which variant of a kernel for several targets runs, and that the runtime knows the machine as the operating system does.
#include "lowering/halide/LeafSpec.h"
#include "runtime/kernel/runtime.h"

#include <atomic>
#include <cstdlib>
#include <gtest/gtest.h>
#include <set>
#include <sstream>
#include <thread>

extern "C" int fovea_machine_has(const char *flag, size_t length);   // runtime/kernel/internal.h

using namespace fovea;

namespace {

int ran;
template <int n>
int32_t body(void **) {
  ran = n;
  return 0;
}

struct Choose : testing::Test {
  void SetUp() override { unsetenv("FOVEA_TARGET"); }
  void TearDown() override { unsetenv("FOVEA_TARGET"); }
  int run(const std::vector<fovea_variant> &variants) {
    ran = -1;
    return fovea_rt_choose("attend", variants.data(), int32_t(variants.size()), &chosen, nullptr);
  }
  fovea_impl *chosen = nullptr;
};

// `pni` and `cx16` are in every x86-64 that is in use.
TEST_F(Choose, TheLastThatRuns) {
  EXPECT_EQ(run({{"a", "", body<0>}, {"b", "pni cx16", body<1>}, {"c", "pni magic cx16", body<2>}}), FOVEA_OK);
  EXPECT_EQ(ran, 1);
}
TEST_F(Choose, OnceForAll) {
  EXPECT_EQ(run({{"a", "", body<0>}}), FOVEA_OK);
  EXPECT_EQ(chosen, &body<0>);
  setenv("FOVEA_TARGET", "z80", 1);
  EXPECT_EQ(run({{"a", "", body<0>}, {"b", "", body<1>}}), FOVEA_OK);
  EXPECT_EQ(ran, 0);
}
TEST_F(Choose, NoneRuns) {
  EXPECT_EQ(run({{"a", "pni magic", body<0>}, {"b", "pni wand magic", body<1>}}), FOVEA_WRONG_TARGET);
  EXPECT_STREQ(fovea_last_error(), "attend: this machine lacks `magic`, which `a`, the least of the kernel's targets, needs");
  EXPECT_EQ(ran, -1);
  EXPECT_EQ(chosen, nullptr);
}
TEST_F(Choose, Named) {
  setenv("FOVEA_TARGET", "b", 1);
  EXPECT_EQ(run({{"a", "", body<0>}, {"b", "", body<1>}, {"c", "", body<2>}}), FOVEA_OK);
  EXPECT_EQ(ran, 1);
}
TEST_F(Choose, NamedAndEmpty) {
  setenv("FOVEA_TARGET", "", 1);
  EXPECT_EQ(run({{"a", "", body<0>}, {"b", "", body<1>}}), FOVEA_OK);
  EXPECT_EQ(ran, 1);
}
TEST_F(Choose, NamedAndLacking) {
  setenv("FOVEA_TARGET", "b", 1);
  EXPECT_EQ(run({{"a", "", body<0>}, {"b", "pni magic", body<1>}}), FOVEA_WRONG_TARGET);
  EXPECT_STREQ(fovea_last_error(), "attend: FOVEA_TARGET is `b`, but this machine lacks `magic`");
  EXPECT_EQ(ran, -1);
  EXPECT_EQ(chosen, nullptr);
}
TEST_F(Choose, NamedAndUnknown) {
  setenv("FOVEA_TARGET", "z80", 1);
  EXPECT_EQ(run({{"a", "", body<0>}, {"b", "", body<1>}}), FOVEA_WRONG_TARGET);
  EXPECT_STREQ(fovea_last_error(), "attend: FOVEA_TARGET is `z80`, and not one of a, b");
  std::string longName(300, 'n');
  EXPECT_EQ(run({{longName.c_str(), "", body<0>}, {longName.c_str(), "", body<1>}}), FOVEA_WRONG_TARGET);
}
TEST_F(Choose, ManyThreadsAtOnce) {
  static std::atomic<int> calls;
  calls = 0;
  const fovea_variant variants[] = {{"a", "magic", body<0>}, {"b", "pni", [](void **) { return calls++, int32_t(0); }}};
  std::vector<std::thread> threads;
  for (int k = 0; k < 8; ++k) threads.emplace_back([&] { EXPECT_EQ(fovea_rt_choose("attend", variants, 2, &chosen, nullptr), FOVEA_OK); });
  for (std::thread &thread : threads) thread.join();
  EXPECT_EQ(calls, 8);
}

// Of every flag that a target needs, the runtime says what /proc/cpuinfo says.
TEST(Machine, HasWhatTheSystemSays) {
  const std::vector<std::string> listed = leaf::hostFeatures();
  const std::set<std::string> has(listed.begin(), listed.end());
  for (const leaf::TargetInfo &target : leaf::targets()) {
    std::istringstream needs(target.needs);
    for (std::string flag; needs >> flag;) EXPECT_EQ(fovea_machine_has(flag.data(), flag.size()), int(has.count(flag))) << flag << " of " << target.name;
  }
  EXPECT_EQ(fovea_machine_has("magic", 5), -1);
  EXPECT_EQ(fovea_machine_has("avx2x", 4), int(has.count("avx2")));
}

}  // namespace
