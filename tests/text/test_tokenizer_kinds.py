"""Tests that the tokenizer helper gives the right ids for each kind of tokenizer folder that models bring, or none.

What is expected comes from tests/golden/tokenizer/make_kinds.py, which computes it apart from transformers.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "src" / "text" / "tokenizer_helper.py"
KINDS = ROOT / "tests" / "golden" / "tokenizer" / "kinds"
# The token each kind puts before a text.
OPENED_BY = {"neox": None, "llama2": "<s>", "llama3": "<|begin_of_text|>", "opt": "</s>", "sentencepiece": "<s>"}
EXPECTED = {kind: json.loads((KINDS / kind / "expected.json").read_text(encoding="utf-8")) for kind in OPENED_BY}

def converse(*requests, environment=None):
    """Starts the helper, sends these requests and returns its answers."""
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    done = subprocess.run(
        [sys.executable, SCRIPT],
        input=lines.encode(),
        capture_output=True,
        timeout=120,
        env={**os.environ, **(environment or {})},
        check=True,
    )
    return [json.loads(line) for line in done.stdout.decode("utf-8").splitlines()]


def encode(folder, texts, **fields):
    return {"id": 1, "request": "encode", "tokenizer": str(folder), "texts": texts, **fields}


def decode(folder, ids, **fields):
    return {"id": 1, "request": "decode", "tokenizer": str(folder), "ids": ids, **fields}


def all_texts(folder, entries):
    texts = [entry["text"] for entry in entries]
    return [encode(folder, texts), encode(folder, texts, add_special_tokens=False)]


class Kinds(unittest.TestCase):
    def test_ids_are_those_of_the_reference(self):
        requests = (request for kind in OPENED_BY for request in all_texts(KINDS / kind, EXPECTED[kind].values()))
        answers = iter(converse(*requests))
        for kind in OPENED_BY:
            of_kind, whole, bare = EXPECTED[kind].values(), next(answers), next(answers)
            with self.subTest(kind=kind):
                self.assertGreaterEqual(len(of_kind), 18)
                self.assertEqual(whole.get("ids"), [entry["ids"] for entry in of_kind])
                self.assertEqual(bare.get("ids"), [entry["ids_without_special"] for entry in of_kind])
                self.assertEqual(whole["problems"], {})

    def test_texts_that_transformers_reads_otherwise_are_counted(self):
        marked = {kind: [entry["differs"] for entry in EXPECTED[kind].values()] for kind in OPENED_BY}
        self.assertEqual({kind for kind, marks in marked.items() if any(marks)}, {"llama2", "sentencepiece"})
        texts = {kind: [entry["text"] for entry in EXPECTED[kind].values()] for kind in OPENED_BY}
        answers = converse(*(encode(KINDS / kind, texts[kind]) for kind in OPENED_BY))
        for (kind, marks), answer in zip(marked.items(), answers, strict=True):
            with self.subTest(kind=kind):
                said = answer["differs"]
                if any(marks):
                    self.assertIn(f"reads {sum(marks)} of {len(marks)} texts otherwise", said)
                else:
                    self.assertIsNone(said)

    def test_only_the_ids_that_are_kept_count_as_different(self):
        space = EXPECTED["llama2"]["leading"]
        last, first = converse(
            encode(KINDS / "llama2", [space["text"]], max_length=3, keep="last", add_special_tokens=False),
            encode(KINDS / "llama2", [space["text"]], max_length=3),
        )
        self.assertEqual(last.get("ids"), [space["ids"][-3:]])
        self.assertIsNone(last["differs"])
        self.assertIn("1 of 1", first["differs"])

    def test_a_class_that_does_not_fit_tokenizer_json_changes_nothing(self):
        digits = EXPECTED["llama3"]["digits"]
        with tempfile.TemporaryDirectory() as name:
            folders = [Path(name) / each for each in ("Qwen2Tokenizer", "GPT2Tokenizer", "NoSuchTokenizer")]
            for folder in folders:
                shutil.copytree(KINDS / "llama3", folder)
                settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
                settings["tokenizer_class"] = folder.name
                (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
            answers = converse(*(encode(folder, [digits["text"]]) for folder in folders))
        for answer in answers:
            self.assertEqual(answer.get("ids"), [digits["ids"]])
        self.assertIn("(Qwen2Tokenizer)", answers[0]["differs"])

    def test_special_tokens_that_a_text_spells_are_text_and_are_named(self):
        tokens = {kind: token or "<|endoftext|>" for kind, token in OPENED_BY.items()}
        special = {kind: EXPECTED[kind]["special"]["text"] for kind in tokens}
        answers = converse(
            *(encode(KINDS / kind, [special[kind], token + "The heron", "plain"]) for kind, token in tokens.items())
        )
        for (kind, token), answer in zip(tokens.items(), answers, strict=True):
            with self.subTest(kind=kind):
                self.assertEqual(answer["spelled"], {"0": [token], "1": [token]})
                self.assertTrue(answer["splits_special"])
                opening = EXPECTED[kind]["empty"]["ids"]
                for ids in answer["ids"]:
                    self.assertEqual(ids[: len(opening)], opening)
                    self.assertFalse(set(opening) & set(ids[len(opening) :]))

    def test_each_kind_opens_a_text_with_its_own_token_and_closes_it_with_none(self):
        texts = ["The heron", ""]
        requests = []
        for kind in OPENED_BY:
            opening = EXPECTED[kind]["empty"]["ids"]
            requests += [
                encode(KINDS / kind, texts),
                encode(KINDS / kind, texts, add_special_tokens=False),
                decode(KINDS / kind, opening),
            ]
        answers = converse(*requests)
        for (kind, token), whole, text_alone, spelled in zip(
            OPENED_BY.items(), answers[::3], answers[1::3], answers[2::3], strict=True
        ):
            with self.subTest(kind=kind):
                opening = EXPECTED[kind]["empty"]["ids"]
                self.assertEqual(len(opening), 0 if token is None else 1)
                self.assertEqual(spelled["text"], token or "")
                self.assertEqual(whole["ids"], [opening + ids for ids in text_alone["ids"]])
                self.assertEqual(whole["ids"][1], opening)

    def test_truncation_counts_the_opening_token_and_prefixes_keep_the_last_ids(self):
        requests = []
        for kind in OPENED_BY:
            texts = [EXPECTED[kind]["cjk"]["text"]]
            requests += [
                encode(KINDS / kind, texts, max_length=7),
                encode(KINDS / kind, texts, max_length=1),
                encode(KINDS / kind, texts, max_length=7, keep="last", add_special_tokens=False),
                encode(KINDS / kind, texts, max_length=5000, keep="last", add_special_tokens=False),
            ]
        answers = iter(converse(*requests))
        for kind, token in OPENED_BY.items():
            first, opening, last, longer = (next(answers)["ids"] for _ in range(4))
            with self.subTest(kind=kind):
                ids, text_ids = EXPECTED[kind]["cjk"]["ids"], EXPECTED[kind]["cjk"]["ids_without_special"]
                self.assertEqual(first, [ids[:1] + text_ids[:6] if token else text_ids[:7]])
                self.assertEqual(opening, [ids[:1]])
                self.assertEqual(last, [text_ids[-7:]])
                self.assertEqual(longer, [text_ids])

    def test_decoding_gives_the_text_back(self):
        entries = [(kind, name, entry) for kind in EXPECTED for name, entry in EXPECTED[kind].items()]
        requests = []
        for kind, _, entry in entries:
            requests += [
                decode(KINDS / kind, entry["ids_without_special"]),
                decode(KINDS / kind, entry["ids"], skip_special_tokens=True),
            ]
        answers = converse(*requests)
        for (kind, name, entry), plain, skipped in zip(entries, answers[::2], answers[1::2]):
            with self.subTest(kind=kind, text=name):
                self.assertEqual(plain["text"], entry["decoded"])
                self.assertEqual(skipped["text"], entry["decoded"])
                # NeoX composes accents; every other kind gives back what it got.
                composes = kind == "neox" and name == "decomposed"
                self.assertEqual(entry["decoded"] == entry["text"], not composes)


class Folders(unittest.TestCase):
    """Copies of some files of a kind, to which a test adds settings."""

    KIND, FILES = None, ()

    def setUp(self):
        self.root = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def folder(self, name, config=None, settings=None):
        folder = self.root / name
        folder.mkdir()
        for file in self.FILES:
            shutil.copy(KINDS / self.KIND / file, folder)
        if config:
            (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        if settings:
            (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
        return folder

    def assert_refused(self, answer, kind, *words):
        self.assertEqual(answer.get("error", {}).get("kind"), kind, answer)
        said = f"{answer['error']['message']} {answer['error']['advice']}"
        for word in words:
            self.assertIn(word, said)


class SentencePieceFolders(Folders):
    """Folders with tokenizer.model and less beside it than what Hugging Face publishes."""

    KIND, FILES = "sentencepiece", ["tokenizer.model"]
    PLAIN = EXPECTED["sentencepiece"]["plain"]
    LLAMA = {"tokenizer_class": "LlamaTokenizer"}

    def test_add_bos_token_false_is_heeded(self):
        folder = self.folder("false", settings={**self.LLAMA, "add_bos_token": False})
        (answer,) = converse(encode(folder, [self.PLAIN["text"]]))
        self.assertEqual(answer.get("ids"), [self.PLAIN["ids_without_special"]])

    def test_where_nothing_says_what_opens_a_text_it_is_refused(self):
        folders = [self.folder("alone"), self.folder("typed", {"model_type": "llama"})]
        folders.append(self.folder("classed", {"model_type": "llama"}, self.LLAMA))
        for answer in converse(*(encode(folder, ["x"]) for folder in folders)):
            self.assert_refused(answer, "untrusted_tokenizer", "add_bos_token", "tokenizer_config.json")

    def test_the_class_does_not_matter(self):
        folder = self.folder("mistral", {"model_type": "mistral"}, {**self.LLAMA, "add_bos_token": True})
        (answer,) = converse(encode(folder, [self.PLAIN["text"]]))
        self.assertEqual(answer.get("ids"), [self.PLAIN["ids"]])

    def test_missing_packages_are_said(self):
        folder = self.folder("good", settings={**self.LLAMA, "add_bos_token": True})
        for module in ("sentencepiece", "google.protobuf"):
            # Python runs this file before the helper; a module that is None there cannot be imported.
            hide = f"import sys\n\nsys.modules[{module!r}] = None\n"
            (self.root / "sitecustomize.py").write_text(hide, encoding="utf-8")
            (answer,) = converse(encode(folder, ["x"]), environment={"PYTHONPATH": str(self.root)})
            self.assert_refused(answer, "missing_package", module, "tokenizer.model")

    def test_a_damaged_model_and_one_of_another_kind_are_refused(self):
        folders = [self.folder(name, settings={**self.LLAMA, "add_bos_token": True}) for name in ("cut", "other")]
        whole = (folders[0] / "tokenizer.model").read_bytes()
        (folders[0] / "tokenizer.model").write_bytes(whole[:3000])
        (folders[1] / "tokenizer.model").write_bytes(b"IQ== 0\nIg== 1\nIw== 2\n")
        for answer in converse(*(encode(folder, ["x"]) for folder in folders)):
            self.assert_refused(answer, "broken_tokenizer", "tokenizer.model", "SentencePiece", "tokenizer.json")


class VocabularyAndMerges(Folders):
    """OPT's two files, with less beside them than what Hugging Face publishes, or with a piece missing."""

    KIND, FILES = "opt", ["vocab.json", "merges.txt"]
    SETTINGS = {"tokenizer_class": "GPT2Tokenizer", "bos_token": "</s>"}

    def test_what_opens_a_text_and_the_class_have_to_be_known(self):
        opt = {"model_type": "opt"}
        folders = [self.folder("alone", opt), self.folder("classed", opt, self.SETTINGS)]
        folders.append(self.folder("good", opt, {**self.SETTINGS, "add_bos_token": True}))
        folders.append(self.folder("untyped"))
        alone, classed, good, untyped = converse(*(encode(folder, [""]) for folder in folders))
        for answer in (alone, classed):
            self.assert_refused(answer, "untrusted_tokenizer", "add_bos_token", "tokenizer_config.json")
        self.assertEqual(good.get("ids"), [EXPECTED["opt"]["empty"]["ids"]])
        self.assert_refused(untyped, "broken_tokenizer", "tokenizer_config.json")

    def test_a_text_with_bytes_that_the_vocabulary_lacks_is_named_and_the_others_stay(self):
        folder = self.folder("lacking", settings={**self.SETTINGS, "add_bos_token": True})
        vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        del vocabulary["Ń"]  # the letter for byte 0xAD, the last of "í"
        (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
        plain = EXPECTED["opt"]["plain"]
        (answer,) = converse(encode(folder, [plain["text"], "Ríga"]))
        self.assertEqual(answer.get("ids"), [plain["ids"], []])
        self.assertEqual(list(answer["problems"]), ["1"])
        self.assertIn("vocab.json lacks tokens", answer["problems"]["1"])


if __name__ == "__main__":
    unittest.main()
