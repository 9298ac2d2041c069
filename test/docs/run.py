"""Runs the commands of the documentation: every ```sh block of README.md, docs/ and the models' READMEs.

The blocks of one file run in order in one scratch folder, where the repository's files and build/ are at hand under their
usual names. Lines that call ./dev are not run here (this is part of ./dev test), everything else is, and must succeed. A
block whose first line is `# not run: WHY` is skipped, one that begins with `# needs an OpenCL device` where there is none."""

import glob
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import family  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def blocks(path):
    """(line, text) of each ```sh block."""
    found, start, lines = [], None, []
    with open(path) as text:
        for number, line in enumerate(text, 1):
            if start is None and re.match(r"\s*```(sh|bash|shell)\s*$", line):
                start, lines = number, []
            elif start is not None and re.match(r"\s*```\s*$", line):
                found.append((start, "".join(lines)))
                start = None
            elif start is not None:
                lines.append(re.sub(r"^\s*\$ ", "", line))
    return found


def main():
    options = family.parser(__doc__).parse_args()
    tests = family.Tests(options)
    if not os.path.exists(os.path.join(ROOT, "README.md")):
        tests.report("README.md", "fail", "does not exist")
    pages = [p for pattern in ("README.md", "docs/**/*.md", "examples/**/*.md")
             for p in sorted(glob.glob(os.path.join(ROOT, pattern), recursive=True))]
    for page in pages:
        title = os.path.relpath(page, ROOT)
        with tempfile.TemporaryDirectory() as folder:
            for name in os.listdir(ROOT):
                if name not in (".git", "build"):
                    os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
            os.symlink(os.path.abspath(options.build), os.path.join(folder, "build"))
            for line, text in blocks(page):
                name = f"{title}:{line}"
                if options.filter not in name:
                    continue
                if text.startswith("# not run:"):
                    tests.report(name, "skip", text.splitlines()[0].removeprefix("# not run:").strip())
                    continue
                if text.startswith("# needs an OpenCL device\n") and not family.opencl():
                    tests.report(name, "skip", family.NO_OPENCL)
                    continue
                text = "\n".join(x for x in text.splitlines() if not re.match(r"\s*(\./dev\b|git clone\b|cd fovea\b)", x))
                if not text.strip():
                    continue
                started = time.time()
                try:
                    path = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]     # python3 is build/venv's
                    done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=folder, stdin=subprocess.DEVNULL,
                                          env=dict(os.environ, PATH=path),
                                          capture_output=True, text=True, errors="replace", timeout=180)
                    message = "" if done.returncode == 0 else f"exit code {done.returncode}\n{text}\n{(done.stdout + done.stderr)[-2000:]}"
                except subprocess.TimeoutExpired:
                    message = f"no end after 180 s\n{text}"
                tests.report(name, not message, message, time.time() - started)
    return tests.exit_code()


if __name__ == "__main__":
    sys.exit(main())
