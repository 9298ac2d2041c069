"""Rules T1 to T4 (text) and C1 to C3 (command line and files)."""

import numpy as np

from harness import case, error
from tensors import f32, i32, i64


@case(b"\xef\xbb\xbf// mark, then CR LF \xc3\xa9\r\nkernel t1(x: f32[n]) -> o: f32[n] {\r\n\to = x + 1; // end\r\n}\r\n",
      dict(x=f32([1, 2])))
def T1_mark_and_line_ends(x): return dict(o=x + 1)


error("T1 columns are bytes, a tab is one", "kernel t1(x: f32[n]) -> o: f32[n] {\n\t/* é */ o = x;\n}\n", r":2:(2|5): error")
error("T1 the place of an unknown name", "kernel t1(x: f32[n]) -> o: f32[n] {\n\to = x + nothing;\n}\n",
      r":2:10: error: .*`nothing`", dict(x=f32([1])))


@case("""
// Built-in functions' names and what looks like numbers may be names.
kernel t2(exp: f32[_1], sum_: f32[_1], e5: f32[_1], softmax: i32) -> o: f32[_1] { o = exp + sum_ * e5 + softmax; }
""", dict(exp=f32([1, 2]), sum_=f32([3, 4]), e5=f32([5, 6]), softmax=7))
def T2_names(exp, sum_, e5, softmax): return dict(o=exp + sum_ * e5 + softmax)


error("T2 a reserved word is no name", "kernel t2(scan: f32[n]) -> o: f32[n] { o = scan; }", r":1:11: error")
error("T2 one name means one thing", "kernel t2(n: f32[n]) -> o: f32[n] { o = n; }", r"error: .*`n`")


@case("""
kernel t3(x: f32[n]) -> a: f32[n], b: f32[n], c: f32[n], d: i32[n] {
  a = x * 1e-5;  b = x * 0.5;  c = x * 3;  d = 2147483647;
}
""", dict(x=f32([1, 2])))
def T3_numbers(x): return dict(a=x * 1e-5, b=x / 2, c=x * 3, d=np.full(2, 2**31 - 1))


error("T3 too large for i32", "kernel t3(x: i32[n]) -> o: i32[n] { o = x + 2147483648; }", r":1:45: error")
error("T3 too large for f32", "kernel t3(x: f32[n]) -> o: f32[n] { o = x + 1e39; }", r":1:45: error")


@case("""
import "library.attn";
import "library.attn";
fn softmax[j](s) = s / sum[j](s);               // hides the prelude's, here only
kernel t4(x: f32[n]) -> o: f32[n], p: f32[n], t: f32[n] { o = softmax[n](x);  p = theirs[n](x);  t = twice(x); }
""", dict(x=f32([1, 2, 5])),
      files={"library.attn": """
fn twice(x) = 2 * x;
fn theirs[n](x) = softmax[n](x);                // the prelude's
kernel unused(x: f32[n]) -> o: f32[n] { o = x; }
"""})
def T4_import(x): return dict(o=x / x.sum(), p=np.exp(x) / np.exp(x).sum(), t=2 * x)


error("T4 an import cycle", 'import "other.attn";\nkernel t4(x: f32[n]) -> o: f32[n] { o = x; }', r"error: .*(cycl|imports itself)",
      dict(x=f32([1])), files={"other.attn": 'import "kernel.attn";\n'})
error("T4 an error in an imported file", 'import "other.attn";\nkernel t4(x: f32[n]) -> o: f32[n] { o = wrong(x); }',
      r"other\.attn:2:\d+: error.*kernel\.attn:1:\d+: note", dict(x=f32([1])),
      files={"other.attn": "\nfn wrong(x) = x + nothing;\n"})
error("T4 two definitions", "fn f(x) = x;\nfn f(x) = x + 1;\nkernel t4(x: f32[n]) -> o: f32[n] { o = f(x); }",
      r":2:4: error: .*`f`", dict(x=f32([1])))

TWO = """
kernel one(x: f32[n]) -> o: f32[n] { o = x + 1; }
kernel two(x: f32[n]) -> o: f32[n] { o = x + 2; }
"""


@case(TWO, dict(x=f32([1])), kernel="two")
def C1_kernel_is_chosen(x): return dict(o=x + 2)


error("C1 a kernel must be chosen", TWO, r"error: .*--kernel", dict(x=f32([1])), codes=(1, 2))
error("C1 no such kernel", TWO, r"error: .*`three`", dict(x=f32([1])), kernel="three", codes=(1, 2))

SCALED = "kernel c2(x: f32[n], s: f32, n0: i32, on: bool) -> o: f32[n] { o = if on then x * s + n0 else 0; }"


@case(SCALED, dict(x=f32([1, 2]), s=f32(1.5), n0=3, on=True), dict(x=f32([1, 2]), s=0.25, n0=i32(-3), on=False))
def C2_scalars(x, s, n0, on): return dict(o=x * s + n0 if on else 0 * x)


@case(SCALED, dict(x=f32([1, 2]), s=f32(1.5), n0=3, on=True), options=["--set", "s=2.5"])
def C2_set_wins(x, n0): return dict(o=x * 2.5 + n0)


@case(SCALED, dict(x=f32([1, 2]), s=f32(1.5), n0=3, on=True, spare=f32([1])), warning=r"warning: .*`spare`")
def C2_extra_name(x, s, n0): return dict(o=x * s + n0)


error("C2 a missing tensor", SCALED, r"error: .*`x`", dict(s=f32(1), n0=1, on=True))
error("C2 a missing scalar", SCALED, r"error: .*`s`", dict(x=f32([1]), n0=1, on=True))
error("C2 a wrong type", SCALED, r"error: .*`x`.*i32.*f32|error: .*`x`.*f32.*i32", dict(x=i32([1]), s=1.0, n0=1, on=True))
error("C2 a wrong rank", SCALED, r"error: .*`x`", dict(x=f32([[1]]), s=1.0, n0=1, on=True))
error("C2 i64 where i32 is wanted names the remedy", "kernel c2(x: i32[n]) -> o: i32[n] { o = x; }",
      r"error: .*`x`.*i64.*i32", dict(x=i64([1])))
error("C3 no file after an error", "kernel c3(x: f32[n], y: f32[n]) -> o: f32[n] { o = x + y; }", r"error: .*`x`.*`y`",
      dict(x=f32([1]), y=f32([1, 2])))
