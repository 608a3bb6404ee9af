"""Chunk files made of the shipped essays: bounds, sentences, determinism, refusals."""

import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

from support import ESSAYS, ROOT, rows_of, run

sys.path.insert(0, str(ROOT / "src" / "text"))
import tokenizer_helper  # noqa: E402

FEWEST, MOST = 400, 900
CHUNKS = 40


def normalised(path):
    return " ".join(path.read_text(encoding="utf-8").split())


class PrepareTest(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="memcap-corpora-")
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.books = self.folder / "books"
        self.books.mkdir()
        # Four books of eight essays each, with the paragraphs, short lines and line ends of raw text.
        for number in range(4):
            paragraphs = [textwrap.fill(paragraph, 60) for path in ESSAYS[8 * number : 8 * number + 8]
                          for paragraph in path.read_text(encoding="utf-8").split("\n\n")]
            with open(self.books / f"book-{number}.txt", "w", encoding="utf-8", newline="\r\n") as file:
                file.write("\n\n".join(paragraphs))
        self.out = self.folder / "chunks.csv"

    def prepare(self, *more, out=None, status=0):
        done = run("prepare.py", self.books, out or self.out, "--words", FEWEST, MOST, "--chunks", CHUNKS, *more)
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def test_chunks_are_spans_of_whole_sentences_within_the_bounds(self):
        self.prepare()
        chunks = rows_of(self.out)
        sources = rows_of(self.out.with_suffix(".sources.csv"))
        self.assertEqual(chunks[0], ["", "text"])
        self.assertEqual(sources[0], ["", "book", "first_sentence", "sentences", "words"])
        self.assertEqual(len(chunks), CHUNKS + 1)
        for index, ((chunk_index, chunk), source) in enumerate(zip(chunks[1:], sources[1:])):
            book = normalised(self.books / source[1])
            first, count, words = map(int, source[2:])
            self.assertEqual([chunk_index, source[0]], [str(index)] * 2)
            self.assertTrue(FEWEST <= len(chunk.split()) <= MOST, len(chunk.split()))
            self.assertEqual(len(chunk.split()), words)
            self.assertIn(chunk, book)
            sentences = tokenizer_helper.split_by_rule(book)
            self.assertEqual(chunk, " ".join(sentences[first : first + count]))

    def test_draws_from_all_books_and_lengths(self):
        self.prepare("--chunks", 200)
        sources = rows_of(self.out.with_suffix(".sources.csv"))[1:]
        self.assertEqual({source[1] for source in sources}, {f"book-{number}.txt" for number in range(4)})
        words = [int(source[4]) for source in sources]
        self.assertLess(min(words), FEWEST + 60)
        self.assertGreater(max(words), MOST - 60)
        self.assertGreater(len({source[2] for source in sources}), 50)

    def test_the_same_seed_gives_the_same_bytes_and_another_others(self):
        self.prepare()
        again, other = self.folder / "again.csv", self.folder / "other.csv"
        self.prepare(out=again)
        self.prepare("--seed", 1, out=other)
        self.assertEqual(self.out.read_bytes(), again.read_bytes())
        self.assertNotEqual(self.out.read_bytes(), other.read_bytes())

    def test_more_chunks_only_add_rows(self):
        self.prepare()
        longer = self.folder / "longer.csv"
        self.prepare("--chunks", 2 * CHUNKS, out=longer)
        self.assertTrue(longer.read_bytes().startswith(self.out.read_bytes()))

    def test_short_books_are_named_and_left_out(self):
        (self.books / "leaflet.txt").write_text("Too short. By far.", encoding="utf-8")
        (self.books / "breathless.txt").write_text("word " * (MOST + 1), encoding="utf-8")
        done = self.prepare()
        self.assertIn("leaflet.txt: 4 words, fewer than 400", done.stderr)
        self.assertIn("breathless.txt: no span of whole sentences has 400 to 900 words", done.stderr)
        self.assertEqual({source[1][:5] for source in rows_of(self.out.with_suffix(".sources.csv"))[1:]}, {"book-"})

    def test_nothing_is_written_when_no_book_is_left(self):
        done = self.prepare("--words", 12000, 25000, status=2)
        self.assertEqual(done.stderr.count("left out: "), 4)
        self.assertIn("none of its 4 books can be used", done.stderr)
        self.assertEqual(list(self.folder.glob("*.csv*")), [])

    def test_refuses_what_is_not_utf8_with_file_and_byte(self):
        (self.books / "broken.txt").write_bytes("Dvořák.".encode() + b" caf\xe9 " + b"more")
        done = self.prepare(status=2)
        self.assertIn("broken.txt: byte 13: not UTF-8 (0xe9", done.stderr)
        self.assertEqual(list(self.folder.glob("*.csv*")), [])

    def test_a_book_of_just_the_bounds_is_one_chunk_without_its_byte_order_mark(self):
        book = self.books / "book-0.txt"
        text = normalised(book)
        for other in range(1, 4):
            (self.books / f"book-{other}.txt").unlink()
        book.write_bytes(b"\xef\xbb\xbf" + book.read_bytes())
        words = len(text.split())
        self.prepare("--words", words, words, "--chunks", 2)
        self.assertEqual(rows_of(self.out)[1:], [["0", text], ["1", text]])

    def test_quotes_and_commas_come_back(self):
        speech = 'She said, "Wait, ""dear"" friend," and left; he answered: "No, never." '
        (self.books / "speech.txt").write_text(speech * 60, encoding="utf-8")
        for path in self.books.glob("book-*"):
            path.unlink()
        self.prepare()
        book = normalised(self.books / "speech.txt")
        for _, chunk in rows_of(self.out)[1:]:
            self.assertIn(chunk, book)
            self.assertIn('""dear""', chunk)

    def test_folders_and_bounds_that_make_no_sense_are_refused(self):
        for arguments, message in (((self.folder / "nowhere", self.out), "there is no such folder"),
                                   ((self.folder, self.out), "it has no .txt files"),
                                   ((self.books, self.out, "--words", 9, 8), "the smaller one first"),
                                   ((self.books, self.out, "--chunks", 0), "--chunks must be at least 1")):
            done = run("prepare.py", *arguments)
            self.assertEqual(done.returncode, 2)
            self.assertIn(message, done.stderr)


if __name__ == "__main__":
    unittest.main()
