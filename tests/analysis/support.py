"""What the analysis tests share: the package on the path, throw-away folders, small frames of trials written by hand."""

import sys
import tempfile
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "analysis"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import pandas as pd  # noqa: E402


class FolderTest(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)


def trial(length: int, correct: int, loss_nomem: float = 4.0, loss_min: float = 1.0, correct_nomem: int = 0, **other) -> dict:
    """A finished trial of `length` tokens with `correct` of the length - 1 scored ones right."""
    scored = length - 1
    row = {"trial_id": f"{len(other)}-{length}-{correct}", "model": "m", "corpus": "c", "sample": 0, "seed": 0,
           "memory_vectors": 1, "length": length, "prefix": 0, "protocol": "paper", "precision": "float32",
           "scored_tokens": scored, "status": "done", "failure": "", "evaluations": 10, "best_evaluation": 10,
           "stop_reason": "solved" if correct == scored else "patience", "loss_nomem_nats": loss_nomem,
           "accuracy_nomem": correct_nomem / scored, "loss_nats": loss_min, "accuracy": correct / scored,
           "correct_tokens": correct, "exact": int(correct == scored), "loss_min_nats": loss_min,
           "ce_nomem_nats": loss_nomem * (length - 1), "ce_nats": loss_min * scored,
           "information_gain_nats": (loss_nomem - loss_min) * length, "elapsed_s": 1.0,
           "token_gain": (correct - correct_nomem) / scored * length}
    return row | other


def frame(*rows: dict) -> pd.DataFrame:
    """Trials as a data frame, with an id each and each its sample."""
    return pd.DataFrame([row | {"trial_id": f"{index:032x}", "sample": index} for index, row in enumerate(rows)])


MODELS = pd.DataFrame([{"name": "m", "memory_width": 64, "vocabulary_size": 1024, "parameters": 1000}])
