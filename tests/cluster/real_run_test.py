"""memcap itself in jobs of cluster/memcap.sbatch on two virtual nodes, launched by srun --mpi=pmix: interrupted, it loses nothing."""

import json
import subprocess
import unittest

from experiment import ENVIRONMENT, MEMCAP, experiment
from slurm_case import SlurmCase

NODES = ("--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=1", "--job-name=real")


class RealRun(SlurmCase):
    def setUp(self):
        super().setUp()
        self.environment["MEMCAP"] = MEMCAP
        self.file = experiment(self.folder, seeds=60, max_steps=200)

    def status(self):
        """What memcap status says; nothing before there is a run."""
        done = subprocess.run([MEMCAP, "status", str(self.out), "--json"], check=False, capture_output=True, text=True, env=self.environment)
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def wait_for_result(self, job, launch=1):
        """Until a launch has finished a trial; returns the status then."""
        def result():
            self.assertNotIn(self.facts(job)["JobState"], ("COMPLETED", "FAILED"), self.log())
            status = self.status()
            return status if status.get("launches", 0) >= launch and status["done_in_launch"] > 0 else None
        return self.wait("a result", result)

    def expect_done_in(self, launches):
        status = self.status()
        self.assertEqual((status["state"], status["done"], status["open"]), ("done", status["planned"], 0))
        self.assertEqual(status["launches"], launches, self.log())
        self.assertLess(status["done_in_launch"], status["planned"], "the last launch computed what was finished before")

    def test_is_requeued_at_the_warning_and_goes_on_where_it_was(self):
        job = self.submit(self.file, *NODES)
        running = self.wait_for_result(job)
        self.assertEqual((running["state"], running["owner"]["job_id"]), ("running", job))
        self.slurm_command("scancel", "--signal=USR1", "--batch", job)
        self.release(job)
        self.assertEqual(self.wait_for_end(job), ("COMPLETED", 0), self.log())
        self.assertEqual(self.jobs_since(job), [int(job)])
        self.expect_done_in(2)

    def test_killed_it_is_launched_again_inside_the_allocation(self):
        job = self.submit(self.file, *NODES)
        self.wait_for_result(job)
        self.slurm_command("scancel", "--signal=KILL", f"{job}.0")
        self.assertEqual(self.wait_for_end(job), ("COMPLETED", 0), self.log())
        self.assertEqual(self.facts(job)["Restarts"], "0")
        self.expect_done_in(2)

    def test_cancelled_it_has_saved_its_work_and_stays_cancelled(self):
        job = self.submit(self.file, *NODES)
        self.wait_for_result(job)
        self.slurm_command("scancel", job)
        self.assertEqual(self.wait_for_end(job)[0], "CANCELLED")
        self.wait("the script's last word", lambda: "not requeued" in self.log())
        status = self.status()
        self.assertEqual(status["state"], "stopped", self.log())
        self.assertGreater(status["open"], 0)
        self.assertTrue(status["results"])
        self.assertEqual((self.facts(job)["JobState"], self.jobs_since(job)), ("CANCELLED", [int(job)]))

    def test_without_out_the_run_is_found_by_the_experiments_name(self):
        job = self.submit(experiment(self.folder), "--ntasks-per-node=2", arguments=[])
        self.assertEqual(self.wait_for_end(job), ("COMPLETED", 0), self.log())
        self.assertIn("run runs/tiny\n", self.log())

    def test_an_array_of_shards_comes_to_what_one_run_comes_to(self):
        job = self.submit(self.file, "--ntasks-per-node=1", "--array=0-2", arguments=["--out", self.out, "--shard", "%a/3"])
        tasks = [f"{job}_{task}" for task in range(3)]
        self.wait("a result of the second shard", lambda: self.done_in_shard(1))
        self.slurm_command("scancel", "--signal=KILL", f"{self.facts(tasks[1])['JobId']}.0")
        for task in tasks:
            self.assertEqual(self.wait_for_end(task), ("COMPLETED", 0), self.log())
        status = self.status()
        self.assertEqual((status["state"], status["done"], status["open"]), ("done", 240, 0), self.log())
        self.assertEqual([shard["launches"] for shard in status["shards"]], [1, 2, 1], self.log())
        self.assertIn(f"run {self.out}/shard-1\n", self.log())
        whole = self.folder / "whole"
        self.memcap("run", self.file, "--out", whole)
        # Merging compares, trial by trial, what two folders have of it.
        said = self.memcap("merge", self.folder / "both.h5", self.out, whole)
        self.assertIn("240 trials were in more than one folder\n240 rows written\n", said)
        self.assertNotIn("conflict", said)
        self.assertNotIn("rounding", said)

    def done_in_shard(self, index):
        """How many trials the launch of a shard has finished."""
        return next((shard.get("done_in_launch", 0) for shard in self.status().get("shards", []) if shard["shard"] == index), 0)

    def memcap(self, *arguments):
        return self.slurm_command(MEMCAP, *arguments, environment=ENVIRONMENT)


if __name__ == "__main__":
    unittest.main()
