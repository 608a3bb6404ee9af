"""An experiment in shards: three runs, one of them killed in between, are together what one run is."""

import json
import os
import signal
import time
import unittest

import h5py

from support import (DEADLINE_S, DONE, USAGE, WORK_REMAINS, EndToEnd, descendants, essays, hot, random_words, results_hash, table,
                     trials)

SHARDS = 3
# 48 trials that take some seconds together, and rows without one: K = 4 does not fit into N = 3.
SECTIONS = {"max_steps": 60, "corpora": {"essays": essays(5), "random": random_words(3)}, "lengths": [3, 6, 12, 24],
            "run": {"threads": 1, "slots": 3}}


def ids(columns):
    return list(columns["trial_id"])


class Sharded(EndToEnd):
    def run_shard(self, file, index, out="run", count=SHARDS, status=DONE, extra=()):
        return self.memcap("run", file, "--out", self.folder / out, "--shard", f"{index}/{count}", *extra, status=status)

    def refusal(self, file, *arguments):
        return self.memcap("run", file, *arguments, status=USAGE).stderr

    def kill_in_between(self, file, index):
        """Kills a shard after its first results; returns how many it had."""
        process = self.start(file, "run", arguments=("--shard", f"{index}/{SHARDS}"))
        done = self.wait_for_results(self.folder / "run" / f"shard-{index}", 2, process)
        for pid in [process.pid, *descendants(process.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.wait()
        return done

    def test_together_they_are_what_one_run_is(self):
        file = self.write(**SECTIONS)
        whole = self.run_experiment(file, "whole")
        run = self.folder / "run"
        done_before = self.kill_in_between(file, 1)
        self.run_shard(file, 0)
        said = self.status(run)
        self.assertEqual((said["state"], said["planned"]), ("dead", len(set(ids(table(whole))))))
        self.assertEqual([shard["state"] for shard in said["shards"]], ["done", "dead", "not started"])
        self.assertEqual(said["open"], said["planned"] - said["done"])
        text = self.memcap("status", run).stdout
        self.assertRegex(text, r"shard 1: \d+ of \d+ trials done, 0 failed, \d+ open; dead: ")
        self.assertRegex(text, rf"not begun, with {said['shards'][2]['open']} trials: shard 2\. memcap run FILE.yaml --out \S+ --shard 2/3")
        # What is open in any shard keeps a capacity back.
        self.memcap("merge", self.folder / "partial.h5", run)
        with h5py.File(self.folder / "partial.h5") as partial:
            self.assertEqual((partial.attrs["planned_trials"], partial.attrs["open_trials"]), (said["planned"], said["open"]))
            self.assertEqual(set(partial["statistics/capacity_tokens"][:]), {-1})
        for index in (1, 2):
            self.run_shard(file, index)
        said = self.status(run)
        self.assertEqual((said["state"], said["open"], said["done"]), ("done", 0, said["planned"]))
        self.assertEqual(sum(shard["done"] for shard in said["shards"]), said["planned"])
        self.assertGreaterEqual(done_before, 2)
        self.assertLess(said["shards"][1]["done_in_launch"], said["shards"][1]["done"], "the killed shard began anew")
        self.assert_merged_equals(whole, run)

    def assert_merged_equals(self, whole, run):
        merged = self.folder / "merged.h5"
        said = self.memcap("merge", merged, run).stdout
        self.assertIn("0 trials were in more than one folder", said)
        self.assertEqual(results_hash(merged), results_hash(whole))
        # The same rows in the same order, and all tables beside them.
        self.assertEqual(ids(table(merged)), ids(table(whole)))
        self.assertEqual(trials(merged).keys(), trials(whole).keys())
        for group in ("skipped", "statistics", "models", "corpora", "protocols"):
            self.assert_equal_tables(table(merged, group), table(whole, group))
        with h5py.File(merged) as ours, h5py.File(whole / "results.h5") as theirs:
            for name in ("experiment", "planned_trials", "open_trials", "skipped_trials"):
                self.assertEqual(ours.attrs[name], theirs.attrs[name], name)
            self.assertEqual(ours["provenance/experiment_yaml"][()], theirs["provenance/experiment_yaml"][()])

    def test_a_shard_alone_gives_no_capacities_and_says_what_joins_them(self):
        file = self.write()
        said = self.run_shard(file, 0)
        shard = self.folder / "run" / "shard-0"
        with h5py.File(shard / "results.h5") as results:
            self.assertEqual(results.attrs["planned_trials"], 12)
            self.assertEqual(results.attrs["open_trials"], 12 - len(results["trials/trial_id"]))
            self.assertEqual(set(results["statistics/capacity_tokens"][:]), {-1})
        self.assertIn(f"memcap report {self.folder / 'run'} shows those of all shards", said.stdout)
        # Done is done, for a shard too.
        again = self.run_shard(file, 0).stderr
        self.assertIn("nothing to do", again)

    def test_more_shards_than_trials(self):
        file = self.write(samples=1, memory_vectors=[1], lengths=[6])
        held = 0
        for index in range(4):
            self.run_shard(file, index, count=4)
            held += self.status(self.folder / "run" / f"shard-{index}")["planned"]
        self.assertEqual(held, 1)
        said = self.status(self.folder / "run")
        self.assertEqual((said["state"], said["planned"], said["done"]), ("done", 1, 1))

    def test_commands_over_all_shards(self):
        file = self.write()
        run = self.folder / "run"
        for index in range(SHARDS):
            self.run_shard(file, index)
        self.memcap("report", run)
        self.assertIn("e2e", (run / "report.html").read_text(encoding="utf-8"))
        for index in range(SHARDS):
            (run / f"shard-{index}" / "results.h5").unlink()
        rebuilt = self.memcap("rebuild", run).stdout
        for index in range(SHARDS):
            self.assertTrue((run / f"shard-{index}" / "results.h5").exists())
            self.assertIn(f"{run / f'shard-{index}'}:\n", rebuilt)
        # Vectors are verified and decoded from one file: the advice works as it stands.
        for command in (("verify", run), ("decode", run, "--trial", "0")):
            refused = self.memcap(*command, status=USAGE).stderr
            self.assertIn(f"memcap merge {run / 'merged.h5'} {run}", refused)
        self.memcap("merge", run / "merged.h5", run)
        self.assertIn("12 vectors verified: 12 as recorded", self.memcap("verify", run / "merged.h5").stdout)

    def test_stop_ends_every_shard(self):
        # So many trials, and so long ones, that they are stopped before they end.
        file = self.write(samples=12, protocols={"long": hot(100000, patience=100000)}, lengths=[64, 128])
        run = self.folder / "run"
        processes = [self.start(file, "run", arguments=("--shard", f"{index}/2")) for index in range(2)]
        deadline_s = time.monotonic() + DEADLINE_S
        while [shard["state"] for shard in self.shards_of(run)] != ["running", "running"]:
            self.assertLess(time.monotonic(), deadline_s)
            time.sleep(0.05)
        said = self.memcap("stop", run).stdout
        for index, process in enumerate(processes):
            self.assertEqual(process.wait(timeout=DEADLINE_S), WORK_REMAINS)
            self.assertIn(f"stopped shard {index}/2: ", said)
        self.assertEqual(self.status(run)["state"], "stopped")
        self.assertIn(f"nothing runs in {run / 'shard-0'}", self.memcap("stop", run).stdout)

    def shards_of(self, run):
        """What status says of the shards that have launched."""
        if not any(run.glob("shard-*/shard")):
            return []
        return [shard for shard in json.loads(self.memcap("status", run, "--json").stdout)["shards"] if shard.get("launches")]

    def test_what_does_not_belong_together_is_refused_with_advice_that_works(self):
        file = self.write(samples=1)
        run = self.folder / "run"
        self.run_shard(file, 0)
        self.assertIn("Give --shard I/3 with I from 0 to 2", self.refusal(file, "--out", run, "--shard", "0/4"))
        self.assertIn("in 3 shards", self.refusal(file, "--out", run))
        own = self.refusal(file, "--out", run / "shard-0")
        self.assertIn(f"Go on with it by --shard 0/3 --out {run}", own)
        self.memcap("run", file, "--shard", "0/3", "--out", run)
        plain = self.run_experiment(file, "plain")
        self.assertIn("Leave out --shard", self.refusal(file, "--out", plain, "--shard", "0/3"))
        for wrong in ("3/3", "1", "a/b", "-1/3"):
            self.assertIn("shards are counted from 0", self.refusal(file, f"--shard={wrong}"))


if __name__ == "__main__":
    unittest.main()
