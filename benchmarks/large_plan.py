"""What experiments of a million trials take before their first trial: time and memory of `memcap plan` and `memcap run`.

Makes the experiments and prints a line each: the command's wall time, the processor time of it and its tokenizer helper, and the
peak memory of either. `run` ends after five trials, so its time is mostly that of what comes before them.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import subprocess
import tempfile
import time
from pathlib import Path

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
WORDS = EXPERIMENTS / "texts" / "words.txt"
LENGTHS = list(range(8, 168, 8))
LOOK_S = 0.05


def corpus(file: Path, samples: int, words: int) -> dict[str, object]:
    """Texts of random words, all different."""
    vocabulary = WORDS.read_text(encoding="utf-8").split()
    draw = random.Random(str(file.name))
    with file.open("w", encoding="utf-8") as lines:
        for _ in range(samples):
            lines.write(json.dumps({"text": " ".join(draw.choices(vocabulary, k=words))}) + "\n")
    return {"kind": "jsonl", "path": str(file), "part": "all"}


def experiment(folder: Path, models: list[str], corpora: dict[str, object], **axes: object) -> Path:
    """An experiment of one sweep, written to its file."""
    content = {
        "experiment": folder.name,
        "models": {model: {"path": str(EXPERIMENTS / "models" / model)} for model in models},
        "corpora": corpora,
        "protocols": {"hot": {"base": "paper", "learning_rate": 0.3, "max_steps": 200, "patience": 200}},
        "sweeps": [{"models": models, "corpora": list(corpora), "protocols": "hot", **axes}],
    }
    file = folder / "experiment.yaml"
    file.write_text(json.dumps(content), encoding="utf-8")  # every JSON text is also YAML
    return file


def seeds(folder: Path) -> Path:
    """500 texts, 25 seeds: 1,000,000 trials."""
    return experiment(folder, ["ink-64"], {"texts": corpus(folder / "texts.jsonl", 500, 200)},
                      memory_vectors=[1, 2, 3, 4], lengths=LENGTHS, seeds=list(range(25)))


def texts(folder: Path) -> Path:
    """50,000 texts of 60 words: 1,000,000 rows."""
    return experiment(folder, ["ink-64"], {"texts": corpus(folder / "texts.jsonl", 50_000, 60)},
                      memory_vectors=[1, 4], lengths=[4, 6, 8, 12, 16, 20, 24, 32, 40, 48])


def models(folder: Path) -> Path:
    """Three models, two corpora: 960,000 trials."""
    corpora = {name: corpus(folder / f"{name}.jsonl", 500, 200) for name in ("first", "second")}
    return experiment(folder, ["ink-64", "ink-128", "ink-192"], corpora, memory_vectors=[1, 4], lengths=LENGTHS, seeds=list(range(8)))


def random_words(folder: Path) -> Path:
    """Random words of 1,000 seeds: 1,000,000 trials."""
    corpora = {"random": {"kind": "random_words", "vocabulary": str(WORDS), "samples": 10}}
    return experiment(folder, ["ink-64"], corpora, memory_vectors=[1, 2, 3, 4, 5], lengths=LENGTHS, seeds=list(range(1000)))


KINDS = {"seeds": seeds, "texts": texts, "models": models, "random": random_words}


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(child) for child in found.stdout.split()]


def peak_mib(pid: int) -> int:
    """0 for a process that is gone."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    except OSError:
        return 0
    return int(found[1]) // 1024 if found else 0


def measure(command: list[str]) -> str:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start_s = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    own = helper = 0
    while process.poll() is None:
        own = max(own, peak_mib(process.pid))
        helper = max([helper, *map(peak_mib, children_of(process.pid))])
        time.sleep(LOOK_S)
    wall_s = time.monotonic() - start_s
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return f"status {process.returncode}, {wall_s:.1f} s, {processor_s:.1f} s of processor time, {own} MiB, helper {helper} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=list(KINDS), help=f"of {', '.join(KINDS)}; all of them unless given")
    parser.add_argument("--memcap", default="./memcap")
    parser.add_argument("--run", action="store_true", help="memcap run too, five trials of each")
    options = parser.parse_args()
    for kind in options.kinds:
        with tempfile.TemporaryDirectory() as place:
            file = KINDS[kind](Path(place))
            print(kind, "plan:", measure([options.memcap, "plan", str(file), "--bench", "none"]), flush=True)
            if options.run:
                run = [options.memcap, "run", str(file), "--out", f"{place}/run", "--limit", "5"]
                print(kind, "run:", measure(run), flush=True)
                print(kind, "run again:", measure(run), flush=True)


if __name__ == "__main__":
    main()
