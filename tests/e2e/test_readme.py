"""The commands that the README shows: each is run here, or listed with the reason why it is not."""

import re
import shlex
import subprocess
import unittest

from support import DEADLINE_S, DONE, MEMCAP, MODELS, ROOT, TEXTS, WORK_REMAINS, EndToEnd, table

README = ROOT / "README.md"
ASSIGNMENT = re.compile(r"[A-Za-z_]+=.*")

# First words of commands that no test runs, and why.
NOT_RUN = {
    "git clone": "fetches the project itself",
    "cd": "changes the folder of a terminal",
    "./quickstart": "the set-up and the run that continuous integration begins with",
    "./test": "runs this test",
    "sbatch": "needs a cluster's queue",
    "squeue": "needs a cluster's queue",
    "srun": "needs a cluster's allocation",
    "module": "needs a cluster's modules",
    "scp": "needs a second machine",
    "rsync": "needs a second machine",
    "pip": "installs packages",
    "python3 -m venv": "makes an environment",
    "apt-get": "installs packages",
    "sudo": "installs packages",
    "cmake": "the build, which this executable came from",
    "xdg-open": "opens a browser",
}


def commands_of(text):
    """The commands in fenced sh blocks: continued lines joined, prompts and comments taken away, variables set by env."""
    found = []
    for block in re.findall(r"(?ms)^```(?:sh|bash|console|shell)[^\n]*\n(.*?)^```", text):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words and ASSIGNMENT.fullmatch(words[0]):
                words.insert(0, "env")
            if words:
                found.append(words)
    return found


def without_variables(words):
    """A command behind `env NAME=VALUE...`."""
    start = 1 if words[0] == "env" else 0
    while ASSIGNMENT.fullmatch(words[start]):
        start += 1
    return words[start:]


def reason_not_to_run(words):
    """Why a command is not run here; None if it is."""
    for beginning, reason in NOT_RUN.items():
        if without_variables(words)[:len(beginning.split())] == beginning.split():
            return reason
    return None


class CommandsOf(unittest.TestCase):
    def test_blocks_are_found_whole(self):
        text = ("Text `memcap x`\n```sh\n$ ./memcap run a.yaml \\\n   --limit 4  # some\n\n# nothing\nA=1 ./memcap plan b.yaml\n"
                "```\n```yaml\nno: 1\n```\n")
        self.assertEqual(commands_of(text),
                         [["./memcap", "run", "a.yaml", "--limit", "4"], ["env", "A=1", "./memcap", "plan", "b.yaml"]])

    def test_reasons_are_for_whole_words(self):
        self.assertIsNone(reason_not_to_run(["./memcap", "run", "./quickstart"]))
        self.assertIsNone(reason_not_to_run(["./tests"]))
        self.assertIsNotNone(reason_not_to_run(["env", "A=1", "./quickstart"]))
        self.assertIsNotNone(reason_not_to_run(["git", "clone", "https://example.org/memcap"]))


@unittest.skipUnless(README.exists(), "there is no README.md")
class Readme(EndToEnd):
    """Runs the README's memcap commands in its order, in a folder that looks like a checkout after ./quickstart."""

    def setUp(self):
        super().setUp()
        (self.folder / "memcap").symlink_to(MEMCAP)
        experiments = self.folder / "experiments"
        experiments.mkdir()
        (experiments / "models").symlink_to(MODELS)
        (experiments / "texts").symlink_to(TEXTS)
        (experiments / "paper").symlink_to(ROOT / "experiments" / "paper")
        for file in (ROOT / "experiments").glob("*.yaml"):
            (experiments / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
        self.write_shown_experiments(README.read_text(encoding="utf-8"))

    def write_shown_experiments(self, text):
        """Writes the experiment files that the README shows, under the names that its commands use."""
        shown = [block for block in re.findall(r"(?ms)^```yaml[^\n]*\n(.*?)^```", text)
                 if re.search("(?m)^sweeps:", block)]
        named = [word for words in commands_of(text) for word in words
                 if word.endswith(".yaml") and not (self.folder / word).exists()]
        for name, block in zip(dict.fromkeys(named), shown):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(block, encoding="utf-8")

    def test_commands_work(self):
        runnable = []
        for words in commands_of(README.read_text(encoding="utf-8")):
            with self.subTest(" ".join(words)):
                if reason_not_to_run(words) is None:
                    self.assertTrue(self.kind_of(words), "unknown to this test: teach it, or give a reason in NOT_RUN")
                    runnable.append(words)
        if any(self.reads_quickstart(words) for words in runnable):
            # As ./quickstart would have, only smaller.
            self.call(["./memcap", "run", "experiments/quickstart.yaml"])
        for words in runnable:
            with self.subTest(" ".join(words)):
                self.call(words)
        for number, program in enumerate(re.findall(r"(?ms)^```python\n(.*?)^```", README.read_text(encoding="utf-8"))):
            with self.subTest(f"Python program {number}"):
                self.call(["python3", "-c", program])

    @staticmethod
    def reads_quickstart(words):
        """Whether a command looks at the result of the quickstart."""
        return any(word.startswith("runs/quickstart") for word in words)

    @staticmethod
    def kind_of(words):
        """memcap, python or nothing that this test can run."""
        if "./memcap" in words or words[0] == "memcap":
            return "memcap"
        return "python" if re.search(r"python3?$", words[0]) else None

    def call(self, words):
        """Runs a command as shown, but for a few trials and with this build's executable."""
        words = [MEMCAP if word in ("./memcap", "memcap") else word for word in words]
        if words[0].startswith("mpirun"):
            words.insert(1, "--oversubscribe")
        if words[0].endswith("python3") or words[0].endswith("python"):
            words[0] = str(ROOT / ".venv" / "python" / "bin" / "python3")
        runs = "run" in words
        if runs:
            words += ["--limit", "6"]
        words = [self.a_trial_id() if re.fullmatch("ID|<ID>|TRIAL_ID|[0-9a-f]{32}", word) else word for word in words]
        done = subprocess.run(words, cwd=self.folder, check=False, text=True, capture_output=True, env=self.environment,
                              timeout=DEADLINE_S, stdin=subprocess.DEVNULL)
        self.assertIn(done.returncode, (DONE, WORK_REMAINS) if runs else (DONE,), f"{words}\n{done.stdout}\n{done.stderr}")

    def a_trial_id(self):
        """One that is there, for one that the README made up."""
        return table(next(self.folder.glob("runs/*")))["trial_id"][0]


if __name__ == "__main__":
    unittest.main()
