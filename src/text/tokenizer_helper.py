"""The tokenizer helper: Hugging Face tokenizers and sentence splitters behind JSON lines on stdin and stdout.

One request object a line in, one answer object with the same "id" a line out, until stdin ends:

  {"id", "request": "version"}                      -> {"id", "python", "executable", "transformers", "tokenizers",
                                                        "sentencepiece", "nltk"}
  {"id", "request": "open", "tokenizer": folder}    -> {"id", "source", "opening": [...], "opening_text", "size"}
  {"id", "request": "encode", "tokenizer": folder, "texts": [...],
   "add_special_tokens": true, "max_length": null,
   "keep": "first"}                                 -> {"id", "ids": [[...], ...], "problems": {number: reason},
                                                        "spelled": {number: [...]}, "splits_special", "differs"}
  {"id", "request": "decode", "tokenizer": folder,
   "ids": [...], "skip_special_tokens": false}      -> {"id", "text"}
  {"id", "request": "split", "texts": [...],
   "rule": "rule"}                                  -> {"id", "sentences": [[...], ...]}
  anything that fails                               -> {"id", "error": {"kind", "message", "advice"}}

Packages that are not installed have the version null. How the files of a folder are read is told in tokenizer_files.py.
`encode` puts before each text what the tokenizer's own rules ask for (`opening`), nothing after it, and then keeps the
first (or the last) max_length ids. `problems` names texts, by their numbers from "0" on, that cannot be encoded: their
ids are empty. `spelled` names those that spell special tokens, which are ordinary text where `splits_special` is true.
`differs` is null or says in what transformers' AutoTokenizer differs on the first texts. `rule` is described at
split_by_rule, `punkt` is NLTK's English model. Kinds of errors: bad_request, missing_package, missing_tokenizer,
broken_tokenizer, untrusted_tokenizer, missing_data, internal; `advice` is null where the kind says it all. Nothing but
answers is written to stdout: whatever libraries print goes to stderr.
"""

import io
import json
import os
import platform
import re
import sys
import traceback

from tokenizer_files import Comparison, open_folder
from tokenizer_folder import RequestError, one_line, version_of

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}

# Titles and the like: a name or a number follows, so the full stop after them never ends a sentence.
TITLES = frozenset(
    "mr mrs ms messrs mme mlle dr prof rev fr hon st ste gen col maj capt cmdr lt sgt cpl gov sen rep pres "
    "mt ft vs viz cf eg ie e.g i.e ca approx fig figs eq eqs sec ch chap vol vols ed eds pp op".split()
)
# Short forms that may also stand at the end: they end a sentence when the next word starts with a capital letter.
SHORT_FORMS = frozenset(
    "etc jr sr esq inc ltd co corp bros a.m p.m a.d b.c al dept est ave blvd rd "
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat sun".split()
)
# "No. 7" is a number, "No. Never." is an answer.
BEFORE_NUMBERS = frozenset("no nos nr p art".split())

OPENERS = "\"'“‘«‹([{„‚—–-"
CLOSERS = "\"'”’»›)]}"
SENTENCE_END = re.compile(
    rf"(?<![.!?…])(?P<marks>[.!?…]+)[{re.escape(CLOSERS)}]*(?=\s|$)"  # Latin: white space must follow
    r"|[。！？]+[」』”’）]*"  # Chinese and Japanese: nothing need follow
    r"|(?=\n[ \t\r]*\n)"  # an empty line ends a sentence whatever it ends with
)
LAST_WORD = re.compile(r"[^\W_](?:[^\W_]|[.'’-](?=[^\W_]))*$")


def field(request, name, kinds, *default):
    """The value of a request's field, checked for its type; without a default the field is required."""
    value = request.get(name, *default) if default else request.get(name)
    if isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds):
        return value
    wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
    raise RequestError("bad_request", f"field '{name}' must be {wanted}, not {type(value).__name__}")


