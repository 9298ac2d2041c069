#include "runtime/program/Program.h"

int main(int argc, char **argv) { return fovea::program::run(fovea_model_table, argc, argv); }
