// What --profile prints: where a program's time went, by operation of the model's stages.
#ifndef FOVEA_RUNTIME_PROGRAM_PROFILE_H
#define FOVEA_RUNTIME_PROGRAM_PROFILE_H

#include "runtime/program/ModelTable.h"

#include <atomic>
#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace fovea::program {

class Profile {
public:
  // Time that belongs to no stage.
  static constexpr const char *weights = "weights", *search = "search";

  // Starts the clocks of the stages' code. The table must not have been moved from; the profile may outlive it.
  explicit Profile(const Table &table);
  ~Profile();
  Profile(const Profile &) = delete;
  Profile &operator=(const Profile &) = delete;

  // Adds to what `name` took, while it lives: a stage, `weights` or `search`. Of what lies inside another, the outer one is not told.
  class Clock {
  public:
    Clock(Profile *profile, const char *name) : profile(profile), name(name) {
      if (profile)
        began = std::chrono::steady_clock::now();
    }
    ~Clock() {
      if (profile)
        profile->add(name, std::chrono::steady_clock::now() - began);
    }
    Clock(const Clock &) = delete;
    Clock &operator=(const Clock &) = delete;

  private:
    Profile *profile;
    const char *name;
    std::chrono::steady_clock::time_point began;
  };

  // The table, largest first; times of several threads add up.
  std::string text() const;

private:
  struct Span {
    std::atomic<int64_t> calls = 0, nanoseconds = 0;
  };
  void add(const std::string &name, std::chrono::nanoseconds time);

  std::vector<OperationName> names;
  std::vector<fovea_operation> operations;
  void (*start)(fovea_operation *);
  std::map<std::string, Span> spans;  // filled at the beginning; several threads add
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_PROFILE_H
