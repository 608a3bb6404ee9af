"""Makes the texts of the copy ablation of arXiv 2502.13063: random words that also stand, in full, in front of themselves.

For each length N it writes FOLDER/repeat-N.csv with the columns `prefix` and `text`, for a corpus of `kind: csv`. A text is
exactly N tokens of the model, special ones included, and its prefix is

    text: <the same text>
    repeat previous text:

With the space that memcap puts behind it, the prefix is as many tokens as the text without its special tokens, and
--template-tokens more: `prefix` in the experiment file must be that number, since all samples of a sweep have one prefix
length. Texts for which it is another (or that do not come back the same from the tokenizer) are drawn again. The files hold for
models that share the tokenizer.
"""

import argparse
import collections
import os
import sys
from pathlib import Path

from corpus_files import Draw, Refusal, read_utf8, tokenizer_helper, write_csv

TEMPLATE = "text: {}\nrepeat previous text:"
# Enough for N tokens whatever the words, as in random texts of memcap and of the published code.
WORDS_PER_TOKEN = 5
TRIES_PER_TEXT = 200


class Texts:
    """Draws texts of a given number of tokens and their prefixes."""

    def __init__(self, tokenizer, words, template_tokens):
        self._tokenizer = tokenizer
        self._words = words
        self._template_tokens = template_tokens

    def _ids(self, text, special):
        ((ids, problem),) = self._tokenizer.encode([text])
        if problem:
            raise Refusal(f"a text of the vocabulary's words cannot be encoded: {problem}")
        return [*(self._tokenizer.opening if special else ()), *ids]

    def draw(self, length, draw):
        """(prefix, text) or the number of tokens by which the prefix surpasses the text; None where the text does not come back."""
        words = " ".join(self._words[draw.below(len(self._words))] for _ in range(WORDS_PER_TOKEN * length))
        ids = self._ids(words, True)[:length]
        text = self._tokenizer.decode(ids, skip_special_tokens=True)
        # A text that begins or ends with a space, or breaks a character, would be another one when read from the file.
        if text != text.strip() or self._ids(text, True) != ids:
            return None
        prefix = TEMPLATE.format(text)
        surplus = len(self._ids(prefix + " ", False)) - len(self._ids(text, False))
        return (prefix, text) if surplus == self._template_tokens else surplus

    def table(self, length, count, draw):
        """Header and rows of one file."""
        rows = [("", "prefix", "text")]
        surpluses = collections.Counter()
        for _ in range(TRIES_PER_TEXT * count):
            drawn = self.draw(length, draw)
            if isinstance(drawn, tuple):
                rows.append((len(rows) - 1, *drawn))
            elif drawn is not None:
                surpluses[drawn] += 1
            if len(rows) > count:
                return rows
        usual = f"mostly {surpluses.most_common(1)[0][0]}" if surpluses else "never countable"
        raise Refusal(f"only {len(rows) - 1} of {count} texts of {length} tokens found: with this tokenizer the template is "
                      f"{usual} tokens, not {self._template_tokens}. Give that number as --template-tokens, "
                      "and change each `prefix` of the experiment file by the difference")


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vocabulary", type=Path, help="words to draw from, one a line")
    parser.add_argument("tokenizer", type=Path, help="model folder with the tokenizer's files")
    parser.add_argument("out", type=Path, metavar="FOLDER", help="where to write repeat-N.csv")
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 32, 64], metavar="N", help="tokens (default 16 32 64)")
    parser.add_argument("--texts", type=int, default=25, help="texts a length (default 25)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default 0)")
    parser.add_argument("--template-tokens", type=int, default=8, help="tokens of the prefix beside the text (default 8: Pythia)")
    options = parser.parse_args(arguments)
    if min(options.lengths) < 2 or options.texts < 1:
        parser.error("--lengths must be at least 2, --texts at least 1")
    return options


def main(arguments=None):
    options = parse_arguments(arguments)
    helper = tokenizer_helper()
    os.environ.update(helper.OFFLINE)
    try:
        words = read_utf8(options.vocabulary).split()
        if not words:
            raise Refusal(f"{options.vocabulary}: it has no words")
        tokenizer, _ = helper.Tokenizers().get(str(options.tokenizer))
        texts = Texts(tokenizer, words, options.template_tokens)
        for length in options.lengths:
            path = options.out / f"repeat-{length}.csv"
            # Each length from the seed anew: asking for another one leaves the rest as they are.
            write_csv(path, texts.table(length, options.texts, Draw(options.seed)))
            print(f"{path}: {options.texts} texts")
    except (Refusal, helper.RequestError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
