"""Trial steps per second of memcap beside the batch-1 reference loop and the machine's own matrix peak.

The three take turns (A B C A B C ...), so that what else the machine does meets all of them; reported are medians of the
ratios of a round. memcap's rate is read from the results file it writes: all evaluations over the time from the first
trial's start to the last one's end. A model folder without weights gets random ones: the time of a step depends on the
shape alone. Prints a line a round to stderr and one JSON object to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
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
PEAK_SIZE = 2048
PEAK_PRODUCTS = 12
PROBE_STEPS = 30
EXPERIMENT = """experiment: side_by_side
models:
  model: {{path: {model}}}
corpora:
  essays: {{kind: text, path: {root}/experiments/texts/essays, part: second_half, joined: space, samples: {samples}}}
protocols:
  short: {{base: paper, max_steps: {steps}, patience: {steps}}}
sweeps:
  - {{models: [model], corpora: [essays], memory_vectors: [{memory_vectors}], lengths: [{length}], seeds: {seeds}, protocols: [short], precision: float32, prefix: [0]}}
store: {{vectors: true, curve_every: 10}}
"""
TEXTS = 32


def peak_flops_per_s(threads: int) -> float:
    """The best of several square float32 products."""
    code = (
        f"import time, torch; torch.set_num_threads({threads}); n = {PEAK_SIZE}; a = torch.randn(n, n); b = torch.randn(n, n)\n"
        "a @ b; times = []\n"
        f"for _ in range({PEAK_PRODUCTS}):\n"
        "    start = time.perf_counter(); a @ b; times.append(time.perf_counter() - start)\n"
        "print(2 * n**3 / min(times))"
    )
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def reference_loops(
    model: Path, lengths: list[int], memory_vectors: list[int], threads: int, processes: int, steps: int
) -> list[dict]:
    """What the reference loop prints for each N and K in turn; `steps_per_s` is that of all its copies at the same time."""
    command = [
        sys.executable, str(HERE / "reference_loop.py"), "--model", str(model), "--length", *map(str, lengths),
        "--memory-vectors", *map(str, memory_vectors), "--steps", str(steps), "--threads", str(threads),
        "--warmup", str(min(50, max(2, steps // 10))),
    ]  # fmt: skip
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    outputs = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit(f"the reference loop failed: {shlex.join(command)}")
    copies = [[json.loads(line) for line in output.splitlines()] for output in outputs]
    return [same[0] | {"steps_per_s": sum(copy["steps_per_s"] for copy in same)} for same in zip(*copies)]


def memcap_run(command: str, experiment: Path, folder: Path) -> float:
    """Seconds of a whole run, the program's start included; its results are in `folder`."""
    call = [*shlex.split(command), "run", str(experiment), "--out", str(folder)]
    start = time.perf_counter()
    finished = subprocess.run(call, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if finished.returncode:
        raise SystemExit(f"{shlex.join(call)} ended with {finished.returncode}:\n{finished.stderr[-2000:]}")
    return time.perf_counter() - start


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


def faster_threads(model: Path, arguments: argparse.Namespace) -> int:
    """The better of one thread and all of them for a single reference loop: it gets its best form."""
    shape = (model, [arguments.length], [arguments.memory_vectors])
    steps = min(PROBE_STEPS, arguments.reference_steps)
    rates = {threads: reference_loops(*shape, threads, 1, steps)[0]["steps_per_s"] for threads in {1, arguments.cores}}
    return max(rates, key=rates.__getitem__)


def with_weights(model: Path, scratch: Path) -> Path:
    """The folder itself, or a copy with random float32 weights and ink-64's tokenizer, whose ids exist in every vocabulary."""
    if any(model.glob("*.safetensors")):
        return model
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    filled = scratch / "model"
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model), dtype=torch.float32).save_pretrained(filled)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(ROOT / "experiments/models/ink-64" / name, filled)
    return filled


def write_experiment(model: Path, arguments: argparse.Namespace, path: Path) -> None:
    """Trials that are equal: as many texts as there are, then more seeds of them."""
    samples = min(TEXTS, arguments.trials)
    seeds = list(range(max(1, arguments.trials // samples)))
    text = EXPERIMENT.format(
        model=model, root=ROOT, samples=samples, seeds=seeds, steps=arguments.steps, length=arguments.length,
        memory_vectors=arguments.memory_vectors,
    )  # fmt: skip
    path.write_text(text, encoding="utf-8")


def take_turns(model: Path, experiment: Path, threads: int, arguments: argparse.Namespace, scratch: Path) -> list[dict]:
    rounds = []
    shape = (model, [arguments.length], [arguments.memory_vectors])
    for number in range(1, arguments.rounds + 1):
        entry = {"load_average": os.getloadavg()[0], "peak_gflops": peak_flops_per_s(arguments.cores) / 1e9}
        alone = reference_loops(*shape, threads, 1, arguments.reference_steps)[0]
        entry["reference"] = alone["steps_per_s"]
        copies = reference_loops(*shape, 1, arguments.cores, arguments.reference_steps)[0]
        entry["reference_all_cores"] = copies["steps_per_s"]
        wall_s = memcap_run(arguments.memcap, experiment, scratch / f"run-{number}")
        evaluations, steady_s = read_results(scratch / f"run-{number}" / "results.h5")
        entry["memcap"], entry["memcap_with_start"] = evaluations / steady_s, evaluations / wall_s
        if alone["flops_per_step"]:
            for key in ("memcap", "reference"):
                entry[f"{key}_of_peak"] = entry[key] * alone["flops_per_step"] / 1e9 / entry["peak_gflops"]
        rounds.append(entry)
        line = ", ".join(f"{key} {value:.4g}" for key, value in entry.items())
        print(f"round {number}/{arguments.rounds}: {line}", file=sys.stderr, flush=True)
    return rounds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "model", type=Path, help="a model folder, as experiments/models/ink-64 or experiments/paper/models/pythia-160m"
    )
    parser.add_argument(
        "--memcap", default="mpirun -np 2 --bind-to none ./memcap", help="how memcap is started"
    )
    parser.add_argument("--length", type=int, default=64, help="N")
    parser.add_argument("--memory-vectors", type=int, default=1, help="K")
    parser.add_argument("--trials", type=int, default=128, help="trials of memcap's run, in whole seeds of 32 texts")
    parser.add_argument("--steps", type=int, default=300, help="evaluations of each trial")
    parser.add_argument("--reference-steps", type=int, default=1000, help="reference steps a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        model = with_weights(arguments.model.resolve(), scratch)
        experiment = scratch / "experiment.yaml"
        write_experiment(model, arguments, experiment)
        threads = faster_threads(model, arguments)
        rounds = take_turns(model, experiment, threads, arguments, scratch)
    median = {key: statistics.median(entry[key] for entry in rounds) for key in rounds[0]}
    result = {
        "model": arguments.model.name,
        "length": arguments.length,
        "memory_vectors": arguments.memory_vectors,
        "ratio": statistics.median(entry["memcap"] / entry["reference"] for entry in rounds),
        "ratio_to_all_cores": statistics.median(
            entry["memcap"] / entry["reference_all_cores"] for entry in rounds
        ),
        "median": median,
        "reference_threads": threads,
        "cores": arguments.cores,
        "rounds": rounds,
    }
    print(
        f"memcap {median['memcap']:.4g} trial steps/s; reference {median['reference']:.4g} ({threads} threads), "
        f"{median['reference_all_cores']:.4g} (a copy on each of {arguments.cores} cores); "
        f"ratio {result['ratio']:.2f}, {result['ratio_to_all_cores']:.2f}",
        file=sys.stderr,
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
