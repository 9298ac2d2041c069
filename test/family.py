"""What every test/NAME/run.py shares: its options, what a failed check is, and the line of JSON for each test that test/run adds up."""
import argparse
import atexit
import ctypes
import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


_asking = threading.Lock()   # of two threads that ask the loader at once, one is told that there is nothing


def opencl():
    """Whether target `opencl` has a device to run on here."""
    with _asking:
        return _opencl()


@functools.cache
def _opencl():
    try:
        library = ctypes.CDLL("libOpenCL.so.1")
    except OSError:
        return False
    count = ctypes.c_uint32(0)
    if library.clGetPlatformIDs(0, None, ctypes.byref(count)) or not count.value:
        return False
    platforms = (ctypes.c_void_p * count.value)()
    library.clGetPlatformIDs(count, platforms, None)
    every_type = ctypes.c_uint64(0xFFFFFFFF)
    return any(library.clGetDeviceIDs(ctypes.c_void_p(platform), every_type, 0, None, ctypes.byref(count)) == 0 and count.value for platform in platforms)


@functools.cache
def cuda():
    """What a program's environment needs for target `cuda` to run in the interpreter of PTX (gpu/driver.py). The folder goes with this process."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    path = os.path.join(ROOT, "test", "gpu", "driver.py")
    return dict(line.split("=", 1) for line in subprocess.run([sys.executable, path, folder.name], capture_output=True, text=True, check=True).stdout.split())


NO_OPENCL = "there is no OpenCL device"


class Fault(Exception):
    """Why a test fails."""


def check(ok, message):
    if not ok:
        raise Fault(message)


def parser(description):
    """The options that test/run gives to every family."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--build", default=os.path.join(ROOT, "build"))
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--sanitize", action="store_true")
    options.add_argument("--filter", default="")
    return options


class Tests:
    """The results of a family's tests, shown and written as they come, by any thread. Tests whose name lacks --filter are left out."""

    def __init__(self, options):
        self.filter, self.failed, self.lock = options.filter, False, threading.RLock()
        self.file = open(os.environ.get("FOVEA_RESULTS", os.devnull), "a")

    def report(self, name, result, message="", seconds=0.0):
        """`result`: whether the test is passed, or "pass", "fail" or "skip"."""
        if self.filter not in name:
            return
        if not isinstance(result, str):
            result = "pass" if result else "fail"
        with self.lock:
            self.failed |= result == "fail"
            print(f"{'FAIL' if result == 'fail' else result} {name} {message} ({seconds:.1f} s)", flush=True)
            self.file.write(json.dumps({"name": name, "result": result, "message": message, "seconds": seconds}) + "\n")
            self.file.flush()

    def run(self, name, action, *arguments):
        """A test that passes unless the action raises a Fault, or what a program that does not behave raises."""
        if self.filter not in name:
            return
        started, message = time.time(), ""
        try:
            action(*arguments)
        except (Fault, OSError, ValueError, subprocess.TimeoutExpired) as error:
            message = f"{type(error).__name__}: {error}"
        self.report(name, not message, message, time.time() - started)

    def exit_code(self):
        return 1 if self.failed else 0
