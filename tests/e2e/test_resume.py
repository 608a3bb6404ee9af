"""A run that was killed, stopped, limited or extended does the rest, and the rest only."""

import os
import re
import shutil
import signal
import time
import unittest
from pathlib import Path

from support import WORK_REMAINS, EndToEnd, descendants, hot, is_running, mpirun, ragged, table, trials

# Long enough to be interrupted in the middle: 24 trials, two at a time.
LONG = {"samples": 6, "max_steps": 150, "run": {"threads": 1, "slots": 2}}
PLANNED = 24
ENOUGH = 4


def rows(run):
    """trial_id -> everything that results.h5 says of it, place and time too."""
    columns = table(run)
    names = [name for name in columns if name != "trial"]
    return {trial_id: tuple(columns[name][row] for name in names) for row, trial_id in enumerate(columns["trial_id"])}


class Interrupted(EndToEnd):
    """What both classes of tests look at."""

    def journalled(self, run):
        """The rows that the journal of a run already holds, read from a copy."""
        copy = self.folder / "copy"
        shutil.copytree(run, copy)
        self.memcap("rebuild", copy)
        return rows(copy)

    def assert_only_the_rest_was_done(self, run, before, planned):
        """Rows of before are as they were, the others are there, and the journal has one result a trial."""
        after = rows(run)
        self.assertEqual(len(after), planned)
        self.assertEqual({trial_id: row for trial_id, row in after.items() if trial_id in before}, before)
        said = self.memcap("rebuild", run).stdout
        self.assertIn(f" {planned} results: {planned} trials", said)
        self.assertIn(" 0 double results", said)
        status = self.status(run)
        self.assertEqual((status["done"], status["open"], status["running"]), (planned, 0, False))
        self.assertEqual(set(ragged(run, "vectors")), set(after))
        for vector in ragged(run, "vectors").values():
            self.assertGreater(len(vector), 0)

    @staticmethod
    def is_memcap(pid):
        """Whether the process is a rank, not the launcher and not a process of a rank."""
        try:
            return Path(f"/proc/{pid}/comm").read_text(encoding="ascii") == "memcap\n"
        except OSError:
            return False

    def wait_until_gone(self, pids, seconds=60):
        """Fails if one of the processes stays."""
        deadline_s = time.monotonic() + seconds
        while any(is_running(pid) for pid in pids):
            self.assertLess(time.monotonic(), deadline_s, "a process is left running")
            time.sleep(0.05)


