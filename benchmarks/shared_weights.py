"""Memory and time that a large model costs the ranks of one node, beside transformers' from_pretrained.

Writes a random Llama of about a gigabyte of float32 weights into a scratch folder, lets memcap run a few short trials on
two ranks, and samples how much memory the ranks hold together (proportional set size: a page shared by two counts half for
each). Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_S = 0.02
EXPERIMENT = """experiment: shared_weights
models:
  large: {{path: {model}}}
corpora:
  essays: {{kind: text, path: {root}/experiments/texts/essays, part: second_half, joined: space, samples: 2}}
protocols:
  short: {{base: paper, max_steps: 5, patience: 5}}
sweeps:
  - {{models: [large], corpora: [essays], memory_vectors: [1], lengths: [8], seeds: [0], protocols: [short], precision: {precision}, prefix: [0]}}
"""


def write_model(folder: Path) -> int:
    """A random Llama with ink-64's tokenizer; its weights' size in bytes."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=15, num_attention_heads=16, num_key_value_heads=16,
        vocab_size=1024, max_position_embeddings=512, tie_word_embeddings=False,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(ROOT / "experiments/models/ink-64" / name, folder)
    return (folder / "model.safetensors").stat().st_size


def time_from_pretrained(folder: Path, dtype: str, threads: int) -> float:
    """Seconds of from_pretrained in a process of its own, imports not counted."""
    code = (
        f"import time, torch, transformers; torch.set_num_threads({threads}); transformers.utils.logging.disable_progress_bar()\n"
        f"from transformers import AutoModelForCausalLM as M; M.from_pretrained({str(ROOT / 'experiments/models/ink-64')!r})\n"
        f"start = time.perf_counter(); model = M.from_pretrained({str(folder)!r}, dtype=torch.{dtype})\n"
        "sum(parameter.float().sum().item() for parameter in model.parameters())\n"
        "print(time.perf_counter() - start)"
    )
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def shared_kb(process: int) -> int:
    """Proportional set size of a process, 0 once it has ended."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
    except (OSError, ProcessLookupError):
        return 0
    return int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1])


def ranks_of(executable: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if (folder / "exe").readlink() == Path(executable).resolve():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def run_memcap(arguments: argparse.Namespace, experiment: Path, scratch: Path, ranks: int) -> tuple[int, list[float]]:
    """The peak of all ranks' memory together in bytes, and each rank's seconds of loading."""
    command = [*shlex.split(arguments.mpirun), "-np", str(ranks), str(arguments.memcap), "run", str(experiment), "--out"]
    peak_kb = 0
    with open(scratch / f"log-{ranks}", "w+", encoding="utf-8") as log:
        process = subprocess.Popen([*command, str(scratch / f"run-{ranks}")], stdout=log, stderr=log)
        while process.poll() is None:
            peak_kb = max(peak_kb, sum(shared_kb(rank) for rank in ranks_of(arguments.memcap)))
            time.sleep(SAMPLE_S)
        log.seek(0)
        text = log.read()
    if process.returncode:
        raise SystemExit(f"{shlex.join(command)} ended with {process.returncode}:\n{text[-2000:]}")
    return peak_kb * 1024, [float(seconds) for seconds in re.findall(r"loaded .* in ([0-9.]+) s", text)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memcap", default=ROOT / "build/ci/memcap", help="the program itself, which the ranks are told by")
    parser.add_argument("--mpirun", default="mpirun --bind-to none --oversubscribe")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scratch", type=Path, help="where the model goes (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        scratch = Path(name)
        size_bytes = write_model(scratch / "model")
        experiment = scratch / "experiment.yaml"
        experiment.write_text(
            EXPERIMENT.format(model=scratch / "model", root=ROOT, precision=arguments.precision), encoding="utf-8"
        )
        rounds = []
        for number in range(arguments.rounds):
            (scratch / str(number)).mkdir()
            peak_bytes, loads_s = run_memcap(arguments, experiment, scratch / str(number), 2)
            alone_bytes, alone_s = run_memcap(arguments, experiment, scratch / str(number), 1)
            rounds.append({
                "two_ranks_peak": peak_bytes / size_bytes, "one_rank_peak": alone_bytes / size_bytes,
                "two_ranks_load_s": max(loads_s), "one_rank_load_s": alone_s[0],
                "from_pretrained_s": time_from_pretrained(scratch / "model", arguments.precision, 1),
            })  # fmt: skip
            print(rounds[-1], file=sys.stderr, flush=True)
    median = {key: statistics.median(entry[key] for entry in rounds) for key in rounds[0]}
    median["load_ratio"] = statistics.median(entry["from_pretrained_s"] / entry["one_rank_load_s"] for entry in rounds)
    print(json.dumps({"size_bytes": size_bytes, "precision": arguments.precision, "median": median, "rounds": rounds}))


if __name__ == "__main__":
    main()
