// A sign of life for somebody who waits at a terminal.
#ifndef FOVEA_RUNTIME_SUPPORT_PROGRESS_H
#define FOVEA_RUNTIME_SUPPORT_PROGRESS_H

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace fovea {

class Progress {
public:
  // While this lives, and from `after` on, the terminal shows `what` and the seconds so far, where standard error is one. Other
  // messages may be written at any time: the cursor waits at the beginning of the line, so one longer than `what` covers it.
  explicit Progress(std::string what, std::chrono::milliseconds after = std::chrono::seconds(2));
  // Removes the line.
  ~Progress();
  Progress(const Progress &) = delete;
  Progress &operator=(const Progress &) = delete;

private:
  std::mutex lock;
  std::condition_variable ended;
  bool over = false;
  std::thread thread;
};

}  // namespace fovea

#endif  // FOVEA_RUNTIME_SUPPORT_PROGRESS_H