class Resume(Interrupted):
    def test_after_kill_9_with_more_ranks(self):
        file = self.write(**LONG)
        killed = self.start(file)
        run = self.folder / "run"
        self.wait_for_results(run, ENOUGH, killed)
        self.kill_all(killed, [])
        before = self.journalled(run)
        self.assertTrue(ENOUGH <= len(before) < PLANNED, len(before))
        said = self.memcap("run", file, "--out", run, launcher=mpirun(2)).stderr
        self.assertIn(f"{PLANNED} trials, {len(before)} done before, {PLANNED - len(before)} to run", said)
        self.assert_only_the_rest_was_done(run, before, PLANNED)

    def test_after_kill_9_of_ranks_without_python(self):
        file = self.write(**LONG)
        killed = self.start(file, launcher=mpirun(2))
        run = self.folder / "run"
        self.wait_for_results(run, ENOUGH, killed)
        ranks = [pid for pid in descendants(killed.pid) if self.is_memcap(pid)]
        self.assertEqual(len(ranks), 2)
        os.kill(max(ranks), signal.SIGKILL)
        self.kill_all(killed, ranks)
        self.wait_until_gone(ranks)
        before = self.journalled(run)
        self.assertTrue(ENOUGH <= len(before) < PLANNED, len(before))
        # The tokens are in the run folder: no tokenizer, so no Python, is needed any more.
        self.run_experiment(file, extra=("--set", "run.python=/no/such/python3"))
        self.assert_only_the_rest_was_done(run, before, PLANNED)

    def test_gives_what_an_uninterrupted_run_gives(self):
        file = self.write(samples=2, run={"threads": 1, "slots": 1})
        whole = trials(self.run_experiment(file, "whole"))
        self.run_experiment(file, "parts", extra=("--limit", "3"), status=WORK_REMAINS)
        parts = trials(self.run_experiment(file, "parts"))
        self.assertEqual(set(parts), set(whole))
        for trial_id, row in whole.items():
            self.assert_equal_tables(parts[trial_id], row)

    def test_at_a_limit_leaves_with_work_remaining(self):
        file = self.write()
        run = self.run_experiment(file, extra=("--limit", "4"), status=WORK_REMAINS)
        first = rows(run)
        self.assertEqual(len(first), 4)
        self.run_experiment(file, extra=("--limit", "3"), status=WORK_REMAINS)
        second = rows(run)
        self.assertEqual(len(second), 7)
        self.assertLessEqual(first.items(), second.items())
        self.run_experiment(file, extra=("--limit", "5"))
        self.assert_only_the_rest_was_done(run, second, 12)

    def test_of_a_finished_run_changes_nothing(self):
        file = self.write()
        run = self.run_experiment(file)
        before = rows(run)

        def files():
            return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in run.rglob("*") if path.is_file()}

        written = files()
        for launcher in ((), mpirun(2)):
            again = self.memcap("run", file, "--out", run, launcher=launcher)
            self.assertIn("nothing to do: 12 trials done before", again.stderr)
            self.assertIn("results:", again.stdout)
            self.assertEqual(files(), written)
        (run / "results.h5").unlink()
        self.run_experiment(file)
        self.assert_only_the_rest_was_done(run, before, 12)

    def test_at_any_moment_can_be_reported_and_merged(self):
        # Half of the trials have ended at once, and the others never do.
        endless = hot(10**7, learning_rate=1e-12, patience=10**7)
        running = self.start(self.write(samples=1, protocols={"short": hot(20), "endless": endless},
                                        store={"vectors": True, "curve_every": 0}, run={"threads": 1, "slots": 8}))
        run = self.folder / "run"
        self.wait_for_results(run, 4, running)
        self.assertFalse((run / "results.h5").exists())
        said = self.memcap("report", run).stdout
        self.assertIn("Not finished: 4 of 8 planned trials have ended, 4 are open", said)
        self.assertIn("Not finished:", (run / "report.html").read_text(encoding="utf-8"))
        said = self.memcap("merge", self.folder / "now.h5", run, "--self-contained").stdout
        self.assertNotIn("without vector", said)
        self.assertIsNone(running.poll(), "the run ended before it was looked at")
        self.kill_all(running, [])
        self.memcap("report", run, "--out", self.folder / "killed.html")
        self.assertFalse((run / "results.h5").exists())

    def test_that_is_not_finished_says_so(self):
        said = self.memcap("run", self.write(), "--out", self.folder / "run", "--limit", "4", status=WORK_REMAINS).stdout
        self.assertIn("not finished: 8 of 12 trials are open", said)
        run = self.folder / "run"
        self.assertEqual(set(table(run, "statistics")["capacity_tokens"]), {-1})
        said = self.memcap("report", run).stdout
        self.assertIn("Not finished: 4 of 12 planned trials have ended, 8 are open", said)
        page = (run / "report.html").read_text(encoding="utf-8")
        self.assertIn("No capacity is known yet", page)
        self.assertNotIn("No model reached", page)

    def test_with_another_protocol_of_the_same_name_says_what_is_not_shown(self):
        file = self.write(samples=1)
        run = self.run_experiment(file)
        before = rows(run)
        changed = self.write(samples=1, max_steps=41, name="changed.yaml")
        said = self.memcap("run", changed, "--out", run).stderr
        self.assertIn("4 trials of this folder have no row in results.h5 now: protocol 'short' changed", said)
        self.assertEqual(len(rows(run)), 4)
        self.assertFalse(set(rows(run)) & set(before))
        # The advice: with what was there before, the rows are back.
        self.assertIn("4 done before, 0 to run", self.memcap("run", file, "--out", run).stderr)
        self.assertEqual(rows(run), before)

    def test_leaves_the_files_of_others_alone(self):
        run = self.folder / "run"
        run.mkdir()
        others = [run / name for name in ("notes.tmp", "results.h5.tmp", "keep.txt")]
        for file in others:
            file.write_text("mine", encoding="utf-8")
        self.run_experiment(self.write(samples=1))
        self.assertEqual([file.read_text(encoding="utf-8") for file in others], ["mine"] * 3)
        mine = self.folder / "mine"
        mine.mkdir()
        file = self.write(samples=1, name="mine/experiment.yaml")
        content = file.read_text(encoding="utf-8")
        self.assertIn("would replace this file", self.memcap("run", file, "--out", mine, status=2).stderr)
        self.assertEqual(file.read_text(encoding="utf-8"), content)

    def test_with_more_lengths_adds_their_trials_only(self):
        run = self.run_experiment(self.write(lengths=[6, 12]))
        before = rows(run)
        said = self.memcap("run", self.write(lengths=[6, 9, 12]), "--out", run).stderr
        self.assertIn("18 trials, 12 done before, 6 to run", said)
        self.assert_only_the_rest_was_done(run, before, 18)
        added = set(rows(run)) - set(before)
        columns = table(run)
        self.assertEqual({int(n) for n, trial_id in zip(columns["length"], columns["trial_id"]) if trial_id in added}, {9})

    def test_with_fewer_lengths_says_that_others_count_too(self):
        file = self.write(samples=1, max_steps=12)
        run = self.run_experiment(file)
        few = self.write(samples=1, max_steps=12, lengths=[6], name="few.yaml")
        for launch in ("the first one", "one with nothing to do"):
            with self.subTest(launch):
                said = self.memcap("run", few, "--out", run).stderr
                self.assertIn(f"{run}: results of 2 trials that an earlier launch ran", said)
        self.assertNotIn("earlier launch ran", self.memcap("run", file, "--out", run).stderr)

    def test_of_other_names_finds_the_same_trials(self):
        file = self.write(samples=1)
        run = self.run_experiment(file)
        renamed = self.write(re.sub(r'"ink-64"', '"other"', re.sub('"short"', '"quick"', file.read_text(encoding="utf-8"))))
        self.assertIn("4 done before, 0 to run", self.memcap("run", renamed, "--out", run).stderr)

    def test_is_refused_while_the_run_goes_on(self):
        file = self.write(**LONG)
        running = self.start(file)
        run = self.folder / "run"
        self.wait_for_results(run, 1, running)
        refused = self.memcap("run", file, "--out", run, status=1).stderr
        self.assertIn(str(running.pid), refused)
        self.assertIn("run", refused)
        self.assertIsNone(running.poll())


