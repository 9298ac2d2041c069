"""lit: every .mlir, .attn and .test file under test/ with RUN lines. Run by test/run, or by hand:
/usr/lib/llvm-22/bin/lit -sv test/dialect --param build=build"""

import glob
import os
import shutil
import sys

import lit.formats

config.name = "fovea"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".attn", ".mlir", ".test"]
config.excludes = ["Inputs", "values", "differential", "models", "docs", "CMakeLists.txt"]

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(root, "test"))
import family  # noqa: E402
build = os.path.abspath(lit_config.params.get("build", os.path.join(root, "build")))
llvm = lit_config.params.get("llvm", "/usr/lib/llvm-22/bin")

config.test_source_root = os.path.join(root, "test")
config.test_exec_root = os.path.join(build, "lit")
config.environment["PATH"] = os.pathsep.join([os.path.join(build, "bin"), llvm, os.environ["PATH"]])
for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "HOME", "XDG_CACHE_HOME", "FOVEA_CACHE"):
    if name in os.environ:
        config.environment[name] = os.environ[name]

config.substitutions.append(("%root", root))
config.substitutions.append(("%build", build))
python = lit_config.params.get("python", "python3")
config.substitutions.append(("%python", python))
config.substitutions.append(("%cc", lit_config.params.get("cc", "cc")))

# Features for REQUIRES lines: what this CPU has.
with open("/proc/cpuinfo") as info:
    flags = next((line.split(":")[1].split() for line in info if line.startswith("flags")), [])
for feature in ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "cpuid_fault"):
    if feature in flags:
        config.available_features.add(feature)
if lit_config.params.get("sanitize"):
    config.available_features.add("sanitize")
if family.opencl():
    config.available_features.add("opencl")

# NVIDIA's assembler: that of the venv, else an installed toolkit's.
venv = os.path.dirname(os.path.dirname(python))
ptxas = next(iter(glob.glob(os.path.join(venv, "lib/python3*/site-packages/nvidia/cuda_nvcc/bin/ptxas"))), None) or shutil.which("ptxas")
if ptxas:
    config.available_features.add("ptxas")
    config.substitutions.append(("%ptxas", ptxas))
