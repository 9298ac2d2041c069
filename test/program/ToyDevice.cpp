#include "test/program/ToyDevice.h"

#include "test/program/MemRef.h"
#include "test/program/ToyModel.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <vector>

namespace toy {

namespace {

struct Shared : Traffic {
  int64_t room, taken;
};

// Seen by the processes in which programs run.
Shared &shared() {
  static auto *all = static_cast<Shared *>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  return *all;
}

// What a memref's pointers hold is the address of a Memory plus this: no address at all.
constexpr uintptr_t veil = uintptr_t(1) << 62;

struct Memory {
  std::vector<char> bytes;
};

Memory &memoryOf(const void *pointer) { return *reinterpret_cast<Memory *>(reinterpret_cast<uintptr_t>(pointer) - veil); }

std::string sentence;
const char *lastError() { return sentence.c_str(); }

int32_t take(int64_t bytes, void **memory) {
  if (shared().room >= 0 && shared().taken + bytes > shared().room) {
    sentence = "out of memory: no " + std::to_string(bytes) + " bytes on the toy";
    return 9;
  }
  *memory = reinterpret_cast<void *>(reinterpret_cast<uintptr_t>(new Memory{std::vector<char>(size_t(bytes), '\x55')}) + veil);
  shared().taken += bytes;
  ++shared().live;
  return 0;
}

void give(void *memory) {
  shared().taken -= int64_t(memoryOf(memory).bytes.size());
  --shared().live;
  delete &memoryOf(memory);
}

char *part(const void *memory, int64_t at, int64_t bytes) {
  std::vector<char> &all = memoryOf(memory).bytes;
  if (at < 0 || bytes < 0 || at + bytes > int64_t(all.size()))
    abort();
  return all.data() + at;
}

int32_t write(void *memory, int64_t at, const void *host, int64_t bytes) {
  std::memcpy(part(memory, at, bytes), host, size_t(bytes));
  shared().written += bytes;
  return 0;
}

int32_t read(const void *memory, int64_t at, void *host, int64_t bytes) {
  std::memcpy(host, part(memory, at, bytes), size_t(bytes));
  shared().read += bytes;
  return 0;
}

int32_t moveRows(const fovea_rows *rows) {
  for (int64_t row = 0; row < rows->count; ++row)
    for (int64_t place = 0; place < rows->outer; ++place) {
      std::memcpy(part(rows->to, rows->to_at + rows->pairs[row][0] * rows->to_row + place * rows->to_outer, rows->chunk),
                  part(rows->from, rows->from_at + rows->pairs[row][1] * rows->from_row + place * rows->from_outer, rows->chunk), size_t(rows->chunk));
      shared().moved += rows->chunk;
    }
  return 0;
}

int32_t wait(void *memory) {
  memoryOf(memory);
  ++shared().waits;
  return 0;
}

// Calls a stage of the host's with descriptors of the device's memory; argument `scalar` is none.
template <size_t Stage, size_t Count, size_t Scalar>
int32_t run(void **args) {
  struct Words {
    int64_t words[3 + 2 * 4];
  } copies[Count];
  void *passed[Count];
  for (size_t k = 0; k < Count; ++k) {
    passed[k] = args[k];
    if (k == Scalar)
      continue;
    const auto *descriptor = static_cast<const int64_t *>(args[k]);
    void *memory;
    std::memcpy(&memory, &descriptor[1], sizeof memory);
    std::memcpy(copies[k].words, descriptor, sizeof copies[k].words);  // of fewer axes: what follows is not looked at
    const char *data = memoryOf(memory).bytes.data();
    std::memcpy(&copies[k].words[0], &data, sizeof data);
    std::memcpy(&copies[k].words[1], &data, sizeof data);
    passed[k] = copies[k].words;
  }
  if (Stage == 1) {
    ++shared().steps;
    shared().rows += copies[0].words[3];
  }
  int32_t status = wide().stages[Stage](passed);
  if (status)
    sentence = wide().last_error();
  return status;
}

}  // namespace

const fovea_model &onDevice() {
  static constexpr fovea_stage stages[] = {run<0, 5, 5>, run<1, 17, 11>};
  static constexpr fovea_device device{"toy", take, give, write, read, moveRows, wait};
  static const fovea_model table = [] {
    fovea_model changed = wide();
    changed.stages = stages;
    changed.last_error = lastError;
    changed.device = &device;
    return changed;
  }();
  return table;
}

const Traffic &traffic() { return shared(); }

void clearDevice(int64_t room) {
  shared() = {};
  shared().room = room;
}

}  // namespace toy
