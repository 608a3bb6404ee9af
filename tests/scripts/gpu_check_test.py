"""scripts/gpu_check where it cannot run: what it says, and by which status it ends."""

import os
import shutil
import subprocess
import tempfile
import unittest
import unittest.mock
from pathlib import Path

ROOT = Path(__file__).parents[2]


class GpuCheck(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        shutil.copy(ROOT / "scripts" / "gpu_check", self.folder / "gpu_check")
        self.commands = self.folder / "commands"
        self.commands.mkdir()

    def command(self, path, text):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)

    def run_check(self, *arguments):
        environment = {**os.environ, "PATH": f"{self.commands}:{os.environ['PATH']}"}
        return subprocess.run([self.folder / "gpu_check", *arguments], cwd=self.folder, env=environment, text=True,
                              capture_output=True, check=False)

    def bundle(self, tests="echo '[       OK ] A.B (1 ms)'", nccl_tests="echo '[       OK ] C.D (1 ms)'"):
        """Stand-ins for the programs, a driver with one GPU, and a Python that names a folder of torch."""
        self.command(self.folder / "bin" / "memcap_gpu_tests", tests)
        self.command(self.folder / "bin" / "memcap_weights_tests", nccl_tests)
        self.command(self.folder / "bin" / "memcap_gpu_speed", "echo product: 1 TFLOP/s")
        self.command(self.folder / "bin" / "memcap-cuda", "exit 0")
        self.command(self.commands / "nvidia-smi", "echo 'NVIDIA Test'")
        self.command(self.commands / "ldd", "exit 0")

    def test_outside_of_a_bundle_it_says_how_to_make_one(self):
        done = self.run_check()
        self.assertEqual(done.returncode, 2)
        self.assertIn("gpu_bundle", done.stderr)

    def test_without_a_gpu_it_says_so(self):
        self.bundle()
        self.command(self.commands / "nvidia-smi", "exit 9")
        done = self.run_check()
        self.assertEqual(done.returncode, 77)
        self.assertIn("no GPU", done.stderr)

    def test_without_torch_it_asks_for_the_interpreter(self):
        self.bundle()
        self.command(self.commands / "python", "exit 1")
        done = self.run_check("--python", str(self.commands / "python"))
        self.assertEqual(done.returncode, 77)
        self.assertIn("--python", done.stderr)

    def test_tests_that_were_all_skipped_are_no_success(self):
        self.bundle("echo 'a_test.cpp:1: Skipped'; echo 'the driver is too old'")
        self.command(self.commands / "python", "echo /nowhere")
        done = self.run_check("--python", str(self.commands / "python"), "--tests")
        self.assertEqual(done.returncode, 77, done.stdout + done.stderr)
        self.assertIn("no test ran on NVIDIA Test: the driver is too old", done.stdout)

    def test_nccl_is_tested_and_its_absence_is_said(self):
        self.bundle(nccl_tests="echo 'a_test.cpp:1: Skipped'; echo 'no NCCL'")
        self.command(self.commands / "python", "echo /nowhere")
        done = self.run_check("--python", str(self.commands / "python"), "--tests")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("no test ran on NVIDIA Test: no NCCL", done.stdout)

    def test_a_failure_of_nccl_is_a_failure(self):
        self.bundle(nccl_tests='echo "$@"; exit 1')
        self.command(self.commands / "python", "echo /nowhere")
        done = self.run_check("--python", str(self.commands / "python"))
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("--gtest_filter=*OnARealDevice*", done.stdout)
        self.assertNotIn("TFLOP/s", done.stdout, "benchmarks run only behind tests that passed")

    def test_libraries_are_looked_for_where_they_were_before_as_well(self):
        self.bundle('echo "[       OK ] $LD_LIBRARY_PATH"')
        self.command(self.commands / "python", "echo /nowhere")
        with unittest.mock.patch.dict(os.environ, {"LD_LIBRARY_PATH": "/usr/local/driver"}):
            done = self.run_check("--python", str(self.commands / "python"), "--tests")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"/nowhere:.*/lib:/usr/local/driver")

    def test_each_figure_names_the_device_and_everything_is_logged(self):
        self.bundle()
        self.command(self.commands / "python", "echo /nowhere")
        done = self.run_check("--python", str(self.commands / "python"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("[NVIDIA Test] product: 1 TFLOP/s", done.stdout)
        self.assertEqual((self.folder / "gpu_check.log").read_text(encoding="utf-8"), done.stdout)

    def test_after_a_failed_test_nothing_is_measured(self):
        self.bundle(tests="echo broken; exit 1")
        self.command(self.commands / "python", "echo /nowhere")
        done = self.run_check("--python", str(self.commands / "python"))
        self.assertEqual(done.returncode, 1)
        self.assertNotIn("TFLOP/s", done.stdout)


if __name__ == "__main__":
    unittest.main()
