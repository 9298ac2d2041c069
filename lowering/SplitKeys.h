// Attention of few rows over many keys on a GPU: one block of rows would read all keys one after the other, so the keys are cut into parts, each with
// blocks of its own, whose states (sums and maximum of each row) lie in the device's memory until a second nest puts them together (Flash-Decoding,
// Dao, Haziza, Massa and Sizov, 2023). How many parts there are follows from the number of keys alone, never from the device.
#ifndef FOVEA_LOWERING_SPLITKEYS_H
#define FOVEA_LOWERING_SPLITKEYS_H

#include "dialect/Attn.h"

#include "llvm/ADT/STLFunctionalExtras.h"

namespace fovea {

// An attend on buffers whose keys are cut: `states` computes the parts' states, into a buffer [batches and rows of it..., parts, columns + 2]; `whole`
// is the attend itself, whose output they come to. Where heads that share their keys are the rows, states has the attribute `group` (GroupHeads.h).
struct KeyParts {
  attn::AttendOp whole, states;
};

// Takes an attend with versions for few rows (`grouped` and `split` of its schedule) apart: at run time the numbers of rows and keys choose one of
// them, or the attend without. `plain` is called for an attend that is one nest, `parts` for one that is cut; whatever they add stands before it.
// Neither is called for a version that is never chosen.
void chooseKeyParts(attn::AttendOp op, llvm::function_ref<void(attn::AttendOp)> plain, llvm::function_ref<void(KeyParts)> parts);

}  // namespace fovea

#endif  // FOVEA_LOWERING_SPLITKEYS_H
