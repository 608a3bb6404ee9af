"""scripts/test_summary.py tells passed, failed and skipped tests apart, with reasons, from what ctest really writes."""

import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "test_summary.py"

# Stand-ins that print what GoogleTest and unittest print.
PROJECT = r"""
cmake_minimum_required(VERSION 3.25)
project(outcomes LANGUAGES NONE)
enable_testing()
add_test(NAME passes COMMAND true)
add_test(NAME skips COMMAND printf "%s\n" "a_test.cpp:2: Skipped" "no GPU:" "nvidia-smi is missing" "[  SKIPPED ] A.skips")
set_tests_properties(skips PROPERTIES SKIP_REGULAR_EXPRESSION "\\[  SKIPPED \\]")
add_test(NAME silent COMMAND printf "%s\n" "a_test.cpp:2: Skipped" "" "[  SKIPPED ] A.silent")
set_tests_properties(silent PROPERTIES SKIP_REGULAR_EXPRESSION "\\[  SKIPPED \\]")
add_test(NAME returns COMMAND sh -c "echo no mpirun here; exit 77")
set_tests_properties(returns PROPERTIES SKIP_RETURN_CODE 77)
add_test(NAME switched_off COMMAND false)
set_tests_properties(switched_off PROPERTIES DISABLED ON)
add_test(NAME partly COMMAND printf "%s\n" "test_b (u.A.test_b) ... skipped 'needs h5py'" "OK (skipped=1)")
add_test(NAME partly_silent COMMAND printf "%s\n" "Ran 3 tests" "OK (skipped=2)")
"""
FAILING = r"""
add_test(NAME fails COMMAND false)
add_test(NAME crashes COMMAND sh -c "kill -SEGV $$")
add_test(NAME hangs COMMAND sleep 30)
set_tests_properties(hangs PROPERTIES TIMEOUT 1)
add_test(NAME missing COMMAND /nonexistent/program)
add_test(NAME prepares COMMAND false)
set_tests_properties(prepares PROPERTIES FIXTURES_SETUP prepared)
add_test(NAME depends COMMAND true)
set_tests_properties(depends PROPERTIES FIXTURES_REQUIRED prepared)
"""


class TestSummary(unittest.TestCase):
    def summary(self, project):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        (folder / "CMakeLists.txt").write_text(project, encoding="utf-8")
        subprocess.run(["cmake", "-S", folder, "-B", folder / "build"], check=True, capture_output=True)
        subprocess.run(["ctest", "--test-dir", folder / "build", "--output-junit", folder / "tests.xml"], check=False,
                       capture_output=True)
        done = subprocess.run([sys.executable, "-B", SCRIPT, f"core={folder / 'tests.xml'}"], check=False,
                              capture_output=True, text=True)
        return done.returncode, done.stdout.splitlines()

    def test_gives_the_reason_of_each_skipped_test(self):
        status, lines = self.summary(PROJECT)
        self.assertEqual(status, 0)
        self.assertEqual(lines, ["skipped  core: skips: no GPU: nvidia-smi is missing",
                                 "skipped  core: silent: no reason given",
                                 "skipped  core: returns: no mpirun here",
                                 "skipped  core: switched_off: Disabled",
                                 "skipped  a part of core: partly: needs h5py",
                                 "skipped  a part of core: partly_silent: 2 cases; no reason printed",
                                 "3 passed, 0 failed, 4 skipped"])

    def test_counts_what_could_not_run_as_failed(self):
        status, lines = self.summary(PROJECT + FAILING)
        self.assertEqual(status, 1)
        for name in ("fails", "crashes", "hangs", "missing", "prepares", "depends"):
            self.assertIn(f"failed   core: {name}", lines)
        self.assertEqual(lines[-1], "3 passed, 6 failed, 4 skipped")


if __name__ == "__main__":
    unittest.main()
