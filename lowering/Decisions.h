// What the passes decided for a program, for the tools that tell of it. Without MLIR. Nodes and indices are those of core::Function;
// they, counters and fates are known for target host-count alone.
#ifndef FOVEA_LOWERING_DECISIONS_H
#define FOVEA_LOWERING_DECISIONS_H

#include "lowering/Cost.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fovea {

// A reduction whose visits are counted; its counts have its number in the object's table.
struct Counter {
  std::string file;                 // the place where it is written: for a function of the prelude, where that is used
  uint32_t line = 0, column = 0;
  uint32_t node = 0;                // the reduction, or the normaliser that it belongs to
  std::string text;                 // "sum[j]"
  std::vector<int64_t> indices;     // those reduced
  std::vector<uint32_t> masks;      // the nodes of all that it runs under
};

// What a condition of a mask did to the loop over an index, somewhere where it was asked.
struct Fate {
  std::string file;                 // the place of the condition
  uint32_t line = 0, column = 0;
  int64_t index = 0;
  bool lower = false, upper = false;
  bool searched = false;            // for the elements of a sorted tensor
  int64_t step = 1;
  bool tested = false;              // at each point, too
};

// Fused attention, with its schedule.
struct Attend {
  std::string function;
  std::vector<int64_t> indices;     // reduced
  bool pointwise = false;           // the weights need no maximum
  bool sinks = false;
  struct Tiles {
    std::string target;
    int64_t queries = 0, keys = 0, panel = 0, lanes = 0;
    bool packed = false;
  } many, few;
  int64_t fewRows = 0;              // up to so many rows `few`; 0: never
  std::optional<Tiles> grouped;     // up to so many rows, where heads share their keys
  int64_t groupedRows = 0;
  std::optional<int64_t> unpacked, broadcast, broadcastTo;  // of `grouped`, as a schedule has them
  bool hasRows = false;             // else one query
  cost::Asked asked;                // what its cost is estimated from
  // The C arguments (results come last) and their axes that have the rows, keys, features and value columns, if that can be told, and those of the batch.
  using Axis = std::optional<std::pair<unsigned, unsigned>>;
  Axis rows, keys, features, columns;
  std::vector<Axis> batch;
  std::optional<Tiles> registers;   // more rows, where the process may use AMX's tile registers
  bool registersOffered = false;    // only where the program asks for them
};

// A loop over rows: what is reduced for one row.
struct RowLoop {
  std::string function;
  std::vector<std::pair<uint32_t, std::vector<int64_t>>> reductions;  // nodes and indices
};

// ---- for a GPU

// Where something is written that an operation of a function comes from; an empty file: nowhere.
struct Where {
  std::string function, file;
  uint32_t line = 0, column = 0;
};

// Attention that is not computed in blocks, and why: a sentence about it.
struct Unfused {
  Where where;
  std::string why;
};

// What the host has the device do.
struct Launch {
  Where where;
  std::string nest;                 // its name
  bool looped = false;              // in a loop of the host
  unsigned points = 0, reduced = 0; // loops: those whose points are the threads, and those inside a thread
  struct Blocks {
    int64_t queries = 0, keys = 0, columns = 0;
    bool parts = false;             // of some keys each, which another launch puts together
  };
  std::optional<Blocks> blocks;     // fused attention
  bool merge = false;               // that launch
  struct Tile { int64_t rows = 0, columns = 0; };
  std::optional<Tile> tile;         // a contraction
  int64_t threads = 1;              // that fold a point together
  std::string fewer;                // another nest, which the host launches instead where there are few rows, or few reduced steps
  bool chosen = false;              // the host chooses between it and others
};

// Memory of the device that a call takes.
struct Temporary {
  Where where;
  bool looped = false;
  int64_t bytes = 0;                // times the extents: C arguments (results come last) and their axes
  std::vector<std::pair<unsigned, unsigned>> extents;
  bool known = false;               // its size is such a product
};

struct Decisions {
  std::vector<Unfused> unfused;
  std::vector<Launch> launches;
  std::vector<Temporary> temporaries;
  std::vector<Where> hostReads, hostLoops;  // elements of tensors that the host waits for, and its loops
  std::vector<Counter> counters;
  std::vector<Fate> fates;
  std::vector<Attend> attends;
  std::vector<RowLoop> rowLoops;
};

}  // namespace fovea

#endif  // FOVEA_LOWERING_DECISIONS_H
