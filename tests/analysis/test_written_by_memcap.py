"""A result file that memcap's own store has written: read whole, its statistics computed again, shown as a page."""

import os
import subprocess
import unittest

from support import FolderTest

import numpy as np

from memcap_analysis import report, statistics
from memcap_analysis.results import accuracy_curves, load

WRITER = os.environ.get("MEMCAP_SAMPLE_RUN_WRITER", "")


@unittest.skipUnless(WRITER, "MEMCAP_SAMPLE_RUN_WRITER does not name the program that writes a sample run (ctest sets it)")
class SampleRun(FolderTest):
    def setUp(self):
        super().setUp()
        subprocess.run([WRITER, str(self.folder / "run")], check=True, timeout=120)
        self.results = load(self.folder / "run")

    def test_its_statistics_follow_from_its_trials(self):
        self.assertGreater(len(self.results.statistics), 3)
        self.assertEqual(statistics.compare_tables(self.results).to_dict("records"), [])
        self.assertEqual(statistics.check_trials(self.results.trials).to_dict("records"), [])

    def test_every_table_has_rows(self):
        for name in ("trials", "skipped", "statistics", "models", "corpora", "protocols", "launches"):
            self.assertFalse(getattr(self.results, name).empty, name)
        self.assertIn("experiment", self.results.experiment_yaml[0])
        self.assertEqual(len(self.results.failed()), 1)

    def test_its_curves_are_read_through_the_segments(self):
        curves = accuracy_curves(self.results, np.array([1, 10_000]))
        self.assertEqual(self.results.notes, [])
        self.assertFalse(np.isnan(curves[(self.results.trials["status"] == "done").to_numpy(), 1]).all())

    def test_the_page_is_made(self):
        page = report.build_page(self.results)
        self.assertIn("agree with a recomputation", page)
        self.assertIn("Decoding accuracy by length", page)


if __name__ == "__main__":
    unittest.main()
