"""The processes of a rank: what computes may crash, be killed, or lose its agent, and nothing is lost but time."""

import os
import signal
import subprocess
import time
import unittest
from pathlib import Path

from support import DEADLINE_S, WORK_REMAINS, EndToEnd, descendants, hot, is_running, mpirun, results_hash

# Long enough to be disturbed in the middle.
LONG = {"samples": 6, "max_steps": 150, "run": {"threads": 1, "slots": 2}}
ENOUGH = 4


def computing(pid):
    """The compute processes below this one."""
    return [child for child in descendants(pid) if Path(f"/proc/{child}/comm").read_text(encoding="ascii") == "memcap-compute\n"]


class Processes(EndToEnd):
    def compute_processes(self, process, but=()):
        """Waits until the ranks of a run compute in others than these."""
        deadline_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline_s:
            found = computing(process.pid)
            if found and not set(found) & set(but):
                return found
            self.assertIsNone(process.poll(), "the run has ended")
            time.sleep(0.02)
        return self.fail("nothing computes")

    def undisturbed(self, file):
        return results_hash(self.run_experiment(file, "undisturbed"))

    def finish(self, process, status=0):
        """Waits for the end of a run; what it said."""
        _, said = process.communicate(timeout=600)
        self.assertEqual(process.returncode, status, said)
        return said

    def test_a_compute_process_that_crashes_is_started_again(self):
        file = self.write(**LONG)
        process = self.start(file)
        for number in (signal.SIGSEGV, signal.SIGKILL):
            self.wait_for_results(self.folder / "run", ENOUGH, process)
            found = self.compute_processes(process)
            self.assertEqual(len(found), 1)
            os.kill(found[0], number)
            self.compute_processes(process, but=found)
        said = self.finish(process)
        self.assertIn("crashed: killed by SIGSEGV", said)
        self.assertIn("crashed: killed by SIGKILL", said)
        self.assertEqual(results_hash(self.folder / "run"), self.undisturbed(file))

    def test_a_crash_stays_below_mpi(self):
        file = self.write(**LONG)
        process = self.start(file, launcher=mpirun(2))
        self.wait_for_results(self.folder / "run", ENOUGH, process)
        found = computing(process.pid)
        self.assertEqual(len(found), 2)
        os.kill(max(found), signal.SIGSEGV)
        self.assertIn("crashed: killed by SIGSEGV", self.finish(process))
        self.assertEqual(results_hash(self.folder / "run"), self.undisturbed(file))

    def test_nobody_computes_for_a_run_that_was_killed(self):
        process = self.start(self.write(**LONG))
        self.wait_for_results(self.folder / "run", ENOUGH, process)
        found = computing(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        deadline_s = time.monotonic() + 10
        while any(is_running(pid) for pid in found) and time.monotonic() < deadline_s:
            time.sleep(0.02)
        self.assertEqual([pid for pid in found if is_running(pid)], [])

    def test_a_stop_keeps_how_far_trials_are(self):
        # One trial that takes long: without its checkpoint the second launch would start it anew.
        file = self.write(samples=1, memory_vectors=[1], lengths=[100], protocols={"short": hot(4000, patience=9999)})
        process = self.start(file)
        self.compute_processes(process)
        time.sleep(4.0)
        process.send_signal(signal.SIGTERM)
        self.finish(process, WORK_REMAINS)
        kept = list((self.folder / "run" / "checkpoints").iterdir())
        self.assertEqual(len(kept), 1)
        start_s = time.monotonic()
        self.run_experiment(file)
        rest_s = time.monotonic() - start_s
        start_s = time.monotonic()
        expected = self.undisturbed(file)
        whole_s = time.monotonic() - start_s
        self.assertEqual(results_hash(self.folder / "run"), expected)
        self.assertEqual(list((self.folder / "run" / "checkpoints").iterdir()), [], "a checkpoint is left of a trial that has ended")
        self.assertLess(rest_s, whole_s)

    def test_memcap_stop_of_a_dead_run_says_so_at_once(self):
        process = self.start(self.write(**LONG))
        self.wait_for_results(self.folder / "run", ENOUGH, process)
        self.kill_all(process, [])
        start_s = time.monotonic()
        self.assertIn("dead", self.memcap("stop", self.folder / "run").stdout)
        self.assertLess(time.monotonic() - start_s, 30)

    def test_memcap_stop_ends_a_run_and_keeps_what_it_has(self):
        file = self.write(**LONG)
        run = self.folder / "run"
        process = self.start(file)
        done = self.wait_for_results(run, ENOUGH, process)
        said = self.memcap("stop", run).stdout
        self.assertIn("stopped by memcap stop: the same command goes on", self.finish(process, WORK_REMAINS))
        status = self.status(run)
        self.assertEqual(status["state"], "stopped")
        self.assertGreaterEqual(status["done"], done)
        self.assertIn(f"stopped: {status['done']} trials done, 0 failed, {status['open']} open", said)
        self.assertIn("nothing runs in", self.memcap("stop", run).stdout)
        self.run_experiment(file)
        self.assertEqual(results_hash(run), self.undisturbed(file))

    def test_compute_and_export_are_for_run_alone(self):
        said = subprocess.run([os.environ["MEMCAP_EXECUTABLE"], "compute"], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        self.assertNotEqual(said.returncode, 0)
        self.assertIn("memcap run", said.stderr)


if __name__ == "__main__":
    unittest.main()
