"""Nothing that a trial is depends on the shell it is started from, and nothing of that shell stops a run or is run by it."""

import os
import signal
import subprocess
import unittest

from support import DEFECT, DONE, MEMCAP, USAGE, EndToEnd, essays, hot, mpirun, plain, ragged, table, trials

# What batch systems, modules and job scripts set: HTCondor's slots the first of them.
SETTINGS = ({"OMP_THREAD_LIMIT": "1"}, {"OMP_DYNAMIC": "true"}, {"OMP_MAX_ACTIVE_LEVELS": "0"},
            {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_PROC_BIND": "true", "OMP_PLACES": "{0}",
             "OMP_WAIT_POLICY": "active", "KMP_AFFINITY": "compact", "MKL_DYNAMIC": "TRUE", "MKL_CBWR": "COMPATIBLE",
             "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"})


class Threads(EndToEnd):
    def assert_same_numbers(self, ours, theirs):
        """The records, vectors and curves of two runs are equal to the last bit, and so are the device's threads."""
        first, second = trials(ours), trials(theirs)
        self.assertEqual(set(first), set(second))
        for trial_id, row in first.items():
            self.assert_equal_tables(row, second[trial_id])
        self.assert_equal_tables(ragged(ours, "vectors"), ragged(theirs, "vectors"))
        self.assert_equal_tables(ragged(ours, "curves", "loss_nats"), ragged(theirs, "curves", "loss_nats"))
        self.assertEqual(set(table(ours)["device"]), set(table(theirs)["device"]))

    def test_change_nothing_with_a_number_of_threads(self):
        # One slot, since the number of slots is timed otherwise.
        file = self.write(samples=1, run={"threads": 2, "slots": 1})
        right = self.run_experiment(file, "right")
        self.assertEqual({device.rsplit(", ", 1)[1] for device in table(right)["device"]}, {"2 threads"})
        for number, setting in enumerate(SETTINGS):
            with self.subTest(setting):
                run = self.folder / f"run-{number}"
                said = self.memcap("run", file, "--out", run, environment=setting).stderr
                for name in setting:
                    self.assertIn(name, said)
                self.assert_same_numbers(run, right)

    def test_change_nothing_under_mpirun(self):
        file = self.write(samples=1, run={"threads": 2, "slots": 1})
        right = self.run_experiment(file, "right")
        self.memcap("run", file, "--out", self.folder / "run", launcher=mpirun(2), environment=SETTINGS[0] | SETTINGS[1])
        self.assert_same_numbers(self.folder / "run", right)

    def test_do_not_hide_cores(self):
        file = self.write(samples=1, lengths=[6], memory_vectors=[1], run={"slots": 1})
        right = self.run_experiment(file, "right")
        self.memcap("run", file, "--out", self.folder / "run",
                    environment={"OMP_PROC_BIND": "true", "GOMP_CPU_AFFINITY": "0", "OMP_NUM_THREADS": "1"})
        self.assertEqual(set(table(self.folder / "run")["device"]), set(table(right)["device"]))

    def test_of_a_quiet_shell_are_nothing_to_speak_of(self):
        self.environment = {name: self.environment[name] for name in ("PATH", "HOME", "XDG_CACHE_HOME") if name in self.environment}
        file = self.write(samples=1, lengths=[6], memory_vectors=[1])
        self.assertNotIn("left out", self.memcap("run", file, "--out", self.folder / "run").stderr)


