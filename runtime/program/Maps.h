// Traces as pictures and JSON, or as numbers.
#ifndef FOVEA_RUNTIME_PROGRAM_MAPS_H
#define FOVEA_RUNTIME_PROGRAM_MAPS_H

#include "runtime/program/LineFolder.h"
#include "runtime/program/Model.h"
#include "runtime/program/Search.h"

#include <string>

namespace fovea::program {

// Writes each traced value of a line's best hypothesis into a folder, as docs/maps.md describes. Safe from several threads.
class Maps {
public:
  // Makes the folder. Throws Error if it cannot, or if the model traces nothing.
  Maps(const std::string &folder, const Model &model);

  // Throws Error when a file cannot be written.
  void write(const std::string &input, const Job &job) const;

private:
  LineFolder folder;
  const Model &model;
};

// Writes the same values into a folder as NumPy files.
class Traces {
public:
  // Makes the folder. Throws Error if it cannot, or if the model traces nothing.
  Traces(const std::string &folder, const Model &model);

  // Throws Error when a file cannot be written.
  void write(const Job &job) const;

private:
  LineFolder folder;
  const Model &model;
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_MAPS_H
