"""Readers of a model folder's tokenizer: the ids that its own files say, whatever transformers makes of them.

tokenizer.json is read by the tokenizers library as it stands; vocab.json with merges.txt by the same library, built as
transformers 4 built it for GPT-2 and OPT; tokenizer.model by sentencepiece with the rules of tokenizer_config.json. Only
a folder with none of them is read by transformers' AutoTokenizer. In all of them what a text spells is text: "</s>" in
a text is not the token </s>.
"""

import itertools
import re
import sys
import traceback
import unicodedata

from tokenizer_folder import Folder, RequestError, one_line, version_of

TOKENIZER_FILES = frozenset(
    "tokenizer.json tokenizer.model vocab.json merges.txt vocab.txt spiece.model tekken.json".split()
)
# Classes, and types of models whose class that is, which cut a text into words as GPT-2 does.
GPT2_CLASSES = frozenset("GPT2Tokenizer GPT2TokenizerFast CodeGenTokenizer CodeGenTokenizerFast".split())
GPT2_TYPES = frozenset("gpt2 opt gpt_neo gptj gpt_bigcode codegen".split())
PROBES = ("a", "The", "0", "\n", "東")
WORD_START = "\u2581"  # SentencePiece's letter for a space


class Reader:
    """Texts to ids by one folder's files.

    `source` says which file and what reads it; `opening` are the ids that stand before each text; `size` is one more than
    the largest id; `special` finds the spellings of special tokens. What the tokenizer puts after a text is no part of it.
    """

    splits_special = True  # whether a spelled special token is ordinary text

    def __init__(self, folder, source, special):
        self.folder = folder
        self.source = source
        self.opening = []
        spellings = sorted(special, key=len, reverse=True)
        self.special = re.compile("|".join(map(re.escape, spellings))) if spellings else None

    def encode(self, texts):
        """For each text its own ids and None, or nothing and what is wrong with it."""
        try:
            encoded = self.encode_all(texts)
        except Exception:
            encoded = [self._encode_one(text) for text in texts]
        return [pair if isinstance(pair, tuple) else (self._without_second_opening(pair), None) for pair in encoded]

    def spelled(self, text):
        """The special tokens that a text spells, each once."""
        return sorted(set(self.special.findall(text))) if self.special else []

    def _encode_one(self, text):
        try:
            return self.encode_all([text])[0]
        except Exception as error:
            return [], f"the tokenizer fails on it: {type(error).__name__}: {one_line(error)}"

    def _without_second_opening(self, ids):
        return ids[1:] if ids and self.opening and ids[0] == self.opening[-1] else ids


class LibraryReader(Reader):
    """tokenizer.json, or what is built of other files, by the tokenizers library."""

    def __init__(self, folder, tokenizer, source, opening=None):
        added = tokenizer.get_added_tokens_decoder()
        special = {token.content for token in added.values() if token.special and token.content}
        super().__init__(folder, f"{source}, tokenizers {version_of('tokenizers')}", special)
        self.size = 1 + max(itertools.chain(tokenizer.get_vocab(with_added_tokens=True).values(), added, [-1]))
        self._tokenizer = tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()
        plain, mask = self._probe()
        tokenizer.encode_special_tokens = True
        # Where the file's own normaliser writes special tokens before a text, they have to stay what they are.
        self.splits_special = self._probe()[0] == plain
        tokenizer.encode_special_tokens = self.splits_special
        own = mask.index(0) if 0 in mask else 0
        self._written = []
        if not self.splits_special:
            special_ids = {number for number, token in added.items() if token.special}
            self._written = list(itertools.takewhile(special_ids.__contains__, plain[own:]))
        self.opening = plain[:own] or self._written if opening is None else opening

    def _probe(self):
        """Ids of some short text and which of them the tokenizer put around it."""
        for text in itertools.chain(PROBES, itertools.islice(self._tokenizer.get_vocab(), 64)):
            try:
                encoding = self._tokenizer.encode(text)
            except Exception:
                continue  # some tokenizers have no token for what they do not know, and fail
            if 0 in encoding.special_tokens_mask:
                return encoding.ids, encoding.special_tokens_mask
        return [], []

    def encode_all(self, texts):
        encodings = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        written = self._written
        return [
            encoding.ids[len(written) :] if written and encoding.ids[: len(written)] == written else encoding.ids
            for encoding in encodings
        ]

    def decode(self, ids, skip_special_tokens=False):
        return self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)


