// A device for the toy models: its memory is not where its pointers say, so a program that reads or writes it as the host's does not get far, and it
// counts what goes to and fro.
#ifndef FOVEA_TEST_PROGRAM_TOYDEVICE_H
#define FOVEA_TEST_PROGRAM_TOYDEVICE_H

#include "runtime/program/table.h"

#include <cstdint>

namespace toy {

// toy::wide() with its stages there.
const fovea_model &onDevice();

// Of all programs since the last clearDevice, in whatever process.
struct Traffic {
  int64_t live;                    // memories that were not given back
  int64_t steps, rows;             // calls of step, and their hypotheses together
  int64_t written, read, moved;    // bytes
  int64_t waits;
};
const Traffic &traffic();
// `room` is how many bytes the device has; less than 0: any number.
void clearDevice(int64_t room = -1);

}  // namespace toy

#endif  // FOVEA_TEST_PROGRAM_TOYDEVICE_H
