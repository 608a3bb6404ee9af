"""Trials that fail for good: status 3, rows that say why, statistics that count them, and --retry-failed."""

import unittest

import numpy as np

from support import DEFECT, TRIALS_FAILED, EndToEnd, hot, table

MEASURED = ("loss_nomem_nats", "accuracy_nomem", "loss_nats", "accuracy", "loss_min_nats", "ce_nomem_nats", "ce_nats",
            "information_gain_nats", "token_gain")


class FailedTrials(EndToEnd):
    def setUp(self):
        super().setUp()
        # One step at such a rate and no number is finite any more.
        file = self.write(protocols={"short": hot(20), "wild": {"base": "paper", "learning_rate": 1e38, "max_steps": 20}})
        self.start_again = lambda *extra: self.run_experiment(file, status=TRIALS_FAILED, extra=extra)
        self.run_folder = self.start_again()
        self.trials = table(self.run_folder)
        self.wild = self.trials["protocol"] == "wild"

    def test_leave_the_others_alone(self):
        self.assertEqual(set(self.trials["status"][~self.wild]), {"done"})
        self.assertEqual(set(self.trials["failure"][~self.wild]), {""})
        for name in MEASURED:
            self.assertTrue(np.isfinite(self.trials[name][~self.wild]).all(), name)

    def test_have_rows_that_say_why(self):
        self.assertEqual(set(self.trials["status"][self.wild]), {"failed"})
        for failure in self.trials["failure"][self.wild]:
            self.assertIn("permanent", failure)
            self.assertIn("not finite", failure)
        for name in MEASURED:
            self.assertTrue(np.isnan(self.trials[name][self.wild]).all(), name)

    def test_are_counted_and_left_out_of_means(self):
        statistics = table(self.run_folder, "statistics")
        wild = statistics["protocol"] == "wild"
        np.testing.assert_array_equal(statistics["failed"], np.where(wild, statistics["trials"], 0))
        self.assertTrue(np.isnan(statistics["token_gain_mean"][wild]).all())
        self.assertTrue(np.isfinite(statistics["token_gain_mean"][~wild]).all())
        status = self.status(self.run_folder)
        self.assertEqual((status["done"], status["failed"], status["open"]), (12, 12, 0))

    def test_are_named_with_their_reason(self):
        ids = {trial_id for trial_id, wild in zip(self.trials["trial_id"], self.wild) if wild}
        failures = self.status(self.run_folder)["failures"]
        self.assertEqual(sum(group["count"] for group in failures), 12)
        self.assertEqual({trial_id for group in failures for trial_id in group["ids"]}, ids)
        said = self.memcap("status", self.run_folder).stdout
        for group in failures:
            self.assertIn("not finite", group["reason"])
            self.assertIn(f"{group['count']} failed: {group['reason']}", said)
        self.assertRegex(said, "|".join(ids))
        log = (self.run_folder / "log" / "rank-0.log").read_text(encoding="utf-8")
        self.assertEqual(log.count("of this kind are counted only"), len(failures))

    def test_run_again_only_when_asked(self):
        self.start_again()
        np.testing.assert_array_equal(table(self.run_folder)["attempt"], 1)
        self.start_again("--retry-failed")
        again = table(self.run_folder)
        np.testing.assert_array_equal(again["attempt"], np.where(self.wild, 2, 1))
        np.testing.assert_array_equal(again["finished_utc"][~self.wild], self.trials["finished_utc"][~self.wild])


class AlikeFailures(EndToEnd):
    def test_of_the_first_trials_end_a_large_run(self):
        file = self.write(protocols={"wild": {"base": "paper", "learning_rate": 1e38, "max_steps": 20}}, samples=6,
                          seeds=list(range(5)), memory_vectors=[1, 2], run={"threads": 1, "slots": 2})
        said = self.memcap("run", file, "--out", self.folder / "run", status=DEFECT).stderr
        self.assertIn("the run has stopped: the first 8 tasks all failed alike, on 1 worker: the loss is not finite", said)
        status = self.status(self.folder / "run")
        self.assertLess(status["failed"], status["planned"] / 2)
        self.assertGreater(status["planned"], 100)


if __name__ == "__main__":
    unittest.main()
