"""Mistakes of a launch over several nodes end before anything starts, with what is wrong on which node and the remedy."""

import re
import shutil
import time
import unittest
from pathlib import Path

from support import MEMCAP, USAGE, WORK_REMAINS, EndToEnd, mpirun

# Rank 1 is another node, with another folder under /proc/self/cwd.
OTHER_FOLDER = ["sh", "-c", "export MEMCAP_NODE=node$OMPI_COMM_WORLD_RANK; mkdir -p $MEMCAP_NODE; cd $MEMCAP_NODE; exec \"$@\"", "sh"]


class Launch(EndToEnd):
    def build_id(self):
        return re.search(r"build ([0-9a-f]+)\)", self.memcap("--version").stdout)[1]

    def other_build(self):
        """A copy of the executable that says it is another build."""
        content = Path(MEMCAP).read_bytes()
        own = bytes.fromhex(self.build_id())
        self.assertEqual(content.count(own), 1)
        copy = self.folder / "memcap-of-another-node"
        copy.write_bytes(content.replace(own, own[::-1]))
        shutil.copymode(MEMCAP, copy)
        return copy, own[::-1].hex()

    def test_another_program_on_one_node_is_refused(self):
        file, run = self.write(), self.folder / "run"
        other, other_id = self.other_build()
        said = self.memcap("run", file, "--out", run, status=USAGE,
                           launcher=[*mpirun(1), "-x", "MEMCAP_NODE=n2", other, "run", file, "--out", run, ":",
                                     "-np", "1", "-x", "MEMCAP_NODE=n1"]).stderr
        self.assertIn("different programs", said)
        self.assertRegex(said, rf"build {self.build_id()}\) on n1")
        self.assertRegex(said, rf"build {other_id}\) on n2")
        self.assertIn("memcap --version", said)
        self.assertFalse(run.exists())

    def test_a_run_folder_that_only_one_node_sees_is_refused(self):
        file = self.write()
        said = self.memcap("run", file, "--out", "/proc/self/cwd/run", launcher=[*mpirun(3), *OTHER_FOLDER], status=USAGE).stderr
        self.assertIn("node1, node2 have another folder of this name", said)
        self.assertIn("--out", said)
        self.assertEqual([path for path in self.folder.glob("node*/*")], [])

    def test_a_shared_run_folder_is_looked_at_and_left_as_it_is(self):
        run = self.run_experiment(self.write(), launcher=[*mpirun(2), "sh", "-c", "MEMCAP_NODE=n$OMPI_COMM_WORLD_RANK exec \"$@\"", "sh"])
        self.assertEqual(self.status(run)["done"], 12)
        self.assertEqual(list(self.folder.glob("**/.look*")), [])

    def test_a_mistake_in_the_file_ends_a_launch_on_two_nodes(self):
        said = self.memcap("run", self.folder / "nowhere.yaml", status=USAGE, launcher=[*mpirun(2), *OTHER_FOLDER]).stderr
        self.assertIn("nowhere.yaml", said)

    def test_processes_that_mpi_does_not_bring_together_are_refused(self):
        for environment in ({"PMI_RANK": "0", "PMI_SIZE": "2"}, {"SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"},
                            {"SLURM_NTASKS": "2"}):
            with self.subTest(environment):
                said = self.memcap("run", self.write(), status=USAGE, environment=environment).stderr
                self.assertIn("srun --mpi=pmix", said)
                self.assertFalse((self.folder / "runs").exists())

    def test_a_job_that_ends_too_soon_for_a_trial_is_left_at_once_and_goes_on_later(self):
        file = self.write()
        for extra, environment in ((("--time-limit", "50s"), {}), ((), {"SLURM_JOB_END_TIME": str(int(time.time()) + 60)})):
            with self.subTest(extra or environment):
                said = self.memcap("run", file, "--out", self.folder / "run", *extra, status=WORK_REMAINS, environment=environment).stderr
                self.assertIn("the job's time is over", said)
                self.assertNotIn("error", said)
        self.assertEqual(self.status(self.folder / "run")["done"], 0)
        self.memcap("run", file, "--out", self.folder / "run", "--time-limit", "2h")
        self.assertEqual(self.status(self.folder / "run")["done"], 12)

    def test_a_time_limit_without_a_unit_is_refused(self):
        self.assertIn("90m", self.memcap("run", self.write(), "--time-limit", "90", status=USAGE).stderr)


if __name__ == "__main__":
    unittest.main()