class Signals(Interrupted):
    """Cluster schedulers send them before the time is up."""

    def test_to_a_lone_run(self):
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP):
            with self.subTest(number.name):
                shutil.rmtree(self.folder / "copy", ignore_errors=True)
                running = self.start(self.write(**LONG), number.name)
                self.wait_for_results(self.folder / number.name, ENOUGH, running)
                running.send_signal(number)
                said = running.communicate(timeout=120)[1]
                self.assertEqual(running.returncode, WORK_REMAINS, said)
                self.stopped_well(self.folder / number.name)

    def test_to_mpirun(self):
        running = self.start(self.write(**LONG), launcher=mpirun(2))
        run = self.folder / "run"
        self.wait_for_results(run, ENOUGH, running)
        ranks = descendants(running.pid)
        running.send_signal(signal.SIGUSR1)
        said = running.communicate(timeout=120)[1]
        self.assertEqual(running.returncode, WORK_REMAINS, said)
        self.wait_until_gone(ranks)
        self.stopped_well(run)

    def stopped_well(self, run):
        """Everything finished is in results.h5, and the run is over."""
        written = rows(run)
        self.assertTrue(ENOUGH <= len(written) < PLANNED, len(written))
        self.assertEqual(written, self.journalled(run))
        self.assertFalse(self.status(run)["running"])


if __name__ == "__main__":
    unittest.main()
