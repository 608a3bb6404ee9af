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
        entries = {kind: [entry for entry in EXPECTED[kind].values() if not entry["refused"]] for kind in OPENED_BY}
        answers = iter(converse(*(request for kind in OPENED_BY for request in all_texts(KINDS / kind, entries[kind]))))
        for kind, of_kind in entries.items():
            whole, bare = next(answers), next(answers)
            with self.subTest(kind=kind):
                self.assertGreaterEqual(len(of_kind), 14)
                self.assertEqual(whole.get("ids"), [entry["ids"] for entry in of_kind])
                self.assertEqual(bare.get("ids"), [entry["ids_without_special"] for entry in of_kind])

    def test_texts_that_transformers_reads_otherwise_than_the_file_are_refused(self):
        refused = [
            (kind, name, entry) for kind in EXPECTED for name, entry in EXPECTED[kind].items() if entry["refused"]
        ]
        self.assertEqual({kind for kind, _, _ in refused}, {"llama2", "sentencepiece"})
        answers = converse(*(encode(KINDS / kind, ["fine", entry["text"]]) for kind, _, entry in refused))
        for (kind, name, entry), answer in zip(refused, answers, strict=True):
            with self.subTest(kind=kind, text=name):
                error = answer["error"]
                self.assertEqual(error["kind"], "untrusted_tokenizer")
                self.assertIn(repr(entry["text"]), error["message"])
                self.assertIn("tokenizer.json" if kind == "llama2" else "tokenizer.model", error["message"])
                self.assertTrue(error["advice"])

    def test_only_the_ids_that_are_kept_have_to_agree(self):
        space, literal = EXPECTED["llama2"]["leading"], EXPECTED["llama2"]["special"]
        last, first, too_many = converse(
            encode(KINDS / "llama2", [space["text"]], max_length=3, keep="last", add_special_tokens=False),
            encode(KINDS / "llama2", [literal["text"]], max_length=6),
            encode(KINDS / "llama2", [literal["text"]], max_length=1000),
        )
        self.assertEqual(last.get("ids"), [space["ids"][-3:]])
        self.assertEqual(first.get("ids"), [literal["ids"][:6]])
        self.assertEqual(too_many["error"]["kind"], "untrusted_tokenizer")

    def test_the_advice_for_refused_texts_leads_to_the_ids_of_the_file(self):
        entries = list(EXPECTED["llama2"].values())
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "llama2"
            shutil.copytree(KINDS / "llama2", folder)
            settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
            settings["tokenizer_class"] = "PreTrainedTokenizerFast"
            (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
            with_special, without = converse(*all_texts(folder, entries))
        self.assertEqual(with_special.get("ids"), [entry["ids"] for entry in entries])
        self.assertEqual(without.get("ids"), [entry["ids_without_special"] for entry in entries])

    def test_a_class_that_does_not_fit_tokenizer_json_is_refused(self):
        digits, plain = EXPECTED["llama3"]["digits"], EXPECTED["llama3"]["plain"]
        with tempfile.TemporaryDirectory() as name:
            for tokenizer_class in ("Qwen2Tokenizer", "GPT2Tokenizer"):
                folder = Path(name) / tokenizer_class
                shutil.copytree(KINDS / "llama3", folder)
                settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
                settings["tokenizer_class"] = tokenizer_class
                (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
            answers = converse(
                encode(Path(name) / "Qwen2Tokenizer", [plain["text"]]),
                encode(Path(name) / "GPT2Tokenizer", [plain["text"]]),
                encode(Path(name) / "GPT2Tokenizer", [digits["text"]]),
                encode(KINDS / "llama3", [digits["text"]]),
            )
        for answer in answers[:3]:
            self.assertEqual(answer["error"]["kind"], "untrusted_tokenizer")
            self.assertIn("PreTrainedTokenizerFast", answer["error"]["advice"])
        self.assertEqual(answers[3]["ids"], [digits["ids"]])

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
                if name != "special":
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

    def test_a_class_that_loses_the_first_space_is_refused_and_the_command_of_the_advice_helps(self):
        folder = self.folder("mistral", {"model_type": "mistral"}, {**self.LLAMA, "add_bos_token": True})
        request = encode(folder, [self.PLAIN["text"]])
        (answer,) = converse(request)
        self.assert_refused(answer, "untrusted_tokenizer", "tokenizer.model", "LlamaTokenizer")
        command = answer["error"]["advice"].split("write one: ")[1]
        subprocess.run(command, shell=True, check=True, capture_output=True, timeout=120)
        (answer,) = converse(request)
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

    def test_a_text_with_bytes_that_the_vocabulary_lacks_is_refused(self):
        folder = self.folder("lacking", settings={**self.SETTINGS, "add_bos_token": True})
        vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        del vocabulary["Ń"]  # the letter for byte 0xAD, the last of "í"
        (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
        plain = EXPECTED["opt"]["plain"]
        fine, lost = converse(encode(folder, [plain["text"]]), encode(folder, [plain["text"], "Ríga"]))
        self.assertEqual(fine.get("ids"), [plain["ids"]])
        self.assert_refused(lost, "untrusted_tokenizer", "'Ríga'", "vocab.json")


if __name__ == "__main__":
    unittest.main()
