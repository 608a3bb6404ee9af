"""Stored vectors give back, in a fresh process and from results.h5 alone, what is on record."""

import unittest

import h5py
import numpy as np
from tokenizers import Tokenizer

from rich_run import ESSAY_TRIALS, RANDOM_TRIALS, RichRun
from support import DEFECT, MODELS, USAGE, ragged, table

ALL = ESSAY_TRIALS + RANDOM_TRIALS


class StoredVectors(RichRun):
    def test_reproduce_loss_and_accuracy_of_every_trial(self):
        exact = int(table(self.run_folder)["exact"].sum())
        said = self.memcap("verify", self.run_folder).stdout
        self.assertIn(f"{ALL} vectors verified: {ALL} as recorded, 0 differ; {exact} are exact on record, "
                      f"{exact} decode greedily", said)

    def test_need_the_results_file_and_its_segments_only(self):
        copy = self.copy_of_run()
        for name in ("journal", "tokens", "checkpoints", "log"):
            (copy / name).rename(self.folder / name)
        self.assertIn("4 vectors verified: 4 as recorded", self.memcap("verify", copy, "--limit", 4).stdout)

    def test_that_were_changed_are_found(self):
        copy = self.copy_of_run()
        vectors = ragged(copy, "vectors")
        # Of an unsolved trial, whose loss moves for sure; the smallest change that counts is one number.
        changed = table(copy)["trial_id"][int(np.argmin(table(copy)["accuracy"]))]
        segment = next((copy / "vectors").glob("*.h5"))
        with h5py.File(segment, "r+") as file:
            datasets = []
            file.visititems(lambda _, item: datasets.append(item) if getattr(item, "dtype", None) == np.float32 else None)
            values = next(item for item in datasets if item.size == sum(len(vector) for vector in vectors.values()))
            stored = values[:]
            width = len(vectors[changed])
            place = next(start for start in range(0, stored.size - width + 1)
                         if np.array_equal(stored[start:start + width], vectors[changed]))
            values[place] = stored[place] + 5.0
        said = self.memcap("verify", copy, status=DEFECT).stdout
        self.assertIn(f"{changed} differs", said)
        self.assertIn(f"{ALL - 1} as recorded, 1 differ", said)

    def test_decode_to_the_text_where_the_trial_is_solved(self):
        trials = table(self.run_folder)
        tokenizer = Tokenizer.from_file(str(MODELS / "ink-64" / "tokenizer.json"))
        tokens = ragged(self.run_folder, "tokens")
        for protocol in ("short", "whole"):
            solved = np.flatnonzero((trials["exact"] == 1) & (trials["protocol"] == protocol))
            self.assertGreater(len(solved), 0)
            longest = trials["trial_id"][solved[np.argmax(trials["length"][solved])]]
            said = self.memcap("decode", self.run_folder, "--trial", longest).stdout
            self.assertEqual(said.rstrip("\n"), tokenizer.decode(tokens[longest].tolist()).rstrip("\n"))

    def test_of_no_trial_cannot_be_decoded(self):
        for trial in ("0" * 32, "xyz"):
            self.assertIn(trial, self.memcap("decode", self.run_folder, "--trial", trial, status=USAGE).stderr)


if __name__ == "__main__":
    unittest.main()
