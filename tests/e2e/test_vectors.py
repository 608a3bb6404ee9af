"""Stored vectors give back, in a fresh process and from results.h5 alone, what is on record."""

import os
import shutil
import unittest

import h5py
import numpy as np
from tokenizers import Tokenizer

import model_folders as damage
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

    def test_that_are_gone_are_missed_by_a_run_with_nothing_to_do(self):
        copy = self.copy_of_run()
        shutil.rmtree(copy / "vectors")
        said = self.memcap("run", self.file, "--out", copy).stderr
        self.assertRegex(said, rf"{copy}/vectors: finished trials whose vectors and curves are gone or damaged: {ALL}\.")

    def test_that_cannot_be_read_are_named_with_a_way_out(self):
        copy = self.copy_of_run()
        segment = next((copy / "vectors").glob("*.h5"))
        whole = segment.read_bytes()
        for content, why in ((None, "missing"), (whole[:3000], "truncated"), (b"x" * len(whole), "signature not found")):
            with self.subTest(why):
                segment.unlink(missing_ok=True)
                if content is not None:
                    segment.write_bytes(content)
                for command in (("verify", copy), ("decode", copy, "--trial", table(copy)["trial_id"][0])):
                    said = self.memcap(*command, status=USAGE).stderr
                    self.assertIn(f"vectors/{segment.name}: ", said)
                    self.assertIn(why, said)
                    self.assertIn(f"memcap rebuild {copy}", said)
                said = self.memcap("report", copy, "--out", self.folder / "page.html").stderr
                self.assertIn("Learning curves of" if content is None else segment.name, said)
                joint = self.folder / "joint.h5"
                name = segment if content is not None else copy / "vectors" / f"{segment.name.split('-')[0]}-*.h5"
                self.assertIn(f"{ALL} rows without vector: {name} is missing or damaged",
                              self.memcap("merge", joint, copy, "--self-contained").stdout)
        # The way out: a copy put back, and the same again.
        segment.write_bytes(whole)
        self.assertNotIn("without vector", self.memcap("merge", joint, copy, "--self-contained").stdout)
        self.assertIn(f"{ALL} as recorded", self.memcap("verify", copy).stdout)
        # Without a copy: what is left can be used after a rebuild.
        segment.write_bytes(whole[:3000])
        self.memcap("rebuild", copy)
        self.assertIn("there is no vector to verify", self.memcap("verify", copy, status=USAGE).stderr)

    def test_are_verified_in_some_number(self):
        self.assertIn("--limit 0 verifies nothing", self.memcap("verify", self.run_folder, "--limit", 0, status=USAGE).stderr)

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
        done = self.memcap("verify", copy, status=DEFECT)
        said = done.stdout
        self.assertIn("`memcap rebuild DIR`", done.stderr)
        self.assertRegex(said, rf"{changed} differs: .*; its vector lies in vectors/{segment.name}")
        self.assertIn(f"{ALL - 1} as recorded, 1 differ", said)
        # As the advice goes.
        self.assertIn(f"1 row without vector: {segment} is missing or damaged", self.memcap("rebuild", copy).stdout)
        self.assertIn(f"{ALL - 1} as recorded, 0 differ", self.memcap("verify", copy).stdout)

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

    def test_are_put_before_the_model_where_it_lies_now(self):
        moved = damage.copy_model(self.folder, "moved")
        trial = table(self.run_folder)["trial_id"][0]
        said = self.memcap("verify", self.run_folder, "--limit", 2, "--model", f"ink-64={moved}").stdout
        self.assertIn("2 vectors verified: 2 as recorded", said)
        decoded = self.memcap("decode", self.run_folder, "--trial", trial).stdout
        self.assertEqual(self.memcap("decode", self.run_folder, "--trial", trial, "--model", f"ink-64={moved}").stdout, decoded)
        # The folder that is named counts, and only with the model of the run in it.
        damage.set_first_value(moved, "model.norm.weight", 0x3F81)
        for command in (("verify",), ("decode", "--trial", trial)):
            said = self.memcap(*command, self.run_folder, "--model", f"ink-64={moved}", status=USAGE).stderr
            self.assertIn("has other bytes than those that were hashed", said)
            self.assertIn("--model ink-64=FOLDER", said)
        for wrong, expected in (("ink-46=x", "They have: ink-64"), ("ink-64", "NAME=FOLDER"), ("=x", "NAME=FOLDER")):
            self.assertIn(expected, self.memcap("verify", self.run_folder, "--model", wrong, status=USAGE).stderr)

    def test_are_found_by_the_first_digits_of_a_trial(self):
        ids = sorted(set(table(self.run_folder)["trial_id"]))
        common = max((os.path.commonprefix(pair) for pair in zip(ids, ids[1:])), key=len)
        trial = next(trial for trial in ids if trial.startswith(common))
        whole = self.memcap("decode", self.run_folder, "--trial", trial).stdout
        self.assertEqual(self.memcap("decode", self.run_folder, "--trial", trial[:len(common) + 1].upper()).stdout, whole)
        said = self.memcap("decode", self.run_folder, "--trial", common, status=USAGE).stderr
        for candidate in [candidate for candidate in ids if candidate.startswith(common)]:
            self.assertIn(candidate, said)

    def test_that_were_not_kept_cannot_be_verified(self):
        run = self.run_experiment(self.write(max_steps=12, samples=1, store={"vectors": False}))
        self.assertIn("there is no vector to verify", self.memcap("verify", run, status=USAGE).stderr)
        trial = table(run)["trial_id"][0]
        self.assertIn("no vector of trial", self.memcap("decode", run, "--trial", trial, status=USAGE).stderr)

    def test_of_no_trial_cannot_be_decoded(self):
        for trial in ("0" * 32, "xyz"):
            self.assertIn(trial, self.memcap("decode", self.run_folder, "--trial", trial, status=USAGE).stderr)


if __name__ == "__main__":
    unittest.main()
