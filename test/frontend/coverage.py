"""Every id of diagnostics.def has an expected-error test errors/ID.attn that expects its text, and every test has an id."""
import os
import re
import sys

here = os.path.dirname(os.path.abspath(__file__))
root = os.path.dirname(os.path.dirname(here))
with open(os.path.join(root, "frontend", "diagnostics.def"), encoding="utf-8") as file:
    messages = dict(re.findall(r'^ERROR\((\w+),\s*"\w+",\s*"(.*)"\)', file.read(), re.M))
tests = {name[:-5] for name in os.listdir(os.path.join(here, "errors")) if name.endswith(".attn")}
bad = [f"{name}: no test" for name in messages if name not in tests]
bad += [f"{name}: no such id" for name in tests if name not in messages]
for name in tests & set(messages):
    pattern = "error: " + re.sub(r"\\\{\d\\\}", ".*", re.escape(messages[name])) + "$"
    with open(os.path.join(here, "errors", name + ".attn"), encoding="utf-8", errors="replace") as file:
        if not any(re.search(pattern, line) for line in file.read().splitlines() if line.startswith("// CHECK")):
            bad.append(f"{name}: its test does not expect `{messages[name]}`")
print("\n".join(bad) or f"{len(messages)} diagnostics, each with a test")
sys.exit(bool(bad))
