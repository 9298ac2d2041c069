// Threads that take numbered pieces of work until there are none left.
#ifndef FOVEA_RUNTIME_PROGRAM_WORKERS_H
#define FOVEA_RUNTIME_PROGRAM_WORKERS_H

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace fovea::program {

class Workers {
public:
  // The calling thread is worker 0; the others start when they are first needed.
  explicit Workers(int64_t count) : count(count) {}
  ~Workers();

  // Calls work(worker, piece) for every piece below `pieces`, on at most `pieces` workers. After the first exception no new
  // piece is begun, and it is thrown here.
  void run(int64_t pieces, const std::function<void(int64_t worker, int64_t piece)> &work);

private:
  const int64_t count;
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::condition_variable begin, end;
  const std::function<void(int64_t, int64_t)> *work = nullptr;
  std::atomic<int64_t> next = 0;
  int64_t pieces = 0, wanted = 0, busy = 0;
  uint64_t round = 0;
  bool leaving = false;
  std::exception_ptr failure;

  void serve(int64_t worker);
  void take(int64_t worker);
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_WORKERS_H
