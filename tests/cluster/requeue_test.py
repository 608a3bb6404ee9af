"""Whether a job of cluster/memcap.sbatch goes on after it was interrupted, under a real Slurm: once, as it was, or not at all."""

import time
import unittest

from slurm_case import SlurmCase

# Two trials: the first launch is interrupted in the midst of one, any later one ends what is open.
TWO_PARTS = "begin 2; if (($(launch_number) == 1)); then until_signal; finish 1; leave; fi; finish 1; leave"
ALWAYS_INTERRUPTED = "begin 2; until_signal; leave"
OWN_OPTIONS = ("--job-name=my-sweep", "--nodes=2", "--gpus-per-node=1", "--cpus-per-task=2", "--time=17", "--mem-per-cpu=100")


class Requeue(SlurmCase):
    def warn(self, job):
        """What Slurm does some time before the limit, now."""
        self.slurm_command("scancel", "--signal=USR1", "--batch", job)

    def expect_one_job(self, job, before=None):
        """This job has ended well after one restart, as it was submitted, and there was no other."""
        self.assertEqual(self.wait_for_end(job), ("COMPLETED", 0), self.log())
        self.assertEqual(self.facts(job)["Restarts"], "1")
        self.assertEqual(self.jobs_since(job), [int(job)], self.log())
        self.assertEqual(self.launches(), 2)
        if before:
            self.assertEqual(self.options(job), before)

    def test_at_the_time_limit_it_saves_and_goes_on_to_the_end(self):
        job = self.submit(self.experiment(TWO_PARTS), "--time=1", "--signal=B:USR1@30", "--job-name=walltime")
        before = self.options(job)
        self.wait_until_computes()
        self.release(job)
        self.expect_one_job(job, before)

    def test_a_warning_requeues_it_with_the_options_it_had(self):
        job = self.submit(self.experiment(TWO_PARTS), *OWN_OPTIONS)
        before = self.options(job)
        self.wait_until_computes()
        self.warn(job)
        self.release(job)
        self.expect_one_job(job, before)

    def test_cancelled_means_saved_and_not_requeued(self):
        job = self.submit(self.experiment(TWO_PARTS))
        self.wait_until_computes()
        self.slurm_command("scancel", job)
        self.assertEqual(self.wait_for_end(job)[0], "CANCELLED")
        self.wait("saving", lambda: not (self.out / "computes").exists())
        self.wait("the script's last word", lambda: "not requeued" in self.log())
        time.sleep(2)
        self.assertEqual((self.facts(job)["JobState"], self.jobs_since(job), self.launches()), ("CANCELLED", [int(job)], 1))
        self.assertEqual((self.out / "stand-in" / "done").read_text(encoding="utf-8"), "1\n")

    def test_requeued_by_somebody_it_is_one_job_as_it_was(self):
        job = self.submit(self.experiment(TWO_PARTS), *OWN_OPTIONS)
        before = self.options(job)
        self.wait_until_computes()
        self.slurm_command("scontrol", "requeue", job)
        self.release(job)
        self.expect_one_job(job, before)

    def preempt(self, *options):
        """A job of higher priority takes all nodes for a few seconds; returns its id."""
        return self.slurm_command("sbatch", "--parsable", "--partition=high", "--nodes=2", "--exclusive", "--time=1", *options,
                                  "--output=/dev/null", "--wrap=sleep 3")

    def test_preempted_it_is_one_job_as_it_was(self):
        for signal in ("B:USR1@300", "B:CONT@1"):  # the second one: TERM alone
            with self.subTest(signal):
                self.out = self.folder / signal[2:6]
                job = self.submit(self.experiment(TWO_PARTS), "--partition=low", f"--signal={signal}", "--job-name=low")
                before = self.options(job)
                self.wait_until_computes()
                other = self.preempt()
                self.release(job)
                self.assertEqual(self.wait_for_end(job), ("COMPLETED", 0), self.log())
                self.assertEqual(self.jobs_since(job), [int(job), int(other)])
                self.assertEqual((self.options(job), self.launches()), (before, 2))

    def test_preemption_is_no_lack_of_progress(self):
        job = self.submit(self.experiment("begin 2; if (($(launch_number) < 4)); then until_signal; leave; fi; finish 2; leave"))
        for launch in (1, 2, 3):
            self.wait_until_computes(launch)
            self.preempt()
            self.release(job)
        self.assertEqual(self.wait_for_end(job), ("COMPLETED", 0), self.log())
        self.assertEqual(self.launches(), 4)

    def test_two_time_limits_without_progress_end_the_chain_with_the_reason(self):
        job = self.submit(self.experiment(ALWAYS_INTERRUPTED))
        self.wait_until_computes()
        self.warn(job)
        self.release(job)
        self.wait_until_computes(2)
        self.warn(job)
        self.assertEqual(self.wait_for_end(job), ("FAILED", 1))
        self.assertIn("two launches in a row ended no trial and took none further", self.log())
        self.assertEqual((self.jobs_since(job), self.launches()), ([int(job)], 2))

    def test_a_trial_longer_than_the_job_goes_on_by_its_checkpoints(self):
        job = self.submit(self.experiment("begin 1; if (($(launch_number) < 4)); then until_signal; go_further; leave; fi; finish 1; leave"))
        for launch in (1, 2, 3):
            self.wait_until_computes(launch)
            self.warn(job)
            self.release(job)
        self.assertEqual(self.wait_for_end(job), ("COMPLETED", 0), self.log())
        self.assertEqual((self.launches(), self.jobs_since(job)), (4, [int(job)]))

    def test_memcap_that_stops_because_the_job_ends_is_requeued_and_one_that_was_told_to_is_not(self):
        behaviour = ("begin 2; note end=$SLURM_JOB_END_TIME; if (($(launch_number) == 1)); then finish 1; %s; leave; fi; finish 1; leave")
        job = self.submit(self.experiment(behaviour % "say_time_is_over"), "--time=2", "--signal=B:USR1@10")
        self.release(job)
        self.expect_one_job(job)
        end_s = int(self.log_lines("note")[0].partition("end=")[2])
        self.assertTrue(0 < end_s - time.time() < 180 + 300, end_s)
        self.out = self.folder / "told"
        job = self.submit(self.experiment(behaviour % ":"), "--time=2", "--signal=B:USR1@10")
        self.assertEqual(self.wait_for_end(job), ("FAILED", 75), self.log())
        self.assertEqual(self.launches(), 1)

    def test_of_a_job_array_only_the_task_with_work_left_is_requeued(self):
        behaviour = ('begin 1; if [[ $folder == *-1 ]] && (($(launch_number) == 1)); then until_signal; leave; fi\n'
                     "finish 1; leave")
        job = self.submit(self.experiment(behaviour), "--array=0-1", arguments=["--out", f"{self.folder}/run-%a"])
        self.out = self.folder / "run-1"
        self.wait_until_computes()
        first, last = f"{job}_0", f"{job}_1"
        self.assertEqual(self.wait_for_end(first), ("COMPLETED", 0))
        self.assertEqual(self.facts(last)["JobId"], job, "the last task is not the one that has the array's own id")
        self.warn(last)
        self.release(last)
        self.assertEqual(self.wait_for_end(last), ("COMPLETED", 0), self.log())
        self.assertEqual((self.launches(), self.facts(first)["Restarts"]), (2, "0"))
        self.out = self.folder / "run-0"
        self.assertEqual(self.launches(), 1)


