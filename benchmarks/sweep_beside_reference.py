"""Wall time of a whole experiment by memcap beside the time its trials would take in the batch-1 reference loop.

memcap's time is that of the whole command, its start included. The reference's is the sum over the trials of the
evaluations that memcap recorded for them, over the loop's own rate at that model, N and K, measured here between two
runs of memcap: its start, its loading and its tokenizer cost it nothing. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections import Counter
from pathlib import Path

import h5py
import yaml

from side_by_side import ROOT, memcap_run, reference_loops

Shape = tuple[str, int, int]


def evaluations_by_shape(results: Path) -> Counter[Shape]:
    """Evaluations of all trials that ended by themselves, by model, N and K."""
    with h5py.File(results) as file:
        trials = file["trials"]
        statuses = trials["status"].asstr()[:]
        if any(status != "done" for status in statuses):
            raise SystemExit(f"{results}: not every trial is done, so its time is not that of the whole experiment")
        columns = zip(trials["model"].asstr()[:], trials["length"][:], trials["memory_vectors"][:], trials["evaluations"][:])
        total: Counter[Shape] = Counter()
        for model, length, memory_vectors, evaluations in columns:
            total[(str(model), int(length), int(memory_vectors))] += int(evaluations)
    return total


def reference_seconds(work: Counter[Shape], folders: dict[str, Path], steps: int, cores: int) -> dict[str, float]:
    """Seconds for all the evaluations by one loop in its faster form of each shape, and by a copy on each core."""
    alone = copies = 0.0
    for model, folder in folders.items():
        lengths = sorted({shape[1] for shape in work})
        memory_vectors = sorted({shape[2] for shape in work})
        forms = [reference_loops(folder, lengths, memory_vectors, *form, steps) for form in ((1, 1), (cores, 1), (1, cores))]
        for one, all_threads, each_core in zip(*forms):
            evaluations = work[(model, one["length"], one["memory_vectors"])]
            faster = max(one["steps_per_s"], all_threads["steps_per_s"])
            alone += evaluations / faster
            copies += evaluations / each_core["steps_per_s"]
            shape = f"{model} N {one['length']} K {one['memory_vectors']}"
            print(f"{shape}: {faster:.0f} and {each_core['steps_per_s']:.0f} steps/s", file=sys.stderr, flush=True)
    return {"reference_s": alone, "reference_all_cores_s": copies}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", type=Path, nargs="?", default=ROOT / "experiments/quickstart.yaml")
    parser.add_argument("--memcap", default="mpirun -np 2 --bind-to none ./memcap", help="how memcap is started")
    parser.add_argument("--reference-steps", type=int, default=200, help="reference steps a shape")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    experiment = arguments.experiment.resolve()
    models = yaml.safe_load(experiment.read_text(encoding="utf-8"))["models"]
    folders = {name: (experiment.parent / model["path"]).resolve() for name, model in models.items()}
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        walls = [memcap_run(arguments.memcap, experiment, scratch / "before")]
        work = evaluations_by_shape(scratch / "before" / "results.h5")
        reference = reference_seconds(work, folders, arguments.reference_steps, arguments.cores)
        walls.append(memcap_run(arguments.memcap, experiment, scratch / "after"))
    wall_s = statistics.mean(walls)
    result = {"memcap_s": walls, **reference, "evaluations": sum(work.values()), "cores": arguments.cores}
    result |= {
        "ratio": reference["reference_s"] / wall_s,
        "ratio_to_all_cores": reference["reference_all_cores_s"] / wall_s,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
