// Running programs, writing files, and the cache of leaves.
#include "lowering/host/LeafCache.h"
#include "lowering/host/Process.h"
#include "runtime/support/File.h"

#include <filesystem>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <csignal>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace fovea;

namespace {

TEST(Process, StandardStreams) {
  std::string large(3 << 20, 'x');
  ProcessResult result = runProcess({"cat"}, large);
  EXPECT_TRUE(result.good()) << result.complaint();
  EXPECT_EQ(result.out, large);
  result = runProcess({"sh", "-c", "echo out; echo err >&2; exit 3"});
  EXPECT_FALSE(result.good());
  EXPECT_EQ(result.status, 3);
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.complaint(), "exit status 3: err");
}
TEST(Process, InputThatNobodyReads) { EXPECT_TRUE(runProcess({"true"}, std::string(1 << 20, 'x')).good()); }
TEST(Process, ArgumentsAreNotForAShell) { EXPECT_EQ(runProcess({"printf", "%s", "a b; $HOME `x` *"}).out, "a b; $HOME `x` *"); }
TEST(Process, Missing) { EXPECT_EQ(runProcess({"no-such-program"}).complaint(), "the program `no-such-program` is missing"); }
TEST(Process, Signals) { EXPECT_EQ(runProcess({"sh", "-c", "kill -9 $$"}).complaint(), "`sh` died of signal 9 (Killed)"); }
TEST(Process, Limits) {
  ProcessLimits limits;
  limits.time = std::chrono::milliseconds(100);
  EXPECT_EQ(runProcess({"sleep", "60"}, {}, limits).complaint(), "`sleep` took more than 100 ms and was stopped");
  limits.most = 10;
  EXPECT_EQ(runProcess({"printf", "%s", "0123456789abc"}, {}, limits).out, "0123456789");
}
TEST(Process, FindsPrograms) {
  EXPECT_TRUE(findProgram("sh"));
  EXPECT_FALSE(findProgram("no-such-program"));
}

struct Folder : testing::Test {
  std::string in(const std::string &name) const { return folder.path() + "/" + name; }
  size_t count(const std::string &path) const {
    return std::distance(std::filesystem::directory_iterator(path), std::filesystem::directory_iterator());
  }
  TemporaryFolder folder;
  std::string error;
};

using File = Folder;
TEST_F(File, WholeOrAbsent) {
  EXPECT_TRUE(writeFileAtomically(in("a"), std::vector<std::string_view>{"one", "", "two"}, error)) << error;
  EXPECT_EQ(readFile(in("a"), error), "onetwo");
  EXPECT_EQ(count(folder.path()), 1u);
  EXPECT_FALSE(writeFileAtomically(in("no/a"), "x", error));
  EXPECT_EQ(error, in("no/a") + ": cannot write: No such file or directory");
  EXPECT_FALSE(writeFileAtomically(folder.path(), "x", error));
  EXPECT_EQ(error, folder.path() + ": cannot write: Is a directory");
  EXPECT_FALSE(readFile(in("b"), error));
  EXPECT_EQ(error, in("b") + ": cannot open: No such file or directory");
}
TEST_F(File, KeepsLinksAndModes) {
  ASSERT_TRUE(writeFileAtomically(in("target"), "old", error));
  std::filesystem::permissions(in("target"), std::filesystem::perms(0640));
  std::filesystem::create_symlink("target", in("link"));
  EXPECT_TRUE(writeFileAtomically(in("link"), "new", error)) << error;
  EXPECT_TRUE(std::filesystem::is_symlink(in("link")));
  EXPECT_EQ(readFile(in("target"), error), "new");
  EXPECT_EQ(std::filesystem::status(in("target")).permissions(), std::filesystem::perms(0640));
}
TEST_F(File, DevicesAreWrittenInPlace) {
  EXPECT_TRUE(writeFileAtomically("/dev/null", "x", error)) << error;
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  EXPECT_FALSE(writeFileAtomically("/dev/full", "x", error));
  EXPECT_EQ(error, "/dev/full: cannot write: No space left on device");
}

TEST_F(File, SignalsRemoveWhatIsTemporary) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  pid_t child = fork();
  if (child == 0) {
    removeTemporariesOnSignals();
    setenv("TMPDIR", folder.path().c_str(), 1);
    TemporaryFolder temporary;
    TemporaryFile file(temporary.path() + "/x"), beside(in("y")), kept(in("z"));
    rename(kept.path().c_str(), in("z").c_str());
    kept.keep();
    if (write(ready[1], "x", 1) == 1)
      for (;;)
        pause();
    _exit(1);
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_GT(count(folder.path()), 2u);
  kill(child, SIGTERM);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  EXPECT_EQ(count(folder.path()), 1u);
  EXPECT_TRUE(std::filesystem::exists(in("z")));
  close(ready[0]), close(ready[1]);
}

// A stand-in for fovea-leaf: counts its runs, writes its input after `leaf:`, fails for the spec "bad".
struct Leaves : Folder {
  Leaves() {
    setenv("FOVEA_CACHE", in("cache").c_str(), 1);
    writeLeaf("leaf:");
  }
  ~Leaves() override { unsetenv("FOVEA_CACHE"); }
  void writeLeaf(const std::string &prefix) {
    std::string text = "#!/bin/sh\nspec=$(cat)\nif [ \"$spec\" = bad ]; then echo 'no such leaf' >&2; exit 1; fi\necho x >> '" + in("runs") +
                       "'\nprintf '" + prefix + "%s' \"$spec\" > \"$2\"\n";
    EXPECT_TRUE(writeFileAtomically(in("fovea-leaf"), text, error)) << error;
    std::filesystem::permissions(in("fovea-leaf"), std::filesystem::perms(0755));
  }
  size_t runs() {
    std::string text = readFile(in("runs"), error).value_or("");
    return text.size() / 2;
  }
  std::string start(const std::string &path) { return readFile(path, error).value_or("").substr(0, 6); }
};

