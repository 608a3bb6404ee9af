"""A run that has a bit of everything, for the tests that read one: corpora, seeds, prefixes, protocols, skipped trials."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from support import DEADLINE_S, ENVIRONMENT, MEMCAP, EndToEnd, essays, hot, plain, random_words

SAMPLES = 3
DRAWN = (2, 12)
# 3 samples x K 1, 4 x N 3, 12 x 2 seeds x 2 prefixes x 2 protocols, less N = 3 with K = 4.
ESSAY_TRIALS = 3 * (2 * 2 - 1) * 2 * 2 * 2
ESSAYS_SKIPPED = 3 * 2 * 2 * 2
# 6 samples x 2 seeds x 2 protocols
RANDOM_TRIALS = 6 * 2 * 2


def rich():
    """The experiment: essays with a visible prefix, random words of drawn lengths."""
    experiment = plain(corpora={"essays": essays(SAMPLES), "random": random_words(2 * SAMPLES)},
                       protocols={"short": hot(40), "whole": hot(40, target="all")})
    common = {"models": ["ink-64"], "seeds": [0, 7], "protocols": ["short", "whole"], "precision": "float32"}
    experiment["sweeps"] = [
        {**common, "corpora": ["essays"], "memory_vectors": [1, 4], "lengths": [3, 12], "prefix": [0, 5]},
        {**common, "corpora": ["random"], "memory_vectors": [1], "lengths": {"uniform": list(DRAWN)}}]
    return experiment


class RichRun(EndToEnd):
    """Tests that read one run, made once for all of them; those that change something take a copy."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.home = Path(tempfile.mkdtemp(prefix="memcap-e2e-rich-"))
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.file = cls.home / "rich.yaml"
        cls.file.write_text(json.dumps(rich(), indent=1), encoding="utf-8")
        cls.run_folder = cls.home / "run"
        cls.printed = subprocess.run([MEMCAP, "run", cls.file, "--out", cls.run_folder], check=True, text=True, env=ENVIRONMENT,
                                     stdout=subprocess.PIPE, timeout=DEADLINE_S, stdin=subprocess.DEVNULL).stdout

    def copy_of_run(self):
        """A copy to be changed, its old place out of reach."""
        copy = self.folder / "copy"
        shutil.copytree(self.run_folder, copy)
        for path in copy.rglob("*"):
            os.chmod(path, 0o755 if path.is_dir() else 0o644)
        return copy
