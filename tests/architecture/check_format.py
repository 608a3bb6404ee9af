"""Checks that clang-format would change no C++ or CUDA file.

usage: check_format.py      prints the places that differ; exit status 1 if there is any
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("benchmarks", "cmake", "experiments", "include", "src", "tests")
SUFFIXES = (".cpp", ".hpp", ".h", ".cu", ".cuh")
# The layout that one version makes is not that of another.
CLANG_FORMAT = "clang-format-14"


def main():
    if not shutil.which(CLANG_FORMAT):
        print(f"{CLANG_FORMAT} was not found: install it (Debian package {CLANG_FORMAT})", file=sys.stderr)
        return 1
    files = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*") if file.suffix in SUFFIXES)
    done = subprocess.run([CLANG_FORMAT, "--dry-run", "-Werror", *map(str, files)], cwd=ROOT, check=False)
    print(f"{CLANG_FORMAT}: {len(files)} files" + (", as it would write them" if done.returncode == 0 else ""))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
