"""What the tests of the job script share: jobs of cluster/memcap.sbatch on a Slurm of this machine, and what became of them."""

import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import local_slurm
from experiment import ENVIRONMENT, ROOT

SCRIPT = ROOT / "cluster" / "memcap.sbatch"
STAND_IN = Path(__file__).parent / "stand_in_memcap"
DEADLINE_S = 180
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED")
# What a job must have after a requeue as before it.
OPTIONS = ("JobName", "TimeLimit", "NumNodes", "NumTasks", "CPUs/Task", "TresPerNode", "Partition", "StdOut", "WorkDir", "MinMemoryCPU")


class SlurmCase(unittest.TestCase):
    """A Slurm for the tests of a class, and a folder for each test. Jobs run the stand-in unless `memcap` is another."""

    @classmethod
    def setUpClass(cls):
        cls.slurm = local_slurm.start()
        cls.addClassCleanup(cls.slurm.stop)

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="memcap-job-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.addCleanup(self.slurm.ask, "scancel", "--user=root")
        self.out = self.folder / "run"
        self.environment = {**ENVIRONMENT, **self.slurm.environment, "MEMCAP": str(STAND_IN), "MEMCAP_RELAUNCH_DELAY": "0"}

    def slurm_command(self, *command, environment=None):
        done = subprocess.run([str(word) for word in command], env=environment or self.environment, cwd=self.folder,
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def experiment(self, behaviour):
        """An experiment file for the stand-in."""
        file = self.folder / "experiment.yaml"
        file.write_text(behaviour + "\n", encoding="utf-8")
        return file

    def submit(self, file, *options, arguments=None, **variables):
        """Submits the script as a user does; returns the job's id."""
        words = ["sbatch", "--parsable", "--ntasks-per-node=1", "--cpus-per-task=1", "--time=15", *options, SCRIPT, file,
                 *(["--out", self.out] if arguments is None else arguments)]
        return self.slurm_command(*words, environment={**self.environment, **variables})

    def facts(self, job):
        """What Slurm says of a job, by Slurm's names."""
        return dict(re.findall(r"(\S+?)=(\S*)", self.slurm_command("scontrol", "show", "job", "-o", job)))

    def options(self, job):
        facts = self.facts(job)
        facts["NumNodes"] = facts["NumNodes"].split("-")[0]  # of a job that waits: from-to
        return {name: facts.get(name) for name in OPTIONS}

    def jobs_since(self, job):
        """Ids of this job and of all that were submitted after it, ended or not."""
        return sorted(int(one) for one in self.slurm_command("squeue", "-h", "--states=all", "-o", "%A").split() if int(one) >= int(job))

    def log(self):
        """What all jobs of this test have printed."""
        return "".join(file.read_text(encoding="utf-8", errors="replace") for file in sorted(self.folder.glob("*.log")))

    def wait(self, what, condition):
        deadline_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline_s:
            if found := condition():
                return found
            time.sleep(0.2)
        return self.fail(f"{what}: not in time\n{self.slurm_command('squeue', '--states=all')}\n{self.log()}")

    def wait_for_end(self, job):
        """(state, exit status) of a job that has ended."""
        def ended():
            facts = self.facts(job)
            return facts if facts["JobState"] in ENDED else None
        facts = self.wait(f"end of job {job}", ended)
        return facts["JobState"], int(facts["ExitCode"].split(":")[0])

    def wait_until_computes(self, least_launches=1):
        """Until the stand-in waits for a signal in its n-th launch."""
        self.wait("computing", lambda: (self.out / "computes").exists() and self.launches() >= least_launches)

    def wait_for_requeue(self, job):
        self.wait(f"requeueing of job {job}", lambda: self.facts(job)["JobState"] == "PENDING")

    def release(self, job):
        """Has a requeued job start as soon as it can; Slurm has it wait for two minutes, counted anew when its nodes are free."""
        def started():
            self.slurm.ask("scontrol", "update", f"JobId={job}", "StartTime=now")
            return self.facts(job)["JobState"] != "PENDING"
        self.wait_for_requeue(job)
        time.sleep(2)  # a node may still be removing the first start's script, which the two minutes are for
        self.wait(f"second start of job {job}", started)

    def log_lines(self, kind):
        file = self.out / "log" / "launches"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [line for line in lines if line.startswith(kind)]

    def launches(self):
        return len(self.log_lines("launch"))

    def command(self, name, body):
        """A program in the front of the jobs' PATH."""
        file = self.folder / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/usr/bin/env bash\n{body}\n", encoding="utf-8")
        file.chmod(0o755)
        self.environment["PATH"] = f"{file.parent}:{os.environ['PATH']}"
        return file
