"""`memcap status --json` says in one word what goes on in a run folder, and where and by whom; no cluster is needed."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from experiment import ENVIRONMENT, MEMCAP, experiment

DEADLINE_S = 300
ALWAYS = {"experiment", "state", "planned", "done", "failed", "open", "failures", "launches", "running", "owner", "started_utc",
          "ended_utc", "done_in_launch", "last_progress_utc", "last_change_utc", "results"}


class Status(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="memcap-status-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.run_folder = self.folder / "run"
        self.file = experiment(self.folder)

    def memcap(self, *arguments, **variables):
        done = subprocess.run([MEMCAP, *map(str, arguments)], check=False, capture_output=True, text=True, timeout=DEADLINE_S,
                              env={**ENVIRONMENT, **variables})
        return done.returncode, done.stdout, done.stderr

    def status(self):
        code, said, complaint = self.memcap("status", self.run_folder, "--json")
        self.assertEqual(code, 0, complaint)
        return json.loads(said)

    def start(self, file, **variables):
        """memcap run, once it has journalled a result."""
        process = subprocess.Popen([MEMCAP, "run", str(file), "--out", str(self.run_folder)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, env={**ENVIRONMENT, **variables}, start_new_session=True)
        self.addCleanup(self.end, process)
        deadline_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline_s and process.poll() is None:
            if any(self.run_folder.glob("journal/*.log")) and self.status()["done"] > 0:
                return process
            time.sleep(0.05)
        return self.fail("no result came in time")

    @staticmethod
    def end(process):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def test_of_a_run_in_parts_is_stopped_then_done(self):
        self.assertEqual(self.memcap("run", self.file, "--out", self.run_folder, "--limit", "1")[0], 75)
        stopped = self.status()
        self.assertLessEqual(ALWAYS, set(stopped))
        self.assertEqual((stopped["state"], stopped["planned"], stopped["done"], stopped["open"]), ("stopped", 4, 1, 3))
        self.assertEqual((stopped["running"], stopped["owner"], stopped["launches"]), (False, None, 1))
        self.assertEqual(Path(stopped["results"]), self.run_folder / "results.h5")
        self.assertEqual(self.memcap("run", self.file, "--out", self.run_folder)[0], 0)
        done = self.status()
        self.assertEqual((done["state"], done["open"], done["launches"], done["done_in_launch"]), ("done", 0, 2, 3))
        self.assertGreaterEqual(done["last_change_utc"], done["last_progress_utc"])
        self.assertGreaterEqual(done["last_progress_utc"], done["started_utc"])

    def test_names_host_and_job_while_it_runs_and_after_it_was_killed(self):
        process = self.start(experiment(self.folder, seeds=400), SLURM_JOB_ID="17", SLURM_RESTART_COUNT="2")
        running = self.status()
        self.assertEqual((running["state"], running["running"], running["ended_utc"]), ("running", True, ""))
        self.assertEqual((running["owner"]["job_id"], running["owner"]["restart_count"]), ("17", 2))
        self.assertEqual(running["owner"]["pid"], process.pid)
        self.end(process)
        dead = self.status()
        self.assertEqual((dead["state"], dead["running"], dead["owner"]["job_id"]), ("dead", False, "17"))
        self.assertIn("dead: ", self.memcap("status", self.run_folder)[1])

    def test_of_a_folder_without_a_run_is_an_error(self):
        code, said, complaint = self.memcap("status", self.run_folder, "--json")
        self.assertEqual((code, said), (2, ""))
        self.assertIn("there is no run in this folder", complaint)


if __name__ == "__main__":
    unittest.main()
