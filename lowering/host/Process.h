// Runs another program: an argument array, never a shell.
#ifndef FOVEA_LOWERING_HOST_PROCESS_H
#define FOVEA_LOWERING_HOST_PROCESS_H

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fovea {

struct ProcessResult {
  std::string error;        // why it could not be run, was stopped, or died of a signal; empty: it ran to its end
  int status = -1;          // exit status of one that ran to its end
  std::string out, err;     // what it wrote, the first `most` bytes of each

  int signal = 0;           // that it died of

  bool good() const { return error.empty() && status == 0; }
  // One sentence on what went wrong: `error`, or the exit status and what stands on standard error.
  std::string complaint() const;
};

struct ProcessLimits {
  std::chrono::milliseconds time{0};   // 0: none
  size_t most = 64 << 20;
};

// Runs args[0], found by PATH when it has no slash, with `input` on its standard input. Thread-safe.
ProcessResult runProcess(const std::vector<std::string> &args, std::string_view input = {}, ProcessLimits limits = {});

// The full path of a program on PATH.
std::optional<std::string> findProgram(const std::string &name);

}  // namespace fovea

#endif  // FOVEA_LOWERING_HOST_PROCESS_H
