"""The documentation against the program: columns, keys, links, the README's Python, and the script that fills its table."""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "analysis"))
import make_results  # noqa: E402

WRITER = os.environ.get("MEMCAP_SAMPLE_RUN_WRITER", "")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "analysis")}


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def quoted(text):
    """The words in back quotes; several in one pair of quotes count one by one."""
    return {word for quote in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"[A-Za-z_0-9]+", quote)}


class DocsTest(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="memcap-docs-")
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)

    def python(self, *arguments, status=0):
        done = subprocess.run([sys.executable, "-B", *map(str, arguments)], cwd=self.folder, check=False, text=True,
                              capture_output=True, env=ENVIRONMENT, timeout=120)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done


class ExperimentFilePage(unittest.TestCase):
    def test_names_every_key_that_the_program_reads(self):
        sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src" / "config").rglob("*.cpp")]
        keys = {key for text in sources for key in re.findall(r'(?:find|require|read_\w+)\((?:\w+, )?"([a-z_]+)"', text)}
        self.assertLessEqual({"curve_every", "sentences", "memory_vectors", "vocabulary", "slots"}, keys, "the pattern is stale")
        self.assertEqual(keys - quoted(text_of("docs/experiment-file.md")) - {"uniform"}, set())
        self.assertIn("{uniform:", text_of("docs/experiment-file.md"))


@unittest.skipUnless(WRITER, "MEMCAP_SAMPLE_RUN_WRITER does not name the program that writes a sample run (ctest sets it)")
class ResultFilePage(DocsTest):
    # Groups whose columns the page sums up in words.
    SUMMED_UP = ("models", "corpora", "protocols", "skipped", "provenance")

    def test_names_every_group_and_column_and_no_other_column(self):
        subprocess.run([WRITER, str(self.folder / "run")], check=True, timeout=120)
        page = text_of("docs/result-file.md")
        with h5py.File(self.folder / "run" / "results.h5") as file:
            for group in file:
                self.assertIn(f"/{group}", page)
            groups = {group for group in file if isinstance(file[group], h5py.Group)} - set(self.SUMMED_UP)
            for name in set(file.attrs) | {column for group in groups for column in file[group]}:
                self.assertIn(name, quoted(page))
            for section in ("trials", "statistics"):
                table = page.split(f"## /{section}\n")[1].split("\n## ")[0]
                named = {name for row in re.findall(r"(?m)^\| (`.*?) \|", table) for name in re.findall(r"`(\w+)`", row)}
                self.assertEqual(named - set(file[section]), set())


class Readme(DocsTest):
    def test_links_lead_somewhere(self):
        for page in ("README.md", "docs/build.md", "docs/experiment-file.md", "docs/result-file.md"):
            for target in re.findall(r"(?<!!)\[[^]]*\]\(([^)#]+)\)", text_of(page)):
                if not target.startswith("http"):
                    self.assertTrue((ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}")

    def test_its_python_runs(self):
        folder = self.folder / "runs" / "first"
        make_results.write(folder, make_results.Plan())
        (self.folder / "shown.py").write_text(re.search(r"(?ms)^```python\n(.*?)^```", text_of("README.md"))[1], encoding="utf-8")
        self.assertIn("memory_vectors", self.python("shown.py").stdout)

    def fill(self, text, status=0):
        make_results.write(self.folder / "run", make_results.Plan())
        (self.folder / "README.md").write_text(text, encoding="utf-8")
        return self.python(ROOT / "docs" / "update_readme.py", self.folder / "run", "--root", self.folder, status=status)

    def test_is_filled_between_its_marks_alone_and_again(self):
        self.fill(text_of("README.md"))
        once = (self.folder / "README.md").read_text(encoding="utf-8")
        self.fill(once)
        self.assertEqual((self.folder / "README.md").read_text(encoding="utf-8"), once)
        before, after = (re.split(r"(?s)<!-- quickstart-table -->.*<!-- /quickstart-table -->", text) for text in (text_of("README.md"), once))
        self.assertEqual(before, after)
        table = re.search(r"(?s)<!-- quickstart-table -->(.*)<!-- /quickstart-table -->", once)[1]
        rows = [line for line in table.splitlines() if line.startswith("| ink-")]
        self.assertEqual(len(rows), 9)
        picture = self.folder / "docs" / "quickstart-accuracy.png"
        self.assertTrue(picture.read_bytes().startswith(b"\x89PNG"))
        self.assertLess(picture.stat().st_size, 150_000)

    def test_shows_the_numbers_of_the_file(self):
        self.fill("<!-- quickstart-table -->\n<!-- /quickstart-table -->\n")
        cells = [cell.strip() for cell in next(line for line in (self.folder / "README.md").read_text(encoding="utf-8").splitlines()
                                               if line.startswith("| ink-128 |") and "| 4 |" in line).split("|")[1:-1]]
        with h5py.File(self.folder / "run" / "results.h5") as file:
            columns = {name: file[f"statistics/{name}"][:] for name in file["statistics"]}
            [row] = [i for i in range(len(columns["model"])) if (columns["model"][i], columns["corpus"][i],
                                                                 columns["memory_vectors"][i]) == (b"ink-128", b"essays", 4)]
            capacity = f"{'≥ ' if columns['capacity_cut'][row] else ''}{columns['capacity_tokens'][row]}"
            gain = f"{columns['information_gain_nats_mean'][row]:.1f} ± {columns['information_gain_nats_std'][row]:.1f}"
        self.assertEqual(cells[:5], ["ink-128", "1,500,000", "4", capacity, gain])

    def test_without_marks_is_left_alone(self):
        done = self.fill("no marks\n", status=2)
        self.assertIn("quickstart-table", done.stderr)
        self.assertEqual((self.folder / "README.md").read_text(encoding="utf-8"), "no marks\n")


if __name__ == "__main__":
    unittest.main()
