"""Runs clang-tidy over the sources of the layers named, with the flags of a build folder.

usage: check_tidy.py BUILD_FOLDER LAYER...      exit status 1 if clang-tidy has a finding
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from check_layers import layer_of

ROOT = Path(__file__).parents[2]
# The findings of one version are not those of another.
CLANG_TIDY = "clang-tidy-14"


def sources(build_folder, layer_names):
    """The files of these layers that the build compiles as C++; clang 14 knows no CUDA 13."""
    database = json.loads((build_folder / "compile_commands.json").read_text(encoding="utf-8"))
    files = {Path(entry["file"]) for entry in database if entry["file"].endswith(".cpp")}
    inside = {file: file.relative_to(ROOT / "src").as_posix() for file in files if file.is_relative_to(ROOT / "src")}
    return sorted(file for file, path in inside.items() if layer_of(path) in layer_names)


def without_gcc_only_flags(build_folder, folder):
    """Writes a compilation database to `folder` that clang understands: no precompiled headers of g++, none of its warnings."""
    text = (build_folder / "compile_commands.json").read_text(encoding="utf-8")
    text = re.sub(r"-include [^ ]*cmake_pch\.hxx", "", text)
    text = re.sub(r"-Winvalid-pch|-Wno-error=[a-z-]+", "", text)
    # Pragmas of g++, and the levels of x86-64 that clang 14 does not know by name.
    text = text.replace(" -c /", " -Wno-unknown-pragmas '-D__builtin_cpu_supports(name)=true' -c /")
    (folder / "compile_commands.json").write_text(text, encoding="utf-8")


def tidy(build_folder, file):
    """(exit status, output) of clang-tidy for one file."""
    done = subprocess.run([CLANG_TIDY, "-p", str(build_folder), "--quiet", str(file)], capture_output=True, text=True,
                          check=False)
    # On stderr stands the count of suppressed warnings and, where it failed to start at all, the reason.
    return done.returncode, done.stdout + (done.stderr if done.returncode and not done.stdout else "")


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    if not shutil.which(CLANG_TIDY):
        print(f"{CLANG_TIDY} was not found: install it (Debian package {CLANG_TIDY})", file=sys.stderr)
        return 1
    build_folder = Path(sys.argv[1]).resolve()
    files = sources(build_folder, sys.argv[2:])
    failed = 0
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(int(os.environ.get("MEMCAP_JOBS", os.cpu_count() or 1))) as pool:
        without_gcc_only_flags(build_folder, Path(name))
        for status, output in pool.map(lambda file: tidy(name, file), files):
            if status:
                failed += 1
                print(output, flush=True)
    print(f"clang-tidy: {len(files)} files, {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
