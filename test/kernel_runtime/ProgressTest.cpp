// What a terminal shows of long work, and that nothing else does.
#include "runtime/support/Progress.h"

#include <gtest/gtest.h>

#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace fovea;
using namespace std::chrono_literals;

namespace {

// What a child with a Progress writes to standard error, a terminal or a pipe, when it works for `length`.
std::string shown(bool terminal, std::chrono::milliseconds after, std::chrono::milliseconds length) {
  int screen, other, ends[2];
  if (terminal ? openpty(&screen, &other, nullptr, nullptr, nullptr) != 0 : pipe(ends) != 0)
    return "no terminal";
  if (!terminal)
    screen = ends[0], other = ends[1];
  pid_t child = fork();
  if (child == 0) {
    dup2(other, 2);
    {
      Progress progress("working", after);
      std::this_thread::sleep_for(length);
      fputs("a message\n", stderr);
    }
    _exit(0);
  }
  close(other);
  std::string text;
  char part[256];
  for (ssize_t count; (count = read(screen, part, sizeof part)) > 0;)
    text.append(part, size_t(count));
  close(screen);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  return text;
}

TEST(Progress, OnATerminal) {
  std::string text = shown(true, 100ms, 1500ms);
  EXPECT_EQ(text.rfind("\r\033[Kworking: 0 s\r\r\033[Kworking: 1 s\r", 0), 0u) << text;
  std::string end = "\ra message\r\n\r\033[K";
  ASSERT_GE(text.size(), end.size());
  EXPECT_EQ(text.substr(text.size() - end.size()), end) << text;
}

TEST(Progress, OnlyOfLongWork) { EXPECT_EQ(shown(true, 1h, 200ms), "a message\r\n"); }

TEST(Progress, NotElsewhere) { EXPECT_EQ(shown(false, 0ms, 1500ms), "a message\n"); }

}  // namespace
