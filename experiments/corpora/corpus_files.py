"""What the scripts of this folder share: strict reading, tables written whole or not at all, draws, the tokenizer helper."""

import csv
import os
import random
import sys
from pathlib import Path

HELPER_FOLDER = Path(__file__).resolve().parents[2] / "src" / "text"


class Refusal(Exception):
    """Input that cannot be used; the message says what, where, why and what to do."""


def tokenizer_helper():
    """memcap's own helper, so that sentences and tokens are split here as they are in an experiment."""
    sys.path.insert(0, str(HELPER_FOLDER))
    try:
        import tokenizer_helper as helper
    finally:
        sys.path.remove(str(HELPER_FOLDER))
    return helper


def read_utf8(path):
    """The text of a file without a byte order mark; refused with its first byte that is not UTF-8."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Refusal(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise Refusal(f"{path}: byte {error.start}: not UTF-8 (0x{content[error.start]:02x}, {error.reason}). "
                      "Convert the file, for example with iconv -t UTF-8") from error


def write_csv(path, rows):
    """Writes a table so that the name never stands for half of it."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        os.replace(partial, path)
    except OSError as error:
        raise Refusal(f"{path}: cannot be written: {error.strerror}") from error


class Draw:
    """Draws from a seed; only random(), which alone is promised to give the same numbers in every version of Python."""

    def __init__(self, seed):
        self._source = random.Random(seed)

    def fraction(self):
        """A number in [0, 1)."""
        return self._source.random()

    def below(self, count):
        """An integer in [0, count)."""
        return int(self._source.random() * count)
