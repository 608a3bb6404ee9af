"""Reading result files: what is read, how broken files are refused, how several are joined."""

import shutil
import unittest

from support import FolderTest

import h5py
import numpy as np

from make_results import Plan, write
from memcap_analysis.results import ResultFileError, accuracy_curves, load, load_all


class ReadsAFile(FolderTest):
    def setUp(self):
        super().setUp()
        self.path = write(self.folder / "run", Plan())

    def test_trials_equal_the_columns_of_the_file(self):
        results = load(self.folder / "run")
        with h5py.File(self.path) as file:
            self.assertEqual(set(results.trials.columns) - {"source", "source_row"}, set(file["trials"]) - {"trial"})
            np.testing.assert_array_equal(results.trials["accuracy"], file["trials/accuracy"][...])
            self.assertEqual(list(results.trials["model"]), [name.decode() for name in file["trials/model"][...]])
            self.assertEqual(len(results.skipped), file["skipped/reason"].shape[0])
        self.assertEqual(results.experiment, "quickstart")
        self.assertIn("experiment: quickstart", results.experiment_yaml[0])
        self.assertEqual(len(results.launches), 2)
        self.assertEqual(results.protocols["betas"].iloc[0], (0.9, 0.9))

    def test_done_and_failed_part_the_trials(self):
        results = load(self.path)
        self.assertGreater(len(results.failed()), 0)
        self.assertEqual(len(results.done()) + len(results.failed()), len(results.trials))
        self.assertFalse(results.done()["accuracy"].isna().any())

    def test_optional_tables_may_be_missing(self):
        with h5py.File(self.path, "a") as file:
            for name in ("skipped", "statistics", "models", "corpora", "protocols", "provenance", "curves"):
                del file[name]
        results = load(self.path)
        self.assertTrue(results.models.empty and results.statistics.empty and results.launches.empty)
        self.assertEqual(results.experiment_yaml, [""])

    def test_curves_keep_the_last_value_recorded_so_far(self):
        results = load(self.path)
        steps = np.array([1, 15, 10_000])
        curves = accuracy_curves(results, steps)
        with h5py.File(self.path) as file:
            start, count = file["curves/start"][...], file["curves/count"][...]
            evaluation, accuracy = file["curves/values/evaluation"][...], file["curves/values/accuracy"][...]
        for row in (0, 7, len(count) - 1):
            span = slice(start[row], start[row] + count[row])
            for column, step in enumerate(steps):
                before = accuracy[span][evaluation[span] <= step]
                self.assertEqual(curves[row, column], before[-1])
        failed = np.flatnonzero((results.trials["status"] == "failed").to_numpy())
        self.assertTrue(np.isnan(curves[failed]).all())

    def test_curves_whose_segment_is_gone_are_left_out_with_a_note(self):
        shutil.rmtree(self.folder / "run" / "vectors")
        results = load(self.path)
        self.assertTrue(np.isnan(accuracy_curves(results, np.array([1]))).all())
        self.assertIn("curves-0.h5: missing", results.notes[0])

    def test_curves_whose_segment_is_damaged_are_left_out_with_a_note(self):
        segment = self.folder / "run" / "vectors" / "curves-0.h5"
        whole = segment.read_bytes()
        for content in (whole[:len(whole) // 2], b"x" * len(whole)):
            segment.write_bytes(content)
            results = load(self.path)
            self.assertTrue(np.isnan(accuracy_curves(results, np.array([1]))).all())
            self.assertIn("vectors/curves-0.h5: ", results.notes[0])
            self.assertIn(f"memcap rebuild {self.path.parent}", results.notes[0])

    def test_curves_that_are_fill_values_are_refused(self):
        with h5py.File(self.folder / "run" / "vectors" / "curves-0.h5", "a") as segment:
            del segment["evaluation"]
        with self.assertRaisesRegex(ResultFileError, "learning curves without numbers: one of vectors/curves-0.h5"):
            accuracy_curves(load(self.path), np.array([1]))

    def test_a_link_leads_to_the_segments(self):
        link = self.folder / "latest.h5"
        link.symlink_to(self.path)
        results = load(link)
        self.assertFalse(np.isnan(accuracy_curves(results, np.array([10_000]))).all())
        self.assertEqual(results.notes, [])


class RefusesBrokenFiles(FolderTest):
    def setUp(self):
        super().setUp()
        self.path = write(self.folder, Plan(samples=2))

    def refused(self, *parts: str, path=None):
        with self.assertRaises(ResultFileError) as caught:
            load(path or self.path)
        for part in (str(path or self.path), *parts):
            self.assertIn(part, str(caught.exception))

    def test_a_folder_without_a_file(self):
        (self.folder / "empty").mkdir()
        self.refused("no results.h5", "Name the folder of a run", path=self.folder / "empty")
        (self.folder / "empty" / "journal").mkdir()
        self.refused("no results.h5", "memcap rebuild", path=self.folder / "empty")

    def test_no_such_path(self):
        self.refused("no such file or folder", path=self.folder / "nowhere")

    def test_not_hdf5(self):
        self.path.write_text("experiment: quickstart\n")
        self.refused("not an HDF5 file")

    def test_an_empty_file(self):
        self.path.write_bytes(b"")
        self.refused("not an HDF5 file")

    def test_hdf5_of_another_program(self):
        with h5py.File(self.path, "w") as file:
            file["trials"] = [1, 2]
        self.refused("not a memcap result file", "schema_version")

    def test_a_newer_schema(self):
        with h5py.File(self.path, "a") as file:
            file.attrs.update({"schema_version": 2, "memcap_version": "9.1"})
        self.refused("schema 2", "memcap 9.1", "up to schema 1")

    def test_a_schema_that_is_no_number(self):
        with h5py.File(self.path, "a") as file:
            file.attrs["schema_version"] = "one"
        self.refused("'one'")

    def test_a_missing_column_is_named(self):
        with h5py.File(self.path, "a") as file:
            del file["trials/loss_min_nats"]
        self.refused("lacks the column loss_min_nats")

    def test_columns_of_different_lengths(self):
        with h5py.File(self.path, "a") as file:
            short = file["trials/accuracy"][:-3]
            del file["trials/accuracy"]
            file["trials/accuracy"] = short
        self.refused("differ in length", f"accuracy has {len(short)} rows")

    def test_truncated_at_any_place(self):
        whole = self.path.read_bytes()
        for share in (0.02, 0.3, 0.7, 0.99):
            with self.subTest(share=share):
                self.path.write_bytes(whole[:int(len(whole) * share)])
                self.refused("truncated or damaged", "memcap rebuild")


class JoinsFiles(FolderTest):
    def test_the_same_file_twice_counts_once(self):
        path = write(self.folder / "a", Plan())
        self.assertEqual(len(load_all([path, self.folder / "a"]).trials), len(load(path).trials))

    def test_a_result_goes_before_a_failure_of_the_same_trial(self):
        write(self.folder / "a", Plan(failed_share=0.3))
        write(self.folder / "b", Plan(failed_share=0.0))
        joined = load_all([self.folder / "a", self.folder / "b"])
        self.assertEqual(len(joined.failed()), 0)
        self.assertEqual(len(joined.trials), len(load(self.folder / "b").trials))
        self.assertTrue(any("count once" in note for note in joined.notes))

    def test_different_trials_add_up_and_statistics_wait_to_be_computed(self):
        write(self.folder / "a", Plan(texts=["essays"], random_words=False))
        write(self.folder / "b", Plan(texts=["letters"], random_words=False))
        joined = load_all([self.folder / "a", self.folder / "b"])
        self.assertEqual(set(joined.trials["corpus"]), {"essays", "letters"})
        self.assertEqual(len(joined.models), 3)
        self.assertTrue(joined.statistics.empty)

    def test_one_name_for_two_models_is_qualified_by_the_experiment(self):
        write(self.folder / "a", Plan(experiment="first"))
        path = write(self.folder / "b", Plan(experiment="second"))
        with h5py.File(path, "a") as file:
            hashes = file["models/weights_sha256"][...]
            hashes[0] = b"0" * 64
            file["models/weights_sha256"][...] = hashes
        joined = load_all([self.folder / "a", self.folder / "b"])
        self.assertEqual(set(joined.trials["model"]), {"ink-64 (first)", "ink-64 (second)", "ink-128", "ink-192"})
        self.assertEqual(set(joined.models["name"]), set(joined.trials["model"]))
        self.assertTrue(any("ink-64" in note for note in joined.notes))


if __name__ == "__main__":
    unittest.main()
