"""ptx.py by itself: single instructions against NumPy, lanes that go different ways, and what must be an error."""

import os
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ptx  # noqa: E402
from ptx_warp import flush, rounded_sum  # noqa: E402

KERNEL = """.entry kernel(.param .u64 kernel_param_0, .param .u64 .ptr .global .align 8 kernel_param_1, .param .b64 kernel_param_2) {{
  .reg .b32 %r<20>;  .local .align 8 .b8 own[16];  .shared .align 16 .b8 memory[256];
  ld.param.u64 %rd1, [kernel_param_0]; ld.param.u64 %rd2, [kernel_param_1]; ld.param.u64 %rd3, [kernel_param_2];
  mov.u32 %r9, %tid.x; mul.wide.u32 %rd4, %r9, 8; add.s64 %rd1, %rd1, %rd4; add.s64 %rd2, %rd2, %rd4; add.s64 %rd3, %rd3, %rd4;
  ld.global.b64 %rd5, [%rd1]; ld.global.b64 %rd6, [%rd2]; cvt.u32.u64 %r1, %rd5; cvt.u32.u64 %r2, %rd6; mov.b64 %rd7, 0; mov.b32 %r3, 0;
  {code}
  st.global.b64 [%rd3], %rd7; ret;
}}"""


def run(code, x, y, threads=32):
    """What `code` leaves in %rd7, or else in %r3, of 64 bits a lane; x and y are %rd5 and %rd6, and their lower halves %r1 and %r2."""
    memory, result = ptx.Global(), np.zeros(threads, np.uint64)
    if "%rd7" not in code:
        code += " cvt.u64.u32 %rd7, %r3;"
    machine = ptx.Machine(ptx.parse(KERNEL.format(code=code))["kernel"], memory, (1, 1, 1), (threads, 1, 1))
    machine.run([memory.place(a) for a in (x, y, result)])
    return result


generator = np.random.default_rng(0)
X, Y = (generator.integers(0, 2**64, 32, dtype=np.uint64) for _ in range(2))
LANE = np.arange(32)
u, s = X.astype(np.uint32), X.astype(np.uint32).view(np.int32)
v, t = Y.astype(np.uint32), Y.astype(np.uint32).view(np.int32)
Xs, Ys = X.view(np.int64), Y.view(np.int64)

