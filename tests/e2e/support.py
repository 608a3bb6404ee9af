"""What the end-to-end tests share: small experiments on the smallest shipped model, the executable, and reading results."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).parents[2]
MEMCAP = os.environ["MEMCAP_EXECUTABLE"]
PYTHON = ROOT / ".venv" / "python" / "bin" / "python3"
MODELS = ROOT / "experiments" / "models"
TEXTS = ROOT / "experiments" / "texts"
# Columns that tell where and when, not what.
PLACE_COLUMNS = ("elapsed_s", "rank", "host", "device", "attempt", "finished_utc")
# Exit statuses.
DONE, DEFECT, USAGE, TRIALS_FAILED, WORK_REMAINS = 0, 1, 2, 3, 75
# Long enough for a machine that is busy with other things.
DEADLINE_S = 900
# Ranks that wait must not take the cores from those that compute.
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
               "OMPI_MCA_mpi_yield_when_idle": "1"}


def mpirun(ranks):
    """The launcher for so many ranks on this machine, whatever its number of cores."""
    return ["mpirun", "-np", str(ranks), "--bind-to", "none", "--oversubscribe"]


def essays(samples, **changes):
    """The shipped texts as a corpus."""
    return {"kind": "text", "path": str(TEXTS / "essays"), "part": "second_half", "samples": samples, **changes}


def random_words(samples):
    """Random words as a corpus."""
    return {"kind": "random_words", "vocabulary": str(TEXTS / "words.txt"), "samples": samples}


def hot(max_steps, **changes):
    """A protocol with a rate so high that a few steps show something."""
    return {"base": "paper", "learning_rate": 0.3, "schedule": "cosine", "warmup_steps": 10, "max_steps": max_steps, **changes}


def plain(samples=3, max_steps=40, **changes):
    """An experiment of a second or two: 12 trials unless changed. `changes` replace whole sections or axes of its sweep."""
    sections = {"experiment": "e2e", "models": {"ink-64": {"path": str(MODELS / "ink-64")}},
                "corpora": {"essays": essays(samples)}, "protocols": {"short": hot(max_steps)},
                "store": {"vectors": True, "curve_every": 1}, "run": {"threads": 1}}
    axes = {"memory_vectors": [1, 4], "lengths": [6, 12], "seeds": [0], "precision": "float32", "prefix": [0]}
    sections |= {name: value for name, value in changes.items() if name not in axes}
    axes |= {name: value for name, value in changes.items() if name in axes}
    sweep = {name: list(sections[name]) for name in ("models", "corpora", "protocols")} | axes
    return {"sweeps": [sweep], **sections}


class EndToEnd(unittest.TestCase):
    """A folder of its own, and the executable as users call it."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="memcap-e2e-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        # What memcap bench measured on this machine before must not decide what memcap plan says.
        self.cache = Path(tempfile.mkdtemp(prefix="memcap-e2e-cache-"))
        self.addCleanup(shutil.rmtree, self.cache, ignore_errors=True)
        self.environment = {**ENVIRONMENT, "XDG_CACHE_HOME": str(self.cache)}

    def write(self, content=None, name="e2e.yaml", **changes):
        """Writes an experiment file: the text or the sections given, or `plain` with changes."""
        file = self.folder / name
        if content is None:
            content = plain(**changes)
        # Every JSON text is also YAML.
        file.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")
        return file

    def memcap(self, *arguments, launcher=(), status=DONE, environment=None):
        """Runs memcap to its end and expects this exit status."""
        done = subprocess.run([*launcher, MEMCAP, *map(str, arguments)], cwd=self.folder, check=False, text=True,
                              capture_output=True, timeout=DEADLINE_S, stdin=subprocess.DEVNULL,
                              env={**self.environment, **(environment or {})})
        self.assertEqual(done.returncode, status, f"{[*launcher, 'memcap', *arguments]}\n{done.stdout}\n{done.stderr}")
        return done

    def run_experiment(self, file, out="run", launcher=(), status=DONE, extra=()):
        """memcap run into a folder beside the experiment; returns that folder."""
        self.memcap("run", file, "--out", self.folder / out, *extra, launcher=launcher, status=status)
        return self.folder / out

    def start(self, file, out="run", launcher=(), arguments=()):
        """Starts memcap run and lets it run; whatever is left of it is killed at the end of the test."""
        process = subprocess.Popen([*launcher, MEMCAP, "run", str(file), "--out", str(self.folder / out), *arguments],
                                   cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                                   env=ENVIRONMENT)
        self.addCleanup(self.kill_all, process, [])
        return process

    @staticmethod
    def kill_all(process, others):
        """kill -9 of a process, its descendants and others, until none is left."""
        for pid in [*others, *(descendants(process.pid) if process.poll() is None else [])]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.kill()
        process.wait()
        process.stderr.close()

    def status(self, run):
        """What memcap status --json says."""
        return json.loads(self.memcap("status", run, "--json").stdout)

    def wait_for_results(self, run, least, process):
        """Waits until a run that goes on has journalled so many trials; returns how many."""
        deadline_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline_s:
            if any((run / "journal").glob("*.log")):
                said = subprocess.run([MEMCAP, "status", str(run), "--json"], check=False, capture_output=True, text=True)
                if said.returncode == DONE and json.loads(said.stdout)["done"] >= least:
                    return json.loads(said.stdout)["done"]
            self.assertIsNone(process.poll(), "the run ended before it was to be interrupted")
            time.sleep(0.02)
        return self.fail(f"{least} results were not there in time")

    def assert_equal_tables(self, ours, theirs, leave_out=()):
        """Two maps from names to arrays are equal to the last bit (NaN equals NaN)."""
        self.assertEqual(set(ours), set(theirs))
        for name in set(ours) - set(leave_out):
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def descendants(pid):
    """The processes below this one."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            below = [int(child) for child in children.read_text(encoding="ascii").split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in below:
            found += [child, *descendants(child)]
    return found


def is_running(pid):
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def table(run, group="trials"):
    """Name -> array of each column of a table."""
    with h5py.File(run / "results.h5" if run.is_dir() else run) as file:
        return {name: item.asstr()[:] if h5py.check_string_dtype(item.dtype) else item[:]
                for name, item in file[group].items()}


def trials(run):
    """trial_id -> its columns, without those of place and time."""
    columns = table(run)
    names = [name for name in columns if name not in PLACE_COLUMNS and name != "trial"]
    return {trial_id: {name: columns[name][row] for name in names} for row, trial_id in enumerate(columns["trial_id"])}


def ragged(run, group, dataset="values"):
    """trial_id -> its part of a ragged dataset, such as /curves/loss_nats."""
    ids = table(run)["trial_id"]
    with h5py.File(run / "results.h5" if run.is_dir() else run) as file:
        start, count, values = (file[group][name][:] for name in ("start", "count", dataset))
    return {trial_id: values[start[row]:start[row] + count[row]] for row, trial_id in enumerate(ids)}


def results_hash(run):
    """One hash of all that a run says of its trials, in the order of their ids: columns, vectors, curves and tokens, times left out."""
    digest = hashlib.sha256()
    parts = [ragged(run, group, dataset) for group, dataset in
             (("vectors", "values"), ("curves", "evaluation"), ("curves", "loss_nats"), ("curves", "accuracy"), ("tokens", "values"))]
    for trial_id, row in sorted(trials(run).items()):
        for name in sorted(row):
            digest.update(f"{name}={row[name]!r};".encode())
        for part in parts:
            digest.update(part[trial_id].tobytes())
    return digest.hexdigest()
