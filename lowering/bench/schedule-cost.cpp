// schedule-cost: estimates of lowering/Cost.h for bench/schedules.py. Lines in, lines out:
//
//   TARGET TYPE ROWS KEYS FEATURES COLUMNS SETS HEADS VISITED MOVES SCORE MASK LAYOUT QUERIES KEYS PANEL       (of bf16 and f16, all three operands; a panel of 0: the target's)
//   products loads scores packing state starts waste traffic                                                  cycles
#include "lowering/Cost.h"

#include <cstdio>
#include <iostream>
#include <sstream>

using namespace fovea;

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::string target, type, layout;
    cost::Shape s;
    cost::Candidate c;
    in >> target >> type >> s.rows >> s.keys >> s.features >> s.columns >> s.sets >> s.heads >> s.visited >> s.moves >> s.scoreWork >> s.maskWork >> layout >> c.queries >> c.keys >> c.panel;
    const leaf::TargetInfo *info = leaf::findTarget(target);
    std::optional<cost::Layout> known = cost::layoutOf(layout);
    if (!in || !info || !known) return std::fprintf(stderr, "schedule-cost: not a candidate: %s\n", line.c_str()), 1;
    c.layout = *known;
    if (c.panel == 0) c.panel = info->columns;
    s.query = s.key = s.value = type == "bf16" ? leaf::Type::BF16 : type == "f16" ? leaf::Type::F16 : leaf::Type::F32;
    const cost::Parts p = cost::estimate(*info, s, c);
    std::printf("%.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f\n", p.products, p.loads, p.scores, p.packing, p.state, p.starts, p.waste, p.traffic);
  }
}
