"""The texts of the copy ablation, against the tokenizers library."""

import contextlib
import io
import sys
import tempfile
import unittest
from pathlib import Path

from support import ROOT, SCRIPTS, rows_of
from tokenizers import Tokenizer

# Called, not started: transformers takes seconds to import.
sys.path.insert(0, str(SCRIPTS))
import repeat  # noqa: E402

WORDS = ROOT / "experiments" / "texts" / "words.txt"
# One that puts a token before each text, one that puts nothing; and what the words around the text are in its tokens.
FOLDERS = ((ROOT / "tests" / "golden" / "tokenizer", 22), (ROOT / "experiments" / "models" / "ink-64", 16))


class RepeatTest(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="memcap-corpora-")
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)

    def repeat(self, tokenizer, *more, status=0):
        """What the script says on stderr."""
        said = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            returned = repeat.main(list(map(str, (WORDS, tokenizer, self.folder, "--texts", 6, *more))))
        self.assertEqual(returned, status, said.getvalue())
        return said.getvalue()

    def test_texts_and_prefixes_have_the_promised_tokens(self):
        for folder, template_tokens in FOLDERS:
            self.repeat(folder, "--lengths", 8, 20, "--template-tokens", template_tokens)
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            for length in (8, 20):
                rows = rows_of(self.folder / f"repeat-{length}.csv")
                self.assertEqual(rows[0], ["", "prefix", "text"])
                self.assertEqual(len({row[2] for row in rows[1:]}), 6)
                for _, prefix, text in rows[1:]:
                    self.assertEqual(prefix, f"text: {text}\nrepeat previous text:")
                    self.assertEqual(len(tokenizer.encode(text).ids), length)
                    bare = len(tokenizer.encode(text, add_special_tokens=False).ids)
                    self.assertEqual(len(tokenizer.encode(prefix + " ", add_special_tokens=False).ids), bare + template_tokens)

    def test_the_same_seed_gives_the_same_bytes_whatever_the_other_lengths(self):
        folder, template_tokens = FOLDERS[1]
        file = self.folder / "repeat-20.csv"
        contents = []
        for more in (("--lengths", 20), ("--lengths", 8, 20), ("--lengths", 20, "--seed", 1)):
            self.repeat(folder, "--template-tokens", template_tokens, *more)
            contents.append(file.read_bytes())
        self.assertEqual(contents[0], contents[1])
        self.assertNotEqual(contents[0], contents[2])

    def test_says_what_the_template_is_when_it_is_not_as_told(self):
        folder, template_tokens = FOLDERS[1]
        said = self.repeat(folder, "--lengths", 8, status=2)
        self.assertIn(f"mostly {template_tokens} tokens, not 8", said)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_refuses_a_folder_without_a_tokenizer(self):
        self.assertIn("no such folder", self.repeat(self.folder / "nowhere", status=2))


if __name__ == "__main__":
    unittest.main()