COPY = "shl.b32 %r5, %r9, 3; mov.u32 %r4, memory; add.s32 %r4, %r4, %r5; cp.async.ca.shared.global [%r4], [%rd1], 8, 4; cp.async.commit_group; "
INTEGERS = [
    ("add.s32 %r3, %r1, %r2;", s + t),
    ("sub.s64 %rd7, %rd5, %rd6;", Xs - Ys),
    ("mul.lo.s32 %r3, %r1, %r2;", s * t),
    ("mul.hi.u32 %r3, %r1, %r2;", (u.astype(np.uint64) * v >> np.uint64(32)).astype(np.uint32)),
    ("mul.hi.s32 %r3, %r1, %r2;", (s.astype(np.int64) * t >> 32).astype(np.int32)),
    ("mul.wide.s32 %rd7, %r1, %r2;", s.astype(np.int64) * t),
    ("mul.wide.u32 %rd7, %r1, %r2;", u.astype(np.uint64) * v),
    ("mad.lo.s32 %r3, %r1, %r2, -5;", s * t - 5),
    ("mad.wide.u32 %rd7, %r1, %r2, 7;", u.astype(np.uint64) * v + 7),
    ("div.s32 %r3, %r1, 1000;", np.trunc(s / 1000).astype(np.int32)),
    ("rem.s32 %r3, %r1, 1000;", np.fmod(s, 1000)),
    ("div.u64 %rd7, %rd5, 1000;", X // 1000),
    ("min.s32 %r3, %r1, %r2;", np.minimum(s, t)),
    ("max.u32 %r3, %r1, %r2;", np.maximum(u, v)),
    ("neg.s32 %r3, %r1;", -s),
    ("not.b32 %r3, %r1;", ~u),
    ("xor.b32 %r3, %r1, 0xff;", u ^ 255),
    ("shl.b32 %r3, %r1, %laneid;", u << LANE.astype(np.uint32)),
    ("shl.b32 %r3, %r1, 32;", 0 * u),
    ("shr.u32 %r3, %r1, 7;", u >> 7),
    ("shr.s32 %r3, %r1, 40;", np.where(s < 0, -1, 0)),
    ("bfe.u32 %r3, %r1, 4, 9;", u >> 4 & 511),
    ("prmt.b32 %r3, %r1, %r2, 0x6240;", (u & 255) | (v & 255) << 8 | (u >> 16 & 255) << 16 | (v >> 16 & 255) << 24),
    ("prmt.b32 %r3, %r1, 0, 0x4449U;", np.where(u >> 15 & 1, 255, 0)),
    ("setp.lt.s32 %p1, %r1, %r2; selp.b32 %r3, 3, 4, %p1;", np.where(s < t, 3, 4)),
    ("setp.lt.u32 %p1, %r1, %r2; selp.b32 %r3, 3, 4, %p1;", np.where(u < v, 3, 4)),
    ("setp.gt.s32 %p1, %r1, 0; setp.gt.and.s32 %p2, %r2, 0, %p1; @!%p2 mov.u32 %r3, 1;", np.where((s > 0) & (t > 0), 0, 1)),
    ("mov.b32 {%rs1, %rs2}, %r1; mov.b32 %r3, {%rs2, %rs1};", u << 16 | u >> 16),
    ("shfl.sync.bfly.b32 %r3, %r1, 5, 31, -1;", u[LANE ^ 5]),
    ("shfl.sync.up.b32 %r3, %r1, 3, 0, -1;", u[np.where(LANE < 3, LANE, LANE - 3)]),
    ("shfl.sync.down.b32 %r3, %r1, 3, 31, -1;", u[np.where(LANE > 28, LANE, LANE + 3)]),
    ("shfl.sync.down.b32 %r3, %r1, 3, 0x181f, -1;", u[np.where(LANE % 8 > 4, LANE, LANE + 3) % 32]),  # eight lanes each
    ("shfl.sync.idx.b32 %r3, %r1, 9, 31, -1;", u[0 * LANE + 9]),
    # A loop of a lane's own length, and lanes of an odd number taking another way.
    ("mov.u32 %r4, %tid.x; LOOP: add.s32 %r3, %r3, %r4; sub.s32 %r4, %r4, 1; setp.ge.s32 %p1, %r4, 0; @%p1 bra LOOP; and.b32 %r5, %r9, 1; setp.eq.s32 %p2, %r5, 1; "
     "@%p2 bra ODD; add.s32 %r3, %r3, 1000; bra.uni END; ODD: neg.s32 %r3, %r3; END: add.s32 %r3, %r3, 5;",
     np.where(LANE % 2, -(LANE * (LANE + 1) // 2), LANE * (LANE + 1) // 2 + 1000) + 5),
    # The other lane's word, through shared memory.
    ("mov.u32 %r4, memory; shl.b32 %r5, %r9, 2; add.s32 %r6, %r4, %r5; st.shared.b32 [%r6], %r1; bar.sync 0; xor.b32 %r5, %r5, 124; add.s32 %r6, %r4, %r5; ld.shared.b32 %r3, [%r6];", u[::-1]),
    ("shl.b32 %r5, %r9, 3; mov.u32 %r4, memory; add.s32 %r4, %r4, %r5; st.shared.v2.b32 [%r4], {%r1, %r2}; ld.shared.b32 %r3, [%r4+4];", v),
    # Memory of each lane's own.
    ("mov.b64 %rd8, own; st.local.b32 [%rd8+4], %r1; st.local.b32 [%rd8], %r2; ld.local.b32 %r3, [%rd8+4];", u),
    # A copy: what is there before the wait, what comes of four bytes, and the four that are filled.
    (COPY + "ld.shared.b32 %r3, [%r4]; cp.async.wait_group 0;", 0 * u + 0xFFFFFFFF),
    (COPY + "cp.async.wait_group 0; ld.shared.b32 %r3, [%r4];", u),
    (COPY + "cp.async.wait_group 0; ld.shared.b32 %r3, [%r4+4];", 0 * u),
    (COPY + "cp.async.wait_group 1; ld.shared.b32 %r3, [%r4];", 0 * u + 0xFFFFFFFF),
]

np.seterr(all="ignore")
f, g = (generator.standard_normal(32).astype(np.float32) * 2.0 ** generator.integers(-9, 9, 32).astype(np.float32) for _ in range(2))
f[3], g[5] = np.nan, np.nan
fd, gd = f.astype(np.float64), g.astype(np.float64)
FLOATS = [
    ("add.rn.f32 %r3, %r1, %r2;", f + g),
    ("mul.rn.f32 %r3, %r1, 0f40490FDB;", f * np.float32(np.pi)),
    ("fma.rn.f32 %r3, %r1, %r1, %r2;", rounded_sum(fd * fd, gd)),
    ("max.f32 %r3, %r1, %r2;", np.fmax(f, g)),
    ("max.NaN.f32 %r3, %r1, %r2;", np.maximum(f, g)),
    ("abs.f32 %r3, %r1;", abs(f)),
    ("copysign.f32 %r3, %r1, %r2;", np.copysign(g, f)),
    # In f64 the product of 1 + 2^-30 and 1 - 2^-30 is 1 - 2^-60: only a product that is not rounded leaves something of 1.
    ("mov.b64 %rd8, 0d3FF0000000400000; mov.b64 %rd9, 0d3FEFFFFFFF800000; mov.b64 %rd10, 0dBFF0000000000000; fma.rn.f64 %rd11, %rd8, %rd9, %rd10; cvt.rn.f32.f64 %r3, %rd11;",
     np.full(32, -(2.0**-60), np.float32)),
    ("ex2.approx.ftz.f32 %r3, %r1;", flush(np.exp2(fd).astype(np.float32))),
    ("rcp.rn.f32 %r3, %r1;", (1 / fd).astype(np.float32)),
    ("setp.gtu.f32 %p1, %r1, %r2; selp.f32 %r3, %r1, %r2, %p1;", np.where(~(f <= g), f, g)),
    ("setp.le.f32 %p1, %r1, %r2; selp.f32 %r3, %r1, %r2, %p1;", np.where(f <= g, f, g)),
    ("cvt.rn.f16.f32 %rs1, %r1; cvt.f32.f16 %r3, %rs1;", f.astype(np.float16).astype(np.float32)),
    ("cvt.rn.f16x2.f32 %r4, %r1, %r2; mov.b32 {%rs1, %rs2}, %r4; cvt.f32.f16 %r3, %rs1;", g.astype(np.float16).astype(np.float32)),
    ("cvt.rn.bf16x2.f32 %r4, %r1, %r2; and.b32 %r3, %r4, 0xffff0000;", np.where(np.isnan(f), f, ((f.view(np.uint32).astype(np.uint64) + 0x8000) >> 16 << 16).astype(np.uint32).view(np.float32))),
    ("cvt.rzi.s32.f32 %r4, %r1; cvt.rn.f32.s32 %r3, %r4;", np.trunc(np.nan_to_num(f))),
]

ERRORS = [
    ("ld.global.b32 %r3, [%rd1+256];", "outside of what the kernel was given"),
    ("ld.global.b32 %r3, [%rd1+2];", "no multiple of 4"),
    ("add.s32 %r3, %r1, %r15;", "`%r15` is read before it is set"),
    ("tanh.approx.f32 %r3, %r1;", "this instruction is not supported"),
    ("setp.lt.s32 %p1, %r9, 7; @%p1 shfl.sync.bfly.b32 %r3, %r1, 1, 31, -1;", "7 of 32 lanes come here together"),
    ("setp.lt.s32 %p1, %r9, 7; @%p1 bra OVER; bar.sync 0; OVER: mov.u32 %r3, 1;", "25 of 32 lanes come here together"),
    ("mov.u32 %r4, memory; cp.async.ca.shared.global [%r4], [%rd1+4], 8;", "no multiple of 8"),
    ("mov.u32 %r4, 256; ld.shared.b32 %r3, [%r4];", "outside of shared memory"),
    ("mov.b64 %rd8, own; ld.local.b32 %r3, [%rd8+16];", "outside of local memory"),
    ("rem.s32 %r3, %r1, 0;", "division by zero"),
    ("ld.param.u64 %rd7, [kernel_param_3];", "there is no parameter `kernel_param_3`"),
    ("bra NOWHERE;", "there is no label `NOWHERE`"),
]


def lockstep():
    """Two warps that go on together shuffle within each, and fail where a part of one shuffles, but not where only one of them does."""
    x, result = np.arange(64, dtype=np.uint64), np.zeros(64, np.uint64)
    for code, want in (("shfl.sync.bfly.b32 %r3, %r1, 16, 31, -1;", x ^ np.uint64(16)),
                       ("setp.lt.s32 %p1, %r9, 32; @%p1 shfl.sync.idx.b32 %r3, %r1, 5, 31, -1;", np.where(x < 32, 5, 0)),
                       ("setp.lt.s32 %p1, %r9, 40; @%p1 shfl.sync.idx.b32 %r3, %r1, 5, 31, -1;", "8 of 32 lanes come here together")):
        memory = ptx.Global()
        try:
            ptx.Machine(ptx.parse(KERNEL.format(code=code + " cvt.u64.u32 %rd7, %r3;"))["kernel"], memory, (1, 1, 1), (64, 1, 1), lockstep=True).run([memory.place(a) for a in (x, x, result)])
            assert not isinstance(want, str) and (result == want).all(), f"{code}\n{result}"
        except ptx.Error as error:
            assert isinstance(want, str) and want in str(error), f"{code}\n{error}"


def main():
    lockstep()
    for code, want in INTEGERS:
        want = np.asarray(want)
        want = want.astype(np.int64).view(np.uint64) if "%rd7" not in code and want.dtype.kind == "i" else want.view(np.uint64) if want.dtype.itemsize == 8 else want
        got = run(code, X, Y)
        keep = np.uint64(2**64 - 1 if "%rd7" in code else 2**32 - 1)
        assert (got == (want.astype(np.uint64) & keep)).all(), f"{code}\n{got}\n{want}"
    for code, want in FLOATS:
        got = run(code, f.view(np.uint32).astype(np.uint64), g.view(np.uint32).astype(np.uint64)).astype(np.uint32).view(np.float32)
        assert want.dtype == np.float32 and np.array_equal(got, want, equal_nan=True), f"{code}\n{got}\n{want}"
    for code, why in ERRORS:
        try:
            run(code, X, Y)
        except ptx.Error as error:
            assert why in str(error), f"{code}\n{error}"
        else:
            raise AssertionError(f"{code}: no error")
    # A warp that never comes to the barrier.
    try:
        run("setp.ge.s32 %p1, %r9, 32; @%p1 bra OVER; bar.sync 0; OVER: mov.u32 %r3, 1;", np.tile(X, 2), np.tile(Y, 2), threads=64)
    except ptx.Error as error:
        assert "a barrier is reached by 1 of 2 warps" in str(error), error
    else:
        raise AssertionError("no error at a barrier of one warp")
    # Words of one bank, 32 turns; neighbours, one; one word for all, one.
    for stride, turns in ((32, 32), (1, 1), (0, 1), (2, 2)):
        entry = ptx.parse(KERNEL.format(code="")) ["kernel"]
        entry.shared.append(("more", 8192))
        machine = ptx.Machine(entry, ptx.Global(), (1, 1, 1), (32, 1, 1))
        machine.count_banks(LANE * stride * 4, 4)
        assert (machine.wavefronts, machine.conflicts) == (turns, turns - 1), (stride, machine.wavefronts)
    print(f"{len(INTEGERS) + len(FLOATS)} instructions, {len(ERRORS) + 1} errors")


if __name__ == "__main__":
    sys.exit(main())
