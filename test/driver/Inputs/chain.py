"""A kernel with a chain of N values, each used twice by the next: chain.py N [mask|sum]"""
import sys

what = sys.argv[2] if len(sys.argv) > 2 else "mask"
first, step = ("i + j", "(@ * @ + @) % 7") if what == "mask" else ("x", "@ * 0.5 + relu(@)")
print("kernel chain(x: f32[i,j]) -> o: f32[i] {")
print(f"  let a0 = {first};")
for k in range(int(sys.argv[1])):
    print(f"  let a{k + 1} = {step.replace('@', f'a{k}')};")
last = f"a{sys.argv[1]}"
print(f"  mask {last} == 2;\n  o = sum[j](x);" if what == "mask" else f"  o = sum[j]({last});")
print("}")
