// The wide toy model as a program of its own.
#include "test/program/ToyModel.h"

extern "C" {
extern const fovea_model fovea_model_table;
const fovea_model fovea_model_table = toy::wide();
}
