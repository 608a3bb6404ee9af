"""How a job of cluster/memcap.sbatch ends, under a real Slurm: done only if memcap says so, and never in an endless chain."""

import unittest

from experiment import ROOT
from slurm_case import SlurmCase

CASES = {
    # What modules and conda leave behind.
    "reads a variable that is not set": 'export OLD_LIBRARIES="/opt/lib:$NO_SUCH_VARIABLE"',
    "finds nothing": "grep -q no-such-line /etc/hostname",
    "sets -e and ends with a failure": "set -e; ! true",
    "reads the arguments it is sourced with": 'for word in "$@"; do echo "unknown option $word"; return 3; done',
}


class Endings(SlurmCase):
    def end(self, behaviour, *options, **variables):
        job = self.submit(self.experiment(behaviour), *options, **variables)
        ended = self.wait_for_end(job)
        self.assertEqual(self.jobs_since(job), [int(job)], self.log())
        return ended

    def test_all_done_is_completed(self):
        self.assertEqual(self.end("begin 2; finish 2; leave"), ("COMPLETED", 0))
        self.assertIn("all done", self.log())

    def test_trials_that_failed_for_good_are_told_with_status_3(self):
        self.assertEqual(self.end("begin 2; finish 1; fail_trial; leave"), ("FAILED", 3))
        self.assertIn("1 trials failed for good", self.log())

    def test_a_mistake_in_the_experiment_ends_at_once_with_status_2(self):
        self.assertEqual(self.end('echo x >>"$folder/refused"; exit 2'), ("FAILED", 2))
        self.assertEqual((self.out / "refused").read_text(encoding="utf-8"), "x\n")

    def test_a_launcher_that_starts_nothing_and_returns_0_is_no_success(self):
        launcher = self.command("broken_srun", f'echo "$*" >>"{self.folder}/tried"; exit 0')
        self.assertEqual(self.end("begin 2; finish 2; leave", MEMCAP_LAUNCH=str(launcher)), ("FAILED", 1))
        self.assertEqual(len((self.folder / "tried").read_text(encoding="utf-8").splitlines()), 2)
        self.assertIn("two launches in a row ended no trial and took none further", self.log())

    def test_a_launcher_that_fails_after_all_is_done_is_a_success(self):
        launcher = self.command("shaky_srun", 'srun "$@"; exit 1')
        self.assertEqual(self.end("begin 2; finish 2; leave", MEMCAP_LAUNCH=str(launcher)), ("COMPLETED", 0))

    def test_a_finished_run_of_which_a_changed_launch_fails_is_no_success(self):
        self.assertEqual(self.end("if (($(launch_number) == 0)); then begin 2; finish 2; leave; fi; exit 1"), ("COMPLETED", 0))
        self.assertEqual(self.end("exit 1"), ("FAILED", 1))

    def test_crashes_are_launched_again_while_there_is_progress(self):
        self.assertEqual(self.end("begin 3; finish 1; if (($(open_trials) > 0)); then kill -9 $$; fi; leave"), ("COMPLETED", 0))
        self.assertEqual(self.launches(), 3)
        self.assertEqual({line.split()[2] for line in self.log_lines("launch")}, {"restarts=0"})

    def test_two_launches_without_progress_end_the_job_with_the_reason(self):
        self.assertEqual(self.end("begin 3; if (($(launch_number) == 1)); then finish 1; fi; kill -9 $$"), ("FAILED", 1))
        self.assertEqual(self.launches(), 3)
        self.assertIn("two launches in a row ended no trial and took none further", self.log())

    def test_a_run_that_is_told_to_stop_stays_stopped(self):
        self.assertEqual(self.end("begin 3; finish 1; leave"), ("FAILED", 75))
        self.assertEqual(self.launches(), 1)
        self.assertIn("stopped as it was told", self.log())

    def test_ordinary_site_files_work(self):
        for name, text in CASES.items():
            with self.subTest(name):
                site = self.folder / "site.sh"
                site.write_text(f"{text}\nexport SITE_READY=yes\n", encoding="utf-8")
                if "-e" in name:
                    site.write_text(f"export SITE_READY=yes\n{text}\n", encoding="utf-8")
                self.out = self.folder / name.replace(" ", "-")
                ended = self.end('begin 1; note "$SITE_READY"; finish 1; leave', MEMCAP_SITE="site.sh")
                self.assertEqual(ended, ("COMPLETED", 0), self.log())
                self.assertEqual(self.log_lines("note"), ["note yes"])

    def test_the_site_files_that_memcap_comes_with_work(self):
        for site in sorted((ROOT / "cluster" / "sites").glob("*.sh")):
            with self.subTest(site.name):
                self.out = self.folder / site.stem
                self.assertEqual(self.end("begin 1; finish 1; leave", MEMCAP_SITE=str(site)), ("COMPLETED", 0), self.log())

    def test_a_site_file_that_is_not_there_is_told(self):
        self.assertEqual(self.end("begin 1; finish 1; leave", MEMCAP_SITE="no-such-file.sh"), ("FAILED", 2))
        self.assertIn("cannot read MEMCAP_SITE=no-such-file.sh", self.log())

    def test_without_an_experiment_it_explains_itself(self):
        self.assertEqual(self.wait_for_end(self.submit("--limit", arguments=["4"])), ("FAILED", 2))
        self.assertIn("no experiment file", self.log())

    def test_gpus_that_are_asked_for_reach_the_ranks(self):
        ended = self.end('begin 1; note "$CUDA_VISIBLE_DEVICES"; finish 1; leave', "--gpus-per-node=2")
        self.assertEqual((ended, self.log_lines("note")), (("COMPLETED", 0), ["note 0,1"]))


if __name__ == "__main__":
    unittest.main()
