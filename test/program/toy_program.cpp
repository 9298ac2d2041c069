// The toy model as a program of its own, for tests that need a process.
#include "runtime/program/Program.h"
#include "test/program/ToyModel.h"

int main(int argc, char **argv) { return fovea::program::run(toy::model(), argc, argv); }
