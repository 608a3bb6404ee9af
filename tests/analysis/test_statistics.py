"""The recomputed statistics: against numbers worked out by hand, against loops, and as a check that finds planted errors."""

import contextlib
import io
import math
import unittest

from support import MODELS, FolderTest, frame, trial

import h5py
import numpy as np
import pandas as pd

from make_results import Plan, write
from memcap_analysis import statistics
from memcap_analysis.results import load


def only_row(*rows, corpora=None) -> pd.Series:
    table = statistics.recompute_statistics(frame(*rows), MODELS, corpora)
    assert len(table) == 1
    return table.iloc[0]


class ByHand(unittest.TestCase):
    def test_capacity_is_the_largest_length_whose_mean_accuracy_passes(self):
        # Length 5: 4 and 4 of 4; length 9: 8 and 7 of 8 (mean .9375); length 3: 1 of 2.
        row = only_row(trial(5, 4), trial(5, 4), trial(9, 8), trial(9, 7), trial(3, 1))
        self.assertEqual((row["capacity_tokens"], row["capacity_exact_tokens"], row["capacity_cut"]), (5, 5, 0))

    def test_a_mean_of_exactly_the_limit_passes_although_not_exact(self):
        row = only_row(*[trial(101, 99) for _ in range(7)], trial(201, 150))
        self.assertEqual((row["capacity_tokens"], row["capacity_exact_tokens"]), (101, 0))

    def test_just_below_the_limit_fails(self):
        row = only_row(*[trial(3072, 3040) for _ in range(3)])
        self.assertLess(3040 / 3071, 0.99)
        self.assertEqual(row["capacity_tokens"], 0)

    def test_the_grid_may_end_before_the_capacity(self):
        self.assertEqual(only_row(trial(5, 4), trial(9, 8))["capacity_cut"], 1)
        self.assertEqual(only_row(trial(5, 4), trial(9, 3))["capacity_cut"], 0)

    def test_gains_pool_the_unsolved_trials_of_all_lengths(self):
        # Solved: left out. Others: (6-1)/10*11 = 5.5 and (4-0)/4*5... kept only where accuracy is at most .99.
        row = only_row(trial(11, 6, correct_nomem=1, loss_nomem=4, loss_min=3), trial(21, 5, loss_nomem=5, loss_min=4.5),
                       trial(5, 4, loss_min=0.1))
        first, second = 5 / 10 * 11, 5 / 20 * 21
        self.assertAlmostEqual(row["token_gain_mean"], (first + second) / 2)
        self.assertAlmostEqual(row["token_gain_std"], abs(first - second) / math.sqrt(2))
        self.assertAlmostEqual(row["information_gain_nats_mean"], (11 * 1 + 21 * 0.5) / 2)
        self.assertAlmostEqual(row["information_gain_nats_std"], 0.5 / math.sqrt(2))
        self.assertAlmostEqual(row["theoretical_capacity_tokens"], 64 * 16 / 10)
        self.assertAlmostEqual(row["utilisation"], row["token_gain_mean"] / 102.4)

    def test_an_accuracy_of_exactly_the_limit_counts_towards_gains_and_thresholds_but_not_the_fit(self):
        row = only_row(trial(101, 99, loss_nomem=4, loss_min=0.5))
        self.assertAlmostEqual(row["information_gain_nats_mean"], 3.5 * 101)
        self.assertAlmostEqual(row["ce_threshold_nats"], 400)
        self.assertAlmostEqual(row["ce_residual_threshold_nats"], 50.5)
        self.assertTrue(math.isnan(row["ce_offset_nats"]))

    def test_the_offset_is_the_mean_cross_entropy_removed_from_unsolved_trials(self):
        row = only_row(trial(11, 6, loss_nomem=4, loss_min=3), trial(21, 5, loss_nomem=5, loss_min=4.5), trial(5, 4))
        self.assertAlmostEqual(row["ce_offset_nats"], ((40 - 30) + (100 - 90)) / 2)

    def test_cross_entropy_counts_each_scored_token_once_when_all_are_scored(self):
        # target: all scores N tokens with memory, N - 1 without.
        row = only_row(trial(11, 6, loss_nomem=4, loss_min=3, scored_tokens=11))
        self.assertAlmostEqual(row["ce_offset_nats"], 40 - 33)

    def test_failed_trials_count_in_the_first_two_columns_alone(self):
        failed = trial(9, 0, status="failed") | {"accuracy": np.nan, "loss_min_nats": np.nan, "exact": 0}
        row = only_row(trial(9, 8), failed)
        self.assertEqual((row["trials"], row["failed"], row["capacity_tokens"], row["capacity_exact_tokens"]), (2, 1, 9, 9))

    def test_a_cell_without_any_result_has_no_numbers(self):
        row = only_row(trial(9, 0, status="failed") | {"accuracy": np.nan})
        self.assertEqual((row["trials"], row["failed"], row["capacity_tokens"], row["capacity_cut"]), (1, 1, 0, 0))
        self.assertTrue(row[["token_gain_mean", "ce_threshold_nats", "ce_offset_nats", "utilisation"]].isna().all())

    def test_drawn_lengths_take_the_longest_single_trial(self):
        corpora = pd.DataFrame([{"name": "c", "drawn_lengths": 1}])
        rows = [trial(9, 8), trial(9, 1), trial(17, 16), trial(33, 3)]
        self.assertEqual(only_row(*rows, corpora=corpora)["capacity_tokens"], 17)
        self.assertEqual(only_row(trial(9, 8), trial(9, 1), corpora=corpora)["capacity_exact_tokens"], 9)
        self.assertEqual(only_row(trial(9, 8), trial(9, 1))["capacity_tokens"], 0)

    def test_one_trial_has_no_spread(self):
        self.assertTrue(math.isnan(only_row(trial(9, 1))["token_gain_std"]))

    def test_a_row_for_each_key(self):
        rows = [trial(9, 8), trial(9, 8, memory_vectors=2), trial(9, 8, precision="bfloat16"), trial(9, 8, prefix=4),
                trial(9, 8, protocol="hot"), trial(9, 8, corpus="d"), trial(9, 8, model="n"), trial(9, 8, seed=1)]
        self.assertEqual(len(statistics.recompute_statistics(frame(*rows), MODELS)), 7)


