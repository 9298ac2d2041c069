"""Rules K1 to K9."""

import numpy as np

from harness import case, error
from tensors import Random, Tensor, bf16, boolean, f16, f32, i8, i32, round_to_bf16, u8

R = Random(1)
ONE = dict(x=f32([1]))


@case("kernel k1(x: f32[n], y: f32[m]) -> o: f32[n,m], p: f32[m] where m = 2*n { o = x * y; p = y + |n|; }",
      dict(x=f32([1, 2]), y=f32([1, 2, 3, 4])))
def K1_several_results(x, y): return dict(o=np.outer(x, y), p=y + 2)


@case("""
kernel k2(a: f32[n], b: f16[n], c: bf16[n], d: i32[n], e: i8[n], f: u8[n], g: bool[n],
          sa: f32, sd: i32, sg: bool) -> o: f32[n] {
  o = a + 2*b + 4*c + 8*d + 16*e + 32*f + (if g then 64 else 0) + 0.5*sa + 128*sd + (if sg then 256 else 0);
}
""", dict(a=f32([1, 2]), b=f16([3, 4]), c=bf16([5, 6]), d=i32([7, 8]), e=i8([-9, 127]), f=u8([200, 255]),
          g=boolean([True, False]), sa=1.0, sd=-2, sg=True))
def K2_types(a, b, c, d, e, f, g, sa, sd, sg):
    return dict(o=a + 2 * b + 4 * c + 8 * d + 16 * e + 32 * f + 64 * g + 0.5 * sa + 128 * sd + 256 * sg)


K2_SORTED = "kernel k2(x: i32[b,i] sorted) -> o: i32[b] { o = sum[i](x); }"


@case(K2_SORTED, dict(x=i32([[1, 1, 4], [-3, 0, 0]])))
def K2_sorted(x): return dict(o=x.sum(1))


error("K2 not sorted", K2_SORTED, r"error: .*`x`.*sorted|error: .*sorted.*`x`", dict(x=i32([[1, 1, 4], [2, 1, 3]])))
error("K2 an axis twice in a type", "kernel k2(x: f32[n,n]) -> o: f32[n] { o = 0.0; }", r"error: .*`n`", ONE)
error("K2 an axis is a name", "kernel k2(x: f32[3]) -> o: f32[n] { o = 0.0; }", r":1:18: error", ONE)


@case("""
kernel k3(x: f32[n,m], y: f32[m]) -> o: f32[n], p: f32[n,m], q: f32[m], t: f32 {
  o = sum[m](x * y);  p = x * y;  q = sum[n](x);  t = sum[n,m](x);
}
""", *[dict(x=R.f32(n, m), y=R.f32(m)) for n, m in [(3, 4), (0, 4), (3, 0), (0, 0), (1, 1), (17, 33)]])
def K3_extents_may_be_0(x, y): return dict(o=x @ y, p=x * y, q=x.sum(0), t=x.sum())


error("K3 unequal extents name both tensors", "kernel k3(x: f32[n,m], y: f32[m]) -> o: f32[n] { o = sum[m](x * y); }",
      r"error: .*`x`.*`y`|error: .*`y`.*`x`", dict(x=R.f32(2, 3), y=R.f32(4)))


@case("""
kernel k4(x: f32[n], y: f32[m]) -> a: f32, b: i32, c: bool, d: f32[n,m], e: f32[m,n], f: f32[n] {
  a = sum[n](x);  b = argmax[n](x);  c = any[n](x > 1);
  d = x;  e = y;
  f = a + e[m: 0] + b;
}
""", dict(x=f32([1, 3, 2]), y=f32([5, 6])))
def K4_scalars_and_broadcast(x, y):
    return dict(a=x.sum(), b=x.argmax(), c=(x > 1).any(), d=np.repeat(x[:, None], 2, 1), e=np.repeat(y[:, None], 3, 1),
                f=np.full(3, x.sum() + y[0] + 1))


@case("kernel k4(x: i32[n]) -> a: i8[n], b: u8[n], c: i32[n] { a = x; b = x; c = x; }",
      dict(x=i32([-2**31, -129, -128, -1, 0, 127, 128, 255, 256, 2**31 - 1])))
def K4_saturation(x): return dict(a=np.clip(x, -128, 127), b=np.clip(x, 0, 255), c=x)


ROUNDED = f32([1, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -1 - 2**-8, 1 + 2**-11, 1 + 3 * 2**-11, 65519.9, 65520, 7e4,
               3.3e38, 3.4e38, -3.4e38, np.inf, -np.inf, 0, 1e-5, 2**-24, 2**-25, 3 * 2**-26, 1e-40])


