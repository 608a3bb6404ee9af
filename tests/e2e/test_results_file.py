"""results.h5 as the interface describes it: every column with its type, and every derived number computed again."""

import subprocess
import unittest

import h5py
import numpy as np

from rich_run import DRAWN, ESSAY_TRIALS, ESSAYS_SKIPPED, RANDOM_TRIALS, RichRun
from support import PYTHON, ROOT, ragged, table

TEXT, INTEGER, REAL = "text", "integer", "real"

AXES = {"model": TEXT, "corpus": TEXT, "memory_vectors": INTEGER, "prefix": INTEGER, "protocol": TEXT, "precision": TEXT}
TRIAL_AXES = {**AXES, "sample": INTEGER, "seed": INTEGER, "length": INTEGER}
TRIALS = {
    "trial_id": TEXT, "family": TEXT, **TRIAL_AXES, "scored_tokens": INTEGER, "status": TEXT, "failure": TEXT,
    "evaluations": INTEGER, "best_evaluation": INTEGER, "stop_reason": TEXT, "loss_nomem_nats": REAL, "accuracy_nomem": REAL,
    "loss_nats": REAL, "accuracy": REAL, "correct_tokens": INTEGER, "exact": INTEGER, "loss_min_nats": REAL,
    "ce_nomem_nats": REAL, "ce_nats": REAL, "information_gain_nats": REAL, "token_gain": REAL, "elapsed_s": REAL,
    "rank": INTEGER, "host": TEXT, "device": TEXT, "attempt": INTEGER, "finished_utc": TEXT}
STATISTICS = {
    **AXES, "trials": INTEGER, "failed": INTEGER, "capacity_tokens": INTEGER, "capacity_exact_tokens": INTEGER,
    "capacity_cut": INTEGER, "token_gain_mean": REAL, "token_gain_std": REAL, "information_gain_nats_mean": REAL,
    "information_gain_nats_std": REAL, "ce_threshold_nats": REAL, "ce_residual_threshold_nats": REAL, "ce_offset_nats": REAL,
    "theoretical_capacity_tokens": REAL, "utilisation": REAL}
SKIPPED = {**TRIAL_AXES, "reason": TEXT}
LAUNCHES = {"argv": TEXT, "versions": TEXT, "git_revision": TEXT, "hosts": TEXT, "devices": TEXT, "job_id": TEXT,
            "restart_count": INTEGER, "started_utc": TEXT, "ended_utc": TEXT, "weights": TEXT}
ROOT_ATTRIBUTES = ("schema_version", "Conventions", "memcap_version", "experiment", "created_utc")


def kind(dataset):
    """text, integer or real."""
    if h5py.check_string_dtype(dataset.dtype):
        return TEXT
    return {"i": INTEGER, "u": INTEGER, "f": REAL}.get(dataset.dtype.kind, dataset.dtype.kind)


