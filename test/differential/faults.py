"""Plants faults in the compiler, one at a time, and counts the random kernels until run.py finds each.

    faults.py --build BUILD [--scratch FOLDER] [--only PATTERN]

A copy of the sources is built in FOLDER (default BUILD/faults), then once more for each fault of the list below. A fault that is
not found within 2,000 kernels, or whose kernel fails without it too, is a failure of the generator. Faults lie behind the front
end and the emitter: those the oracle shares, and test/values is what looks at them."""

import argparse
import collections
import io
import os
import re
import subprocess
import sys
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MOST = 2000

Fault = collections.namedtuple("Fault", "name file old new")
FAULTS = [
    Fault("a dropped mask: partial tiles test no point", "lowering/attend/Tiler.cpp", "partial.attend.keep = *keep;", "(void)keep;"),
    Fault("an off-by-one bound: a reduction leaves out its last point", "lowering/Support.cpp",
          "side == AtMost ? plus(bound, 1) : bound);", "bound);"),
    Fault("a wrong bound of a quotient: j / 4 <= x ends at 4 x", "lowering/Support.cpp",
          "side == AtMost ? plus(scaled, k - 1) : scaled", "scaled"),
    Fault("a missing rescale: the accumulator keeps an old maximum", "lowering/halide/Attend.cpp",
          "acc0(d, gatheredRow) * shrink(gatheredRow);", "acc0(d, gatheredRow);"),
    Fault("a sink left out of the sum", "lowering/attend/Tiler.cpp", "for (Value v : values) total =", "for (Value v : ArrayRef(values).drop_back()) total ="),
    Fault("a streaming weight of a key that the mask removes", "lowering/halide/Attend.cpp", "  return select(keep, s, step.pointwise ? 0.f : emptyMaximum);",
          "  return step.pointwise ? s : select(keep, s, emptyMaximum);"),
    Fault("a partial tile taken for a full one", "lowering/attend/Visits.cpp",
          "arith::CmpIPredicate::slt, lastKey, keysSeen.outer", "arith::CmpIPredicate::slt, firstKey, keysSeen.outer"),
    Fault("a sorted search off by one: of equals, the lower end is past the last", "lowering/Support.cpp",
          "side == AtMost ? arith::CmpIPredicate::sgt : arith::CmpIPredicate::sge", "arith::CmpIPredicate::sgt"),
    Fault("a wrong phase of a stride", "lowering/Support.cpp", "phase = c.form.coefficient > 0 ? wanted : Value(arith::SubIOp::create(b, loc, integer(0), wanted));", "phase = wanted;"),
    Fault("a compact factor with one tap too few", "lowering/Support.cpp", "Value(math::FloorOp::create(b, loc, held))",
          "Value(math::FloorOp::create(b, loc, arith::SubFOp::create(b, loc, held, real(1))))"),
    Fault("a sum of factors taken for 0 where one of them is", "frontend/emit/Factors.cpp",
          "apply(Op::Or, core::Type::Bool, core::Type::Bool, {scalar().conjunction(either[0])", "apply(Op::And, core::Type::Bool, core::Type::Bool, {scalar().conjunction(either[0])"),
    Fault("a read one beyond an axis is proven to be inside", "frontend/emit/Inside.cpp", "  below.constant -= 1;\n  return", "  return"),
    Fault("a wrong edge of a tile: one key too many", "lowering/halide/Attend.cpp", "Expr keep = point.localColumn < keys;", "Expr keep = point.localColumn <= keys;"),
    Fault("a wrong tie: argmax takes the last of equals", "lowering/LoopBody.cpp", "  auto add = dyn_cast<arith::AddFOp>(copy);",
          "  if (auto c = dyn_cast<arith::CmpFOp>(copy); c && c.getPredicate() == arith::CmpFPredicate::OGT) c.setPredicate(arith::CmpFPredicate::OGE);\n"
          "  auto add = dyn_cast<arith::AddFOp>(copy);"),
    Fault("a clamped read: the check of a read outside is dropped", "lowering/LoopBody.cpp", "    bool vector = lanes && llvm::any_of(inner",
          "    if (auto s = dyn_cast<arith::SelectOp>(inner); s && s.getTrueValue().getDefiningOp<memref::LoadOp>()) {\n"
          "      mapping.map(s.getResult(), mapping.lookupOrDefault(s.getTrueValue()));\n"
          "      continue;\n"
          "    }\n"
          "    bool vector = lanes && llvm::any_of(inner"),
    Fault("a wrong quotient of grouped queries", "lowering/attend/Tiler.cpp", "default: return arith::FloorDivSIOp::create(b, loc, l, r);",
          "default: return arith::CeilDivSIOp::create(b, loc, l, r);"),
    Fault("a wrong rounding: bf16 is cut off", "lowering/attend/Tiler.cpp",
          "  if (Type type = element(buffer); !type.isF32()) v = arith::TruncFOp::create(b, loc, type, v);",
          "  if (Type type = element(buffer); type.isBF16()) {\n"
          "      Value bits = arith::BitcastOp::create(b, loc, b.getI32Type(), v);\n"
          "      bits = arith::ShRUIOp::create(b, loc, bits, arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(16)));\n"
          "      v = arith::BitcastOp::create(b, loc, type, Value(arith::TruncIOp::create(b, loc, b.getIntegerType(16), bits)));\n"
          "    } else if (!type.isF32()) v = arith::TruncFOp::create(b, loc, type, v);"),
    Fault("a temporary given back too early", "lowering/Reuse.cpp", "if (last->isBeforeInBlock(outer)) last = outer;",
          "if (last == allocation && last->isBeforeInBlock(outer)) last = outer;"),
    Fault("a gather reads where the position is none", "lowering/LoopBody.cpp", "      where = guarded(where, mapping.lookupOrDefault(select.getCondition()));",
          "      where = where ? where : Value();"),
    Fault("a table is read at columns that do not exist", "lowering/halide/Values.cpp", "    return p.values.read(e.integer, evaluate(e.args[0], *p.existing));",
          "    return p.values.read(e.integer, evaluate(e.args[0], p));"),
    Fault("a table begins at another head's", "lowering/attend/Tiler.cpp", "    at.push_back(arith::SelectOp::create(b, loc, arith::AndIOp::create(b, loc, some, inside), position, zero));",
          "    at.push_back(zero);"),
    Fault("a tile whose table ends inside it taken for a full one", "lowering/attend/Visits.cpp", "full = arith::AndIOp::create(b, loc, full, atRow(condition));",
          "atRow(condition);"),
    Fault("the second part of a weight left out", "lowering/halide/Weigh.cpp", "rest(former) >> 16 | rest(latter)", "cast<uint32_t>(0)"),
    Fault("a parallel loop loses what does not fill a block", "lowering/Loops.cpp", "Value count = arith::CeilDivSIOp::create(b, loc, total, perBlock);",
          "Value count = arith::MaxSIOp::create(b, loc, one, arith::DivSIOp::create(b, loc, total, perBlock));"),
    Fault("lanes beyond the end of a row take part in its reduction", "lowering/LoopBody.cpp",
          "    if (mask) result = arith::SelectOp::create(b, loc, mask, result, accumulators[k]);", ""),
]