class VocabularyReader(LibraryReader):
    """vocab.json and merges.txt of GPT-2's kind. They hold no rules, so a text has to come back from its ids."""

    def __init__(self, folder):
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

        opened = folder.opens_text() if folder.json("config.json").get("model_type") == "opt" else False
        opened = bool(folder.settings.get("add_bos_token", opened))
        self._prefix_space = bool(folder.settings.get("add_prefix_space", False))
        names = [folder.file(name) for name in ("vocab.json", "merges.txt")]
        try:
            tokenizer = Tokenizer(models.BPE.from_file(*names))
        except Exception as error:
            raise RequestError("broken_tokenizer", f"vocab.json and merges.txt: {one_line(error)}") from error
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=self._prefix_space)
        tokenizer.decoder = decoders.ByteLevel()
        special = folder.special_spellings()
        for content, flags in folder.added_tokens().values():
            if content not in special:
                kept = {name: bool(flags.get(name)) for name in ("single_word", "lstrip", "rstrip")}
                tokenizer.add_tokens([AddedToken(content, normalized=bool(flags.get("normalized", True)), **kept)])
        tokenizer.add_special_tokens(sorted(each for each in special if tokenizer.token_to_id(each) is not None))
        opening = []
        if opened:
            first = folder.spelling("bos_token", "<|endoftext|>")
            if tokenizer.token_to_id(first) is None:
                raise RequestError("broken_tokenizer", f"vocab.json has no {first!r}, which opens each text")
            opening = [tokenizer.token_to_id(first)]
        super().__init__(folder, tokenizer, "vocab.json and merges.txt", opening)

    def encode_all(self, texts):
        encoded = super().encode_all(texts)
        decoded = self._tokenizer.decode_batch(encoded, skip_special_tokens=False)
        return [self._checked(*each) for each in zip(texts, encoded, decoded, strict=True)]

    def _checked(self, text, ids, back):
        if back == text or (self._prefix_space and back.removeprefix(" ") == text):
            return ids
        return [], f"its ids give back {back[:40]!r}: vocab.json lacks tokens"


class SentencePieceReader(Reader):
    """tokenizer.model by sentencepiece, with what tokenizer_config.json says: legacy, add_prefix_space, added tokens."""

    def __init__(self, folder):
        if (folder.settings.get("sp_model_kwargs") or {}).get("enable_sampling"):
            raise RequestError(
                "untrusted_tokenizer",
                "tokenizer_config.json asks for sampling (sp_model_kwargs: enable_sampling): the ids of a text are random",
                'Write "sp_model_kwargs": {} into tokenizer_config.json',
            )
        self.folder = folder
        # Without "legacy": false a part is encoded as the model file says, space before it included.
        self._legacy = folder.settings.get("legacy") is not False
        self._prefix_space = folder.settings.get("add_prefix_space") is not False
        self._model, self._decoder = self._load_model()
        self._unknown = folder.spelling("unk_token", "<unk>")
        self._unknown_length = len(self._model.encode(self._unknown))
        pieces = range(self._model.get_piece_size())
        controls = {self._model.id_to_piece(piece) for piece in pieces if self._model.is_control(piece)}
        super().__init__(
            folder,
            f"tokenizer.model, sentencepiece {version_of('sentencepiece')}",
            controls | folder.special_spellings(),
        )
        added = folder.added_tokens()
        special = folder.special_spellings() | controls
        self._spellings = {number: content for number, (content, _) in added.items()}
        self._spellings |= {piece: self._model.id_to_piece(piece) for piece in pieces if self._model.is_control(piece)}
        self._special_ids = {number for number, content in self._spellings.items() if content in special}
        self._added = {content: (number, flags) for number, (content, flags) in added.items() if content not in special}
        by_length = sorted(self._added, key=len, reverse=True)
        self._cut = re.compile("(" + "|".join(map(re.escape, by_length)) + ")") if by_length else None
        self.size = max([len(pieces), *(number + 1 for number in self._spellings)])
        if folder.opens_text():
            self.opening = [self._opening_id()]

    def _load_model(self):
        """What encodes parts of a text, and what decodes."""
        try:
            from sentencepiece import SentencePieceProcessor
            from sentencepiece.sentencepiece_model_pb2 import ModelProto
        except ImportError as error:
            why = f"tokenizer.model without a tokenizer.json needs sentencepiece and protobuf: {error}"
            raise RequestError("missing_package", why) from error
        try:
            with open(self.folder.file("tokenizer.model"), "rb") as file:
                content = file.read()
            if not content:
                raise ValueError("the file is empty")
            whole = SentencePieceProcessor(model_proto=content)
            if self._legacy:
                return whole, whole
            content = ModelProto.FromString(content)
            content.normalizer_spec.add_dummy_prefix = False
            return SentencePieceProcessor(model_proto=content.SerializeToString()), whole
        except Exception as error:
            raise RequestError(
                "broken_tokenizer",
                f"tokenizer.model is damaged or of another kind than SentencePiece: {one_line(error)}",
                "Put the model's tokenizer.json into the folder, or fetch tokenizer.model again",
            ) from error

    def _opening_id(self):
        first = self.folder.spelling("bos_token")
        known = {content: number for number, content in self._spellings.items()}
        number = known.get(first, self._model.bos_id()) if first else self._model.bos_id()
        if number < 0:
            raise RequestError("broken_tokenizer", "add_bos_token is true, and tokenizer.model has no token for it")
        return number

    def encode_all(self, texts):
        return [self._encode_text(text) for text in texts]

    def _encode_text(self, text):
        if not text:
            return []
        if not self._legacy:
            text = (WORD_START if self._prefix_space else "") + text.replace(WORD_START, " ")
        if not self._cut:
            return self._encode_part(text)
        ids = []
        for part in self._parts(text):
            ids += [self._added[part][0]] if part in self._added else self._encode_part(part)
        return ids

    def _parts(self, text):
        """The text cut at added tokens, which may swallow the white space beside them."""
        parts = self._cut.split(text)
        for at in range(1, len(parts), 2):
            flags = self._added[parts[at]][1]
            if flags.get("lstrip"):
                parts[at - 1] = parts[at - 1].rstrip()
            if flags.get("rstrip"):
                parts[at + 1] = parts[at + 1].lstrip()
        return [part for part in parts if part]

    def _encode_part(self, part):
        if self._legacy or not part.startswith((WORD_START, " ")):
            return self._model.encode(part)
        # Behind another token a space is not taken for the one that begins a text.
        return self._model.encode(self._unknown + part)[self._unknown_length :]

    def decode(self, ids, skip_special_tokens=False):
        text = ""
        for is_special, group in itertools.groupby(ids, self._spellings.__contains__):
            if not is_special:
                text += self._decoder.decode(list(group))
                continue
            shown = (each for each in group if not (skip_special_tokens and each in self._special_ids))
            text += "".join(self._spellings[each] for each in shown)
        return text


