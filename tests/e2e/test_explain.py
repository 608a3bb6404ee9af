"""What a run tells of its workers and of single trials, while it goes on, after a crash, and at its end."""

import os
import signal
import time
import unittest
from pathlib import Path

from support import DEADLINE_S, DONE, USAGE, WORK_REMAINS, EndToEnd, descendants, hot, mpirun, table

UTC = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def compute_processes(pid):
    """The processes below a run that compute."""
    found = []
    for child in descendants(pid):
        try:
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if len(words) > 1 and words[1] == b"compute":
            found.append(child)
    return found


class Explained(EndToEnd):
    def wait_for(self, what, run, predicate):
        """Until status says so; returns what it says."""
        deadline_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline_s:
            if any((run / "journal").glob("*.log")):
                said = self.status(run)
                if predicate(said):
                    return said
            time.sleep(0.05)
        return self.fail(f"{what} was not there in time")

    def test_a_run_tells_of_each_worker(self):
        file = self.write(samples=12, protocols={"long": hot(100000, patience=100000)}, lengths=[64, 128])
        process = self.start(file, launcher=mpirun(2))
        run = self.folder / "run"
        said = self.wait_for("two workers at work", run,
                             lambda said: [worker["state"] for worker in said["workers"]] == ["working", "working"])
        for rank, worker in enumerate(said["workers"]):
            self.assertEqual(worker["rank"], rank)
            self.assertEqual(worker["host"], os.uname().nodename)
            self.assertRegex(worker["device"], "thread")
            self.assertEqual(worker["last_deed"], "started")
            self.assertRegex(worker["last_sign_utc"], UTC)
            self.assertGreater(worker["running"], 0)
        text = self.memcap("status", run).stdout
        self.assertRegex(text, rf"rank 1 \(\S+, .*\): working, 0 trials done, computes \d+; started [0-9a-f]{{8}} {UTC}; last heard of {UTC}")
        self.memcap("stop", run)
        self.assertEqual(process.wait(timeout=DEADLINE_S), WORK_REMAINS)
        trial = said["workers"][1]["last_trial"]
        told = self.memcap("explain", run, "--trial", trial[:12]).stdout
        self.assertRegex(told, rf"{trial}: ink-64, essays \d+, seed 0, K = ")
        self.assertIn("open: the next launch runs it", told)
        self.assertRegex(told, rf"launch 1, began {UTC}, ended {UTC}\n  {UTC}  attempt 1 on rank 1 \(.*\): started\n"
                               rf"  {UTC}  attempt 1 on rank 1 \(.*\): was given back unfinished\n")
        self.assertRegex(told, r"its checkpoint is of evaluation \d+: the next attempt goes on from there")
        self.assertIn("nobody waits: the run is not going on (stopped)", self.memcap("explain", run, "--why-idle").stdout)

    def test_a_trial_tells_of_its_crash_and_of_its_end(self):
        file = self.write(samples=1, memory_vectors=[1], lengths=[24], protocols={"long": hot(3000, patience=3000)})
        process = self.start(file)
        run = self.folder / "run"
        self.wait_for("the trial", run, lambda said: any(worker["running"] for worker in said["workers"]))
        os.kill(compute_processes(process.pid)[0], signal.SIGKILL)
        self.assertEqual(process.wait(timeout=DEADLINE_S), DONE)
        trial = table(run)["trial_id"][0]
        told = self.memcap("explain", run, "--trial", trial.upper()).stdout
        self.assertRegex(told, rf"(?s){trial}.*\ndone\nlaunch 1, began {UTC}.*"
                               r"attempt 1 on rank 0 \(.*\): started\n.*attempt 1 on rank 0 \(.*\): crashed \(.*\)\n"
                               r".*attempt 2 on rank 0 \(.*\): (started|went on from its checkpoint)\n"
                               r".*attempt 2 on rank 0 \(.*\): done after [\d,]+ evaluations")
        self.assertEqual(told.count("crashed"), 2, told)  # the event, and the worker's words

    def test_a_worker_without_a_trial_says_why(self):
        file = self.write(samples=1, memory_vectors=[1], lengths=[64], protocols={"long": hot(100000, patience=100000)})
        self.start(file, launcher=mpirun(2))
        run = self.folder / "run"
        self.wait_for("one worker at work", run, lambda said: sorted(worker["state"] for worker in said["workers"]) == ["idle", "working"])
        told = self.memcap("explain", run, "--why-idle").stdout
        self.assertRegex(told, r"rank [01] \(.*\): idle: no task waits: all are running, stored or queued at other workers\n")
        self.memcap("stop", run)

    def test_what_cannot_be_explained_is_an_error(self):
        run = self.run_experiment(self.write(samples=1))
        self.assertIn("no planned trial's id begins with 'x'", self.memcap("explain", run, "--trial", "x", status=USAGE).stderr)
        self.assertIn("Give more digits", self.memcap("explain", run, "--trial", "", status=USAGE).stderr)
        self.assertIn("give either", self.memcap("explain", run, status=USAGE).stderr)
        self.assertIn("give either", self.memcap("explain", run, "--trial", "0", "--why-idle", status=USAGE).stderr)

    def test_a_trial_of_a_shard_is_explained_from_the_folder_of_all(self):
        file = self.write(samples=1)
        for index in range(2):
            self.memcap("run", file, "--out", self.folder / "run", "--shard", f"{index}/2")
        for index in range(2):
            for trial in table(self.folder / "run" / f"shard-{index}")["trial_id"]:
                told = self.memcap("explain", self.folder / "run", "--trial", trial).stdout
                self.assertIn(f"shard {index}/2; done", told)
                self.assertEqual(told.count("launch 1, began"), 1, told)


if __name__ == "__main__":
    unittest.main()