def run(*command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **more)


def copy_sources(folder):
    """What is committed; what has not changed keeps its time."""
    archive = subprocess.run(["git", "-C", ROOT, "archive", "HEAD"], stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for entry in files:
            if not entry.isfile():
                continue
            content, to = files.extractfile(entry).read(), os.path.join(folder, entry.name)
            os.makedirs(os.path.dirname(to), exist_ok=True)
            if not os.path.exists(to) or open(to, "rb").read() != content:
                with open(to, "wb") as file:
                    file.write(content)


def compile(source, build, base, jobs):
    if not os.path.exists(os.path.join(build, "build.ninja")):
        with open(os.path.join(base, "CMakeCache.txt")) as cache:
            taken = [f"-D{line.strip()}" for line in cache if re.match(r"(FOVEA_HALIDE_ROOT|MLIR_DIR|LLVM_DIR|CMAKE_BUILD_TYPE|Python3_EXECUTABLE):", line)]
        done = run("cmake", "-S", source, "-B", build, "-G", "Ninja", *taken)
        if done.returncode:
            sys.exit(done.stdout)
    done = run("ninja", "-C", build, "-j", str(jobs), "bin/compare-kernels", "bin/fovea-leaf", "lib/fovea_kernel_runtime.o")
    if done.returncode:
        sys.exit(done.stdout[-5000:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--scratch")
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    scratch = options.scratch or os.path.join(options.build, "faults")
    source, build = os.path.join(scratch, "source"), os.path.join(scratch, "build")
    copy_sources(source)
    compile(source, build, options.build, options.jobs)
    kernels = [sys.executable, os.path.join(HERE, "run.py"), "--build", build, "--jobs", str(options.jobs)]
    good = True
    found = []
    for fault in FAULTS:
        if not re.search(options.only, fault.name):
            continue
        path = os.path.join(source, fault.file)
        with open(path) as file:
            text = file.read()
        if text.count(fault.old) != 1:
            print(f"{fault.name}: its text stands {text.count(fault.old)} times in {fault.file}", flush=True)
            good = False
            continue
        try:
            with open(path, "w") as file:
                file.write(text.replace(fault.old, fault.new))
            compile(source, build, options.build, options.jobs)
            # Whole numbers of kernels only: what the last seconds leave undone must not count.
            done = run(*kernels, "--count", str(MOST), "--first", "--shrink", "0", "--seed", str(options.seed))
        finally:
            with open(path, "w") as file:
                file.write(text)
        number = re.search(r"first failure is kernel number (\d+)", done.stdout)
        how = re.search(r"^-> (.*)", done.stdout, re.M)
        if not number:
            good = False
            print(f"{fault.name}: not found\n{done.stdout[-1000:]}", flush=True)
            continue
        found.append((fault, int(number[1]), how[1]))
        print(f"{fault.name}: kernel number {number[1]}, {how[1]}", flush=True)
    compile(source, build, options.build, options.jobs)
    print("\n| fault | in | found by kernel | as |\n|---|---|---|---|")
    for fault, number, how in found:
        without = run(*kernels, "--kernel", str(options.seed + number - 1))
        if without.returncode:
            good = False
            how += ", but the kernel fails without the fault too"
        print(f"| {fault.name} | `{os.path.basename(fault.file)}` | {number} | {how} |")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
