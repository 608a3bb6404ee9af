"""Tests of the tokenizer helper as a process: its protocol, its answers against the tokenizers library, its splitters."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "src" / "text" / "tokenizer_helper.py"
TOKENIZER = ROOT / "tests" / "golden" / "tokenizer"
EXPECTED = json.loads((TOKENIZER / "expected.json").read_text(encoding="utf-8"))

sys.path.insert(0, str(SCRIPT.parent))
import tokenizer_helper  # noqa: E402


def converse(*requests, environment=None):
    """Starts the helper, sends these requests (objects, or raw bytes) and returns its answers."""
    lines = [
        request if isinstance(request, bytes) else json.dumps(request, ensure_ascii=False).encode()
        for request in requests
    ]
    done = subprocess.run(
        [sys.executable, SCRIPT],
        input=b"".join(line + b"\n" for line in lines),
        capture_output=True,
        timeout=120,
        env={**os.environ, **(environment or {})},
        check=True,
    )
    return [json.loads(line) for line in done.stdout.decode("utf-8").splitlines()]


def encode(texts, folder=TOKENIZER, **fields):
    return {"id": 1, "request": "encode", "tokenizer": str(folder), "texts": texts, **fields}


class Protocol(unittest.TestCase):
    def test_every_request_has_one_answer_with_its_id_whatever_fails(self):
        answers = converse(
            {"id": 1, "request": "version"},
            b"this is not JSON",
            b"\xff\xfe",
            b"[1, 2]",
            {"id": "five", "request": "juggle"},
            {"id": 6, "request": "encode", "tokenizer": str(TOKENIZER), "texts": "one text"},
            {"id": 7, "request": "encode", "tokenizer": str(TOKENIZER), "texts": ["one", 2]},
            {"id": 8, "request": "encode", "tokenizer": str(TOKENIZER), "texts": [], "max_length": -1},
            {"id": 9, "request": "encode", "tokenizer": str(TOKENIZER), "texts": [], "add_special_tokens": 1},
            {"id": 10, "request": "split", "texts": ["One. Two."], "rule": "guess"},
            b"",
            {"id": 11, "request": "split", "texts": ["One. Two."]},
        )
        self.assertEqual([answer["id"] for answer in answers], [1, None, None, None, "five", 6, 7, 8, 9, 10, 11])
        kinds = [answer.get("error", {}).get("kind") for answer in answers]
        self.assertEqual(kinds, [None] + ["bad_request"] * 9 + [None])
        self.assertIn("texts[1] must be str, not int", answers[6]["error"]["message"])
        self.assertEqual(answers[10]["sentences"], [["One.", "Two."]])

    def test_version_names_python_and_packages_without_importing_them(self):
        probe = (
            f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import tokenizer_helper as helper; "
            "versions = helper.answer_version({}); assert 'transformers' not in sys.modules; print(versions['python'])"
        )
        done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout.strip(), ".".join(map(str, sys.version_info[:3])))
        (answer,) = converse({"id": 1, "request": "version"})
        import tokenizers

        self.assertEqual(answer["tokenizers"], tokenizers.__version__)

    def test_prints_of_libraries_never_reach_stdout(self):
        with tempfile.TemporaryDirectory() as folder:
            package = Path(folder) / "transformers"
            package.mkdir()
            (package / "__init__.py").write_text(
                "import os\nprint('hello from an import')\nos.system('echo hello from a program')\n"
                "class AutoTokenizer:\n    pass\n"
            )
            (answer,) = converse(encode(["x"]), environment={"PYTHONPATH": folder})
            self.assertEqual(answer["id"], 1)

    def test_missing_packages_are_said_where_they_are_needed(self):
        for package, folder_files in (("transformers", {"vocab.txt": "a\n"}), ("tokenizers", {"tokenizer.json": "{}"})):
            with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as model:
                (Path(folder) / f"{package}.py").write_text(f"raise ImportError('no module named {package}')\n")
                for name, content in folder_files.items():
                    (Path(model) / name).write_text(content)
                (answer,) = converse(encode(["x"], model), environment={"PYTHONPATH": folder})
                self.assertEqual(answer["error"]["kind"], "missing_package")

    def test_a_transformers_that_fails_stops_no_tokenizer_json(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "transformers.py").write_text("raise ImportError('no such symbol')\n")
            (answer,) = converse(encode(["x"]), environment={"PYTHONPATH": folder})
            self.assertEqual(answer["ids"], [[0, 89]])
            self.assertIn("no such symbol", answer["differs"])


class Encoding(unittest.TestCase):
    def test_ids_are_those_of_the_tokenizers_library(self):
        texts = [entry["text"] for entry in EXPECTED.values()]
        with_special, without = converse(encode(texts), encode(texts, add_special_tokens=False))
        self.assertEqual(with_special["ids"], [entry["ids"] for entry in EXPECTED.values()])
        self.assertEqual(without["ids"], [entry["ids_without_special"] for entry in EXPECTED.values()])

    def test_truncation_keeps_the_first_or_the_last_ids_and_counts_special_tokens(self):
        entry = EXPECTED["plain"]
        first, last, none, longer = converse(
            encode([entry["text"]], max_length=5),
            encode([entry["text"]], max_length=5, keep="last", add_special_tokens=False),
            encode([entry["text"]], max_length=0, keep="last"),
            encode([entry["text"]], max_length=5000),
        )
        self.assertEqual(first["ids"], [entry["ids"][:5]])
        self.assertEqual(last["ids"], [entry["ids_without_special"][-5:]])
        self.assertEqual(none["ids"], [[]])
        self.assertEqual(longer["ids"], [entry["ids"]])

    def test_decoding_gives_the_text_back(self):
        entries = list(EXPECTED.values())
        requests = [{"id": 1, "request": "decode", "tokenizer": str(TOKENIZER), "ids": entry["ids"]} for entry in entries]
        plain = converse(*requests)
        skipped = converse(*({**request, "skip_special_tokens": True} for request in requests))
        self.assertEqual([answer["text"] for answer in plain], ["<s>" + entry["text"] for entry in entries])
        self.assertEqual([answer["text"] for answer in skipped], [entry["text"] for entry in entries])

    def test_an_id_outside_the_vocabulary_is_refused(self):
        (answer,) = converse({"id": 1, "request": "decode", "tokenizer": str(TOKENIZER), "ids": [1, 99999]})
        self.assertEqual(answer["error"]["kind"], "bad_request")
        self.assertIn("99999", answer["error"]["message"])

    def test_unusable_folders_are_told_apart(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for model_type in ("opt", "llama"):
                (folder / model_type).mkdir()
                (folder / model_type / "config.json").write_text(json.dumps({"model_type": model_type}))
            (folder / "cut").mkdir()
            (folder / "cut" / "tokenizer.json").write_bytes((TOKENIZER / "tokenizer.json").read_bytes()[:3000])
            folders = ["nowhere", "opt", "llama", "cut"]
            answers = converse(*(encode(["x"], folder / each) for each in folders), encode([EXPECTED["cjk"]["text"]]))
            kinds = [answer["error"]["kind"] for answer in answers[:4]]
            self.assertEqual(kinds, ["missing_tokenizer"] * 3 + ["broken_tokenizer"])
            self.assertIn("config.json", answers[1]["error"]["message"])
            self.assertEqual(answers[4]["ids"], [EXPECTED["cjk"]["ids"]])

    def test_vocab_and_merges_files_are_enough(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "a": 3, "b": 4, "ab": 5, "Ġ": 6}
            (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
            (folder / "merges.txt").write_text("#version: 0.2\na b\n")
            (folder / "config.json").write_text(json.dumps({"model_type": "opt"}))
            settings = {"tokenizer_class": "GPT2Tokenizer", "bos_token": "</s>", "add_bos_token": True}
            (folder / "tokenizer_config.json").write_text(json.dumps(settings))
            (answer,) = converse(encode(["ab a"], folder))
            self.assertEqual(answer["ids"], [[2, 5, 6, 3]])


class RuleSplitter(unittest.TestCase):
    def check(self, *sentences):
        self.assertEqual(tokenizer_helper.split_by_rule(" ".join(sentences)), list(sentences))

    def test_marks_and_closing_quotes(self):
        self.check("It rained.", "Did it?", "Yes!", "It did...", "“Really?”", "(It did.)", "'Well.'", "He left.")

    def test_speech_goes_on_after_the_quotation(self):
        self.check('"Stop!" he cried.', '"Why?" she asked.', '"Because," he said.', '"Now go on."')
        self.check("He waited ... and waited… until noon.", "Then he left.")

    def test_titles_initials_and_short_forms(self):
        self.check("Mr. A. B. Fox met Dr. Lee at St. Paul's.", "Mrs. Bell came too.")
        self.check("Bring pens, paper, etc. and ink.", "Bring pens, etc.", "We start at 6 p.m.", "Be there.")
        self.check("The U.S. Senate sat.", "See fig. 4 and No. 7 of vol. 2.", "He said no.", "Never.")
        self.check("It was Henry and I.", "So it was.", "The car was from Ames Bros. of Leeds.")

    def test_numbers(self):
        self.check("It cost 3.50 in 1887.", "Then came the war.", "1. Wash the rice.", "2. Boil it.")

    def test_chinese_and_japanese(self):
        text = "東京は夜の七時。「行こう！」我们走吧？好。"
        expected = ["東京は夜の七時。", "「行こう！」", "我们走吧？", "好。"]
        self.assertEqual(tokenizer_helper.split_by_rule(text), expected)

    def test_an_empty_line_ends_a_sentence_and_a_line_break_does_not(self):
        text = "A heading\n\nThe first\nsentence. The second\r\n \r\nthe third"
        expected = ["A heading", "The first\nsentence.", "The second", "the third"]
        self.assertEqual(tokenizer_helper.split_by_rule(text), expected)

    def test_nothing_but_white_space_is_lost(self):
        for path in sorted((ROOT / "experiments" / "texts" / "essays").glob("*.txt")):
            text = path.read_text(encoding="utf-8")
            sentences = tokenizer_helper.split_by_rule(text)
            self.assertEqual("".join("".join(sentences).split()), "".join(text.split()), path.name)
            self.assertGreaterEqual(len(sentences), 8, path.name)
            self.assertLess(max(len(sentence.split()) for sentence in sentences), 90, path.name)

    def test_texts_without_sentences(self):
        self.assertEqual(tokenizer_helper.split_by_rule(""), [])
        self.assertEqual(tokenizer_helper.split_by_rule(" \n\n\t "), [])
        self.assertEqual(tokenizer_helper.split_by_rule("no end"), ["no end"])
        self.assertEqual(tokenizer_helper.split_by_rule("..."), ["..."])

    def test_long_texts_take_linear_time(self):
        self.assertEqual(len(tokenizer_helper.split_by_rule("One more. " * 100_000)), 100_000)
        self.assertEqual(len(tokenizer_helper.split_by_rule("and so on, " * 100_000)), 1)
        self.assertEqual(len(tokenizer_helper.split_by_rule("." * 300_000 + "x")), 1)


class Punkt(unittest.TestCase):
    def test_missing_data_is_said_with_the_command_that_installs_it(self):
        request = {"id": 1, "request": "split", "texts": ["One. Two."], "rule": "punkt"}
        with tempfile.TemporaryDirectory() as folder:
            (answer,) = converse(request, environment={"NLTK_DATA": folder, "HOME": folder})
        if "sentences" in answer:
            self.skipTest("NLTK's data is installed for the whole machine")
        self.assertEqual(answer["error"]["kind"], "missing_data")
        self.assertIn("-m nltk.downloader punkt_tab", answer["error"]["message"])

    def test_nltk_splits_where_its_model_is_installed(self):
        request = {"id": 1, "request": "split", "texts": ["It saw Dr. Lee. It left."], "rule": "punkt"}
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "tokenizers" / "punkt_tab" / "english"
            model.mkdir(parents=True)
            (model / "abbrev_types.txt").write_text("dr\n")
            for name in ("collocations.tab", "sent_starters.txt", "ortho_context.tab"):
                (model / name).write_text("")
            (answer,) = converse(request, environment={"NLTK_DATA": folder})
        self.assertEqual(answer["sentences"], [["It saw Dr. Lee.", "It left."]])


class ShippedTexts(unittest.TestCase):
    FOLDER = ROOT / "experiments" / "texts"

    def test_there_are_32_essays_of_260_words(self):
        paths = sorted((self.FOLDER / "essays").glob("*.txt"))
        self.assertEqual(len(paths), 32)
        texts = [path.read_text(encoding="utf-8") for path in paths]
        self.assertEqual(len(set(texts)), 32)
        self.assertGreaterEqual(min(len(text.split()) for text in texts), 260)

    def test_there_are_5000_different_words(self):
        words = (self.FOLDER / "words.txt").read_text(encoding="ascii").splitlines()
        self.assertEqual(len(words), 5000)
        self.assertEqual(len(set(words)), 5000)
        for word in words:
            self.assertRegex(word, r"^[a-z]+$")


if __name__ == "__main__":
    unittest.main()
