"""A model folder and what the settings in it say about its tokenizer, and the errors about it."""

import importlib.metadata
import json
import os

GIT_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


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


def spelling(token):
    """What a token of a settings file spells: it is a text, or an object with its content; None for no token."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) and token else None


class Folder:
    """A model folder and the settings beside its vocabulary."""

    def __init__(self, path):
        if not os.path.isdir(path):
            raise RequestError("missing_tokenizer", "there is no such folder")
        self.path = path
        self.names = frozenset(os.listdir(path))
        self.settings = self.json("tokenizer_config.json")
        self.special_tokens = {**self.json("special_tokens_map.json"), **self.settings}

    def file(self, name):
        return os.path.join(self.path, name)

    def json(self, name):
        if name not in self.names:
            return {}
        self.refuse_pointer(name)
        try:
            with open(self.file(name), encoding="utf-8") as file:
                content = json.load(file)
        except (OSError, ValueError) as error:
            raise RequestError("broken_tokenizer", f"{name} cannot be read: {one_line(error)}") from error
        return content if isinstance(content, dict) else {}

    def refuse_pointer(self, name):
        with open(self.file(name), "rb") as file:
            if file.read(len(GIT_LFS_POINTER)) == GIT_LFS_POINTER:
                raise RequestError(
                    "broken_tokenizer",
                    f"{name} is a pointer of Git LFS, not the file itself",
                    f"Fetch the file: git lfs pull, in {self.path}",
                )

    def spelling(self, name, default=None):
        return spelling(self.special_tokens.get(name)) or default

    def added_tokens(self):
        """Tokens beside the vocabulary, {id: (spelling, object of its flags)}, in the order of their ids."""
        added = {}
        for content, number in self.json("added_tokens.json").items():
            if isinstance(number, int):
                added[number] = (content, {})
        decoder = self.settings.get("added_tokens_decoder")
        for number, token in (decoder if isinstance(decoder, dict) else {}).items():
            if spelling(token) and str(number).isdigit():
                added[int(number)] = (spelling(token), token if isinstance(token, dict) else {})
        return dict(sorted(added.items()))

    def special_spellings(self):
        named = {self.spelling(name) for name in SPECIAL_NAMES}
        more = self.special_tokens.get("additional_special_tokens")
        named.update(spelling(token) for token in (more if isinstance(more, list) else []))
        named.update(content for content, flags in self.added_tokens().values() if flags.get("special"))
        return named - {None}

    def listing(self):
        names = sorted(self.names)
        return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") or "nothing"

    def opens_text(self):
        """add_bos_token, which has to be there: where it is not, versions of transformers differ in what they do."""
        opens = self.settings.get("add_bos_token")
        if isinstance(opens, bool):
            return opens
        raise RequestError(
            "untrusted_tokenizer",
            "no tokenizer.json and no add_bos_token in tokenizer_config.json say whether a token opens each text",
            "Fetch tokenizer_config.json from where the model comes from, or write into it what the model was trained "
            'with: "add_bos_token": true (Llama, OPT) or false',
        )
