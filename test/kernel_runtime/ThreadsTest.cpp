// Parallel loops, the arena, and running out of memory in either.
#include "test/kernel_runtime/Kernels.h"

#include <atomic>
#include <chrono>
#include <numeric>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

extern "C" void *halide_malloc(void *user_context, size_t size);
extern "C" void halide_free(void *user_context, void *at);

using namespace fovea::test;

namespace {

// Restores the settings that a test changes.
struct Runtime : testing::Test {
  void SetUp() override { fovea_set_threads(4); }
  void TearDown() override {
    fovea_set_threads(0);
    fovea_set_memory_limit(-1);
    body = nullptr;
  }
};
using Threads = Runtime;
using Arena = Runtime;

void parallel(int64_t count, const std::function<void(int64_t)> &function) {
  fovea_parallel_for([](int64_t index, void *context) { (*static_cast<const std::function<void(int64_t)> *>(context))(index); },
                     const_cast<std::function<void(int64_t)> *>(&function), count);
}

TEST_F(Threads, EveryIndexOnce) {
  for (int64_t count : {0, 1, 2, 3, 7, 100, 10007}) {
    std::vector<std::atomic<int>> times(count);
    parallel(count, [&](int64_t index) { ++times[index]; });
    for (const auto &time : times)
      EXPECT_EQ(time, 1);
  }
}
TEST_F(Threads, NegativeCountIsNothing) {
  parallel(-5, [](int64_t) { ADD_FAILURE(); });
}
TEST_F(Threads, WorkersTakePart) {
  for (int round = 0; round < 2; ++round) {  // a loop that has been short begins with its caller alone
    std::atomic<int> inside{0}, most{0};
    parallel(4, [&](int64_t) {
      int now = ++inside, before = most;
      while (now > before && !most.compare_exchange_weak(before, now)) {
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      --inside;
    });
    EXPECT_GE(most, round ? 4 : 3);
  }
}
TEST_F(Threads, AShortLoopMayTurnOutLong) {
  for (int round = 0; round < 3; ++round) {
    parallel(8, [](int64_t) {});
    parallel(8, [](int64_t) {});
    std::vector<std::atomic<int>> times(8);
    std::atomic<int> inside{0}, most{0};
    parallel(8, [&](int64_t index) {
      int now = ++inside, before = most;
      while (now > before && !most.compare_exchange_weak(before, now)) {
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      ++times[index];
      --inside;
    });
    EXPECT_GE(most, 2);
    for (const auto &time : times)
      EXPECT_EQ(time, 1);
  }
}
TEST_F(Threads, NoMoreThanAsked) {
  EXPECT_EQ(fovea_set_threads(2), 2);
  std::atomic<int> inside{0}, most{0};
  parallel(40, [&](int64_t) {
    int now = ++inside, before = most;
    while (now > before && !most.compare_exchange_weak(before, now)) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    --inside;
  });
  EXPECT_EQ(most, 2);
  EXPECT_EQ(fovea_set_threads(-1), 2);
}
TEST_F(Threads, ManyShortLoops) {
  std::atomic<int64_t> sum{0};
  for (int n = 0; n < 20000; ++n)
    parallel(5, [&](int64_t index) { sum += index; });
  EXPECT_EQ(sum, 20000 * 10);
}
TEST_F(Threads, NestedLoopsRunInline) {
  std::atomic<int> inner{0};
  parallel(8, [&](int64_t) {
    auto self = std::this_thread::get_id();
    parallel(8, [&](int64_t) {
      EXPECT_EQ(std::this_thread::get_id(), self);
      ++inner;
    });
  });
  EXPECT_EQ(inner, 64);
}
TEST_F(Threads, SeveralCallers) {
  std::vector<std::thread> callers;
  std::atomic<int64_t> sum{0};
  for (int k = 0; k < 6; ++k)
    callers.emplace_back([&] {
      for (int n = 0; n < 500; ++n)
        parallel(20, [&](int64_t index) { sum += index; });
    });
  for (std::thread &caller : callers)
    caller.join();
  EXPECT_EQ(sum, 6 * 500 * 190);
}
TEST_F(Threads, ChangedNumbersWhileRunning) {
  std::atomic<bool> done{false};
  std::thread changing([&] {
    for (int n = 1; !done; n = n % 6 + 1)
      fovea_set_threads(n);
  });
  std::atomic<int64_t> sum{0};
  for (int n = 0; n < 2000; ++n)
    parallel(9, [&](int64_t index) { sum += index; });
  done = true;
  changing.join();
  EXPECT_EQ(sum, 2000 * 36);
}
TEST_F(Threads, DenormalsStayWhateverTheCallerSet) {
#if defined(__x86_64__)
  Caller call(Kernel("f").out("o", Type::F32, ""));
  Tensor o{Type::F32, {}};
  std::atomic<int> flushed{0};
  body = [&](void **) {
    parallel(64, [&](int64_t) {
      volatile float tiny = 1e-38f, less = tiny * 0.1f;
      flushed += less == 0;
    });
    return 0;
  };
  unsigned before = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(before | 0x8040);
  int status = call({&o.dl});
  unsigned after = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(before);
  EXPECT_EQ(status, FOVEA_OK);
  EXPECT_EQ(flushed, 0);
  EXPECT_EQ(after, before | 0x8040);
#endif
}
TEST_F(Threads, AChildAfterAForkHasItsOwn) {
  std::atomic<int> sum{0};
  parallel(100, [&](int64_t) { ++sum; });
  pid_t child = fork();
  if (child == 0) {
    std::atomic<int> mine{0};
    parallel(100, [&](int64_t) { ++mine; });
    _exit(mine == 100 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
TEST_F(Threads, AForkWhileALoopRuns) {
  pid_t child = -1;
  std::thread forking([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    child = fork();
    if (child == 0) {
      std::atomic<int> mine{0};
      for (int n = 0; n < 10; ++n)
        parallel(100, [&](int64_t) { ++mine; });
      _exit(mine == 1000 ? 0 : 1);
    }
  });
  parallel(40, [](int64_t) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); });
  forking.join();
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST_F(Arena, AlignedAndReleased) {
  int64_t mark = fovea_arena_mark();
  void *first = fovea_alloc(10, 4);
  for (int64_t count : {0, 1, 63, 64, 65, 100000, 3000000, 7}) {
    char *at = static_cast<char *>(fovea_alloc(count, 4));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(at) % 64, 0u);
    std::memset(at, 0xFF, count * 4);
  }
  fovea_arena_release(mark);
  EXPECT_EQ(fovea_alloc(10, 4), first);
  fovea_arena_release(mark);
}
TEST_F(Arena, MarksNestAcrossChunks) {
  int64_t outer = fovea_arena_mark();
  char *kept = static_cast<char *>(fovea_alloc(900000, 1));
  kept[0] = 'x', kept[899999] = 'y';
  for (int n = 0; n < 100; ++n) {
    int64_t inner = fovea_arena_mark();
    for (int k = 0; k < 5; ++k)
      std::memset(fovea_alloc(n * 100000, 1), n, n * 100000);
    fovea_arena_release(inner);
  }
  EXPECT_EQ(kept[0], 'x');
  EXPECT_EQ(kept[899999], 'y');
  fovea_arena_release(outer);
}
TEST_F(Arena, MemoryIsKeptAndBounded) {
  auto use = [] {
    int64_t mark = fovea_arena_mark();
    for (int k = 0; k < 20; ++k)
      fovea_alloc(1 << 20, 1);
    fovea_arena_release(mark);
  };
  use();
  int64_t before = fovea_memory_in_use();
  for (int n = 0; n < 50; ++n)
    use();
  EXPECT_EQ(fovea_memory_in_use(), before);
  EXPECT_LT(before, 200 << 20);
}
TEST_F(Arena, AThreadsMemoryGoesWithIt) {
  int64_t before = fovea_memory_in_use();
  std::thread([] { fovea_alloc(10 << 20, 1); }).join();
  EXPECT_EQ(fovea_memory_in_use(), before);
}
TEST_F(Arena, SizesSaturate) {
  EXPECT_EQ(fovea_mul(3, -4), -12);
  EXPECT_EQ(fovea_mul(INT64_MAX, 2), INT64_MAX);
  EXPECT_EQ(fovea_mul(INT64_MAX, -2), INT64_MIN);
  EXPECT_EQ(fovea_mul(INT64_MIN, -1), INT64_MAX);
}
TEST_F(Arena, OutsideOfAKernelThereIsNull) {
  EXPECT_EQ(fovea_alloc(INT64_MAX, 8), nullptr);
  EXPECT_EQ(fovea_alloc(-1, 8), nullptr);
}
TEST_F(Arena, HalideGivesBackInAnyOrder) {
  int64_t before = fovea_arena_mark();
  void *a = halide_malloc(nullptr, 100), *b = halide_malloc(nullptr, 1 << 22), *c = halide_malloc(nullptr, 0);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(b) % 64, 0u);
  halide_free(nullptr, a);
  halide_free(nullptr, nullptr);
  int64_t held = fovea_arena_mark();
  halide_free(nullptr, c);
  EXPECT_LT(fovea_arena_mark(), held);
  halide_free(nullptr, b);
  EXPECT_EQ(fovea_arena_mark(), std::max<int64_t>(before, 64));
  for (int n = 0; n < 1000; ++n)
    halide_free(nullptr, halide_malloc(nullptr, 1 << 20));
  EXPECT_EQ(fovea_arena_mark(), std::max<int64_t>(before, 64));
  // Released with a mark, never freed.
  int64_t mark = fovea_arena_mark();
  halide_malloc(nullptr, 1000);
  fovea_arena_release(mark);
  void *d = halide_malloc(nullptr, 1000);
  halide_free(nullptr, d);
  EXPECT_EQ(fovea_arena_mark(), mark);
}

struct OutOfMemory : Runtime {
  OutOfMemory() : call(Kernel("greedy").out("o", Type::F32, "")) {}
  int run(std::function<void()> function) {
    body = [=](void **) {
      function();
      return 0;
    };
    return call({&o.dl});
  }
  Caller call;
  Tensor o{Type::F32, {}};
};

TEST_F(OutOfMemory, InTheBody) {
  fovea_set_memory_limit(64 << 20);
  EXPECT_EQ(run([] { fovea_alloc(100000000, 4); ADD_FAILURE(); }), FOVEA_OUT_OF_MEMORY);
  EXPECT_STREQ(fovea_last_error(), "greedy: out of memory: no 400000000 bytes for a temporary");
  EXPECT_EQ(run([] { std::memset(fovea_alloc(1000, 4), 1, 4000); }), FOVEA_OK);
}
TEST_F(OutOfMemory, BitByBit) {
  fovea_set_memory_limit(64 << 20);
  EXPECT_EQ(run([] { for (;;) fovea_alloc(1 << 20, 1); }), FOVEA_OUT_OF_MEMORY);
  EXPECT_STREQ(fovea_last_error(), "greedy: out of memory: no 1048576 bytes for a temporary");
}
TEST_F(OutOfMemory, Overflow) {
  EXPECT_EQ(run([] { fovea_alloc(INT64_MAX / 2, 4); }), FOVEA_OUT_OF_MEMORY);
  EXPECT_STREQ(fovea_last_error(), "greedy: out of memory: a temporary's size overflows 64 bits");
  EXPECT_EQ(run([] { fovea_alloc(INT64_MAX / 8, 8); }), FOVEA_OUT_OF_MEMORY);
  EXPECT_EQ(run([] { halide_malloc(nullptr, SIZE_MAX); }), FOVEA_OUT_OF_MEMORY);
}
TEST_F(OutOfMemory, InAnyWorker) {
  fovea_set_memory_limit(64 << 20);
  for (int n = 0; n < 200; ++n) {
    std::atomic<int> ran{0};
    int status = run([&] {
      parallel(100000, [&](int64_t index) {
        ++ran;
        if (index == n * 400)
          fovea_alloc(1 << 30, 1);
        fovea_alloc(100, 1);
      });
      ADD_FAILURE() << "the loop must not return";
    });
    EXPECT_EQ(status, FOVEA_OUT_OF_MEMORY);
    EXPECT_STREQ(fovea_last_error(), "greedy: out of memory: no 1073741824 bytes for a temporary");
    EXPECT_LT(ran, 100000);
  }
  std::atomic<int> sum{0};
  EXPECT_EQ(run([&] { parallel(100, [&](int64_t) { ++sum; }); }), FOVEA_OK);
  EXPECT_EQ(sum, 100);
}
TEST_F(OutOfMemory, InANestedLoopAndInlineLoops) {
  fovea_set_memory_limit(64 << 20);
  EXPECT_EQ(run([] { parallel(8, [](int64_t) { parallel(8, [](int64_t) { fovea_alloc(1 << 30, 1); }); }); }), FOVEA_OUT_OF_MEMORY);
  fovea_set_threads(1);
  EXPECT_EQ(run([] { parallel(8, [](int64_t) { fovea_alloc(1 << 30, 1); }); }), FOVEA_OUT_OF_MEMORY);
}
TEST_F(OutOfMemory, FramesTooLargeForTheStack) {
  Kernel kernel("wide");
  std::vector<Tensor> tensors;
  std::vector<void *> args;
  for (int k = 0; k < 200; ++k)
    kernel.in("x" + std::to_string(k), Type::F32, "a b c");
  kernel.out("o", Type::F32, "");
  for (int k = 0; k < 200; ++k)
    tensors.emplace_back(Type::F32, std::vector<int64_t>{1, 2, 3});
  for (Tensor &tensor : tensors)
    args.push_back(&tensor.dl);
  args.push_back(&o.dl);
  Caller call(kernel);
  EXPECT_WORKS(call(args));
  std::thread([&] {   // a thread without a chunk yet
    fovea_set_memory_limit(0);
    EXPECT_EQ(call(args), FOVEA_OUT_OF_MEMORY);
  }).join();
}
TEST_F(OutOfMemory, EnvironmentSetsTheLimit) {
  // Read once in a process, so in a fresh one.
  ASSERT_EQ(setenv("FOVEA_MEMORY_LIMIT", "1000000", 1), 0);
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        body = [](void **) { fovea_alloc(2000000, 1); return 0; };
        bool good = call({&o.dl}) == FOVEA_OUT_OF_MEMORY;
        _exit(good ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
  unsetenv("FOVEA_MEMORY_LIMIT");
}

TEST_F(Threads, MessagesArePerThread) {
  fovea_rt_fail(FOVEA_INTERNAL_ERROR, "mine");
  std::thread([] {
    EXPECT_STREQ(fovea_last_error(), "");
    fovea_rt_fail(FOVEA_INTERNAL_ERROR, "other");
  }).join();
  EXPECT_STREQ(fovea_last_error(), "mine");
  fovea_rt_fail(FOVEA_INTERNAL_ERROR, std::string(5000, 'a').c_str());
  EXPECT_EQ(std::strlen(fovea_last_error()), 1023u);
  EXPECT_EQ(fovea_abi_version(), FOVEA_ABI_VERSION);
}

}  // namespace
