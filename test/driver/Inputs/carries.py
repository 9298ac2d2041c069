"""Whether an object carries the device code of a text form, nest for nest: carries.py OBJECT TEXT"""
import re
import sys

with open(sys.argv[1], "rb") as file:
    code = file.read()
with open(sys.argv[2], "rb") as file:
    nests = re.split(rb"^// fovea_nest_\w+\n", file.read(), flags=re.M)[1:]
if not nests:
    sys.exit("no nest")
for nest in nests:
    nest = re.sub(rb"^(// launch .*\n)*", b"", nest)
    if nest.rstrip(b"\n") not in code:
        sys.exit("not carried: " + nest[:400].decode())
