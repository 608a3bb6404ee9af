"""Mistakes in files, corpora, tools and on the command line end before the start: status 2, a clear message, no run folder."""

import unittest

from support import PYTHON, TEXTS, USAGE, EndToEnd, essays, mpirun, plain

EXPERIMENT = """experiment: broken
models:
  ink: {path: %(models)s}
corpora:
  essays: {kind: text, path: %(texts)s/essays, samples: 2}
sweeps:
  - {models: [ink], corpora: [essays], memory_vectors: [1], lengths: [8]}
"""


class Mistakes(EndToEnd):
    def refused(self, file, *expected, launcher=(), extra=()):
        """memcap run says all of these phrases and leaves nothing behind."""
        said = self.memcap("run", file, "--out", self.folder / "run", *extra, launcher=launcher, status=USAGE).stderr
        for phrase in expected:
            self.assertIn(str(phrase), said)
        self.assertNotIn("terminate called", said)
        self.assertNotIn("Traceback", said)
        self.assertFalse((self.folder / "run").exists(), "a run folder was made")


class InCorpora(Mistakes):
    def setUp(self):
        super().setUp()
        self.corpus = self.folder / "corpus"

    def file_corpus(self, content, **keys):
        """An experiment on one corpus file of this content (bytes)."""
        self.corpus.write_bytes(content)
        return self.write(corpora={"own": {"path": str(self.corpus), "samples": 2, **keys}})

    def folder_corpus(self, files, **keys):
        """An experiment on a folder of texts: name -> bytes."""
        self.corpus.mkdir()
        for name, content in files.items():
            (self.corpus / name).write_bytes(content)
        return self.write(corpora={"own": {"kind": "text", "path": str(self.corpus), "samples": 2, **keys}})

    def test_text_that_is_not_utf_8(self):
        good = b"It rained. It stopped. " * 20
        self.refused(self.folder_corpus({"a.txt": good, "b.txt": good + b"caf\xe9 closed."}), "b.txt", "UTF-8")

    def test_csv_without_the_column(self):
        self.refused(self.file_corpus(b"index,words\n0,It rained.\n1,It stopped.\n", kind="csv"), self.corpus, "text", "words")

    def test_csv_that_is_not_utf_8(self):
        self.refused(self.file_corpus(b"text\nIt rained.\ncaf\xe9\n", kind="csv"), self.corpus, "UTF-8")

    def test_json_lines_without_the_key(self):
        self.refused(self.file_corpus(b'{"text": "It rained."}\n{"body": "It stopped."}\n', kind="jsonl"), self.corpus, "text")

    def test_json_lines_cut_short(self):
        self.refused(self.file_corpus(b'{"text": "It rained."}\n{"text": "It st', kind="jsonl"), self.corpus, "2")

    def test_empty_files(self):
        for kind in ("text", "csv", "jsonl"):
            with self.subTest(kind):
                self.refused(self.file_corpus(b"", kind=kind), self.corpus)

    def test_empty_folder(self):
        self.refused(self.folder_corpus({}), self.corpus, ".txt")

    def test_too_few_samples(self):
        text = b"It rained. It stopped. " * 20
        self.refused(self.folder_corpus({"a.txt": text, "b.txt": text}, samples=5), self.corpus, "5", "2")

    def test_empty_list_of_words(self):
        self.corpus.write_bytes(b"\n\n")
        file = self.write(corpora={"own": {"kind": "random_words", "vocabulary": str(self.corpus), "samples": 2}})
        self.refused(file, self.corpus)

    def test_on_two_ranks(self):
        self.refused(self.folder_corpus({}), self.corpus, ".txt", launcher=mpirun(2))


