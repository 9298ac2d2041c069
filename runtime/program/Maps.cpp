#include "runtime/program/Maps.h"
namespace fovea::program {
Maps::Maps(const std::string &folder, const Model &model) : folder(folder), model(model) {}
void Maps::write(const std::string &, const Job &) const {}
}
