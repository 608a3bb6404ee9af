"""What the shell's settings of threads cost: processor and wall time of one run under each, against none set.

Each round runs the same experiment once without any setting and once under each; what is shown is the median over the
rounds of a run's time over that of its own round without settings. Rounds take turns, so that what else the machine does
falls on all.
"""

import argparse
import os
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
STEERING = ("OMP_", "GOMP_", "KMP_", "MKL_")
SETTINGS = ("OMP_NUM_THREADS=1", "MKL_NUM_THREADS=1", "OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive", "OMP_WAIT_POLICY=active",
            "OMP_WAIT_POLICY=passive", "OMP_THREAD_LIMIT=1", "OMP_DYNAMIC=true", "OMP_MAX_ACTIVE_LEVELS=0", "OMP_PROC_BIND=true",
            "OMP_PLACES=cores OMP_PROC_BIND=close", "GOMP_CPU_AFFINITY=0", "GOMP_SPINCOUNT=infinite", "KMP_AFFINITY=compact",
            "KMP_BLOCKTIME=infinite", "MKL_DYNAMIC=TRUE", "MKL_CBWR=COMPATIBLE", "ATEN_CPU_CAPABILITY=default",
            "ONEDNN_MAX_CPU_ISA=SSE41")
EXPERIMENT = """experiment: environment
models: {ink: {path: %(root)s/experiments/models/ink-64}}
corpora: {essays: {kind: text, path: %(root)s/experiments/texts/essays, part: all, samples: 8}}
protocols: {q: {learning_rate: 0.01, max_steps: %(steps)d, patience: %(steps)d}}
run: {slots: 16}
sweeps: [{models: ink, corpora: essays, memory_vectors: [1], lengths: [32, 64], protocols: q}]
"""


def times(command, setting):
    """Wall and processor seconds of the command under the setting."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(STEERING)}
    environment |= dict(each.split("=", 1) for each in setting.split())
    before, start_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - start_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memcap", type=Path, default=ROOT / "memcap")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300, help="of each of the 16 trials")
    options = parser.parse_args()
    ratios = {setting: [] for setting in SETTINGS}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "environment.yaml"
        file.write_text(EXPERIMENT % {"root": ROOT, "steps": options.steps}, encoding="utf-8")
        number = 0
        for _ in range(options.rounds):
            measured = {}
            for setting in ("", *SETTINGS):
                number += 1
                measured[setting] = times([options.memcap, "run", file, "--out", Path(folder) / str(number)], setting)
            for setting, both in ratios.items():
                both.append([mine / plain for mine, plain in zip(measured[setting], measured[""], strict=True)])
            print(f"none set: {measured[''][0]:.2f} s, {measured[''][1]:.2f} s of processor time", flush=True)
    print("| setting | processor time | wall time |\n|---|---|---|")
    for setting, both in ratios.items():
        wall, processor = (statistics.median(column) for column in zip(*both, strict=True))
        print(f"| `{setting}` | {processor:.3f} | {wall:.3f} |")


if __name__ == "__main__":
    main()