# One rounding, from f32 to nearest even; compared exactly.
@case("kernel k4(x: f32[n]) -> a: bf16[n], b: f16[n] { a = x; b = x; }", dict(x=ROUNDED), tolerance=0.0)
def K4_rounding(x):
    with np.errstate(over="ignore"):
        return dict(a=Tensor("bf16", round_to_bf16(x.astype(np.float32))).value,
                    b=x.astype(np.float32).astype(np.float16).astype(np.float64))


# All ties, so an error of one rounding would show in the integers derived from the bits.
@case("""
kernel k4(x: f32[n]) -> a: bf16[n], b: bool[n], c: f16[n], d: bool[n] {
  a = x;  b = a == x;                 // a result read later is the unrounded value
  c = x;  d = c == x;
}
""", dict(x=f32([1 + 2**-10, 0.1, 3.14159])))
def K4_results_are_read_unrounded(x):
    return dict(a=Tensor("bf16", round_to_bf16(x.astype(np.float32))).value, b=np.ones(3, bool),
                c=x.astype(np.float16).astype(np.float64), d=np.ones(3, bool))


error("K4 f32 into an integer needs i32()", "kernel k4(x: f32[n]) -> o: i32[n] { o = x; }", r"error: .*i32", ONE)
error("K4 a result twice", "kernel k4(x: f32[n]) -> o: f32[n] { o = x; o = x; }", r":1:44: error: .*`o`", ONE)
error("K4 a result never", "kernel k4(x: f32[n]) -> o: f32[n], p: f32[n] { o = x; }", r"error: .*`p`", ONE)
error("K4 a parameter assigned", "kernel k4(x: f32[n]) -> o: f32[n] { x = 1.0; o = x; }", r":1:37: error: .*`x`", ONE)
error("K4 an axis not in the result", "kernel k4(x: f32[n,m]) -> o: f32[n] { o = x; }", r"error: axis `m` .*`o\[n\]`",
      dict(x=R.f32(2, 3)))


@case("kernel k5(q: f32[h], k: f32[g]) -> o: f32[h] where h = 4*g { o = q * k[g: h/4]; }",
      dict(q=R.f32(8), k=R.f32(2)), dict(q=R.f32(0), k=R.f32(0)))
def K5_relation(q, k): return dict(o=q * np.repeat(k, 4))


error("K5 a relation that does not hold", "kernel k5(q: f32[h], k: f32[g]) -> o: f32[h] where h = 4*g { o = q * k[g: h/4]; }",
      r"error: .*`?h = 4\*g`?", dict(q=R.f32(7), k=R.f32(2)))


@case("kernel k5(x: f32[j]) -> o: f32[l], p: f32[l,j], q: i32[m] where l = j, m = 2*j + 1 { o = x[j: l] + 1; p = l - x; q = m; }",
      dict(x=R.f32(5)))
def K5_a_new_name(x):
    return dict(o=x + 1, p=np.arange(5)[:, None] - x, q=np.arange(11))


@case("kernel k5(x: f32[d]) -> o: f32, n: i32 where d = 64 { o = sum[d](x); n = |d|; }", dict(x=R.f32(64)))
def K5_fixed(x): return dict(o=x.sum(), n=64)


error("K5 another extent than the fixed one", "kernel k5(x: f32[d]) -> o: f32 where d = 64 { o = sum[d](x); }",
      r"error: .*`?d`?.*63|error: .*63", dict(x=R.f32(63)))


@case("kernel k5(x: f32[n,d], y: f32[m,d]) -> o: f32[n,m] where d in {64, 128} { o = sum[d](x * y); }",
      *[dict(x=R.f32(3, d), y=R.f32(5, d)) for d in (64, 128, 33)])
def K5_specialised(x, y): return dict(o=x @ y.T)


K5_ONLY = "kernel k5(x: f32[n,d], y: f32[m,d]) -> o: f32[n,m] where d in {16, 32} only { o = sum[d](x * y); }"


@case(K5_ONLY, *[dict(x=R.f32(3, d), y=R.f32(5, d)) for d in (16, 32)])
def K5_only(x, y): return dict(o=x @ y.T)


error("K5 other extents than those of only", K5_ONLY, r"error: .*`?d`?.*33|error: .*33", dict(x=R.f32(3, 33), y=R.f32(5, 33)))
K5_BOUND = "kernel k5(x: f32[j]) -> o: f32 where j <= 8 { o = sum[j](x); }"


@case(K5_BOUND, dict(x=R.f32(8)), dict(x=R.f32(0)))
def K5_bound(x): return dict(o=x.sum())


