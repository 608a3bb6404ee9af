"""The result file as h5py, pandas and the analysis package see it: `test_results_file.py WRITE_SAMPLE_RUN`.

WRITE_SAMPLE_RUN is the program that writes the sample experiment of tests/store/sample_run.hpp: 2 models x 4 samples x
K in {1, 2} x N in {8, 16, 32} x prefix in {0, 4}, row 3 failed, the last row without a record.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
if importlib.util.find_spec("h5py") is None or importlib.util.find_spec("numpy") is None:
    print("skipped: h5py and numpy are not installed in", sys.executable, "(./quickstart installs them)")
    sys.exit(0)

import h5py
import numpy as np

WRITER = None
COLUMNS = {
    "trial_id": str, "model": str, "family": str, "corpus": str, "sample": np.int32, "text_source": str, "seed": np.uint64,
    "memory_vectors": np.int32, "length": np.int32, "prefix": np.int32, "protocol": str, "precision": str,
    "scored_tokens": np.int32, "status": str, "failure": str, "evaluations": np.int32, "best_evaluation": np.int32,
    "stop_reason": str, "loss_nomem_nats": np.float64, "accuracy_nomem": np.float64, "loss_nats": np.float64,
    "accuracy": np.float64, "correct_tokens": np.int32, "exact": np.uint8, "loss_min_nats": np.float64,
    "ce_nomem_nats": np.float64, "ce_nats": np.float64, "information_gain_nats": np.float64, "token_gain": np.float64,
    "elapsed_s": np.float64, "rank": np.int32, "host": str, "device": str, "attempt": np.int32, "finished_utc": str}
STATISTICS = ["model", "corpus", "memory_vectors", "prefix", "protocol", "precision", "trials", "failed", "capacity_tokens",
              "capacity_exact_tokens", "capacity_cut", "token_gain_mean", "token_gain_std", "information_gain_nats_mean",
              "information_gain_nats_std", "ce_threshold_nats", "ce_residual_threshold_nats", "ce_offset_nats",
              "theoretical_capacity_tokens", "utilisation"]
MODELS = ["name", "family", "path", "config_sha256", "weights_sha256", "parameters", "memory_width", "vocabulary_size",
          "context_tokens", "layers"]
CORPORA = ["name", "kind", "path", "part", "samples", "drawn_lengths", "sha256"]
PROTOCOLS = ["name", "optimiser", "learning_rate", "betas", "weight_decay", "epsilon", "max_steps", "patience",
             "stop_accuracy", "schedule", "warmup_steps", "target", "init"]
LAUNCHES = ["started_utc", "ended_utc", "argv", "memcap_version", "git_revision", "hosts", "devices", "ranks", "job_id",
            "restart_count", "versions"]


def texts(dataset):
    return dataset.asstr()[...]


class ResultFile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = Path(tempfile.mkdtemp(prefix="memcap-results-"))
        cls.folder = cls.place / "run"
        subprocess.run([WRITER, str(cls.folder)], check=True)
        # Relative names in the file must not lean on the working directory.
        os.chdir("/")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.place)

    def setUp(self):
        self.file = h5py.File(self.folder / "results.h5", "r", locking=False)
        self.addCleanup(self.file.close)
        self.trials = self.file["trials"]

    def test_root_attributes(self):
        attributes = self.file.attrs
        self.assertEqual(attributes["schema_version"], 1)
        self.assertEqual(attributes["experiment"], "sample")
        self.assertEqual(attributes["created_utc"], "2026-03-01T12:00:00Z")
        for name in ("Conventions", "memcap_version"):
            self.assertIsInstance(attributes[name], str)
        for name, count in (("planned_trials", 96), ("open_trials", 1), ("skipped_trials", 1), ("dropped_trials", 0)):
            self.assertEqual(attributes[name], count, name)

    def test_texts_have_variable_length(self):
        def check(name, item):
            kind = h5py.check_string_dtype(item.dtype) if isinstance(item, h5py.Dataset) else None
            if kind is not None:
                self.assertEqual((kind.encoding, kind.length), ("utf-8", None), name)
        self.file.visititems(check)

    def test_every_dataset_has_dimensions_of_its_group_or_those_above(self):
        def check(name, item):
            if not isinstance(item, h5py.Dataset) or item.is_scale:
                return
            for axis, dimension in enumerate(item.dims):
                self.assertEqual(len(dimension), 1, name)
                scale = dimension[0]
                self.assertEqual(scale.shape, (item.shape[axis],), name)
                self.assertTrue(name.startswith(scale.parent.name.strip("/")), f"{name}: {scale.name}")
        self.file.visititems(check)

    def test_dimensions_take_no_room(self):
        hollow = self.file["vectors/element"]
        self.assertEqual(hollow.id.get_storage_size(), 0)
        self.assertTrue(hollow.attrs["NAME"].startswith(b"This is a netCDF dimension but not a netCDF variable."))

    @unittest.skipUnless(importlib.util.find_spec("xarray") and importlib.util.find_spec("h5netcdf"),
                         "xarray and h5netcdf are not installed")
    def test_xarray_reads_every_group_and_compares_names_as_text(self):
        import xarray
        path = self.folder / "results.h5"
        vectors, starts = self.file["vectors/values"][...], self.file["tokens/start"][...]
        # HDF5 opens a file twice only with the same settings.
        self.file.close()
        trials = xarray.open_dataset(path, group="trials", engine="h5netcdf")
        self.assertEqual(int((trials["model"] == "ink-64").sum()), 48)
        self.assertEqual(trials["accuracy"].dims, ("trial",))
        tree = xarray.open_datatree(path, engine="h5netcdf")
        self.assertEqual(tree["protocols/betas"].dims, ("protocol", "moment"))
        self.assertEqual(tree["statistics/capacity_tokens"].dims, ("cell",))
        np.testing.assert_array_equal(tree["vectors/values"].values, vectors)
        np.testing.assert_array_equal(tree["tokens/start"].values, starts)

    def test_every_column_has_its_type_label_and_dimension(self):
        self.assertEqual(set(self.trials) - {"trial"}, set(COLUMNS))
        for name, kind in COLUMNS.items():
            column = self.trials[name]
            with self.subTest(name):
                self.assertEqual(column.shape, (95,))
                self.assertTrue(column.attrs["long_name"])
                self.assertEqual(column.dims[0].keys(), ["trial"])
                if kind is str:
                    self.assertEqual(h5py.check_string_dtype(column.dtype).encoding, "utf-8")
                else:
                    self.assertEqual(column.dtype, kind)
                if name.endswith("_nats") or name.endswith("_s"):
                    self.assertEqual(column.attrs["units"], "nats" if name.endswith("_nats") else "s")

    def test_order_of_rows_and_columns_is_the_plan_s_and_the_contract_s(self):
        self.assertEqual([name for name in self.trials if name != "trial"], list(COLUMNS))
        self.assertEqual(list(texts(self.trials["model"])), ["ink-64"] * 48 + ["größe"] * 47)
        self.assertEqual(list(self.trials["length"][:6]), [8, 8, 16, 16, 32, 32])
        self.assertEqual(list(self.trials["prefix"][:6]), [0, 4, 0, 4, 0, 4])

    def test_a_failed_trial_says_why_and_has_no_numbers(self):
        self.assertEqual(list(np.flatnonzero(texts(self.trials["status"]) == "failed")), [3])
        self.assertEqual(texts(self.trials["failure"])[3], "permanent: the loss is not finite (evaluation 3) — Übelkeit")
        self.assertEqual(texts(self.trials["failure"])[4], "")
        for name in ("loss_nats", "accuracy", "token_gain", "information_gain_nats", "ce_nats", "ce_nomem_nats"):
            self.assertTrue(np.isnan(self.trials[name][3]), name)
        self.assertEqual(self.trials["evaluations"][3], -1)

    def test_derived_columns(self):
        columns = {name: self.trials[name][...] for name, kind in COLUMNS.items() if kind is not str}
        done = np.arange(95) != 3
        for name, expected in (
                ("ce_nomem_nats", columns["loss_nomem_nats"] * (columns["length"] - 1)),
                ("ce_nats", columns["loss_nats"] * columns["scored_tokens"]),
                ("information_gain_nats", (columns["loss_nomem_nats"] - columns["loss_min_nats"]) * columns["length"]),
                ("token_gain", (columns["accuracy"] - columns["accuracy_nomem"]) * columns["length"])):
            np.testing.assert_allclose(columns[name][done], expected[done], rtol=1e-15, err_msg=name)

    def test_vectors_and_curves_are_plain_arrays_over_two_segments(self):
        vectors, curves = self.file["vectors"], self.file["curves"]
        self.assertTrue(vectors["values"].is_virtual)
        sources = sorted({source.file_name for source in vectors["values"].virtual_sources()})
        self.assertEqual(len(sources), 2)
        for number, source in enumerate(sources, 1):
            self.assertRegex(source, rf"^vectors/000{number}-[0-9a-f]{{16}}\.h5$")
        for group in (vectors, curves):
            self.assertIn("--self-contained", group.attrs["comment"])
        ids, memory_vectors = texts(self.trials["trial_id"]), self.trials["memory_vectors"][...]
        for row in range(95):
            start, count = vectors["start"][row], vectors["count"][row]
            values = vectors["values"][start:start + count]
            if row == 3:
                self.assertEqual(count, 0)
                continue
            self.assertEqual(values.dtype, np.float32)
            mark = np.float32(int(ids[row][16:], 16) % 1000003)
            np.testing.assert_array_equal(values, mark + np.float32(0.25) * np.arange(memory_vectors[row] * 6, dtype=np.float32))
            start, count = curves["start"][row], curves["count"][row]
            self.assertEqual(count, 5 + self.trials["sample"][row])
            np.testing.assert_array_equal(curves["evaluation"][start:start + count], 10 * np.arange(1, count + 1))
            np.testing.assert_array_equal(curves["loss_nats"][start:start + count],
                                          mark / np.arange(1, count + 1, dtype=np.float32))
            np.testing.assert_allclose(curves["accuracy"][start:start + count], 0.1 * np.arange(1, count + 1), rtol=1e-6)

    def test_tokens(self):
        tokens, prefixes = self.file["tokens"], self.file["prefix_tokens"]
        self.assertEqual(tokens["values"].dtype, np.int32)
        for row in range(95):
            sample, length, prefix = (int(self.trials[name][row]) for name in ("sample", "length", "prefix"))
            first = {3: 1, 2: 2}.get(sample, 0) if prefix else 0
            before = 1000 * sample + 500 + np.arange(20 - prefix, 20)
            if sample == 3 and prefix:
                before[0] = 3000
            for part, expected in ((tokens, 1000 * sample + first + np.arange(length)), (prefixes, before)):
                start, count = part["start"][row], part["count"][row]
                np.testing.assert_array_equal(part["values"][start:start + count], expected)

    def test_sources_of_texts(self):
        for sample, source in zip(self.trials["sample"][...], texts(self.trials["text_source"]), strict=True):
            self.assertEqual(source, f"{sample}.txt")

    def test_side_tables_have_the_columns_of_the_contract(self):
        for group, columns in (("statistics", STATISTICS), ("models", MODELS), ("corpora", CORPORA),
                               ("protocols", PROTOCOLS), ("provenance/launches", LAUNCHES),
                               ("skipped", ["model", "corpus", "sample", "seed", "memory_vectors", "length", "prefix",
                                            "protocol", "precision", "reason"])):
            self.assertLessEqual(set(columns), set(self.file[group]), group)
            self.assertEqual(len({dataset.shape[0] for dataset in self.file[group].values()}), 1, group)
        self.assertEqual(self.file["protocols/betas"][...].tolist(), [[0.9, 0.9]])
        self.assertEqual(texts(self.file["protocols/schedule"])[0], "constant")
        self.assertEqual(self.file["corpora/drawn_lengths"].dtype, np.uint8)
        self.assertEqual(texts(self.file["skipped/reason"])[0], "memory_vectors 2 > length 1")
        self.assertEqual(texts(self.file["provenance/launches/argv"])[0], "memcap run täst.yaml")
        self.assertEqual(texts(self.file["provenance/launches/ended_utc"])[0], "2026-03-01T13:00:00Z")
        self.assertEqual(self.file["provenance/experiment_yaml"].asstr()[()], "experiment: sample\n# häßlich\n")

    def test_only_filters_that_every_hdf5_has(self):
        def check(name, item):
            if isinstance(item, h5py.Dataset) and item.chunks:
                self.assertIn(item.compression, ("gzip", None), name)
                size = item.chunks[0] * item.dtype.itemsize
                self.assertLessEqual(size, 1 << 20, name)
        self.file.visititems(check)

    def test_the_analysis_package_reads_it_and_agrees_with_its_statistics(self):
        if not (SOURCE / "analysis/memcap_analysis/results.py").exists() or importlib.util.find_spec("pandas") is None:
            self.skipTest("the analysis package or pandas is missing")
        self.file.close()
        sys.path.insert(0, str(SOURCE / "analysis"))
        from memcap_analysis import results, statistics
        found = results.load(self.folder)
        self.assertEqual(len(found.done()), 94)
        self.assertEqual(len(found.failed()), 1)
        self.assertEqual(found.experiment_yaml, ["experiment: sample\n# häßlich\n"])
        self.assertEqual(statistics.compare(self.folder).to_dict("records"), [])
        self.assertEqual(statistics.check_trials(found.trials).to_dict("records"), [])
        curves = results.accuracy_curves(found, np.array([10, 50]))
        np.testing.assert_allclose(curves[0], [0.1, 0.5], rtol=1e-6)
        self.assertTrue(np.isnan(curves[3]).all())


if __name__ == "__main__":
    WRITER = sys.argv.pop(1)
    unittest.main()
