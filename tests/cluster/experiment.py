"""A tiny experiment for the tests of this folder, and the executable and its environment."""

import json
import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
MEMCAP = os.environ.get("MEMCAP_EXECUTABLE", str(ROOT / "memcap"))
# As root, on few cores, and on two virtual nodes that are one host.
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
               "OMPI_MCA_mpi_yield_when_idle": "1", "OMPI_MCA_btl": "self,tcp"}


def experiment(folder, seeds=1, max_steps=20):
    """Writes an experiment of four short trials a seed; returns its file."""
    experiments = ROOT / "experiments"
    names = {"models": ["ink-64"], "corpora": ["essays"], "protocols": ["short"]}
    axes = {"memory_vectors": [1, 4], "lengths": [6, 12], "seeds": list(range(seeds)), "precision": "float32", "prefix": [0]}
    sections = {"experiment": "tiny", "models": {"ink-64": {"path": str(experiments / "models" / "ink-64")}},
                "corpora": {"essays": {"kind": "text", "path": str(experiments / "texts" / "essays"), "samples": 1}},
                "protocols": {"short": {"base": "paper", "max_steps": max_steps}}, "store": {"vectors": True},
                "run": {"threads": 1}, "sweeps": [{**names, **axes}]}
    file = folder / f"tiny-{seeds}-{max_steps}.yaml"
    # Every JSON text is also YAML.
    file.write_text(json.dumps(sections, indent=1), encoding="utf-8")
    return file
