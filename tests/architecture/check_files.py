"""Checks the files of the project one by one: length, opening comment, forbidden marks, paths of somebody's machine.

usage: check_files.py [ROOT]      prints one line a violation; exit status 1 if there is any
"""

import ast
import re
import sys
from pathlib import Path

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 50
# Tables and kernels that need more: a file, or file::function, with its limit.
LONGER = {}

FOLDERS = ("analysis", "benchmarks", "cluster", "cmake", "docs", "experiments", "include", "scripts", "src", "tests")
TOP_FILES = ("quickstart", "test", "CMakeLists.txt", ".ci/run", "README.md", "CHANGELOG.md", "scripts/gpu_bundle",
             "scripts/gpu_check")
COMMENT_STARTS = {".cpp": "//", ".hpp": "//", ".h": "//", ".cu": "//", ".cuh": "//", ".py": ('"""', "#"), ".sh": "#",
                  ".sbatch": "#", ".cmake": "#", ".yaml": "#", "": "#"}
CHECKED_SUFFIXES = (*filter(None, COMMENT_STARTS), ".md")
# Written apart so that this file does not hold what it forbids.
FORBIDDEN_MARKS = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK")) + r")\b")
MACHINE_PATHS = re.compile(r"(?<![\w.}])/(?:home|root|Users|work|mnt|scratch)/")
SHORTEST_COMMENT = 15


def code_files(root):
    """All source files of the project, in a fixed order."""
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*")):
            if file.suffix in CHECKED_SUFFIXES and file.is_file() and "__pycache__" not in file.parts:
                yield file
        yield from sorted((root / folder).rglob("CMakeLists.txt"))
    yield from (root / name for name in TOP_FILES if (root / name).is_file())


def opening_problem(file, lines):
    if file.suffix == ".md":
        return None  # its title says it
    first = lines[1] if len(lines) > 1 and lines[0].startswith("#!") else (lines or [""])[0]
    suffix = "" if file.name in ("CMakeLists.txt",) else file.suffix
    if not first.startswith(COMMENT_STARTS[suffix]):
        return "the first line is no comment that says what belongs into the file"
    if len(first) < SHORTEST_COMMENT:
        return "the comment in the first line does not say what belongs into the file"
    return None


def long_functions(path, text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = node.end_lineno - node.lineno + 1
            limit = LONGER.get(f"{path}::{node.name}", MAX_FUNCTION_LINES)
            if length > limit:
                yield f"{node.lineno}: function {node.name} has {length} lines, more than {limit}"


def file_problems(root, file):
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    path = file.relative_to(root).as_posix()
    limit = LONGER.get(path, MAX_FILE_LINES)
    if len(lines) >= limit:
        yield f"1: {len(lines)} lines, not under {limit}"
    if lines and (problem := opening_problem(file, lines)):
        yield f"1: {problem}"
    for number, line in enumerate(lines, start=1):
        if mark := FORBIDDEN_MARKS.search(line):
            yield f"{number}: unfinished work: {mark.group()}"
        if (place := MACHINE_PATHS.search(line)) and file.name != Path(__file__).name:
            yield f"{number}: a path of somebody's machine: {place.group()}"
    if file.suffix == ".py":
        yield from long_functions(path, text)


def violations(root):
    """All violations under root, each as 'file:line: what is wrong'."""
    return [f"{file.relative_to(root)}:{problem}" for file in code_files(root) for problem in file_problems(root, file)]


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2])
    found = violations(root)
    print("\n".join(found) if found else f"{sum(1 for _ in code_files(root))} files are as they should be")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
