#include "runtime/program/LineFolder.h"

#include "runtime/program/Error.h"
#include "runtime/support/File.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <unistd.h>

namespace fovea::program {

LineFolder::LineFolder(const std::string &path) : path(path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error)
    throw Error("cannot make the folder `" + path + "`: " + error.message());
  if (::access(path.c_str(), W_OK | X_OK) != 0)
    throw Error("cannot write into the folder `" + path + "`: " + std::strerror(errno));
}

void LineFolder::write(uint64_t line, const std::string &name, const std::string &bytes) const {
  char number[32];
  std::snprintf(number, sizeof number, "/%06llu-", static_cast<unsigned long long>(line));
  std::string error;
  if (!writeFileAtomically(path + number + name, bytes, error))
    throw Error("cannot write " + error);
}

}  // namespace fovea::program