TEST_F(Leaves, EachIsCompiledOnce) {
  LeafCache cache(in("fovea-leaf"));
  std::vector<std::string> objects = cache.objects({"a", "b", "a", "c"}, error);
  ASSERT_EQ(objects.size(), 4u) << error;
  EXPECT_EQ(objects[0], objects[2]);
  EXPECT_EQ(start(objects[1]), "leaf:b");
  EXPECT_EQ(cache.counts.compiled, 3);
  EXPECT_EQ(runs(), 3u);
  LeafCache again(in("fovea-leaf"));
  EXPECT_EQ(again.objects({"c", "a"}, error), (std::vector<std::string>{objects[3], objects[0]}));
  EXPECT_EQ(again.counts.found, 2);
  EXPECT_EQ(runs(), 3u);
}
TEST_F(Leaves, AnotherCompilerMakesOthers) {
  std::string first = LeafCache(in("fovea-leaf")).objects({"a"}, error).at(0);
  writeLeaf("new_:");
  LeafCache cache(in("fovea-leaf"));
  EXPECT_NE(cache.objects({"a"}, error).at(0), first);
  EXPECT_EQ(runs(), 2u);
}
TEST_F(Leaves, AnotherFormIsAnotherEntry) {
  const std::string script = "#!/bin/sh\necho x >> '" + in("runs") + "'\nlast=; form=obj\nfor a in \"$@\"; do case $a in --emit=*) form=${a#--emit=};; esac; last=$a; done\n"
                             "printf '%s of %s' $form \"$(cat)\" > \"$last\"\n";
  ASSERT_TRUE(writeFileAtomically(in("fovea-leaf"), script, error)) << error;
  std::filesystem::permissions(in("fovea-leaf"), std::filesystem::perms(0755));
  LeafCache objects(in("fovea-leaf")), device(in("fovea-leaf"), "device");
  EXPECT_EQ(start(objects.objects({"a"}, error).at(0)), "obj of");
  EXPECT_EQ(device.texts({"a", "bb", "a"}, error), (std::vector<std::string>{"device of a", "device of bb", "device of a"})) << error;
  EXPECT_EQ(LeafCache(in("fovea-leaf"), "device").texts({"bb"}, error), std::vector<std::string>{"device of bb"});
  EXPECT_EQ(start(objects.objects({"a"}, error).at(0)), "obj of");
  EXPECT_EQ(runs(), 3u);
}
TEST_F(Leaves, DamagedEntriesAreMadeAnew) {
  LeafCache cache(in("fovea-leaf"));
  std::string path = cache.objects({"a"}, error).at(0), whole = *readFile(path, error);
  for (size_t at = 0; at < whole.size(); ++at) {   // every byte flipped, every length
    std::string damaged = whole;
    damaged[at] ^= 1;
    ASSERT_TRUE(writeFileAtomically(path, at % 2 ? damaged : whole.substr(0, at), error));
    EXPECT_EQ(cache.objects({"a"}, error).at(0), path);
    EXPECT_EQ(cache.counts.compiled, 1) << at;
    EXPECT_EQ(readFile(path, error), whole);
  }
}
TEST_F(Leaves, AFailureSaysWhy) {
  LeafCache cache(in("fovea-leaf"));
  EXPECT_TRUE(cache.objects({"a", "bad"}, error).empty());
  EXPECT_EQ(error, "a leaf failed to compile: exit status 1: no such leaf");
  LeafCache missing(in("nothing"));
  EXPECT_TRUE(missing.objects({"b"}, error).empty());
  EXPECT_EQ(error, "a leaf failed to compile: the program `" + in("nothing") + "` is missing");
}
TEST_F(Leaves, UnwritableCaches) {
  ASSERT_TRUE(writeFileAtomically(in("cache"), "a file where the folder should be", error));
  std::string path;
  {
    LeafCache cache(in("fovea-leaf"));
    path = cache.objects({"a"}, error).at(0);
    EXPECT_EQ(start(path), "leaf:a");
  }
  EXPECT_FALSE(std::filesystem::exists(path)) << "the temporary folder is left";
}
TEST_F(Leaves, ACacheThatBecomesUnwritable) {
  LeafCache cache(in("fovea-leaf"));
  std::filesystem::remove_all(in("cache"));
  EXPECT_EQ(start(cache.objects({"a"}, error).at(0)), "leaf:a") << error;
}
TEST_F(Leaves, SharedByConcurrentCompilers) {
  std::vector<std::string> specs;
  for (int k = 0; k < 8; ++k)
    specs.push_back("spec" + std::to_string(k));
  std::vector<std::thread> compilers;
  for (int k = 0; k < 4; ++k)
    compilers.emplace_back([&] {
      LeafCache cache(in("fovea-leaf"));
      std::string error;
      EXPECT_EQ(cache.objects(specs, error).size(), 8u) << error;
    });
  for (std::thread &compiler : compilers)
    compiler.join();
  LeafCache cache(in("fovea-leaf"));
  cache.objects(specs, error);
  EXPECT_EQ(cache.counts.found, 8);
  EXPECT_EQ(count(in("cache/leaves")), 8u) << "temporary files are left";
}

}  // namespace
