"""check_files.py finds each kind of planted violation, and nothing in a clean tree."""

import shutil
import tempfile
import unittest
from pathlib import Path

import check_files

OPENING = "// Rotary position embedding.\n"


class FileCheck(unittest.TestCase):
    def setUp(self):
        self.root = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        self.write("src/nn/rotary.cpp", OPENING + "int x;\n")
        self.write("quickstart", "#!/usr/bin/env bash\n# From a fresh clone to a first result.\n")

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def assert_only_violation(self, path, text, *parts):
        self.write(path, text)
        found = check_files.violations(self.root)
        self.assertEqual(len(found), 1, found)
        for part in (path, *parts):
            self.assertIn(part, found[0])

    def test_accepts_a_clean_tree(self):
        self.assertEqual(check_files.violations(self.root), [])

    def test_names_a_file_of_500_lines(self):
        self.assert_only_violation("src/nn/rotary.cpp", OPENING + "int x;\n" * 499, "500 lines")
        self.write("src/nn/rotary.cpp", OPENING + "int x;\n" * 498)
        self.assertEqual(check_files.violations(self.root), [])

    def test_names_a_file_without_an_opening_comment(self):
        self.assert_only_violation("src/nn/rotary.cpp", "#pragma once\n", "first line")
        self.assert_only_violation("src/nn/rotary.cpp", "//\nint x;\n", "first line")

    def test_reads_the_comment_below_an_interpreter_line(self):
        self.assert_only_violation("quickstart", "#!/usr/bin/env bash\nset -e\n", "first line")

    def test_names_marks_of_unfinished_work_with_their_line(self):
        self.assert_only_violation("src/nn/rotary.cpp", OPENING + "int x;  // TO" + "DO: more\n", ":2:", "unfinished")

    def test_names_paths_of_a_machine_and_lets_ordinary_ones_pass(self):
        self.assert_only_violation("src/nn/rotary.cpp", OPENING + 'auto p = "/ho' + 'me/ada/models";\n', ":2:", "path")
        self.write("src/nn/rotary.cpp", OPENING + 'auto p = "/proc/self/status", q = folder + "x/work/y";\n')
        self.assertEqual(check_files.violations(self.root), [])

    def test_names_long_python_functions(self):
        text = '"""Reads the result file."""\n\ndef read():\n' + "    x = 1\n" * 50
        self.assert_only_violation("analysis/results.py", text, ":3:", "function read has 51 lines")


if __name__ == "__main__":
    unittest.main()
