"""Results depend neither on the number of ranks nor on what ran beside a trial."""

import unittest

import numpy as np

from support import EndToEnd, columns, mpirun, ragged, relative_difference, trials


class Independence(EndToEnd):
    def assert_same_curves(self, ours, theirs):
        """The first 50 losses of each trial of ours agree to 1e-5 with those in theirs."""
        mine, others = (ragged(run, "curves", "loss_nats") for run in (ours, theirs))
        self.assertLessEqual(set(mine), set(others))
        for trial_id, losses in mine.items():
            together = min(50, len(losses), len(others[trial_id]))
            self.assertGreater(together, 1)
            self.assertLess(relative_difference(losses[:together], others[trial_id][:together]), 1e-5, trial_id)

    def test_of_the_number_of_ranks(self):
        file = self.experiment(max_steps=60)
        alone = self.run_experiment(file, "alone")
        for ranks in (1, 3):
            with self.subTest(ranks=ranks):
                run = self.run_experiment(file, f"ranks-{ranks}", launcher=mpirun(ranks))
                self.assertEqual(set(trials(run)), set(trials(alone)))
                self.assert_same_curves(run, alone)

    def test_with_more_ranks_than_trials(self):
        file = self.experiment(samples=1, lengths=[8], memory_vectors=[1], max_steps=60)
        alone = self.run_experiment(file, "alone")
        crowd = self.run_experiment(file, "crowd", launcher=mpirun(3))
        self.assertEqual(len(trials(crowd)), 1)
        self.assert_same_curves(crowd, alone)

    def test_bitwise_where_each_trial_runs_by_itself(self):
        file = self.experiment(max_steps=60, slots=1)
        alone, ranks = self.run_experiment(file, "alone"), self.run_experiment(file, "ranks", launcher=mpirun(2))
        first, second = trials(alone), trials(ranks)
        for trial_id, values in first.items():
            for name, value in values.items():
                np.testing.assert_array_equal(value, second[trial_id][name], err_msg=name)
        for group in ("vectors", "tokens"):
            mine, others = ragged(alone, group), ragged(ranks, group)
            for trial_id in first:
                np.testing.assert_array_equal(mine[trial_id], others[trial_id])

    def test_of_the_neighbours_in_the_slots(self):
        crowded = self.run_experiment(self.experiment(memory_vectors=[1, 2, 4], lengths=[5, 8, 16], prefix=[0, 7],
                                                      max_steps=60), "crowded")
        self.assertGreaterEqual(len(columns(crowded)["trial_id"]), 48)
        single = self.run_experiment(self.experiment(memory_vectors=[2], lengths=[8], prefix=[7], max_steps=60,
                                                     slots=1), "single")
        self.assert_same_curves(single, crowded)


if __name__ == "__main__":
    unittest.main()