error("K5 beyond the bound", K5_BOUND, r"error: .*`j`.*at most 8", dict(x=R.f32(9)))


@case("""
kernel k6(x: f32[n], w: i32) -> o: f32, p: f32[n], c: i32 {
  dim r = 2 * n + w;
  dim one = 1;
  o = sum[r](x[n: r / 2] * r);
  p = sum[one](x + one);
  c = |r|;
}
""", dict(x=R.f32(5), w=3), dict(x=R.f32(5), w=-10))
def K6_dim(x, w):
    r = np.arange(10 + w)
    return dict(o=sum(x[t // 2] * t for t in r if t // 2 < 5), p=x, c=10 + w)


error("K6 a negative extent", "kernel k6(x: f32[n], w: i32) -> o: f32 { dim r = n + w; o = sum[r](x[n: r]); }",
      r"error: .*`r\b.*negative, -1", dict(x=R.f32(5), w=-6))
error("K6 an extent that nothing fixes", "kernel k6(x: f32[n]) -> o: f32[m] { o = 1.0; }", r"error: .*`m`", ONE)
error("K6 used before it is named", "kernel k6(x: f32[n]) -> o: f32 { o = sum[r](x[n: r]); dim r = n; }", r":1:(45|50): error: .*`r`", ONE)


@case("""
kernel k7(x: f32[n], y: f32[m]) -> o: f32[n,m], p: f32[n,m], q: f32[n] {
  let a[m,n] = x + 10 * y;              // stated axes: also those that are missing, in this order
  o = a[m, n];
  let b[m,n] = x;
  p = b[m: 0] + 0 * y;
  let z = x;
  let z = z * z;                        // shadows, and reads the one before
  q = z + b[1, 2];
}
""", dict(x=f32([1, 2, 3]), y=f32([5, 6])))
def K7_definitions(x, y):
    return dict(o=x[:, None] + 10 * y, p=np.repeat(x[:, None], 2, 1), q=x * x + x[2])


error("K7 an axis missing on the left", "kernel k7(x: f32[n,m]) -> o: f32[n] { let a[n] = x; o = a; }", r"error: .*`m`",
      dict(x=R.f32(2, 3)))
error("K7 used before its definition", "kernel k7(x: f32[n]) -> o: f32[n] { o = a; let a = x; }", r":1:41: error: .*`a`", ONE)


@case("""
kernel k8(x: f32[n,m], y: f32[m,k]) -> o: f32[n,k], p: f32[n] {
  score s[k,n] = sum[m](x * y);
  score t = s[k, n] / 2;
  o = t;
  p = sum[k](softmax[k](s) * y[m: 0]);
}
""", dict(x=R.f32(3, 4), y=R.f32(4, 5)))
def K8_score(x, y):
    s = x @ y
    z = np.exp(s - s.max(1, keepdims=True))
    return dict(o=s / 2, p=z @ y[0] / z.sum(1))


for word in ("while", "template", "main", "_hidden", "fovea_x", "halide_x", "printf", "exp"):
    error(f"K9 no kernel is called {word}", f"kernel {word}(x: f32[n]) -> o: f32[n] {{ o = x; }}", rf":1:8: error: .*`{word}`", ONE)


@case("kernel k9(int: f32[n], class: f32[n], DLTensor: f32[n], data: f32[n], shape: f32[n], main: f32) -> while: f32[n] "
      "{ while = int + 2 * class + 3 * DLTensor + 4 * data + 5 * shape + main; }",
      {name: f32([n, 1]) for n, name in enumerate(["int", "class", "DLTensor", "data", "shape"])} | {"main": 0.5})
def K9_parameters_may_have_any_name(**given):
    names = ["int", "class", "DLTensor", "data", "shape"]
    return {"while": sum((n + 1) * given[name] for n, name in enumerate(names)) + 0.5}


# K5, K3: an extent that a constraint fixes to 0.
@case("kernel k5(q: f32[i,d], k: f32[j,d], v: f32[j,e], x: f32[i,n]) -> o: f32[i,e], p: f32[i,e], t: f32[i] where e = 0, n = 0 { "
      "o = sum[j](softmax[j](sum[d](q * k)) * v); p = sum[j](sparsemax[j](sum[d](q * k)) * v); t = sum[n](x) + 1; }",
      dict(q=f32(np.ones((3, 4))), k=f32(np.ones((5, 4))), v=f32(np.zeros((5, 0))), x=f32(np.zeros((3, 0)))))
def K5_an_extent_of_0(q, k, v, x): return dict(o=np.zeros((3, 0)), p=np.zeros((3, 0)), t=np.ones(3))