class WithoutScontrol(SlurmCase):
    """Sites that let users requeue nothing."""

    def setUp(self):
        super().setUp()
        self.command("scontrol", "echo 'scontrol: not permitted' >&2; exit 1")
        self.real_path = self.slurm.environment["PATH"]

    def slurm_command(self, *command, environment=None):
        path = {} if command[0] == "sbatch" else {"PATH": self.real_path}
        return super().slurm_command(*command, environment={**(environment or self.environment), **path})

    def warn(self, job):
        self.slurm_command("scancel", "--signal=USR1", "--batch", job)

    def successor(self, job):
        """The one job that was submitted after this one."""
        (other,) = self.wait("a successor", lambda: self.jobs_since(job)[1:])
        return str(other)

    def test_one_successor_has_the_options_of_the_job_and_waits_for_it_alone(self):
        job = self.submit(self.experiment(TWO_PARTS), *OWN_OPTIONS)
        before = self.options(job)
        # An unrelated job of the same name keeps nobody waiting.
        unrelated = self.slurm_command("sbatch", "--parsable", "--job-name=my-sweep", "--output=/dev/null", "--wrap=sleep 60")
        self.wait_until_computes()
        self.warn(job)
        self.wait("a successor", lambda: len(self.jobs_since(job)) == 3)
        after = str(self.jobs_since(job)[2])
        self.assertEqual(self.wait_for_end(job), ("FAILED", 75))
        self.assertEqual(self.wait_for_end(after), ("COMPLETED", 0), self.log())
        self.assertEqual(self.facts(unrelated)["JobState"], "RUNNING")
        self.assertEqual(self.options(after), before)
        self.assertEqual((self.launches(), len(self.jobs_since(job))), (2, 3))

    def test_cancelled_it_has_no_successor(self):
        job = self.submit(self.experiment(TWO_PARTS))
        self.wait_until_computes()
        self.slurm_command("scancel", job)
        self.wait("the script's last word", lambda: "not requeued" in self.log())
        time.sleep(1)
        self.assertEqual(self.jobs_since(job), [int(job)])

    def test_two_jobs_without_progress_end_the_chain(self):
        job = self.submit(self.experiment(ALWAYS_INTERRUPTED))
        self.wait_until_computes()
        self.warn(job)
        after = self.successor(job)
        self.wait_until_computes(2)
        self.warn(after)
        self.assertEqual(self.wait_for_end(after), ("FAILED", 1), self.log())
        self.assertEqual(len(self.jobs_since(job)), 2)

    def test_of_a_job_array_the_one_task_goes_on(self):
        behaviour = "begin 1; if (($(launch_number) == 1)); then until_signal; leave; fi; finish 1; leave"
        job = self.submit(self.experiment(behaviour), "--array=3", arguments=["--out", f"{self.folder}/run-%a"])
        self.out = self.folder / "run-3"
        self.wait_until_computes()
        self.warn(f"{job}_3")
        after = self.successor(job)
        self.assertEqual(self.wait_for_end(after), ("COMPLETED", 0), self.log())
        self.assertEqual((self.facts(after)["ArrayTaskId"], self.launches()), ("3", 2))

    def test_where_no_job_can_be_submitted_the_command_is_printed(self):
        self.command("sbatch", '[[ -z ${SLURM_JOB_ID:-}${MEMCAP_CHAIN:-} ]] && exec /usr/bin/sbatch "$@"; exit 1')
        job = self.submit(self.experiment(TWO_PARTS), "--job-name=alone")
        self.wait_until_computes()
        self.warn(job)
        self.assertEqual(self.wait_for_end(job), ("FAILED", 75))
        self.assertRegex(self.log(), r"go on with: sbatch .*--job-name=alone .*memcap\.sbatch .*experiment\.yaml --out")
        self.assertEqual(self.jobs_since(job), [int(job)])


if __name__ == "__main__":
    unittest.main()