class TransformersReader(Reader):
    """A folder with files of another kind, by transformers' AutoTokenizer."""

    def __init__(self, folder):
        self.tokenizer = load_auto_tokenizer(folder)
        # From a config.json alone some classes are built with an empty vocabulary, and would encode every text to nothing.
        if len(self.tokenizer) <= len(self.tokenizer.added_tokens_decoder):
            raise RequestError("missing_tokenizer", no_tokenizer_in(folder))
        name = f"{type(self.tokenizer).__name__} of transformers {version_of('transformers')}"
        super().__init__(folder, name, set(self.tokenizer.all_special_tokens))
        self.size = len(self.tokenizer)
        self.opening = auto_opening(self.tokenizer)

    def encode_all(self, texts):
        encoded = auto_ids(self.tokenizer, texts)
        if not {"vocab.json", "merges.txt"} <= self.folder.names:
            return encoded
        # These files hold no rules: the text has to come back, composed as some classes do.
        decoded = self.tokenizer.batch_decode(encoded, clean_up_tokenization_spaces=False)
        return [self._checked(*each) for each in zip(texts, encoded, decoded, strict=True)]

    @staticmethod
    def _checked(text, ids, back):
        wanted, composed = (unicodedata.normalize("NFC", each) for each in (text, back))
        if wanted in (composed, composed.removeprefix(" ")):
            return ids
        return [], f"its ids give back {back[:40]!r}: vocab.json lacks tokens"

    def decode(self, ids, skip_special_tokens=False):
        # Without the clean-up the text is what the tokens spell, spaces before punctuation included.
        return self.tokenizer.decode(ids, skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False)


def load_auto_tokenizer(folder):
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise RequestError("missing_package", f"{sys.executable} cannot import transformers: {error}") from error
    try:
        # Code from a model folder is never run: trust_remote_code=None would ask on stdin.
        return AutoTokenizer.from_pretrained(folder.path, local_files_only=True, trust_remote_code=False)
    except ImportError as error:
        raise RequestError("missing_package", one_line(error)) from error
    except Exception as error:
        traceback.print_exc()
        if TOKENIZER_FILES.isdisjoint(folder.names):
            raise RequestError("missing_tokenizer", no_tokenizer_in(folder)) from error
        advice = None
        if "tokenizer_config.json" not in folder.names:
            advice = "Fetch the tokenizer files of the model again, tokenizer_config.json too: it names their class"
        raise RequestError("broken_tokenizer", f"{type(error).__name__}: {one_line(error)}", advice) from error


