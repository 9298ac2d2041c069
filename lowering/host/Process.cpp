#include "lowering/host/Process.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

extern char **environ;

namespace fovea {
namespace {

// Standard streams go through memory files, so that no pipe can fill up or break.
class MemoryFile {
public:
  explicit MemoryFile(const char *name) : file(memfd_create(name, MFD_CLOEXEC)) {}
  ~MemoryFile() {
    if (file >= 0)
      close(file);
  }
  MemoryFile(const MemoryFile &) = delete;
  MemoryFile &operator=(const MemoryFile &) = delete;

  bool fill(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t count = write(file, bytes.data(), bytes.size());
      if (count <= 0)
        return false;
      bytes.remove_prefix(static_cast<size_t>(count));
    }
    return lseek(file, 0, SEEK_SET) == 0;
  }

  std::string contents(size_t most) const {
    off_t size = lseek(file, 0, SEEK_END);
    std::string bytes(std::min<size_t>(size < 0 ? 0 : size, most), 0);
    ssize_t count = bytes.empty() ? 0 : pread(file, bytes.data(), bytes.size(), 0);
    bytes.resize(count < 0 ? 0 : count);
    return bytes;
  }

  const int file;
};

// Waits for the child's end; false when the time was up first.
bool waitFor(pid_t child, std::chrono::milliseconds time, int &status) {
  using Clock = std::chrono::steady_clock;
  auto end = Clock::now() + time;
  if (time.count() > 0) {
    int handle = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
    for (;;) {
      if (waitpid(child, &status, WNOHANG) == child) {
        if (handle >= 0)
          close(handle);
        return true;
      }
      auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
      if (left <= 0)
        break;
      if (handle >= 0) {
        pollfd waiting{handle, POLLIN, 0};
        poll(&waiting, 1, static_cast<int>(std::min<long>(left, 60000)));
      } else {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
    }
    if (handle >= 0)
      close(handle);
    kill(child, SIGKILL);
  }
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return time.count() == 0;
}

}  // namespace

std::string ProcessResult::complaint() const {
  std::string text = error.empty() ? fmt::format("exit status {}", status) : error;
  std::string_view said = err;
  while (!said.empty() && std::strchr("\n\r\t ", said.back()))
    said.remove_suffix(1);
  return said.empty() ? text : fmt::format("{}: {}", text, said);
}

ProcessResult runProcess(const std::vector<std::string> &args, std::string_view input, ProcessLimits limits) {
  ProcessResult result;
  MemoryFile in("in"), out("out"), err("err");
  if (in.file < 0 || out.file < 0 || err.file < 0 || !in.fill(input)) {
    result.error = fmt::format("`{}` cannot be run: {}", args[0], std::strerror(errno));
    return result;
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.file, 0);
  posix_spawn_file_actions_adddup2(&actions, out.file, 1);
  posix_spawn_file_actions_adddup2(&actions, err.file, 2);
  // Children take signals even where this process leaves them to one thread (removeTemporariesOnSignals).
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  std::vector<char *> argv;
  for (const std::string &arg : args)
    argv.push_back(const_cast<char *>(arg.c_str()));
  argv.push_back(nullptr);
  pid_t child;
  int fault = posix_spawnp(&child, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (fault == ENOENT) {
    result.error = fmt::format("the program `{}` is missing", args[0]);
    return result;
  }
  if (fault) {
    result.error = fmt::format("`{}` cannot be run: {}", args[0], std::strerror(fault));
    return result;
  }
  int status = 0;
  bool ended = waitFor(child, limits.time, status);
  result.out = out.contents(limits.most);
  result.err = err.contents(limits.most);
  if (!ended)
    result.error = fmt::format("`{}` took more than {} ms and was stopped", args[0], limits.time.count());
  else if (WIFSIGNALED(status))
    result.signal = WTERMSIG(status), result.error = fmt::format("`{}` died of signal {} ({})", args[0], WTERMSIG(status), strsignal(WTERMSIG(status)));
  else
    result.status = WEXITSTATUS(status);
  return result;
}

std::optional<std::string> findProgram(const std::string &name) {
  const char *variable = std::getenv("PATH");
  std::string_view path = variable ? variable : "/usr/local/bin:/usr/bin:/bin";
  while (!path.empty()) {
    size_t end = path.find(':');
    std::string_view folder = path.substr(0, end);
    std::string candidate = fmt::format("{}/{}", folder.empty() ? "." : folder, name);
    if (access(candidate.c_str(), X_OK) == 0)
      return candidate;
    path = end == std::string_view::npos ? std::string_view() : path.substr(end + 1);
  }
  return std::nullopt;
}

}  // namespace fovea
