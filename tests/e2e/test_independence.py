"""A trial's record does not depend, to the last bit, on ranks, slots, threads, company or interruptions."""

import unittest

from support import EndToEnd, essays, hot, mpirun, ragged, random_words, results_hash, table, trials

# At a rate of .3 a difference in the last bit of one product grows to percents within these steps.
MIXED = {"corpora": {"essays": essays(3), "random": random_words(2)}, "protocols": {"short": hot(60)}, "memory_vectors": [1, 4],
         "lengths": [5, 12, 40]}
MIXED_TRIALS = 30


class Independence(EndToEnd):
    @classmethod
    def setUpClass(cls):
        # Each trial by itself, once: what every other way of running them is compared with.
        alone = cls()
        alone.setUp()
        cls.addClassCleanup(alone.doCleanups)
        cls.alone = alone.run_experiment(alone.write(**MIXED, run={"threads": 1, "slots": 1}))
        assert len(table(cls.alone)["trial_id"]) == MIXED_TRIALS

    def assert_same_bits(self, run):
        """All that a run says of its trials, vectors and curves included, is what the trials by themselves say."""
        first, second = trials(self.alone), trials(run)
        self.assertEqual(set(first), set(second))
        for trial_id, row in first.items():
            self.assert_equal_tables(row, second[trial_id])
        for group, dataset in (("vectors", "values"), ("tokens", "values"), ("curves", "loss_nats")):
            self.assert_equal_tables(ragged(self.alone, group, dataset), ragged(run, group, dataset))
        self.assertEqual(results_hash(self.alone), results_hash(run))

    def test_of_ranks_slots_and_threads(self):
        for ranks, how in ((1, {"slots": "auto", "threads": 2}), (1, {"slots": 5, "threads": 1}), (2, {"slots": "auto", "threads": 1}),
                           (3, {"slots": 5, "threads": 1}), (2, {"slots": 1, "threads": 2})):
            with self.subTest(ranks=ranks, **how):
                name = f"{ranks}-{how['slots']}-{how['threads']}"
                self.assert_same_bits(self.run_experiment(self.write(**MIXED, run=how), name, launcher=mpirun(ranks) if ranks > 1 else ()))

    def test_of_parts_that_are_merged(self):
        # Two halves of the sweep in runs of their own, each with another number of slots.
        halves = [self.run_experiment(self.write(**{**MIXED, "lengths": lengths}, run={"threads": 1, "slots": slots}, name=f"{slots}.yaml"),
                                      f"half-{slots}") for slots, lengths in ((3, [5, 12]), (7, [12, 40]))]
        merged = self.folder / "merged.h5"
        said = self.memcap("merge", merged, *halves)
        self.assertNotIn("conflict", said.stderr.replace("0 conflicts", ""))
        self.assertEqual(results_hash(self.alone), results_hash(merged))

    def test_of_a_run_that_is_killed_five_times(self):
        file = self.write(**MIXED, run={"threads": 1, "slots": 4})
        run = self.folder / "run"
        for kills in range(1, 6):
            process = self.start(file)
            self.wait_for_results(run, 4 * kills, process)
            self.kill_all(process, [])
        self.run_experiment(file)
        self.assert_same_bits(run)

    def test_with_more_ranks_than_trials(self):
        file = self.write(samples=1, lengths=[8], memory_vectors=[1], max_steps=60)
        alone = self.run_experiment(file, "one")
        crowd = self.run_experiment(file, "crowd", launcher=mpirun(3))
        self.assertEqual(len(trials(crowd)), 1)
        self.assertEqual(results_hash(alone), results_hash(crowd))


if __name__ == "__main__":
    unittest.main()