def field_list(request, name, kind):
    values = field(request, name, (list,))
    for index, value in enumerate(values):
        if not isinstance(value, kind) or isinstance(value, bool):
            raise RequestError("bad_request", f"{name}[{index}] must be {kind.__name__}, not {type(value).__name__}")
    return values


def answer_version(_request):
    packages = {name: version_of(name) for name in ("transformers", "tokenizers", "sentencepiece", "nltk")}
    return {"python": platform.python_version(), "executable": sys.executable, **packages}


class Tokenizers:
    """Opens each tokenizer folder once."""

    def __init__(self):
        self._by_folder = {}

    def get(self, folder):
        """The reader of a folder and its comparison with transformers."""
        if folder not in self._by_folder:
            reader = open_folder(folder)
            self._by_folder[folder] = reader, Comparison(reader)
        return self._by_folder[folder]


def answer_open(request, tokenizers):
    reader, _ = tokenizers.get(field(request, "tokenizer", (str,)))
    opening_text = reader.decode(reader.opening)
    return {"source": reader.source, "opening": reader.opening, "opening_text": opening_text, "size": reader.size}


def answer_encode(request, tokenizers):
    texts = field_list(request, "texts", str)
    max_length = field(request, "max_length", (int, type(None)), None)
    keep = field(request, "keep", (str,), "first")
    add_special_tokens = field(request, "add_special_tokens", (bool,), True)
    if max_length is not None and max_length < 0:
        raise RequestError("bad_request", f"max_length is {max_length}")
    if keep not in ("first", "last"):
        raise RequestError("bad_request", f"keep must be 'first' or 'last', not '{keep}'")
    reader, comparison = tokenizers.get(field(request, "tokenizer", (str,)))
    opening = reader.opening if add_special_tokens else []

    def cut(ids):
        ids = opening + list(ids)
        if max_length is None:
            return ids
        return ids[:max_length] if keep == "first" else ids[max(0, len(ids) - max_length) :]

    encoded = reader.encode(texts)
    problems = {str(number): problem for number, (_, problem) in enumerate(encoded) if problem}
    spelled = {str(number): found for number, text in enumerate(texts) if (found := reader.spelled(text))}
    kept = [[] if problem else cut(ids) for ids, problem in encoded]
    fine = [number for number, (_, problem) in enumerate(encoded) if not problem]
    differs = comparison.sentence([texts[number] for number in fine], [kept[number] for number in fine], cut)
    return {
        "ids": kept,
        "problems": problems,
        "spelled": spelled,
        "splits_special": reader.splits_special,
        "differs": differs,
    }


def answer_decode(request, tokenizers):
    ids = field_list(request, "ids", int)
    skip = field(request, "skip_special_tokens", (bool,), False)
    reader, _ = tokenizers.get(field(request, "tokenizer", (str,)))
    for token in ids:
        if not 0 <= token < reader.size:
            raise RequestError("bad_request", f"token id {token} is outside the vocabulary of {reader.size}")
    return {"text": reader.decode(ids, skip)}


def ends_sentence(text, start, match):
    """Whether the mark at `match` ends the sentence that began at `start`."""
    marks = match.group("marks")
    if marks is None:
        return True
    following = text[match.end() : match.end() + 40].lstrip().lstrip(OPENERS)
    next_letter = following[:1]
    if next_letter.islower():
        return False  # "Stop!" he cried; and so on ... to the end
    if marks != ".":
        return True
    word_match = LAST_WORD.search(text, max(start, match.start() - 40), match.start())
    word = word_match.group() if word_match else ""
    plain = word.lower()
    if len(word) == 1 and word.isalpha() and word.isupper() and word != "I":
        return False  # the initial of a name
    if word.isdigit() and not text[start : match.start() - len(word)].strip():
        return False  # the number of an item in a list
    if plain in TITLES:
        return False
    if plain in BEFORE_NUMBERS:
        return not next_letter.isdigit()
    if plain in SHORT_FORMS:
        return next_letter.isupper() or next_letter == ""
    if re.fullmatch(r"(?:[A-Z]\.)+[A-Z]", word):
        return next_letter == ""  # U.S. Senate: most such letters stand before a name
    return True


