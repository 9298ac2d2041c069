// Names that no C function of ours may have (rule K9).
#ifndef FOVEA_FRONTEND_RESERVEDNAMES_H
#define FOVEA_FRONTEND_RESERVEDNAMES_H

#include <string>

namespace fovea {

// What the name is in C ("a C or C++ keyword", ...), or null when it is free.
const char *reservedInC(const std::string &name);

}  // namespace fovea

#endif  // FOVEA_FRONTEND_RESERVEDNAMES_H
