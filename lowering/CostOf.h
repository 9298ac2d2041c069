// What the cost model (Cost.h) asks of an attn.attend.
#ifndef FOVEA_LOWERING_COSTOF_H
#define FOVEA_LOWERING_COSTOF_H

#include "dialect/Attn.h"
#include "lowering/Cost.h"

namespace fovea {

cost::Asked askedOf(attn::AttendOp op, const leaf::TargetInfo &target);

// Whether the mask may hold keys from both sides (a window, a document): rows that are close visit much the same keys, and no others.
bool boundsBothSides(attn::AttendOp op);

}  // namespace fovea

#endif  // FOVEA_LOWERING_COSTOF_H
