"""The Slurm batch script hands signals on and requeues exactly when work remains; Slurm's commands are stand-ins."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "cluster" / "memcap.sbatch"


class BatchScript(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.command("scontrol", 'echo "scontrol $*" >> calls')
        self.command("sbatch", 'echo "sbatch $*" >> calls')

    def command(self, name, body):
        file = self.folder / name
        file.write_text(f'#!/usr/bin/env bash\ncd "{self.folder}"\n{body}\n', encoding="utf-8")
        file.chmod(0o755)

    def start(self, *arguments, **variables):
        environment = {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "17",
                       "SLURM_SUBMIT_DIR": str(self.folder), "SLURM_JOB_NAME": "memcap", "SLURM_JOB_NUM_NODES": "1",
                       "MEMCAP_LAUNCH": "env", **variables}
        return subprocess.Popen([str(SCRIPT), *arguments], env=environment, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)

    def finish(self, job):
        output, _ = job.communicate(timeout=60)
        return job.returncode, output

    def calls(self):
        file = self.folder / "calls"
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    def test_passes_its_arguments_on_and_ends_with_memcap(self):
        self.command("memcap", 'echo "$*" > seen; exit 0')
        status, _ = self.finish(self.start("a b.yaml", "--limit", "4"))
        self.assertEqual(status, 0)
        self.assertEqual((self.folder / "seen").read_text(encoding="utf-8"), "run a b.yaml --limit 4\n")
        self.assertEqual(self.calls(), [])

    def test_requeues_when_work_remains(self):
        self.command("memcap", "exit 75")
        status, _ = self.finish(self.start("a.yaml"))
        self.assertEqual((status, self.calls()), (0, ["scontrol requeue 17"]))

    def test_does_not_requeue_after_a_mistake_or_failed_trials(self):
        for expected in (1, 2, 3, 137):
            with self.subTest(expected):
                self.command("memcap", f"exit {expected}")
                status, _ = self.finish(self.start("a.yaml"))
                self.assertEqual((status, self.calls()), (expected, []))

    def test_stops_requeueing_at_the_limit(self):
        self.command("memcap", "exit 75")
        status, output = self.finish(self.start("a.yaml", SLURM_RESTART_COUNT="3", MEMCAP_MAX_RESTARTS="3"))
        self.assertEqual((status, self.calls()), (75, []))
        self.assertIn("work remains", output)

    def test_submits_a_successor_where_requeueing_is_not_allowed(self):
        self.command("memcap", "exit 75")
        self.command("scontrol", "exit 1")
        status, _ = self.finish(self.start("a.yaml", "--limit", "4", SLURM_JOB_PARTITION="low"))
        self.assertEqual(status, 0)
        self.assertEqual(len(self.calls()), 1)
        for part in ("--dependency=singleton", "--partition=low", str(SCRIPT), "a.yaml --limit 4"):
            self.assertIn(part, self.calls()[0])

    def test_hands_signals_on_and_waits_for_the_work_to_be_saved(self):
        # memcap catches the signal, takes a while to save, and says that work remains.
        self.command("memcap", 'trap "caught=1" USR1 TERM; touch ready; until [[ -v caught ]]; do sleep 0.05; done\n'
                               'sleep 0.5; touch saved; exit 75')
        for number in (signal.SIGUSR1, signal.SIGTERM):
            with self.subTest(number.name):
                for name in ("ready", "saved", "calls"):
                    (self.folder / name).unlink(missing_ok=True)
                job = self.start("a.yaml")
                deadline = time.monotonic() + 30
                while not (self.folder / "ready").exists() and time.monotonic() < deadline:
                    time.sleep(0.02)
                job.send_signal(number)
                time.sleep(0.1)
                job.send_signal(number)  # Slurm may send it twice
                status, output = self.finish(job)
                self.assertIn(f"SIG{number.name.removeprefix('SIG')}", output)
                self.assertTrue((self.folder / "saved").exists())
                self.assertEqual((status, self.calls()), (0, ["scontrol requeue 17"]))

    def test_reads_the_site_file_before_the_launch(self):
        self.command("memcap", 'echo "$SITE_MODULE" > seen')
        (self.folder / "site.sh").write_text("export SITE_MODULE=openmpi\n", encoding="utf-8")
        self.finish(self.start("a.yaml", MEMCAP_SITE=str(self.folder / "site.sh")))
        self.assertEqual((self.folder / "seen").read_text(encoding="utf-8"), "openmpi\n")

    def test_explains_itself_without_an_experiment(self):
        status, output = self.finish(self.start())
        self.assertEqual(status, 2)
        self.assertIn("usage:", output)


if __name__ == "__main__":
    unittest.main()
