"""What the end-to-end tests share: experiments on the smallest shipped model, the executable, and reading results."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).parents[2]
MEMCAP = os.environ["MEMCAP"]
MODELS = ROOT / "experiments" / "models"
TEXTS = ROOT / "experiments" / "texts"
# Columns that tell where and when, not what.
PLACE_COLUMNS = ("elapsed_s", "rank", "host", "device", "attempt", "finished_utc")

EXPERIMENT = """
experiment: e2e
models:
  ink-64: {{path: {models}/ink-64}}
corpora:
  essays: {{kind: text, path: {texts}/essays, part: second_half, samples: {samples}}}
protocols:
  short: {{base: paper, learning_rate: 0.3, schedule: cosine, warmup_steps: 10, max_steps: {max_steps}}}
sweeps:
  - {{models: [ink-64], corpora: [essays], memory_vectors: {memory_vectors}, lengths: {lengths}, protocols: [short],
     prefix: {prefix}, precision: float32, seeds: [0]}}
store: {{vectors: true, curve_every: 1}}
run: {{threads: 1, slots: {slots}}}
"""


def mpirun(ranks):
    """The launcher for so many ranks on this machine, whatever its number of cores."""
    return ["mpirun", "-np", str(ranks), "--bind-to", "none", "--oversubscribe"]


class EndToEnd(unittest.TestCase):
    """A folder of its own, and the executable as users call it."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="memcap-e2e-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def experiment(self, name="e2e.yaml", **changes):
        """Writes an experiment file; a few seconds of work unless changed."""
        values = {"models": MODELS, "texts": TEXTS, "samples": 3, "max_steps": 40, "memory_vectors": [1, 4],
                  "lengths": [8, 16], "prefix": [0], "slots": "auto", **changes}
        file = self.folder / name
        file.write_text(EXPERIMENT.format(**values), encoding="utf-8")
        return file

    def memcap(self, *arguments, launcher=(), status=0):
        """Runs memcap and expects this exit status."""
        done = subprocess.run([*launcher, MEMCAP, *map(str, arguments)], cwd=self.folder, check=False,
                              capture_output=True, text=True, timeout=900, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, status, f"{arguments}\n{done.stdout}\n{done.stderr}")
        return done

    def run_experiment(self, file, out, launcher=(), status=0, extra=()):
        """memcap run into a folder beside the experiment; returns that folder."""
        self.memcap("run", file, "--out", self.folder / out, *extra, launcher=launcher, status=status)
        return self.folder / out

    def status(self, run):
        return json.loads(self.memcap("status", run, "--json").stdout)


def columns(run):
    """Name -> array of each column of /trials."""
    with h5py.File(run / "results.h5") as file:
        trials = file["trials"]
        return {name: trials[name].asstr()[:] if trials[name].dtype.kind == "O" else trials[name][:]
                for name in trials if trials[name].shape == trials["trial_id"].shape}


def trials(run):
    """trial_id -> its columns, without those of place and time."""
    table = columns(run)
    names = [name for name in table if name not in PLACE_COLUMNS and name != "trial"]
    return {trial_id: {name: table[name][row] for name in names} for row, trial_id in enumerate(table["trial_id"])}


def ragged(run, group, dataset="values"):
    """trial_id -> its part of a ragged dataset, such as /curves/loss_nats."""
    ids = columns(run)["trial_id"]
    with h5py.File(run / "results.h5") as file:
        start, count, values = (file[group][name][:] for name in ("start", "count", dataset))
    return {trial_id: values[start[row]:start[row] + count[row]] for row, trial_id in enumerate(ids)}


def relative_difference(ours, theirs):
    """max|a - b| / max|b|"""
    return float(np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs)))
