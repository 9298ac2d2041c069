#include "runtime/program/Workers.h"

#include <algorithm>

namespace fovea::program {

Workers::~Workers() {
  {
    std::lock_guard lock(mutex);
    leaving = true;
  }
  begin.notify_all();
  for (std::thread &thread : threads)
    thread.join();
}

void Workers::take(int64_t worker) {
  for (int64_t piece; (piece = next++) < pieces;) {
    try {
      (*work)(worker, piece);
    } catch (...) {
      std::lock_guard lock(mutex);
      if (!failure)
        failure = std::current_exception();
      next = pieces;
    }
  }
}

void Workers::serve(int64_t worker) {
  std::unique_lock lock(mutex);
  for (uint64_t seen = 0;;) {
    begin.wait(lock, [&] { return leaving || (round != seen && worker < wanted); });
    if (leaving)
      return;
    seen = round;
    lock.unlock();
    take(worker);
    lock.lock();
    if (--busy == 0)
      end.notify_all();
  }
}

void Workers::run(int64_t total, const std::function<void(int64_t, int64_t)> &function) {
  std::unique_lock lock(mutex);
  work = &function;
  pieces = total;
  next = 0;
  failure = nullptr;
  wanted = std::min(count, total);
  while (int64_t(threads.size()) + 1 < wanted)
    threads.emplace_back(&Workers::serve, this, int64_t(threads.size()) + 1);
  busy = std::max<int64_t>(wanted - 1, 0);
  ++round;
  lock.unlock();
  begin.notify_all();
  take(0);
  lock.lock();
  end.wait(lock, [&] { return busy == 0; });
  if (failure)
    std::rethrow_exception(failure);
}

}  // namespace fovea::program
