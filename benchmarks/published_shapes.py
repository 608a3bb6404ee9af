"""Steps per second at the shape of a published model, beside the batch-1 loop over transformers and the machine's own peak.

The weights are random, the shape is that of a folder of experiments/paper/models: the time of a step depends on the shape
alone. memcap (one rank) and the loop (reference_loop.py) have the same threads and take turns; between them a large matrix
product is timed, whose rate is called the peak. Prints one JSON object.
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
from pathlib import Path

from side_by_side import read_results

ROOT = Path(__file__).resolve().parent.parent
PEAK_SIZE = 2048
EXPERIMENT = """experiment: published_shapes
models:
  shape: {{path: {model}}}
corpora:
  essays: {{kind: text, path: {root}/experiments/texts/essays, part: second_half, samples: {samples}}}
protocols:
  short: {{base: paper, max_steps: {steps}, patience: {steps}}}
sweeps:
  - {{models: [shape], corpora: [essays], memory_vectors: [{memory_vectors}], lengths: [{length}], seeds: [0], protocols: [short], precision: float32, prefix: [0]}}
"""


def write_model(config: Path, folder: Path) -> None:
    """Random weights of this shape, with ink-64's tokenizer: its ids exist in every vocabulary."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(config), dtype=torch.float32).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(ROOT / "experiments/models/ink-64" / name, folder)


def peak_flops(threads: int) -> float:
    """Floating-point operations per second of a square product, the best of several."""
    code = (
        f"import time, torch; torch.set_num_threads({threads}); n = {PEAK_SIZE}; a = torch.randn(n, n); b = torch.randn(n, n)\n"
        "a @ b; times = []\n"
        "for _ in range(12):\n"
        "    start = time.perf_counter(); a @ b; times.append(time.perf_counter() - start)\n"
        "print(2 * n**3 / min(times))"
    )
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def reference(arguments: argparse.Namespace, model: Path) -> dict:
    command = [
        sys.executable, str(ROOT / "benchmarks/reference_loop.py"), "--model", str(model), "--length", str(arguments.length),
        "--memory-vectors", str(arguments.memory_vectors), "--steps", str(arguments.reference_steps), "--warmup", "2",
        "--threads", str(arguments.threads),
    ]  # fmt: skip
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def memcap_rate(arguments: argparse.Namespace, experiment: Path, folder: Path) -> float:
    environment = os.environ | {"OMP_NUM_THREADS": str(arguments.threads)}
    command = [*shlex.split(arguments.memcap), "run", str(experiment), "--out", str(folder)]
    finished = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if finished.returncode:
        raise SystemExit(f"{shlex.join(command)} ended with {finished.returncode}:\n{finished.stderr[-2000:]}")
    evaluations, seconds = read_results(folder / "results.h5")
    return evaluations / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", help="a folder of experiments/paper/models, as pythia-160m")
    parser.add_argument("--memcap", default=str(ROOT / "memcap"), help="how memcap is started with one rank")
    parser.add_argument("--length", type=int, default=128, help="N")
    parser.add_argument("--memory-vectors", type=int, default=1, help="K")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=8, help="trials of memcap's run")
    parser.add_argument("--steps", type=int, default=10, help="evaluations of each trial")
    parser.add_argument("--reference-steps", type=int, default=20)
    parser.add_argument("--scratch", type=Path, help="where the model goes (default: a temporary folder)")
    arguments = parser.parse_args()
    rounds, flops = [], None
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        model, experiment = Path(name) / "model", Path(name) / "experiment.yaml"
        write_model(ROOT / "experiments/paper/models" / arguments.shape, model)
        experiment.write_text(EXPERIMENT.format(model=model, root=ROOT, **vars(arguments)), encoding="utf-8")
        for number in range(arguments.rounds):
            peak = peak_flops(arguments.threads)
            loop = reference(arguments, model)
            rate = memcap_rate(arguments, experiment, Path(name) / f"run-{number}")
            flops = loop["flops_per_step"]
            rounds.append({"peak_flops_per_s": peak, "reference": loop["steps_per_s"], "memcap": rate})
            print(rounds[-1], os.getloadavg()[0], file=sys.stderr, flush=True)
            time.sleep(1)
    result = {
        "shape": arguments.shape,
        "threads": arguments.threads,
        "ratio": statistics.median(entry["memcap"] / entry["reference"] for entry in rounds),
        "rounds": rounds,
    }
    if flops:
        for key in ("memcap", "reference"):
            shares = [entry[key] * flops / entry["peak_flops_per_s"] for entry in rounds]
            result[f"{key}_share_of_peak"] = statistics.median(shares)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
