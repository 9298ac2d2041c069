// A weight that matrix products sum over and something else reads too: an embedding that is the output projection as well.
#ifndef FOVEA_LOWERING_STAGE_SPLITWEIGHTS_H
#define FOVEA_LOWERING_STAGE_SPLITWEIGHTS_H

#include "frontend/Core.h"

namespace fovea {

// Gives the products of such a weight a parameter of their own, from the same tensor of the file, so that it can be laid out for them. The other
// one stays as the file has it, where it is mapped: of an embedding only the rows that are read ever take memory.
void splitWeights(core::Model &model);

}  // namespace fovea

#endif  // FOVEA_LOWERING_STAGE_SPLITWEIGHTS_H
