// The two families of errors of a program.
#ifndef FOVEA_RUNTIME_PROGRAM_ERROR_H
#define FOVEA_RUNTIME_PROGRAM_ERROR_H

#include <stdexcept>

namespace fovea::program {

// The user's: a wrong file, a wrong line. Exit code 1.
struct Error : std::runtime_error {
  using runtime_error::runtime_error;
};

// The user's, on the command line. Exit code 2.
struct UsageError : Error {
  using Error::Error;
};

// Ours: a table that contradicts itself. Exit code 3.
struct InternalError : std::runtime_error {
  using runtime_error::runtime_error;
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_ERROR_H