class AgainstAFile(FolderTest):
    def test_agrees_with_plain_loops_over_many_random_files(self):
        for seed in range(6):
            plan = Plan(seed=seed, failed_share=0.2 * (seed % 3), protocols=("paper", "hot"), curves=False, vectors=False,
                        lengths=(2, 4, 8, 16, 32, 101))
            path = write(self.folder / str(seed), plan)
            self.assertEqual(statistics.compare(path).to_string(), statistics.compare(path).iloc[:0].to_string())
            self.assertTrue(statistics.check_trials(load(path).trials).empty)

    def test_each_planted_error_is_found(self):
        path = write(self.folder, Plan())
        for column in [*statistics.COUNTS, *statistics.MEASURES]:
            with self.subTest(column=column):
                results = load(path)
                row = results.statistics[column].first_valid_index()
                old = results.statistics.loc[row, column]
                results.statistics[column] = results.statistics[column].astype(float)
                results.statistics.loc[row, column] = old * 1.001 + 0.001
                found = statistics.compare_tables(results)
                self.assertEqual(list(found["column"]), [column])
                self.assertAlmostEqual(found["recomputed"].iloc[0], old)

    def test_a_number_where_none_belongs_is_found(self):
        results = load(write(self.folder, Plan()))
        row = results.statistics.index[results.statistics["token_gain_mean"].isna()][0]
        results.statistics.loc[row, "token_gain_mean"] = 0.0
        self.assertEqual(list(statistics.compare_tables(results)["column"]), ["token_gain_mean"])

    def test_missing_and_extra_rows_are_found(self):
        results = load(write(self.folder, Plan()))
        results.statistics = results.statistics.iloc[1:]
        found = statistics.compare_tables(results)
        self.assertEqual([tuple(row) for row in found[["column", "stored", "recomputed"]].values], [("row", False, True)])

    def test_derived_columns_that_do_not_follow_are_found(self):
        path = write(self.folder, Plan())
        for column in ("token_gain", "information_gain_nats", "ce_nomem_nats", "ce_nats", "accuracy", "exact"):
            with self.subTest(column=column):
                trials = load(path).trials
                row = trials.index[trials["status"] == "done"][3]
                trials[column] = trials[column].astype(float)
                trials.loc[row, column] = trials.loc[row, column] + 0.5
                found = statistics.check_trials(trials)
                self.assertIn((trials.loc[row, "trial_id"], column), set(zip(found["trial_id"], found["column"])))

    def test_the_command_says_whether_they_agree(self):
        def status_and_text(argument) -> tuple[int, str]:
            text = io.StringIO()
            with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
                return statistics.main([str(argument)]), text.getvalue()

        path = write(self.folder, Plan())
        self.assertEqual(status_and_text(path)[0], 0)
        with h5py.File(path, "a") as file:
            file["statistics/capacity_tokens"][0] += 1
        status, text = status_and_text(path)
        self.assertEqual(status, 1)
        self.assertIn("capacity_tokens", text)
        self.assertEqual(status_and_text(self.folder / "none")[0], 2)


if __name__ == "__main__":
    unittest.main()
