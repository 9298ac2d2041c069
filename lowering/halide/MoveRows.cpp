// Copies of rows on a device, for programs that rearrange hypotheses: a part of the devices' runtime (runtime/device/program.c), not of what the
// compiler asks for.
#include "lowering/halide/Nest.h"
#include "lowering/halide/NestBody.h"

using namespace Halide;

namespace fovea::leaf {
namespace {

constexpr int threads = 128;   // of a block

// int NAME(rows, outer, chunk, to_at, to_row, to_outer, from_at, from_row, from_outer, pairs, from, to): for every row and every place of `outer`, `chunk`
// elements. pairs[row] is (to, from).
Module moveRows(const std::string &name, Type element, const Target &target) {
  std::vector<Argument> arguments;
  auto number = [&](const char *what) {
    Param<int32_t> p(what);
    arguments.push_back(p);
    return Expr(p);
  };
  Expr rows = number("rows"), outer = number("outer"), chunk = number("chunk"), toAt = number("to_at"), toRow = number("to_row"), toOuter = number("to_outer"),
       fromAt = number("from_at"), fromRow = number("from_row"), fromOuter = number("from_outer");
  ImageParam pairs(Int(32), 1, "pairs"), from(element, 1, "from");
  for (const ImageParam &image : {pairs, from}) arguments.push_back(image);
  RDom all(0, rows * outer * chunk, "all");
  Expr inside = all.x % max(chunk, 1), place = all.x / max(chunk, 1) % max(outer, 1), row = all.x / max(chunk, 1) / max(outer, 1);
  Var u("u");
  RVar block("block"), thread("thread");
  Func to("to");
  to(u) = undef(element);
  to(bounded(toAt + pairs(bounded(2 * row)) * toRow + place * toOuter + inside)) = from(bounded(fromAt + pairs(bounded(2 * row + 1)) * fromRow + place * fromOuter + inside));
  to.update().allow_race_conditions().split(all.x, block, thread, threads, TailStrategy::GuardWithIf).gpu_blocks(block).gpu_threads(thread);
  return Pipeline(to).compile_to_module(arguments, name, target, LinkageType::ExternalPlusArgv);
}

}  // namespace

Module buildMoveRows(const std::string &device) {
  const Target target = nestTarget(device);
  return link_modules("move_rows", {moveRows("fovea_move_rows_" + device + "_1", UInt(8), target), moveRows("fovea_move_rows_" + device + "_4", UInt(32), target)});
}

}  // namespace fovea::leaf