class ForeignCode(EndToEnd):
    """Modules of the current folder and of PYTHONPATH, and a home that cannot be written to."""

    def setUp(self):
        super().setUp()
        self.modules = self.folder / "modules"
        self.modules.mkdir()
        for name in ("random", "json", "numpy", "tokenizers", "statistics", "memcap_analysis"):
            (self.modules / f"{name}.py").write_text("raise SystemExit('code of the user ran')\n", encoding="utf-8")
        self.file = self.write(samples=1, lengths=[6], memory_vectors=[1])

    def test_of_the_environment_reaches_neither_helper_nor_report(self):
        for number, setting in enumerate(({"PYTHONPATH": str(self.modules)}, {"PYTHONHOME": "/opt/python3.6"},
                                          {"PYTHONSTARTUP": str(self.modules / "json.py"), "PYTHONWARNINGS": "error",
                                           "MPLBACKEND": "module://of.a.notebook", "PYTHONINSPECT": "1"})):
            with self.subTest(setting):
                run = self.folder / f"run-{number}"
                self.memcap("run", self.file, "--out", run, environment=setting)
                self.memcap("report", run, environment=setting)
                self.assertTrue((run / "report.html").exists())

    def test_of_the_current_folder_is_not_run_by_report(self):
        run = self.run_experiment(self.file)
        done = subprocess.run([MEMCAP, "report", str(run)], cwd=self.modules, env=self.environment, check=False,
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, DONE, done.stderr)
        self.assertNotIn("code of the user ran", done.stdout + done.stderr)

    def test_libraries_of_conda_do_not_come_before_memcaps_own(self):
        libraries = self.folder / "lib"
        libraries.mkdir()
        for name in ("libgomp.so.1", "libtorch_cpu.so", "libc10.so"):
            (libraries / name).write_bytes(b"")
        self.memcap("run", self.file, "--out", self.folder / "run", environment={"LD_LIBRARY_PATH": str(libraries)})

    def test_without_a_home_to_write_to_everything_works(self):
        nowhere = {name: "/proc/nowhere" for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME", "MPLCONFIGDIR")}
        run = self.folder / "run"
        self.memcap("run", self.file, "--out", run, environment=nowhere)
        self.memcap("report", run, environment=nowhere)
        self.memcap("plan", self.file, environment=nowhere)


class Stdout(EndToEnd):
    """Results that could not be written are no success."""

    def setUp(self):
        super().setUp()
        self.file = self.write(samples=1, lengths=[6], memory_vectors=[1])
        self.made = self.run_experiment(self.file)

    def end(self, arguments, shell):
        """Status and stderr of memcap, its stdout as the shell has it."""
        done = subprocess.run(["bash", "-c", f'"$0" "$@" {shell}', MEMCAP, *map(str, arguments)], cwd=self.folder, check=False,
                              env=self.environment, stderr=subprocess.PIPE, text=True)
        return done.returncode, done.stderr

    def test_without_room_ends_with_1_and_says_so(self):
        ink = plain()["models"]["ink-64"]["path"]
        for arguments in (["--help"], ["--version"], ["run", "--help"], ["run", self.file, "--out", self.made],
                          ["status", self.made], ["status", self.made, "--json"], ["plan", self.file], ["describe", ink],
                          ["rebuild", self.made], ["merge", self.folder / "m.h5", self.made, "--self-contained"],
                          ["verify", self.made], ["report", self.made],
                          ["bench", ink, "--seconds", "0.01", "--length", "8", "--slots", "1"]):
            for shell in (">/dev/full", ">&-"):
                with self.subTest(arguments=arguments, shell=shell):
                    status, said = self.end(arguments, shell)
                    self.assertEqual(status, DEFECT, said)
                    self.assertIn("cannot be written to stdout", said)
                    self.assertNotIn("Traceback", said)

    def test_closed_at_the_start_leaves_the_runs_files_alone(self):
        status, _ = self.end(["run", self.file, "--out", self.folder / "closed"], ">&- <&-")
        self.assertEqual(status, DEFECT)
        self.assertEqual(trials(self.folder / "closed").keys(), trials(self.made).keys())
        self.assertIn("0 damaged bytes", self.memcap("rebuild", self.folder / "closed").stdout)

    def test_whose_reader_has_gone_is_quiet(self):
        for arguments in (["--help"], ["status", self.made], ["report", self.made], ["run", self.file, "--out", self.made]):
            with self.subTest(arguments):
                said = self.end(arguments, "| true")[1]
                self.assertNotIn("stdout", said)
                self.assertNotIn("Traceback", said)


class Names(EndToEnd):
    """Files of results hold names as UTF-8; others are refused where they come in."""

    BAD = os.fsdecode(b"caf\xe9")

    def refused(self, *arguments, environment=None):
        said = self.memcap(*arguments, status=USAGE, environment=environment).stderr
        self.assertIn("UTF-8", said)
        self.assertIn("caf\\xe9", said)

    def test_that_are_not_utf_8_are_refused_on_the_command_line(self):
        file = self.write()
        (self.folder / self.BAD).mkdir()
        self.refused("run", file, "--out", self.folder / self.BAD)
        for command in ("run", "plan", "status", "rebuild", "verify", "describe", "report", "bench"):
            with self.subTest(command):
                self.refused(command, self.folder / self.BAD)

    def test_that_are_not_utf_8_are_refused_in_experiments(self):
        models, corpus = self.folder / self.BAD, self.folder / "corpus"
        models.symlink_to(plain()["models"]["ink-64"]["path"])
        content = plain(models={"ink-64": {"path": "${MODELS}"}})
        self.refused("run", self.write(**content), "--out", self.folder / "run", environment={"MODELS": str(models)})
        corpus.mkdir()
        (corpus / f"{self.BAD}.txt").write_text("It rained. It stopped. " * 20, encoding="utf-8")
        self.refused("run", self.write(corpora={"own": {**essays(1), "path": str(corpus)}}), "--out", self.folder / "run")

    def test_of_any_script_work(self):
        folder = self.folder / "résultats 結果"
        folder.mkdir()
        self.memcap("run", self.write(samples=1, lengths=[6], memory_vectors=[1]), "--out", folder / "ü",
                    environment={"LC_ALL": "C"})
        self.memcap("report", folder / "ü", environment={"LC_ALL": "C"})
        self.assertTrue((folder / "ü" / "report.html").exists())


class Words(EndToEnd):
    def test_of_a_stop_say_how_to_go_on(self):
        running = self.start(self.write(samples=3, protocols={"short": hot(3000)}, run={"threads": 1, "slots": 1}))
        self.wait_for_results(self.folder / "run", 1, running)
        running.send_signal(signal.SIGTERM)
        self.assertIn("stopped by SIGTERM: the same command goes on", running.communicate(timeout=120)[1])

    def test_of_each_rank_are_in_a_log_of_its_own(self):
        run = self.run_experiment(self.write(), launcher=mpirun(2))
        self.assertEqual({file.name for file in (run / "log").glob("*.log")}, {"rank-0.log", "rank-1.log"})
        self.assertIn("loaded", (run / "log" / "rank-1.log").read_text(encoding="utf-8"))

    def test_count_one_as_one(self):
        file = self.write(samples=1, lengths=[6], memory_vectors=[1])
        self.assertIn("1 trial done (0 of them before)", self.memcap("run", file, "--out", self.folder / "run").stderr)

    def test_refuse_to_count_below_nothing(self):
        file = self.write()
        for arguments in (["run", file, "--limit=-1"], ["verify", self.folder, "--limit=-3"]):
            said = self.memcap(*arguments, status=USAGE).stderr
            self.assertIn("negative", said)

    def test_of_every_help_name_the_exit_statuses(self):
        for command in ([], ["run"], ["plan"], ["status"], ["report"], ["merge"], ["bench"]):
            self.assertIn("75 work remains", self.memcap(*command, "--help").stdout)


if __name__ == "__main__":
    unittest.main()
