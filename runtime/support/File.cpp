#include "runtime/support/File.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <mutex>
#include <set>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace fovea {
namespace {

bool writeAll(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return false;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

bool fail(const std::string &path, const char *what, std::string &error) {
  error = path + ": " + what + ": " + std::strerror(errno);
  return false;
}

void removeAll(const std::string &path) {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

// What exists now and should not outlive the process. Never destroyed: a signal may come at the very end.
struct Temporaries {
  std::mutex lock;
  std::set<std::string> paths;
};
Temporaries &temporaries() {
  static Temporaries &all = *new Temporaries;
  return all;
}

// Where a symbolic link leads: the file is replaced, not the link.
std::string resolve(const std::string &path) {
  std::error_code ignored;
  if (!std::filesystem::is_symlink(path, ignored))
    return path;
  std::filesystem::path target = std::filesystem::weakly_canonical(path, ignored);
  return ignored ? path : target.string();
}

}  // namespace

std::optional<std::string> readFile(const std::string &path, std::string &error) {
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    fail(path, "cannot open", error);
    return std::nullopt;
  }
  std::string bytes;
  struct stat about;
  if (fstat(file, &about) == 0 && S_ISREG(about.st_mode))
    bytes.reserve(static_cast<size_t>(about.st_size));
  char buffer[1 << 16];
  ssize_t count;
  while ((count = read(file, buffer, sizeof buffer)) > 0 || (count < 0 && errno == EINTR))
    if (count > 0)
      bytes.append(buffer, static_cast<size_t>(count));
  int fault = errno;
  close(file);
  if (count < 0) {
    errno = fault;
    fail(path, "cannot read", error);
    return std::nullopt;
  }
  return bytes;
}

bool writeFileAtomically(const std::string &given, const std::vector<std::string_view> &parts, std::string &error) {
  struct stat about;
  bool inPlace = stat(given.c_str(), &about) == 0 && !S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode);
  std::string path = inPlace ? given : resolve(given);
  std::optional<TemporaryFile> aside;
  if (!inPlace) {
    aside.emplace(path);
    if (aside->path().empty())
      return fail(given, "cannot write", error);
  }
  int file = open((inPlace ? path : aside->path()).c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0)
    return fail(given, "cannot write", error);
  bool good = true;
  for (std::string_view part : parts)
    good = good && writeAll(file, part);
  int fault = errno;
  good = close(file) == 0 && good;
  if (!good) {
    errno = fault;
    return fail(given, "cannot write", error);
  }
  if (inPlace)
    return true;
  if (!renameInto(aside->path(), path, error))
    return false;
  aside->keep();
  return true;
}

bool renameInto(const std::string &from, const std::string &given, std::string &error) {
  std::string path = resolve(given);
  struct stat about;
  static const mode_t mask = [] {
    mode_t now = umask(0);
    umask(now);
    return now;
  }();
  mode_t mode = stat(path.c_str(), &about) == 0 ? about.st_mode & 0777 : 0666 & ~mask;
  if (std::filesystem::is_directory(path)) {
    errno = EISDIR;
    return fail(given, "cannot write", error);
  }
  if (chmod(from.c_str(), mode) != 0 || rename(from.c_str(), path.c_str()) != 0)
    return fail(given, "cannot write", error);
  return true;
}

void holdStandardDescriptors() {
  for (int descriptor : {0, 1, 2})
    if (::fcntl(descriptor, F_GETFD) < 0)
      [[maybe_unused]] int taken = ::open("/dev/null", descriptor == 0 ? O_WRONLY : O_RDONLY);
}

void removeTemporariesOnSignals() {
  {
    std::lock_guard guard(temporaries().lock);
    temporaries().paths.clear();   // a parent's, after a fork
  }
  sigset_t signals;
  sigemptyset(&signals);
  for (int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction now;
    if (sigaction(number, nullptr, &now) == 0 && now.sa_handler != SIG_IGN)   // nohup stays nohup
      sigaddset(&signals, number);
  }
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([signals] {
    int number;
    if (sigwait(&signals, &number) != 0)
      return;
    // The lock is kept: nothing temporary is made or renamed any more.
    temporaries().lock.lock();
    for (const std::string &path : temporaries().paths)
      removeAll(path);
    signal(number, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    raise(number);
  }).detach();
}

TemporaryFile::TemporaryFile(const std::string &beside) : name(beside + ".XXXXXX") {
  std::lock_guard guard(temporaries().lock);
  int file = mkostemp(name.data(), O_CLOEXEC);
  if (file < 0) {
    name.clear();
    return;
  }
  close(file);
  temporaries().paths.insert(name);
}

TemporaryFile::~TemporaryFile() {
  if (name.empty())
    return;
  unlink(name.c_str());
  keep();
}

void TemporaryFile::keep() {
  std::lock_guard guard(temporaries().lock);
  temporaries().paths.erase(name);
  name.clear();
}

TemporaryFolder::TemporaryFolder() {
  const char *root = std::getenv("TMPDIR");
  name = std::string(root && *root ? root : "/tmp") + "/fovea-XXXXXX";
  std::lock_guard guard(temporaries().lock);
  if (!mkdtemp(name.data()))
    name.clear();
  else
    temporaries().paths.insert(name);
}

TemporaryFolder::~TemporaryFolder() {
  if (name.empty())
    return;
  removeAll(name);
  std::lock_guard guard(temporaries().lock);
  temporaries().paths.erase(name);
}

}  // namespace fovea
