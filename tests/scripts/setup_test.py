"""The steps of scripts/setup.sh: what they do, what they leave alone, and what they say when they cannot go on."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"
NOBODY = 65534


class Setup(unittest.TestCase):
    def setUp(self):
        self.root = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        self.root.chmod(0o755)
        shutil.copytree(SCRIPTS, self.root / "scripts")
        self.commands = self.root / "commands"
        self.commands.mkdir()
        self.environment = {**os.environ, "PATH": f"{self.commands}:{os.environ['PATH']}", "MEMCAP_CUDA": "OFF"}

    def command(self, name, body):
        file = self.commands / name
        file.write_text(f"#!/usr/bin/env bash\n{body}\n", encoding="utf-8")
        file.chmod(0o755)

    def bash(self, text, user=None):
        script = f"set -euo pipefail; source '{self.root}/scripts/setup.sh'; {text}"
        return subprocess.run(["bash", "-c", script], check=False, capture_output=True, text=True, user=user,
                              env=self.environment)

    def nobody(self):
        if os.geteuid() == 0:
            return NOBODY
        return None

    def test_names_all_missing_packages_in_one_line_without_root(self):
        self.command("dpkg-query", '[[ ${@: -1} == libfmt-dev ]] && echo "install ok installed"')
        done = self.bash("ensure_packages libfmt-dev libabsent-dev cmake:cmake absent-tool:absent-tool; echo went on",
                         user=self.nobody())
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertTrue(done.stderr.rstrip().endswith("libabsent-dev absent-tool"), done.stderr)

    def test_is_content_with_installed_packages(self):
        self.command("dpkg-query", 'echo "install ok installed"')
        done = self.bash("ensure_packages libfmt-dev; echo went on", user=self.nobody())
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1]), (0, "went on"))

    def test_counts_a_removed_package_as_missing(self):
        self.command("dpkg-query", 'echo "deinstall ok config-files"')
        self.assertEqual(self.bash("missing_packages libfmt-dev").stdout, "libfmt-dev\n")

    @unittest.skipUnless(os.geteuid() == 0, "installing packages needs root")
    def test_installs_missing_packages_as_root_though_a_source_is_broken(self):
        self.command("dpkg-query", "exit 1")
        self.command("apt-get", f'echo "$*" >> {self.root}/calls; [[ $* != *update* ]]')
        done = self.bash("ensure_packages libabsent-dev; echo went on")
        self.assertIn("went on", done.stdout)
        calls = (self.root / "calls").read_text(encoding="utf-8").splitlines()
        self.assertIn("update", calls[0])
        self.assertIn("install --yes --no-install-recommends libabsent-dev", calls[1])

    def test_shows_a_failed_step_with_the_place_of_its_log(self):
        done = self.bash("step 'Making tea' tea.log bash -c 'echo no water; exit 3' || exit 1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no water", done.stderr)
        self.assertIn("Making tea", done.stderr)
        log = self.root / "build" / "log" / "tea.log"
        self.assertIn(str(log), done.stderr)
        self.assertEqual(log.read_text(encoding="utf-8"), "no water\n")

    def test_refuses_an_old_python(self):
        self.command("old-python", "exit 1")
        self.environment["MEMCAP_PYTHON"] = "old-python"
        found = self.bash("find_python").stdout.strip()
        self.assertNotIn("old-python", found)
        self.assertTrue(Path(found).exists())

    def fake_python(self):
        """A Python whose pip only writes down what it was asked for."""
        calls = self.root / "calls"
        self.command("fake-python", f"""
            case "$*" in
                --version) echo "Python 3.11.2" ;;
                *ensurepip*) ;;
                *"-m venv"*) mkdir -p "${{@: -1}}/bin" && cp "$0" "${{@: -1}}/bin/python" && echo "$*" >> {calls} ;;
                *"pip install"*) echo "$*" >> {calls}; [[ ! -e {self.root}/offline ]] ;;
            esac""")
        self.environment["MEMCAP_PYTHON"] = str(self.commands / "fake-python")
        return calls

    def pip_calls(self, calls):
        lines = calls.read_text(encoding="utf-8").splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return [line for line in lines if "pip install" in line]

    def test_makes_environments_once_and_again_only_when_the_requirements_change(self):
        calls = self.fake_python()
        (self.root / "analysis").mkdir()
        requirements = self.root / "analysis" / "requirements.txt"
        requirements.write_text("numpy==2.4.6\n", encoding="utf-8")

        self.assertEqual(self.bash("ensure_environments").returncode, 0)
        first = self.pip_calls(calls)
        self.assertEqual(len(first), 2)
        torch = next(line for line in first if "torch-requirements" in line)
        self.assertIn("--no-deps", torch)

        again = self.bash("ensure_environments")
        self.assertEqual(again.stdout.count("up to date"), 2)
        self.assertEqual(self.pip_calls(calls), [])

        requirements.write_text("numpy==2.4.7\n", encoding="utf-8")
        self.assertEqual(self.bash("ensure_environments").returncode, 0)
        changed = self.pip_calls(calls)
        self.assertEqual(len(changed), 1)
        self.assertIn("analysis/requirements.txt", changed[0])

    def test_tries_an_environment_again_after_a_failure(self):
        calls = self.fake_python()
        (self.root / "analysis").mkdir()
        (self.root / "analysis" / "requirements.txt").write_text("numpy==2.4.6\n", encoding="utf-8")
        (self.root / "offline").touch()
        failed = self.bash("ensure_environments; echo went on")
        self.assertEqual(failed.returncode, 1)
        self.assertNotIn("went on", failed.stdout)
        self.pip_calls(calls)
        (self.root / "offline").unlink()
        self.assertEqual(self.bash("ensure_environments").returncode, 0)
        self.assertEqual(len(self.pip_calls(calls)), 2)


if __name__ == "__main__":
    unittest.main()