class InTools(Mistakes):
    def test_python_that_is_not_there(self):
        for launcher in ((), mpirun(2)):
            with self.subTest(ranks=len(launcher) and 2):
                self.refused(self.write(run={"python": "/no/such/python3"}), "/no/such/python3", launcher=launcher)

    def test_python_without_the_packages(self):
        # An isolated start without site-packages stands for a Python in which nothing was installed.
        bare = self.folder / "bare-python"
        bare.write_text(f'#!/bin/sh\nexec {PYTHON} -S -E "$@"\n', encoding="utf-8")
        bare.chmod(0o755)
        self.refused(self.write(run={"python": str(bare)}), bare)

    def test_python_that_ends_at_once(self):
        self.refused(self.write(run={"python": "/bin/false"}), "/bin/false")


class InExperimentFiles(Mistakes):
    def setUp(self):
        super().setUp()
        self.text = EXPERIMENT % {"models": TEXTS.parent / "models" / "ink-64", "texts": TEXTS}

    def test_are_all_said_with_their_places(self):
        text = self.text.replace("lengths", "lenghts").replace("kind: text", "kind: txt").replace("[ink]", "[inc]")
        for launcher in ((), mpirun(2)):
            with self.subTest(ranks=len(launcher) and 2):
                self.refused(self.write(text), "e2e.yaml:5:", "txt", "e2e.yaml:7:", "lenghts", "lengths", "inc",
                             launcher=launcher)

    def test_in_yaml_itself(self):
        self.refused(self.write(self.text.replace("lengths: [8]}", "lengths: [8}")), "e2e.yaml:7:")

    def test_in_a_file_that_is_not_there(self):
        self.refused(self.folder / "nowhere.yaml", "nowhere.yaml")
        self.refused(self.folder / "nowhere.yaml", "nowhere.yaml", launcher=mpirun(2))

    def test_in_values_set_on_the_command_line(self):
        self.refused(self.write(self.text), "curve_evry", extra=("--set", "store.curve_evry=1"))

    def test_in_paths(self):
        self.refused(self.write(self.text.replace("ink-64", "ink-65")), "ink-65")
        self.refused(self.write(self.text.replace("/essays", "/assays")), "assays")

    def test_in_paths_are_said_by_plan_too(self):
        text = self.text.replace("ink-64", "ink-65").replace("/essays", "/assays").replace("memory_vectors", "memory_vektors")
        said = self.memcap("plan", self.write(text), status=USAGE).stderr
        self.assertEqual([line.rsplit("e2e.yaml", 1)[1].split(" ")[0] for line in said.splitlines()], [":3:15:", ":5:30:", ":7:5:", ":7:40:"])

    def test_in_what_does_not_go_together(self):
        self.refused(self.write(plain(corpora={"essays": essays(2, part="all")}, prefix=[4])), "prefix", "part")


class OnTheCommandLine(EndToEnd):
    def test_leave_with_2_and_say_how_it_goes(self):
        for arguments, expected in ((["rum"], "rum"), (["run"], "memcap run FILE.yaml"),
                                    (["run", "a.yaml", "--limits", "4"], "--limits"),
                                    (["run", "a.yaml", "--limit", "few"], "few"), (["run", "a.yaml", "b.yaml"], "b.yaml"),
                                    (["status"], "memcap status DIR"), (["decode", "run"], "trial"),
                                    (["plan", "nowhere.yaml"], "nowhere.yaml")):
            with self.subTest(arguments):
                self.assertIn(expected, self.memcap(*arguments, status=USAGE).stderr)

    def test_leave_with_2_for_folders_without_a_run(self):
        (self.folder / "empty").mkdir()
        for command in ("status", "rebuild", "verify", "report"):
            for folder in ("nowhere", "empty"):
                with self.subTest(command, folder=folder):
                    said = self.memcap(command, self.folder / folder, status=USAGE).stderr
                    self.assertIn(folder, said)
                    self.assertNotIn("Traceback", said)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["empty"])
        self.assertEqual(list((self.folder / "empty").iterdir()), [])


if __name__ == "__main__":
    unittest.main()