def split_by_rule(text):
    """Splits a text into sentences, which keep their inner white space.

    A sentence ends with . ! ? or an ellipsis, the quotes and brackets that close after it, and white space; with a
    Chinese or Japanese full stop; or at an empty line. It does not end where the next word starts with a small letter; after
    titles (Mr.), initials (J. Bach), letters with stops (U.S.), No. before a number, or the number of a list item;
    and after other known short forms (etc., p.m.) only where a capital letter follows.
    """
    sentences = []
    start = 0
    for match in SENTENCE_END.finditer(text):
        if ends_sentence(text, start, match):
            sentences.append(text[start : match.end()].strip())
            start = match.end()
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if sentence]


def split_by_punkt(text):
    try:
        from nltk.tokenize import sent_tokenize
    except ImportError as error:
        raise RequestError(
            "missing_package", f"NLTK cannot be imported ({error}); install it: {sys.executable} -m pip install nltk"
        ) from error
    try:
        return sent_tokenize(text)
    except LookupError as error:
        raise RequestError(
            "missing_data",
            f"NLTK's sentence model is not installed; run: {sys.executable} -m nltk.downloader punkt_tab "
            "(on a machine without network copy the folder tokenizers/punkt_tab and set NLTK_DATA)",
        ) from error


SPLITTERS = {"rule": split_by_rule, "punkt": split_by_punkt}


def answer_split(request):
    texts = field_list(request, "texts", str)
    rule = field(request, "rule", (str,), "rule")
    if rule not in SPLITTERS:
        raise RequestError("bad_request", f"rule must be one of {', '.join(SPLITTERS)}, not '{rule}'")
    return {"sentences": [SPLITTERS[rule](text) for text in texts]}


def answer(line, tokenizers):
    """The answer to one request line; every failure becomes an error answer."""
    request_id = None
    try:
        try:
            request = json.loads(line)
        except ValueError as error:
            raise RequestError("bad_request", f"the line is not JSON: {error}") from error
        if not isinstance(request, dict):
            raise RequestError("bad_request", f"a request is an object, not {type(request).__name__}")
        request_id = request.get("id")
        handlers = {
            "version": lambda: answer_version(request),
            "open": lambda: answer_open(request, tokenizers),
            "encode": lambda: answer_encode(request, tokenizers),
            "decode": lambda: answer_decode(request, tokenizers),
            "split": lambda: answer_split(request),
        }
        name = field(request, "request", (str,))
        if name not in handlers:
            raise RequestError("bad_request", f"there is no request '{name}'; there are {', '.join(handlers)}")
        return {"id": request_id, **handlers[name]()}
    except RequestError as error:
        return {"id": request_id, "error": {"kind": error.kind, "message": str(error), "advice": error.advice}}
    except ImportError as error:
        message = f"{sys.executable} cannot import what it needs: {error}"
        return {"id": request_id, "error": {"kind": "missing_package", "message": message, "advice": None}}
    except Exception as error:
        traceback.print_exc()
        message = f"{type(error).__name__}: {one_line(error)}"
        return {"id": request_id, "error": {"kind": "internal", "message": message, "advice": None}}


def serve(requests, answers):
    """Answers the lines of one binary stream on another until the first ends."""
    tokenizers = Tokenizers()
    for line in requests:
        if not line.strip():
            continue
        text = json.dumps(answer(line, tokenizers), ensure_ascii=False, separators=(",", ":"))
        answers.write(text.encode("utf-8", "replace") + b"\n")
        answers.flush()


def claim_streams():
    """Takes stdin and stdout for the protocol: prints of any library reach stderr, and none can eat a request."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdin = io.StringIO()
    sys.stdout = sys.stderr
    return requests, answers


def main():
    os.environ.update(OFFLINE)
    requests, answers = claim_streams()
    try:
        serve(requests, answers)
    except (BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        # The client is gone. _exit, since closing the streams would try to write to it once more.
        os._exit(0)


if __name__ == "__main__":
    main()
