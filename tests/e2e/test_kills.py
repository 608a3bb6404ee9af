"""Processes of a run are killed at random moments, again and again: what was done stays done, and the end is that of a run which nobody disturbed.

MEMCAP_KILLS: how many kills (12 unless set); MEMCAP_KILLS_SEED: which ones.
"""

import json
import os
import random
import signal
import subprocess
import time
import unittest
from pathlib import Path

from support import DONE, MEMCAP, EndToEnd, descendants, mpirun, results_hash

KILLS = int(os.environ.get("MEMCAP_KILLS", "12"))
SEED = int(os.environ.get("MEMCAP_KILLS_SEED", "1"))
# 48 trials that take some seconds together.
MANY = {"samples": 12, "max_steps": 120, "run": {"threads": 1, "slots": 3}}


def own_processes(pid):
    """memcap's processes of a run, by name: agents and what they have started."""
    found = []
    for child in [pid, *descendants(pid)]:
        try:
            name = Path(f"/proc/{child}/comm").read_text(encoding="ascii").strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name.startswith("memcap"):
            found.append((child, name))
    return found


class Kills(EndToEnd):
    def test_nothing_that_was_done_is_lost(self):
        file = self.write(**MANY)
        expected = results_hash(self.run_experiment(file, "undisturbed"))
        rng = random.Random(SEED)
        kills, rounds, done_before = 0, 0, 0
        killed = {}
        run = self.folder / "run-0"
        while kills < KILLS:
            process = self.start(file, run.name, launcher=mpirun(2) if rounds % 2 else ())
            rounds += 1
            while process.poll() is None and kills < KILLS:
                time.sleep(rng.uniform(0.1, 2.0))
                processes = own_processes(process.pid)
                if not processes:
                    continue
                victim, name = rng.choice(processes)
                # What status says of done trials was journalled before it was said, so no kill may take it back.
                done_before = max(done_before, self.journalled(run))
                try:
                    os.kill(victim, rng.choice([signal.SIGKILL, signal.SIGSEGV]))
                except ProcessLookupError:
                    continue
                kills += 1
                killed[name] = killed.get(name, 0) + 1
            try:
                process.wait(timeout=300)
            except subprocess.TimeoutExpired:
                self.fail(f"the run hangs after kill {kills}: {killed}")
            said = process.stderr.read()
            self.kill_all(process, [])
            self.assertGreaterEqual(self.journalled(run), done_before, said)
            if process.returncode == DONE:
                self.assertEqual(results_hash(run), expected, said)
                run = self.folder / f"run-{rounds}"
                done_before = 0
        if (run / "journal").exists():
            self.memcap("run", file, "--out", run)
            self.assertEqual(results_hash(run), expected)
        print(f"{kills} kills in {rounds} launches: {killed}")

    @staticmethod
    def journalled(run):
        """How many trials are done, as `memcap status` says."""
        said = subprocess.run([MEMCAP, "status", str(run), "--json"], check=False, capture_output=True, text=True)
        return json.loads(said.stdout)["done"] if said.returncode == DONE else 0


if __name__ == "__main__":
    unittest.main()
