"""Makes a chunk file for memcap from a folder of raw books, as that of PG-19 behind arXiv 2502.13063 was made.

Each chunk is a span of whole sentences of one book, of 12,000 to 25,000 words (see --words). As in the published code, the book
is drawn, each as likely as any other, then the first sentence, then the last, until the number of words is allowed. White
space is normalised to single spaces before sentences are split. The result is CSV with the header `,text`: a number and a chunk
a row, for a corpus of `kind: csv`. Beside it, NAME.sources.csv says which book, sentences and number of words each chunk is.

Same books, options and seed: same bytes, on any machine. A larger --chunks only adds rows.
"""

import argparse
import bisect
import itertools
import sys
from pathlib import Path

from corpus_files import Draw, Refusal, read_utf8, tokenizer_helper, write_csv

EXIT_HELP = """
A book too short for a chunk is named on stderr and left out, as in the published procedure; so is one none of whose spans of
whole sentences fits the bounds. Exit status: 0 written; 2 nothing written: no book is left, a file is not UTF-8 (named with
the byte), or an option makes no sense."""


class Book:
    """A book in sentences, and which spans of them have an allowed number of words."""

    def __init__(self, name, sentences, fewest, most):
        self.name = name
        self.sentences = sentences
        # words_before[i]: words in front of sentence i.
        self.words_before = [0, *itertools.accumulate(len(sentence.split()) for sentence in sentences)]
        self.words = self.words_before[-1]
        self._ends = [self._allowed_ends(start, fewest, most) for start in range(len(sentences))]
        self._chances = list(itertools.accumulate(map(self._chance, range(len(sentences)))))

    def _allowed_ends(self, start, fewest, most):
        """First allowed end of a span from this sentence, and the one after the last."""
        words = self.words_before[start]
        return (bisect.bisect_left(self.words_before, words + fewest), bisect.bisect_right(self.words_before, words + most))

    def _chance(self, start):
        """Of this start, when starts and ends are drawn again until a span is allowed: the share of its ends that are."""
        first, behind = self._ends[start]
        return max(0, behind - first) / (len(self.sentences) - start)

    def has_chunks(self):
        return bool(self._chances) and self._chances[-1] > 0

    def chunk(self, draw):
        """Start and end (exclusive) of a drawn span, in sentences."""
        start = bisect.bisect_right(self._chances, draw.fraction() * self._chances[-1])
        first, behind = self._ends[start]
        return start, first + draw.below(behind - first)


def read_book(path, split, fewest, most):
    text = " ".join(read_utf8(path).split())
    return Book(path.name, split(text), fewest, most)


def read_books(folder, split, fewest, most):
    """All books that have chunks, in name order; names the others on stderr."""
    if not folder.is_dir():
        raise Refusal(f"{folder}: there is no such folder. Give the folder that holds the books as .txt files")
    paths = sorted(folder.glob("*.txt"), key=lambda path: path.name)
    if not paths:
        raise Refusal(f"{folder}: it has no .txt files. Put each book there as one UTF-8 file NAME.txt")
    books = []
    for path in paths:
        book = read_book(path, split, fewest, most)
        if book.has_chunks():
            books.append(book)
        elif book.words < fewest:
            print(f"left out: {path}: {book.words:,} words, fewer than {fewest:,}", file=sys.stderr)
        else:
            print(f"left out: {path}: no span of whole sentences has {fewest:,} to {most:,} words", file=sys.stderr)
    if not books:
        raise Refusal(f"{folder}: none of its {len(paths)} books can be used. Add longer ones or lower --words")
    return books


def draw_chunks(books, count, seed):
    """Rows of the chunk file and of its sources, with their headers."""
    draw = Draw(seed)
    chunks = [("", "text")]
    sources = [("", "book", "first_sentence", "sentences", "words")]
    for index in range(count):
        book = books[draw.below(len(books))]
        start, end = book.chunk(draw)
        chunks.append((index, " ".join(book.sentences[start:end])))
        sources.append((index, book.name, start, end - start, book.words_before[end] - book.words_before[start]))
    return chunks, sources


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXIT_HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("books", type=Path, help="folder of raw books, one UTF-8 .txt file each; subfolders are not read")
    parser.add_argument("out", type=Path, help="the CSV file to write")
    parser.add_argument("--chunks", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--words", type=int, nargs=2, default=(12000, 25000), metavar=("FEWEST", "MOST"),
                        help="words a chunk, both included (default 12000 25000)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default 0)")
    parser.add_argument("--sentences", choices=("rule", "punkt"), default="rule",
                        help="who splits sentences: memcap's rule (default) or NLTK's model, the published choice")
    options = parser.parse_args(arguments)
    if options.chunks < 1:
        parser.error("--chunks must be at least 1")
    if not 1 <= options.words[0] <= options.words[1]:
        parser.error("--words must be two numbers from 1, the smaller one first")
    return options


def main(arguments=None):
    options = parse_arguments(arguments)
    helper = tokenizer_helper()
    try:
        books = read_books(options.books, helper.SPLITTERS[options.sentences], *options.words)
        chunks, sources = draw_chunks(books, options.chunks, options.seed)
        write_csv(options.out.with_suffix(".sources.csv"), sources)
        write_csv(options.out, chunks)
    except (Refusal, helper.RequestError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {options.chunks:,} chunks from {len(books):,} books")
    return 0


if __name__ == "__main__":
    sys.exit(main())
