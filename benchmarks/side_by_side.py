"""Trial steps per second of memcap beside the batch-1 reference loop, in one session on one machine.

The two take turns (A B A B ...), so that what else the machine does meets both; reported is the median ratio. memcap's
rate is read from the results file it writes: all evaluations over the time from the first trial's start to the last
one's end. Prints a table to stderr and one JSON object to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

import h5py

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PROBE_STEPS = 30


def reference_rate(arguments: argparse.Namespace, threads: int, processes: int, steps: int) -> float:
    """Steps per second of all `processes` copies of the reference loop that run at the same time."""
    command = [
        sys.executable, str(HERE / "reference_loop.py"), "--model", str(arguments.model), "--length", str(arguments.length),
        "--memory-vectors", str(arguments.memory_vectors), "--steps", str(steps), "--threads", str(threads),
        "--warmup", str(min(50, steps)),
    ]  # fmt: skip
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    outputs = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit(f"the reference loop failed: {shlex.join(command)}")
    return sum(json.loads(output)["steps_per_s"] for output in outputs)


def memcap_rate(arguments: argparse.Namespace) -> tuple[float, float]:
    """Trial steps per second of one whole run in its steady phase, and with the start of the program counted."""
    with tempfile.TemporaryDirectory() as scratch:
        command = shlex.split(arguments.memcap) + ["run", str(arguments.experiment), "--out", scratch]
        start = time.perf_counter()
        finished = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        wall_s = time.perf_counter() - start
        if finished.returncode != 0:
            raise SystemExit(
                f"{shlex.join(command)} ended with {finished.returncode}:\n{finished.stderr[-2000:]}"
            )
        steps, steady_s = read_results(Path(scratch) / "results.h5")
    return steps / steady_s, steps / wall_s


def read_results(path: Path) -> tuple[int, float]:
    """Evaluations of all trials, and the seconds from the first one's start to the last one's end."""
    with h5py.File(path) as results:
        trials = results["trials"]
        evaluations = trials["evaluations"][:]
        elapsed_s = trials["elapsed_s"][:]
        ends = [utc_seconds(text) for text in trials["finished_utc"].asstr()[:]]
        statuses = trials["status"].asstr()[:]
    if not len(evaluations) or any(status != "done" for status in statuses):
        raise SystemExit(f"{path}: not every trial is done, so there is no rate to take from it")
    return int(evaluations.sum()), max(ends) - min(end - spent for end, spent in zip(ends, elapsed_s))


def utc_seconds(text: str) -> float:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def faster_threads(arguments: argparse.Namespace, cores: int) -> int:
    """The better of one thread and all of them for a single reference loop: it gets its best form."""
    rates = {threads: reference_rate(arguments, threads, 1, PROBE_STEPS) for threads in {1, cores}}
    return max(rates, key=rates.__getitem__)


def take_turns(arguments: argparse.Namespace, threads: int, cores: int) -> list[dict[str, float]]:
    rounds = []
    for number in range(1, arguments.rounds + 1):
        entry = {"load_average": os.getloadavg()[0]}
        entry["reference"] = reference_rate(arguments, threads, 1, arguments.steps)
        entry["reference_all_cores"] = reference_rate(arguments, 1, cores, arguments.steps)
        entry["memcap"], entry["memcap_with_start"] = memcap_rate(arguments)
        rounds.append(entry)
        line = ", ".join(f"{key} {value:.1f}" for key, value in entry.items())
        print(f"round {number}/{arguments.rounds}: {line}", file=sys.stderr, flush=True)
    return rounds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--memcap", default="mpirun -np 2 --bind-to none ./memcap", help="how memcap is started"
    )
    parser.add_argument("--experiment", type=Path, default=HERE / "ladder64.yaml")
    parser.add_argument(
        "--model", type=Path, default=ROOT / "experiments/models/ink-64", help="the experiment's model"
    )
    parser.add_argument("--length", type=int, default=64, help="the experiment's N")
    parser.add_argument("--memory-vectors", type=int, default=1, help="the experiment's K")
    parser.add_argument("--steps", type=int, default=1000, help="reference steps a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    threads = faster_threads(arguments, arguments.cores)
    rounds = take_turns(arguments, threads, arguments.cores)
    median = {key: statistics.median(entry[key] for entry in rounds) for key in rounds[0]}
    result = {
        "ratio": statistics.median(entry["memcap"] / entry["reference"] for entry in rounds),
        "ratio_to_all_cores": statistics.median(
            entry["memcap"] / entry["reference_all_cores"] for entry in rounds
        ),
        "steps_per_s": median,
        "reference_threads": threads,
        "cores": arguments.cores,
        "rounds": rounds,
    }
    print(
        f"memcap {median['memcap']:.0f} trial steps/s; reference {median['reference']:.0f} ({threads} threads), "
        f"{median['reference_all_cores']:.0f} (a copy on each of {arguments.cores} cores); "
        f"ratio {result['ratio']:.1f}, {result['ratio_to_all_cores']:.1f}",
        file=sys.stderr,
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
