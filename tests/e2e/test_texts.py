"""From texts to tokens as users see it: what is scored, what is left out, what is skipped, and which tokenizer files are read."""

import json
import shutil
import unittest

import h5py
from tokenizers import Tokenizer

from support import MODELS, USAGE, EndToEnd, plain, table

TEXT = "The old harbour was quiet that morning, and boats lay still. A heron waited in the dry channel. It did not move."
END = "<|endoftext|>"


class TextFolder(EndToEnd):
    """A folder of texts, and ink-64 with other tokenizers."""

    def setUp(self):
        super().setUp()
        self.corpus = self.folder / "corpus"
        self.corpus.mkdir()

    def model(self, template, name="model"):
        """ink-64 with a tokenizer that puts this around a text."""
        folder = self.folder / name
        shutil.copytree(MODELS / "ink-64", folder)
        content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        number = Tokenizer.from_str(json.dumps(content)).token_to_id(END)
        pieces = [{"Sequence": {"id": "A", "type_id": 0}} if piece == "$A" else {"SpecialToken": {"id": piece, "type_id": 0}}
                  for piece in template.split()]
        special = {END: {"id": END, "ids": [number], "tokens": [END]}}
        content["post_processor"] = {"type": "TemplateProcessing", "single": pieces, "pair": pieces, "special_tokens": special}
        (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
        return folder, number

    def experiment(self, model=MODELS / "ink-64", part="all", lengths=(8,), prefix=(0,), memory_vectors=(1,), **keys):
        return self.write(plain(models={"ink": {"path": str(model)}}, max_steps=12, lengths=list(lengths), prefix=list(prefix),
                                memory_vectors=list(memory_vectors),
                                corpora={"own": {"kind": "text", "path": str(self.corpus), "part": part, **keys}}))

    def texts(self, **contents):
        for name, content in contents.items():
            path = self.corpus / f"{name}.txt"
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def inputs(self, run):
        """(prefix, sample) -> prefix tokens and tokens of each row."""
        columns = table(run)
        with h5py.File(run / "results.h5") as file:
            def part(name, row):
                start, count = file[name]["start"][row], file[name]["count"][row]
                return file[name]["values"][start:start + count].tolist()
            return {(columns["prefix"][row], columns["sample"][row]): (part("prefix_tokens", row), part("tokens", row))
                    for row in range(len(columns["prefix"]))}


class Texts(TextFolder):
    def test_bos_comes_first_of_all_and_once(self):
        model, bos = self.model(f"{END} $A {END}")
        own = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.texts(a=TEXT, b=END + TEXT)
        run = self.run_experiment(self.experiment(model, part="second_half", lengths=(5,), prefix=(0, 4)))
        for (prefix, sample), (before, tokens) in self.inputs(run).items():
            with self.subTest(prefix=prefix, sample=sample):
                self.assertEqual((len(before), len(tokens)), (prefix, 5))
                self.assertEqual([at for at, token in enumerate(before + tokens) if token == bos], [0])
                half = "A heron waited in the dry channel. It did not move."
                expected = own.encode(half, add_special_tokens=False).ids
                self.assertEqual(tokens, expected[:5] if prefix else [bos, *expected[:4]])
        self.memcap("verify", run)

    def test_bos_is_left_away_before_a_prefix_where_the_corpus_says_so(self):
        model, bos = self.model(f"{END} $A")
        self.texts(a=TEXT)
        run = self.run_experiment(self.experiment(model, part="second_half", lengths=(5,), prefix=(0, 4), opened="without_prefix"))
        inputs = self.inputs(run)
        self.assertEqual(inputs[0, 0][1][0], bos)
        self.assertNotIn(bos, sum(inputs[4, 0], []))
        self.assertEqual(inputs[0, 0][1][1:], inputs[4, 0][1][:4])

    def test_special_tokens_spelled_out_are_text_with_one_warning(self):
        model, bos = self.model(f"{END} $A")
        self.texts(a=f"{END}The old harbour was{END}quiet.", b=TEXT, c=f"a {END}")
        said = self.memcap("run", self.experiment(model), "--out", self.folder / "run").stderr
        self.assertEqual(said.count("spell special tokens"), 1)
        self.assertIn("2 of 3 texts spell special tokens of model 'ink' (<|endoftext|>), which are read as ordinary text: a.txt, c.txt", said)
        for before, tokens in self.inputs(self.folder / "run").values():
            self.assertEqual((before + tokens).count(bos), 1)

    def test_what_a_tokenizer_puts_behind_a_text_is_none_of_its_tokens(self):
        model, _ = self.model(f"$A {END}")
        count = len(Tokenizer.from_file(str(model / "tokenizer.json")).encode("The old harbour was").ids) - 1
        self.texts(a="The old harbour was")
        run = self.run_experiment(self.experiment(model, lengths=(count, count + 1)))
        self.assertEqual(table(run)["length"].tolist(), [count])
        self.assertEqual(table(run, "skipped")["reason"].tolist(), [f"text too short: has {count} of {count + 1} tokens"])

    def test_what_is_no_text_is_refused_or_left_out(self):
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{0:064d}\nsize 134217728\n"
        self.texts(a=pointer)
        self.assertIn("git lfs pull", self.memcap("run", self.experiment(), status=USAGE).stderr)
        self.texts(a=TEXT.encode("utf-16-le"), b=TEXT + "\0")
        said = self.memcap("run", self.experiment(), status=USAGE).stderr
        for expected in ("2 texts cannot be used", "a.txt:1", "UTF-16LE", "b.txt:1", "NUL"):
            self.assertIn(expected, said)
        self.texts(a=TEXT, b=TEXT)
        (self.corpus / ".#a.txt").symlink_to("someone@host.1:2")
        (self.corpus / "old.txt").mkdir()
        said = self.memcap("run", self.experiment(), "--out", self.folder / "run").stderr
        self.assertIn(".#a.txt (a hidden file), old.txt (a folder)", said)
        self.assertEqual(table(self.folder / "run")["text_source"].tolist(), ["a.txt", "b.txt"])
        self.memcap("report", self.folder / "run")
        self.assertIn("b.txt", (self.folder / "run" / "report.html").read_text(encoding="utf-8"))

    def test_a_plan_names_the_texts(self):
        self.texts(a=TEXT, b=TEXT)
        (self.corpus / "notes.md").write_text("no sample")
        plan = self.memcap("plan", self.experiment()).stdout
        self.assertIn("own: 2 samples: a.txt, b.txt\n    left out: notes.md (not a .txt file)", plan)
        plan = json.loads(self.memcap("plan", self.experiment(), "--json").stdout)
        self.assertEqual(plan["texts"], [{"corpus": "own", "sources": ["a.txt", "b.txt"],
                                          "left_out": [{"name": "notes.md", "reason": "not a .txt file"}]}])

    def test_halves_keep_the_white_space_of_the_text(self):
        self.texts(a="One.\n\nTwo  here.\r\nThree.\n  Four.\n")
        own = Tokenizer.from_file(str(MODELS / "ink-64" / "tokenizer.json"))
        for joined, half, before in (("as_written", "Three.\n  Four.", "One.\n\nTwo  here.\r\n"), ("space", "Three. Four.", "One. Two  here. ")):
            ids = own.encode(half).ids
            run = self.run_experiment(self.experiment(part="second_half", joined=joined, lengths=(len(ids),), prefix=(0, 4)), out=joined)
            inputs = self.inputs(run)
            self.assertEqual(inputs[0, 0][1], ids)
            self.assertEqual(inputs[4, 0][0], own.encode(before).ids[-4:])

    def test_where_everything_is_skipped_there_is_nothing_to_run(self):
        self.texts(a="The old harbour")
        said = self.memcap("run", self.experiment(lengths=(40, 50), memory_vectors=(1, 45)), "--out", self.folder / "run",
                           status=USAGE).stderr
        self.assertIn("nothing to run: all 4 trials are skipped (more memory vectors than tokens (K > N): 1, text too short: 3)", said)
        self.assertFalse((self.folder / "run").exists())


class OddTexts(TextFolder):
    def vocabulary(self):
        """ink-64 with vocab.json and merges.txt in place of tokenizer.json, without the letter for byte 0xAD."""
        folder = self.folder / "model"
        shutil.copytree(MODELS / "ink-64", folder)
        model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        (folder / "tokenizer.json").unlink()
        vocabulary = {token: number for token, number in model["vocab"].items() if token != "Ń"}
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
        (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
        kept = [merge for merge in merges if "Ń" not in merge]
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *kept]) + "\n", encoding="utf-8")
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}), encoding="utf-8")
        return folder

    def test_are_skipped_and_named_unless_they_are_most(self):
        model = self.vocabulary()
        self.texts(a=TEXT, b="Ríga. " + TEXT, c=TEXT + " More.")
        said = self.memcap("run", self.experiment(model), "--out", self.folder / "run").stderr
        self.assertIn("1 of 3 texts cannot be encoded and are skipped: b.txt: its ids give back", said)
        self.assertEqual(table(self.folder / "run")["sample"].tolist(), [0, 2])
        skipped = table(self.folder / "run", "skipped")
        self.assertEqual(skipped["sample"].tolist(), [1])
        self.assertIn("text that cannot be encoded: its ids give back", skipped["reason"][0])
        launches = table(self.folder / "run", "provenance/launches")
        self.assertIn("vocab.json and merges.txt", json.loads(launches["versions"][0])["token_ids_by"]["ink"])
        self.texts(a="Ríga. " + TEXT)
        self.assertIn("2 of 3 texts of corpus 'own' cannot be encoded for model 'ink'",
                      self.memcap("run", self.experiment(model), status=USAGE).stderr)


class Describe(TextFolder):
    def test_loads_the_tokenizer(self):
        model, _ = self.model(f"{END} $A")
        described = self.memcap("describe", model).stdout
        self.assertIn("tokenizer         tokenizer.json, tokenizers ", described)
        self.assertIn(f"puts {END} before a text", described)
        content = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
        content["model"]["dropout"] = 0.1
        (model / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
        self.assertIn("BPE dropout", self.memcap("describe", model, status=USAGE).stdout)


if __name__ == "__main__":
    unittest.main()
