"""Results depend neither on the number of ranks nor on what ran beside a trial."""

import math
import unittest

import numpy as np

from support import EndToEnd, mpirun, ragged, relative_difference, table, trials

# One-sided 95 % quantile of Student's t for 49 degrees of freedom; it is smaller for more.
T_QUANTILE = 1.677
ACCURACY_MARGIN = 0.01
GAIN_MARGIN = 0.03
COMPARED_LOSSES = 50


def interval_90(differences):
    """The 90 % confidence interval of the mean of at least 50 paired differences."""
    mean = float(np.mean(differences))
    half = T_QUANTILE * float(np.std(differences, ddof=1)) / math.sqrt(len(differences))
    return mean - half, mean + half


class Independence(EndToEnd):
    def assert_same_curves(self, ours, theirs):
        """The first 50 losses of each trial of ours agree to 1e-5 with those in theirs."""
        mine, others = (ragged(run, "curves", "loss_nats") for run in (ours, theirs))
        self.assertLessEqual(set(mine), set(others))
        for trial_id, losses in mine.items():
            together = min(COMPARED_LOSSES, len(losses), len(others[trial_id]))
            self.assertGreater(together, 1)
            grown = [f"{relative_difference(losses[:steps], others[trial_id][:steps]):.1e}" for steps in range(1, together + 1)]
            self.assertLess(relative_difference(losses[:together], others[trial_id][:together]), 1e-5,
                            f"trial {trial_id}: largest difference so far, evaluation by evaluation: {' '.join(grown)}")

    def assert_same_bits(self, ours, theirs):
        """All that a run says of its trials, vectors and curves included, is equal to the last bit."""
        first, second = trials(ours), trials(theirs)
        self.assertEqual(set(first), set(second))
        for trial_id, row in first.items():
            self.assert_equal_tables(row, second[trial_id])
        for group, dataset in (("vectors", "values"), ("tokens", "values"), ("curves", "loss_nats")):
            self.assert_equal_tables(ragged(ours, group, dataset), ragged(theirs, group, dataset))

    def test_of_the_number_of_ranks(self):
        # Ranks divide the trials differently, so batches differ. At the paper's rate, as below.
        file = self.write(protocols={"short": {"base": "paper", "max_steps": 60}})
        alone = self.run_experiment(file, "alone")
        for ranks in (1, 3):
            with self.subTest(ranks=ranks):
                run = self.run_experiment(file, f"ranks-{ranks}", launcher=mpirun(ranks))
                self.assertEqual(set(trials(run)), set(trials(alone)))
                self.assertEqual(len(table(run)["trial_id"]), 12)
                self.assert_same_curves(run, alone)

    def test_with_more_ranks_than_trials(self):
        file = self.write(samples=1, lengths=[8], memory_vectors=[1], max_steps=60)
        alone = self.run_experiment(file, "alone")
        crowd = self.run_experiment(file, "crowd", launcher=mpirun(3))
        self.assertEqual(len(trials(crowd)), 1)
        # One trial, so one shape: the kernels are the same.
        self.assert_same_bits(crowd, alone)

    def test_bitwise_where_each_trial_runs_by_itself(self):
        file = self.write(max_steps=60, run={"threads": 1, "slots": 1})
        self.assert_same_bits(self.run_experiment(file, "alone"), self.run_experiment(file, "ranks", launcher=mpirun(2)))

    def test_of_the_neighbours_in_whole_trials(self):
        # 128 pairs of whole trials: each by itself, and among others of other K, N and prefix that come and go.
        # At a rate of .3 rounding alone makes the accuracies of a pair differ by .015 to .03 (standard deviation):
        # over 64 pairs up to two thirds of what is allowed, and one equal engine in three would fail.
        mixed = {"samples": 16, "max_steps": 150, "memory_vectors": [1, 4], "lengths": [5, 12], "prefix": [0, 7]}
        crowded = self.run_experiment(self.write(**mixed), "crowded")
        single = self.run_experiment(self.write(**mixed, run={"threads": 1, "slots": 1}), "single",
                                     launcher=mpirun(2))
        alone, among = trials(single), trials(crowded)
        self.assertEqual(set(alone), set(among))
        self.assertGreaterEqual(len(alone), 128)
        values = {name: np.array([[run[trial_id][name] for trial_id in alone] for run in (alone, among)])
                  for name in ("accuracy", "information_gain_nats")}
        for name, margin in (("accuracy", ACCURACY_MARGIN),
                             ("information_gain_nats", GAIN_MARGIN * values["information_gain_nats"][0].mean())):
            low, high = interval_90(values[name][1] - values[name][0])
            by_itself, with_others = values[name].mean(axis=1)
            text = (f"{name}: mean {by_itself:.6f} alone, {with_others:.6f} among others; 90 % interval of the difference "
                    f"over {len(alone)} pairs {low:+.6f}..{high:+.6f}, allowed +-{margin:.6f}")
            print(text)
            with self.subTest(name):
                self.assertTrue(-margin < low and high < margin, text)

    def test_of_the_neighbours_at_each_of_the_first_steps(self):
        # At the paper's rate: a rate of .3 makes 1e-4 of 1e-7 within 50 steps.
        paper = {"short": {"base": "paper", "max_steps": 60}}
        mixed = {"samples": 4, "protocols": paper, "memory_vectors": [1, 4], "lengths": [5, 12], "prefix": [0, 7]}
        crowded = self.run_experiment(self.write(**mixed), "crowded")
        single = self.run_experiment(self.write(**mixed, run={"threads": 1, "slots": 1}), "single")
        self.assert_same_curves(single, crowded)

    def test_of_what_a_paired_interval_is(self):
        # 50 differences of which half are 0 and half .02: mean .01, deviation .0101, half-width 1.677 * .0101 / sqrt(50).
        low, high = interval_90(np.array([0.0, 0.02] * 25))
        self.assertAlmostEqual(low, 0.01 - 0.0023958, places=6)
        self.assertAlmostEqual(high, 0.01 + 0.0023958, places=6)


if __name__ == "__main__":
    unittest.main()
