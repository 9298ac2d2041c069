#include "test/program/Execute.h"

#include "runtime/program/Program.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

namespace {

struct Folders {
  std::vector<std::string> paths;
  pid_t owner = getpid();
  ~Folders() {
    if (getpid() == owner)
      for (const std::string &path : paths)
        std::filesystem::remove_all(path);
  }
} folders;

}  // namespace

std::string temporaryFolder() {
  std::string path = (std::filesystem::temp_directory_path() / "fovea-program-XXXXXX").string();
  if (!mkdtemp(path.data()))
    std::abort();
  folders.paths.push_back(path);
  return path;
}

std::string readFile(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void writeFile(const std::string &path, const std::string &bytes) { std::ofstream(path, std::ios::binary) << bytes; }

std::vector<std::string> Outcome::lines() const {
  std::vector<std::string> result;
  std::istringstream text(out);
  for (std::string line; std::getline(text, line);)
    result.push_back(line);
  return result;
}

Outcome execute(const fovea_model &model, const std::vector<std::string> &arguments, const std::string &input) {
  std::string folder = temporaryFolder();
  writeFile(folder + "/in", input);
  std::vector<const char *> argv{"toy"};
  for (const std::string &argument : arguments)
    argv.push_back(argument.c_str());
  std::fflush(nullptr);
  pid_t child = fork();
  if (child == 0) {
    if (!std::freopen((folder + "/in").c_str(), "rb", stdin) || !std::freopen((folder + "/out").c_str(), "wb", stdout) ||
        !std::freopen((folder + "/err").c_str(), "wb", stderr))
      _exit(99);
    int code = fovea::program::run(model, int(argv.size()), argv.data());
    std::fflush(nullptr);
    _exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  Outcome outcome{WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), readFile(folder + "/out"), readFile(folder + "/err")};
  if (outcome.err.find("Sanitizer") != std::string::npos || outcome.err.find("runtime error: ") != std::string::npos)
    ADD_FAILURE() << outcome.err;
  return outcome;
}