class ResultsFile(RichRun):
    def setUp(self):
        super().setUp()
        self.trials = table(self.run_folder)

    def test_has_every_table_with_every_column(self):
        with h5py.File(self.run_folder / "results.h5") as file:
            self.assertLessEqual(set(ROOT_ATTRIBUTES), set(file.attrs))
            self.assertEqual(file.attrs["experiment"], "e2e")
            for group, columns, rows in (("trials", TRIALS, ESSAY_TRIALS + RANDOM_TRIALS), ("statistics", STATISTICS, 10),
                                         ("skipped", SKIPPED, ESSAYS_SKIPPED), ("provenance/launches", LAUNCHES, 1),
                                         ("models", {"name": TEXT, "config_sha256": TEXT, "weights_sha256": TEXT}, 1),
                                         ("corpora", {"name": TEXT, "sha256": TEXT}, 2), ("protocols", {"name": TEXT}, 3)):
                for name, expected in columns.items():
                    with self.subTest(f"/{group}/{name}"):
                        self.assertIn(name, file[group])
                        self.assertEqual(kind(file[group][name]), expected)
                        self.assertEqual(file[group][name].shape, (rows,))
            self.assertEqual(file["trials/exact"].dtype, np.uint8)
            self.assertIn("ink-64", file["provenance/experiment_yaml"].asstr()[()])

    def test_has_a_dimension_scale_named_trial(self):
        with h5py.File(self.run_folder / "results.h5") as file:
            self.assertTrue(file["trials/trial"].is_scale)
            for name in TRIALS:
                scales = file["trials"][name].dims[0].values()
                self.assertEqual([scale.name for scale in scales], ["/trials/trial"], name)

    def test_has_a_row_for_each_tuple_of_axes(self):
        rows = list(zip(*(self.trials[name] for name in TRIAL_AXES)))
        self.assertEqual(len(set(rows)), len(rows))
        essays = self.trials["corpus"] == "essays"
        self.assertEqual(set(self.trials["length"][essays]), {3, 12})
        self.assertEqual(set(self.trials["prefix"][essays]), {0, 5})
        drawn = self.trials["length"][~essays]
        self.assertTrue(DRAWN[0] <= drawn.min() and drawn.max() <= DRAWN[1])
        self.assertGreater(len(set(drawn)), 3, "each random sample draws its own length")
        for reason in table(self.run_folder, "skipped")["reason"]:
            self.assertIn("K > N", reason)

    def test_gives_equal_ids_to_equal_trials_only(self):
        self.assertEqual(len(set(self.trials["trial_id"])), len(self.trials["trial_id"]))
        for trial_id in self.trials["trial_id"]:
            self.assertRegex(trial_id, "^[0-9a-f]{32}$")

    def test_scores_the_tokens_that_the_protocol_says(self):
        whole = self.trials["protocol"] == "whole"
        np.testing.assert_array_equal(self.trials["scored_tokens"], self.trials["length"] - ~whole)

    def test_derives_its_numbers_as_defined(self):
        t = self.trials
        self.assertEqual(set(t["status"]), {"done"})
        np.testing.assert_allclose(t["accuracy"], t["correct_tokens"] / t["scored_tokens"], rtol=1e-12)
        np.testing.assert_array_equal(t["exact"], t["correct_tokens"] == t["scored_tokens"])
        np.testing.assert_array_equal(t["stop_reason"] == "solved", t["exact"] == 1)
        np.testing.assert_allclose(t["ce_nats"], t["loss_nats"] * t["scored_tokens"], rtol=1e-9)
        np.testing.assert_allclose(t["ce_nomem_nats"], t["loss_nomem_nats"] * (t["length"] - 1), rtol=1e-9)
        np.testing.assert_allclose(t["information_gain_nats"], (t["loss_nomem_nats"] - t["loss_min_nats"]) * t["length"],
                                   rtol=1e-9)
        np.testing.assert_allclose(t["token_gain"], (t["accuracy"] - t["accuracy_nomem"]) * t["length"],
                                   rtol=1e-9, atol=1e-12)
        self.assertTrue(0 < t["exact"].sum() < len(t["exact"]), "some are solved and some are not")

    def test_keeps_the_curve_that_led_to_each_row(self):
        curves = {name: ragged(self.run_folder, "curves", name) for name in ("evaluation", "loss_nats", "accuracy")}
        for row, trial_id in enumerate(self.trials["trial_id"]):
            evaluation, loss, accuracy = (curves[name][trial_id] for name in ("evaluation", "loss_nats", "accuracy"))
            np.testing.assert_array_equal(evaluation, 1 + np.arange(self.trials["evaluations"][row]))
            best = self.trials["best_evaluation"][row] - 1
            self.assertEqual(int(np.argmax(accuracy)), best, "the first evaluation with the best accuracy")
            np.testing.assert_allclose(loss[best], self.trials["loss_nats"][row], rtol=1e-6)
            np.testing.assert_allclose(loss.min(), self.trials["loss_min_nats"][row], rtol=1e-6)
            np.testing.assert_allclose(accuracy[best], self.trials["accuracy"][row], rtol=1e-6)

    def test_keeps_tokens_and_vectors_of_the_right_size(self):
        tokens, prefixes, vectors = (ragged(self.run_folder, name) for name in ("tokens", "prefix_tokens", "vectors"))
        width = table(self.run_folder, "models")["memory_width"][0]
        for row, trial_id in enumerate(self.trials["trial_id"]):
            self.assertEqual(len(tokens[trial_id]), self.trials["length"][row])
            self.assertEqual(len(prefixes[trial_id]), self.trials["prefix"][row])
            self.assertEqual(len(vectors[trial_id]), self.trials["memory_vectors"][row] * width)
            self.assertTrue(np.isfinite(vectors[trial_id]).all())

    def test_has_statistics_that_follow_from_its_trials(self):
        checked = subprocess.run([PYTHON, "-B", "-m", "memcap_analysis.statistics", self.run_folder], check=False, text=True,
                                 capture_output=True, env={"PYTHONPATH": str(ROOT / "analysis")})
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_and_the_table_on_the_terminal_agree(self):
        header, *lines = self.printed.splitlines()
        self.assertIn("capacity", header)
        statistics = table(self.run_folder, "statistics")
        for row in range(len(statistics["model"])):
            told = [line.split() for line in lines]
            self.assertTrue(any({statistics["model"][row], statistics["corpus"][row], str(statistics["memory_vectors"][row]),
                                 statistics["protocol"][row], str(statistics["trials"][row]),
                                 str(statistics["capacity_tokens"][row])} <= set(words) for words in told), self.printed)


if __name__ == "__main__":
    unittest.main()
