"""memcap run as a user meets it: results, resume, exit statuses, and the commands that read a run."""

import os
import signal
import subprocess
import time
import unittest

import numpy as np

from support import MEMCAP, EndToEnd, columns, mpirun, ragged, trials


class Run(EndToEnd):
    def test_writes_every_planned_trial_with_consistent_columns(self):
        run = self.run_experiment(self.experiment(), "run")
        table = columns(run)
        self.assertEqual(len(table["trial_id"]), 3 * 2 * 2)
        self.assertEqual(set(table["status"]), {"done"})
        self.assertEqual({(k, n) for k, n in zip(table["memory_vectors"], table["length"])},
                         {(1, 8), (1, 16), (4, 8), (4, 16)})
        np.testing.assert_array_equal(table["scored_tokens"], table["length"] - 1)
        np.testing.assert_allclose(table["accuracy"], table["correct_tokens"] / table["scored_tokens"], rtol=1e-12)
        np.testing.assert_allclose(table["ce_nats"], table["loss_nats"] * table["scored_tokens"], rtol=1e-9)
        np.testing.assert_allclose(table["information_gain_nats"],
                                   (table["loss_nomem_nats"] - table["loss_min_nats"]) * table["length"], rtol=1e-9)
        np.testing.assert_array_equal(table["exact"], table["correct_tokens"] == table["scored_tokens"])
        losses = ragged(run, "curves", "loss_nats")
        for row, trial_id in enumerate(table["trial_id"]):
            self.assertAlmostEqual(float(np.min(losses[trial_id])), table["loss_min_nats"][row], places=5)
            self.assertEqual(len(losses[trial_id]), table["evaluations"][row])

    def test_prints_the_capacity_table_and_makes_a_report_that_opens_offline(self):
        file = self.experiment()
        printed = self.memcap("run", file, "--out", self.folder / "run").stdout
        self.assertIn("ink-64", printed)
        self.memcap("report", self.folder / "run")
        page = (self.folder / "run" / "report.html").read_text(encoding="utf-8")
        self.assertIn("data:image/", page)
        for outside in ('src="http', 'href="http', "url(http"):
            self.assertNotIn(outside, page)

    def test_finds_nothing_to_do_the_second_time(self):
        file = self.experiment()
        run = self.run_experiment(file, "run")
        before = columns(run)
        self.run_experiment(file, "run")
        after = columns(run)
        for name in before:
            np.testing.assert_array_equal(before[name], after[name], err_msg=name)

    def test_stops_at_the_limit_with_work_remaining_and_goes_on_with_other_ranks(self):
        file = self.experiment()
        run = self.run_experiment(file, "run", extra=("--limit", "4"), status=75)
        first = columns(run)
        self.assertEqual(len(first["trial_id"]), 4)
        self.run_experiment(file, "run", launcher=mpirun(2))
        after = columns(run)
        self.assertEqual(len(after["trial_id"]), 12)
        finished = dict(zip(after["trial_id"], after["finished_utc"]))
        for trial_id, when in zip(first["trial_id"], first["finished_utc"]):
            self.assertEqual(finished[trial_id], when)

    def test_does_the_rest_only_after_kill_9(self):
        file = self.experiment(samples=8, max_steps=150)
        command = [MEMCAP, "run", file, "--out", self.folder / "run"]
        killed = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  stdin=subprocess.DEVNULL)
        self.addCleanup(killed.wait)
        self.addCleanup(killed.kill)
        deadline = time.monotonic() + 120
        while self.done_so_far() < 3 and time.monotonic() < deadline and killed.poll() is None:
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        journalled = self.done_so_far()
        self.assertTrue(3 <= journalled < 32, journalled)

        said = self.memcap("run", file, "--out", self.folder / "run").stderr
        self.assertIn(f"{journalled} done before, {32 - journalled} to run", said)
        table = columns(self.folder / "run")
        self.assertEqual(len(set(table["trial_id"])), 32)
        self.assertEqual(set(table["attempt"]), {1})

    def done_so_far(self):
        if not (self.folder / "run" / "journal").is_dir():
            return 0
        done = subprocess.run([MEMCAP, "status", self.folder / "run", "--json"], check=False, capture_output=True,
                              text=True)
        return self.status(self.folder / "run")["done"] if done.returncode == 0 else 0

    def test_drains_on_a_signal_and_leaves_with_75(self):
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
            with self.subTest(number.name):
                out = self.folder / number.name
                file = self.experiment(samples=8, max_steps=400)
                running = subprocess.Popen([MEMCAP, "run", file, "--out", out], cwd=self.folder,
                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                deadline = time.monotonic() + 120
                while not (out / "journal").is_dir() and time.monotonic() < deadline:
                    time.sleep(0.05)
                time.sleep(1)
                running.send_signal(number)
                self.assertEqual(running.wait(timeout=120), 75)
                self.assertTrue((out / "results.h5").exists())

    def test_verifies_every_stored_vector_from_the_result_file_alone(self):
        run = self.run_experiment(self.experiment(prefix=[0, 16]), "run")
        verified = self.memcap("verify", run).stdout
        self.assertIn("24 vectors verified: 24 as recorded, 0 differ", verified)

    def test_notices_a_changed_vector(self):
        import h5py

        run = self.run_experiment(self.experiment(samples=1), "run")
        segment = next((run / "vectors").glob("*.h5"))
        os.chmod(segment, 0o644)
        with h5py.File(segment, "r+") as file:
            values = []
            file.visititems(lambda _, item: values.append(item) if getattr(item, "dtype", None) == np.float32 and
                            item.size >= 64 else None)
            largest = max(values, key=lambda item: item.size)
            largest[:64] = largest[:64] + 1.0
        self.assertIn("1 differ", self.memcap("verify", run, status=1).stdout)

    def test_keeps_a_trial_apart_from_its_names_and_paths(self):
        first = self.run_experiment(self.experiment(samples=1), "first")
        renamed = self.experiment(samples=1)
        renamed.write_text(renamed.read_text(encoding="utf-8").replace("ink-64: ", "other: ")
                           .replace("[ink-64]", "[other]").replace("short", "quick"), encoding="utf-8")
        second = self.run_experiment(renamed, "second")
        self.assertEqual(set(trials(first)), set(trials(second)))


class Mistakes(EndToEnd):
    def test_leave_with_2_and_no_result(self):
        good = self.experiment()
        text = good.read_text(encoding="utf-8")
        for name, old, new, expected in (("an unknown key", "lengths:", "lenghts:", "lengths"),
                                         ("a missing model", "/ink-64}", "/ink-65}", "ink-65"),
                                         ("a missing corpus", "/essays,", "/essay,", "essay"),
                                         ("a prefix with part: all", "second_half", "all", "prefix")):
            for launcher in ((), mpirun(2)):
                with self.subTest(name, ranks=len(launcher) and 2):
                    self.assertIn(old, text)
                    broken = self.folder / "broken.yaml"
                    broken.write_text(text.replace(old, new).replace("prefix: [0]", "prefix: [0, 4]"),
                                      encoding="utf-8")
                    done = self.memcap("run", broken, "--out", self.folder / "run", launcher=launcher, status=2)
                    self.assertIn(expected, done.stderr)
                    self.assertFalse((self.folder / "run" / "results.h5").exists())

    def test_in_usage_leave_with_2(self):
        for arguments in (["rum"], ["run"], ["run", "a.yaml", "--limits", "4"], ["status"]):
            with self.subTest(arguments):
                self.memcap(*arguments, status=2)

    def test_are_explained_for_a_folder_that_is_no_run(self):
        self.memcap("status", self.folder / "nowhere", status=2)


class Help(EndToEnd):
    def test_tells_of_each_command(self):
        general = self.memcap("--help").stdout
        for command in ("run", "plan", "status", "rebuild", "merge", "verify", "decode", "describe", "report"):
            with self.subTest(command):
                self.assertIn(command, general)
                self.assertIn(f"memcap {command}", self.memcap(command, "--help").stdout)

    def test_plans_without_running(self):
        planned = self.memcap("plan", self.experiment()).stdout
        self.assertIn("12", planned)
        self.assertFalse((self.folder / "runs").exists())


if __name__ == "__main__":
    unittest.main()
