"""What comes before the first trial: it is shown, a signal ends it, and many trials take little."""

import json
import resource
import signal
import subprocess
import time
import unittest

from support import MEMCAP, WORK_REMAINS, EndToEnd, essays, mpirun, random_words

# A tokenizer helper that never answers.
SILENT = "#!/bin/sh\nexec sleep 600\n"
# Seconds until the first line in a log, and then until the process ends by itself; with room for a busy machine.
DEADLINE_S = 60


class Preparation(EndToEnd):
    def hanging(self):
        """An experiment whose preparation hangs."""
        python = self.folder / "silent"
        python.write_text(SILENT, encoding="utf-8")
        python.chmod(0o755)
        return self.write(run={"threads": 1, "python": str(python)})

    def start_command(self, *arguments, launcher=()):
        process = subprocess.Popen([*launcher, MEMCAP, *map(str, arguments)], cwd=self.folder, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=self.environment)
        self.addCleanup(process.stdout.close)
        self.addCleanup(self.kill_all, process, [])
        return process

    def wait_for_line(self, process, expected):
        """Reads stderr up to a line with this."""
        for line in process.stderr:
            if expected in line:
                return
        self.fail(f"no line with {expected!r}")

    def test_says_what_it_does_and_ends_within_seconds(self):
        file = self.hanging()
        for number, arguments in ((signal.SIGTERM, ("run", file, "--out", "run")), (signal.SIGINT, ("plan", file))):
            with self.subTest(arguments[0]):
                process = self.start_command(*arguments)
                self.wait_for_line(process, "texts of 'essays' as tokens of 'ink-64'")
                process.send_signal(number)
                since = time.monotonic()
                said = process.communicate(timeout=DEADLINE_S)[1]
                self.assertLess(time.monotonic() - since, DEADLINE_S / 3)
                self.assertEqual(process.returncode, WORK_REMAINS, said)
                self.assertIn(f"stopped by {number.name} before", said)
                self.assertFalse((self.folder / "run" / "journal").exists(), "nothing was begun")

    def test_ends_a_run_of_several_ranks(self):
        process = self.start_command("run", self.hanging(), "--out", "run", launcher=mpirun(2))
        self.wait_for_line(process, "texts of 'essays'")
        process.send_signal(signal.SIGUSR1)
        said = process.communicate(timeout=DEADLINE_S)[1]
        self.assertEqual(process.returncode, WORK_REMAINS, said)
        self.assertIn("nothing is lost: the same command goes on", said)


class DiskSpace(EndToEnd):
    def test_that_is_too_little_is_said_with_what_takes_it(self):
        file = self.write(max_steps=1_000_000_000, seeds=list(range(1000)))  # 12 GB of curve points a trial
        said = self.memcap("plan", file, "--bench", "none")
        self.assertRegex(said.stderr, r"runs/e2e: the results may take [0-9.]+ TB, and .* are free\. Give --out")
        self.assertRegex(said.stdout, r"disk: at most [0-9.]+ TB in runs/e2e \(vectors .*, curves [0-9.]+ TB,")
        self.assertRegex(said.stdout, r"12,000 trials for 12,000 rows")
        said = self.memcap("plan", file, "--bench", "none", "--set", "store.curve_every=0", "--set", "store.vectors=false")
        self.assertNotIn("are free", said.stderr)


class ManyTrials(EndToEnd):
    """400,000 trials: on random words of 5,000 seeds, and on two texts."""

    def write_many(self):
        seeds = list(range(5000))
        return self.write(corpora={"words": random_words(2), "essays": essays(2)},
                          memory_vectors=[1, 2], lengths=[4, 5, 6, 7, 8, 9, 10, 11, 12, 13], seeds=seeds)

    def test_are_planned_in_seconds_and_little_memory(self):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        plan = json.loads(self.memcap("plan", self.write_many(), "--json", "--bench", "none").stdout)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.assertEqual(plan["trials"], 400_000)
        self.assertGreater(plan["disk"]["bytes"], 400_000 * 64 * 4)
        self.assertEqual(plan["disk"]["bytes"], sum(plan["disk"][part] for part in (
            "vectors_bytes", "curves_bytes", "records_bytes", "tokens_bytes")))
        self.assertGreater(plan["disk"]["free_bytes"], 0)
        processor_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        self.assertLess(processor_s, 30)
        # MiB, libtorch and Python among them; with its tokens and axes in each trial it is 650.
        self.assertLess(used.ru_maxrss / 1024, 450)


if __name__ == "__main__":
    unittest.main()
