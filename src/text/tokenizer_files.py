"""What the tokenizer files of a model folder say by themselves: the check on the ids that transformers gives for them."""

import importlib.metadata
import json
import os
import sys
import unicodedata

# Tried on each folder when it is read. It does not begin with white space, which Llama's class errs in: that is no reason
# to refuse a whole folder.
SAMPLE = (
    "Dvořák ate cafe\u0301 crème in 1887 (3.50 of 20000), don’t ask;  two   three\t\ttabs\nline\n\n  東京は夜の七時。👍🏽 ok"
)


class RequestError(Exception):
    """A request that cannot be answered: its kind for the client, its message and its advice for people."""

    def __init__(self, kind, message, advice=None):
        super().__init__(message)
        self.kind = kind
        self.advice = advice


def one_line(error):
    return " ".join(str(error).split())


def version_of(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


class OwnFiles:
    """Checks AutoTokenizer's ids of each text against what the tokenizer files of the folder say without transformers.

    transformers 5 builds many classes from the vocabulary alone and leaves out rules that the file has (a space before the
    text, how digits are cut), for some texts and without a word. So tokenizer.json is read by the tokenizers library as
    well, a tokenizer.model without it by sentencepiece; from the ids of a vocab.json with merges.txt, which hold no rules,
    the text must come back. What opens a text is AutoTokenizer's to say.
    """

    def __init__(self, folder):
        self._folder = folder
        names = set(os.listdir(folder))
        self._source = next(
            (
                name
                for name, needed in (
                    ("tokenizer.json", {"tokenizer.json"}),
                    ("vocab.json", {"vocab.json", "merges.txt"}),
                    ("tokenizer.model", {"tokenizer.model"}),
                )
                if needed <= names
            ),
            None,
        )
        self._reader = None

    def prepare(self):
        """Opens a tokenizer.model: without its packages, or of another format, transformers' own messages mislead."""
        if self._source != "tokenizer.model":
            return
        try:
            import google.protobuf  # noqa: F401
            from sentencepiece import SentencePieceProcessor
        except ImportError as error:
            why = f"tokenizer.model without a tokenizer.json needs sentencepiece and protobuf: {error}"
            raise RequestError("missing_package", why) from error
        try:
            self._reader = SentencePieceProcessor(model_file=os.path.join(self._folder, self._source))
        except (OSError, RuntimeError) as error:
            raise RequestError(
                "broken_tokenizer",
                f"tokenizer.model is damaged or of another kind than SentencePiece: {one_line(error)}",
                "Put the model's tokenizer.json into the folder, or fetch tokenizer.model again",
            ) from error

    def check_folder(self, tokenizer):
        """Refuses a folder whose classes or settings do not fit its files; called once, before any text."""
        self._check_opening()
        if self._source == "vocab.json":
            return  # a small vocabulary may well lack what the sample has
        if self._source == "tokenizer.json":
            from tokenizers import Tokenizer

            self._reader = Tokenizer.from_file(os.path.join(self._folder, self._source))
            self._reader.no_truncation()
            self._reader.no_padding()
        try:
            ids = tokenizer(SAMPLE, add_special_tokens=False)["input_ids"]
        except Exception:
            return  # some tokenizers have no token for what they do not know, and fail
        self._check_texts(tokenizer, [SAMPLE], [ids], list, "texts such as")

    def check_texts(self, tokenizer, texts, encoded, cut):
        """Refuses a text that the folder's files read otherwise.

        `encoded` are the ids without special tokens; of these and of the file's, `cut` gives those that count.
        """
        self._check_texts(tokenizer, texts, encoded, cut, "the text that begins with")

    def _check_opening(self):
        """Where nothing says whether a token opens each text, versions of transformers differ in what they do."""
        if self._source == "tokenizer.json":
            return
        settings = self._json("tokenizer_config.json")
        opened = self._source == "tokenizer.model" or self._json("config.json").get("model_type") == "opt"
        if opened and not isinstance(settings.get("add_bos_token"), bool):
            raise RequestError(
                "untrusted_tokenizer",
                "no tokenizer.json and no add_bos_token in tokenizer_config.json say whether a token opens each text",
                "Fetch tokenizer_config.json from where the model comes from, or write into it what the model was trained "
                'with: "add_bos_token": true (Llama, OPT) or false',
            )

    def _check_texts(self, tokenizer, texts, encoded, cut, which):
        if self._source == "vocab.json":
            self._check_round_trip(tokenizer, texts, encoded)
        elif self._source == "tokenizer.json":
            expected = [encoding.ids for encoding in self._reader.encode_batch(texts, add_special_tokens=False)]
            self._check_equal(tokenizer, texts, map(cut, encoded), map(cut, expected), which)
        elif self._source == "tokenizer.model":
            self._check_equal(tokenizer, texts, map(cut, encoded), map(cut, self._reader.encode(texts)), which)

    def _check_equal(self, tokenizer, texts, encoded, expected, which):
        for text, ids, wanted in zip(texts, encoded, expected, strict=True):
            if ids == wanted:
                continue
            at = next((i for i, (a, b) in enumerate(zip(ids, wanted)) if a != b), min(len(ids), len(wanted)))
            raise RequestError(
                "untrusted_tokenizer",
                f"transformers {version_of('transformers')} ({type(tokenizer).__name__}) and {self._source} read {which} "
                f"{text[:40]!r} differently: from its token {at + 1} on {ids[at : at + 4]} and {wanted[at : at + 4]}",
                self._advice(tokenizer),
            )

    def _check_round_trip(self, tokenizer, texts, encoded):
        decoded = tokenizer.batch_decode(encoded, clean_up_tokenization_spaces=False)
        for text, back in zip(texts, decoded, strict=True):
            # Some classes compose accents first; some put a space before the text.
            wanted, composed = (unicodedata.normalize("NFC", each) for each in (text, back))
            if wanted not in (composed, composed.removeprefix(" ")):
                raise RequestError(
                    "untrusted_tokenizer",
                    f"of the text that begins with {text[:40]!r} the ids give back {back[:40]!r}: vocab.json lacks tokens",
                    "Fetch vocab.json and merges.txt of the model again, or leave the text out",
                )

    def _advice(self, tokenizer):
        if self._source == "tokenizer.json":
            return (
                'Write "tokenizer_class": "PreTrainedTokenizerFast" into tokenizer_config.json, with which transformers '
                "takes tokenizer.json as it is, or change the text (Llama's class loses a space at its start)"
            )
        if type(tokenizer).__name__.startswith("Llama"):
            return "Take white space from the start of the text, or put the model's published tokenizer.json into the folder"
        return (
            "Put the model's published tokenizer.json into the folder; if it has none and the tokenizer is of Llama's kind, "
            f'write one: {sys.executable} -c "from transformers import LlamaTokenizer as T; '
            f"T.from_pretrained({self._folder!r}, add_bos_token=True).save_pretrained({self._folder!r})\""
        )

    def _json(self, name):
        try:
            with open(os.path.join(self._folder, name), encoding="utf-8") as file:
                content = json.load(file)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise RequestError("broken_tokenizer", f"{name} cannot be read: {one_line(error)}") from error
        return content if isinstance(content, dict) else {}