def auto_ids(tokenizer, texts):
    """The ids that transformers gives for texts, without what it puts around them."""
    return tokenizer(
        texts,
        add_special_tokens=False,
        split_special_tokens=True,
        return_attention_mask=False,
        truncation=False,
        verbose=False,
    )["input_ids"]


def auto_opening(tokenizer):
    """The ids that transformers puts before a text."""
    for text in PROBES:
        probe = tokenizer(text, return_special_tokens_mask=True)
        if 0 in probe["special_tokens_mask"]:
            return list(probe["input_ids"][: probe["special_tokens_mask"].index(0)])
    return []


def no_tokenizer_in(folder):
    return f"the folder has no tokenizer files; it has {folder.listing()}"


def read_tokenizer_json(folder):
    from tokenizers import Tokenizer

    model = folder.json("tokenizer.json").get("model")
    dropout = model.get("dropout") if isinstance(model, dict) else None
    if dropout:
        raise RequestError(
            "untrusted_tokenizer",
            f"tokenizer.json has BPE dropout ({dropout}): the ids of a text are random",
            'Write "dropout": null into the "model" of tokenizer.json: dropout is for training alone',
        )
    try:
        tokenizer = Tokenizer.from_file(folder.file("tokenizer.json"))
    except Exception as error:
        raise RequestError("broken_tokenizer", f"tokenizer.json: {one_line(error)}") from error
    return LibraryReader(folder, tokenizer, "tokenizer.json")


def is_of_gpt2s_kind(folder):
    """Whether vocab.json and merges.txt are known to be GPT-2's: others cut a text into other words."""
    name = folder.settings.get("tokenizer_class")
    if name is None:
        return folder.json("config.json").get("model_type") in GPT2_TYPES
    return name in GPT2_CLASSES


def open_folder(path):
    """The reader of a model folder."""
    folder = Folder(path)
    for name in sorted(TOKENIZER_FILES & folder.names):
        folder.refuse_pointer(name)
    if "tokenizer.json" in folder.names:
        return read_tokenizer_json(folder)
    if {"vocab.json", "merges.txt"} <= folder.names and is_of_gpt2s_kind(folder):
        return VocabularyReader(folder)
    if "tokenizer.model" in folder.names:
        return SentencePieceReader(folder)
    return TransformersReader(folder)


class Comparison:
    """What transformers' AutoTokenizer makes of a folder that another reader reads."""

    MOST_TEXTS, MOST_LETTERS = 64, 1 << 20

    def __init__(self, reader):
        self._reader = reader
        self._tokenizer = None
        self._fails = None

    def sentence(self, texts, ids, cut):
        """Says where AutoTokenizer's ids of the first texts differ, after `cut` of both, or where the files contradict
        each other; None where neither is so."""
        asked = self._reader.folder.settings.get("add_bos_token")
        if isinstance(asked, bool) and asked != bool(self._reader.opening):
            puts = "a token" if self._reader.opening else "nothing"
            return f"they put {puts} before a text, tokenizer_config.json says add_bos_token: {str(asked).lower()}"
        if isinstance(self._reader, TransformersReader) or version_of("transformers") is None:
            return None
        self._load()
        name = f"transformers {version_of('transformers')}"
        if self._fails:
            return f"{name} cannot read the tokenizer ({self._fails})"
        name += f" ({type(self._tokenizer).__name__})"
        texts = texts[: self.MOST_TEXTS]
        while sum(map(len, texts)) > self.MOST_LETTERS:
            texts = texts[: len(texts) // 2]
        if not texts:
            return None
        try:
            opening = auto_opening(self._tokenizer)
            others = map(cut, auto_ids(self._tokenizer, texts))
            different = sum(other != own for other, own in zip(others, ids))
        except Exception as error:
            return f"{name} fails on these texts ({one_line(error)[:200]})"
        if opening != self._reader.opening:
            return f"{name} puts {opening} before a text, not {self._reader.opening}"
        return f"{name} reads {different} of {len(texts)} texts otherwise" if different else None

    def _load(self):
        if self._tokenizer is None and self._fails is None:
            try:
                self._tokenizer = load_auto_tokenizer(self._reader.folder)
            except RequestError as error:
                self._fails = one_line(error)[:200]
