#include "runtime/support/Progress.h"

#include <cstdio>
#include <unistd.h>
#include <utility>

namespace fovea {

Progress::Progress(std::string what, std::chrono::milliseconds after) {
  if (!isatty(2))
    return;
  thread = std::thread([this, what = std::move(what), after] {
    auto began = std::chrono::steady_clock::now();
    std::unique_lock hold(lock);
    if (ended.wait_for(hold, after, [&] { return over; }))
      return;
    do {
      double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
      std::fprintf(stderr, "\r\033[K%s: %.0f s\r", what.c_str(), seconds);
      std::fflush(stderr);
    } while (!ended.wait_for(hold, std::chrono::seconds(1), [&] { return over; }));
    std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
  });
}

Progress::~Progress() {
  if (!thread.joinable())
    return;
  {
    std::lock_guard hold(lock);
    over = true;
  }
  ended.notify_all();
  thread.join();
}

}  // namespace fovea
