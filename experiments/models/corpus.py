"""From a text file to training batches: the byte-level BPE, the token cache, and the order in which windows are read."""

import hashlib
import lzma
import os
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from language_model import MAX_POSITIONS, VOCABULARY

END_OF_TEXT = "<|endoftext|>"
DOCUMENT_SEPARATOR = "\n\n"
BPE_PIECE_CHARS = 100_000
BPE_PIECES = 200


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: Path) -> str:
    """A UTF-8 text file, plain or .xz."""
    opened = lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else open(path, encoding="utf-8")
    with opened as file:
        return file.read()


def train_tokenizer(text: str) -> Tokenizer:
    """A byte-level BPE of VOCABULARY entries, learnt from up to BPE_PIECES pieces spread evenly over the text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    stride = max(BPE_PIECE_CHARS, len(text) // BPE_PIECES)
    pieces = (text[start : start + BPE_PIECE_CHARS] for start in range(0, len(text), stride))
    tokenizer.train_from_iterator(pieces, trainer)
    if tokenizer.get_vocab_size() != VOCABULARY:
        raise SystemExit(f"the text gives a vocabulary of {tokenizer.get_vocab_size()} entries, not {VOCABULARY}: use a longer text")
    return tokenizer


def encode_text(tokenizer: Tokenizer, text: str) -> np.ndarray:
    """All tokens of the text as uint16; a blank line ends a document and becomes END_OF_TEXT."""
    end = tokenizer.token_to_id(END_OF_TEXT)
    parts = []
    for document in text.split(DOCUMENT_SEPARATOR):
        # Encoding a whole book at once needs much memory; a cut at a line break moves no token border that matters.
        for encoding in tokenizer.encode_batch(document.splitlines(keepends=True), add_special_tokens=False):
            parts.append(np.asarray(encoding.ids, dtype=np.uint16))
        parts.append(np.asarray([end], dtype=np.uint16))
    return np.concatenate(parts)


class Corpus:
    """The tokenised text, made once and then read from the cache in the work folder, and its windows in training order."""

    def __init__(self, text_path: Path, work: Path, seed: int):
        self.text_name = text_path.name
        self.text_sha256 = sha256_of(text_path)
        self.seed = seed
        folder = work / f"corpus-{self.text_sha256[:12]}"
        self.tokenizer_path = folder / "tokenizer.json"
        tokens_path = folder / "tokens.npy"
        if not tokens_path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            text = read_text(text_path)
            tokenizer = train_tokenizer(text)
            tokenizer.save(str(self.tokenizer_path))
            partial = folder / "partial.npy"
            np.save(partial, encode_text(tokenizer, text))
            os.replace(partial, tokens_path)
        self.tokenizer = Tokenizer.from_file(str(self.tokenizer_path))
        self.tokens = np.load(tokens_path, mmap_mode="r")
        self._epoch = -1
        self._windows = (len(self.tokens) - 1) // MAX_POSITIONS - 1
        if self._windows < 1:
            raise SystemExit(f"{text_path} has {len(self.tokens)} tokens: at least {2 * MAX_POSITIONS + 1} are needed")

    def batch(self, step: int, rows: int) -> torch.Tensor:
        """Window ids [rows, MAX_POSITIONS + 1] of a step: a function of seed and step alone, so that a resumed run reads on."""
        windows = [self._window(step * rows + row) for row in range(rows)]
        return torch.from_numpy(np.stack(windows).astype(np.int64))

    def _window(self, position: int) -> np.ndarray:
        epoch, index = divmod(position, self._windows)
        if epoch != self._epoch:
            # Each pass has its own order and its own shift, so windows begin elsewhere every time.
            draw = np.random.default_rng([self.seed, epoch])
            self._order, self._shift, self._epoch = draw.permutation(self._windows), draw.integers(MAX_POSITIONS), epoch
        start = self._order[index] * MAX_POSITIONS + self._shift
        return self.tokens[start : start + MAX_POSITIONS + 1]
