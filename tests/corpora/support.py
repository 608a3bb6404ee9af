"""What the tests of this folder share: paths, the scripts as processes, tables read back."""

import csv
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "experiments" / "corpora"
ESSAYS = sorted((ROOT / "experiments" / "texts" / "essays").glob("*.txt"))

# A chunk of 25,000 words is longer than the csv module allows a field to be.
csv.field_size_limit(10_000_000)


def run(script, *arguments):
    """The finished process of a script."""
    return subprocess.run([sys.executable, "-B", str(SCRIPTS / script), *map(str, arguments)], capture_output=True, text=True,
                          check=False, timeout=120)


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))
