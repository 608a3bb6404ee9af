"""Trains one small tokenizer of each kind that language models bring on the shipped essays, and writes the ids expected of it.

Each folder holds the files that Hugging Face publishes for its kind. The ids are computed apart from memcap's helper and
from `transformers`: byte-level kinds by the plain byte-pair encoder below and the `tokenizers` library, SentencePiece
kinds by the `sentencepiece` library. A special token that a text spells is text. The texts of which AutoTokenizer makes
something else are marked `differs`, and are no others than those of DIFFERS.
Run from the root of the project: .venv/python/bin/python3 tests/golden/tokenizer/make_kinds.py
"""

import io
import json
import os
import re
import unicodedata
from pathlib import Path

import regex
import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

FOLDER = Path(__file__).resolve().parent / "kinds"
ESSAYS = Path(__file__).resolve().parents[3] / "experiments" / "texts" / "essays"
VOCABULARY = 480
# To transformers 5 a text that begins with a space is, for Llama 2, the text without that space.
DIFFERS = {"llama2": {"leading", "two_leading", "space"}}
DIFFERS["sentencepiece"] = DIFFERS["llama2"]
TEXTS = {
    "plain": "The heron stood in the dry channel and waited.",
    "accents": "Dvořák naïvely ate crème brûlée in Łódź.",
    "decomposed": "cafe\u0301 and A\u030angstro\u0308m",
    "cjk": "東京は夜の七時。我们走吧！",
    "emoji": "A thumb 👍🏽, a family 👩‍👩‍👧 and a flag 🇪🇪.",
    "spaces": "one two  three   four     nine         end",
    "tabs": "\ttab\t\there \t mixed",
    "newlines": "line\nline\n\nparagraph\r\nold\n\n\n  indented",
    "digits": "In 1887, 3.50 or 1,234,567 of 20000000 (٣٤)",
    "contractions": "it's IT'S they'll We'd don’t",
    "leading": " a leading space",
    "two_leading": "  two leading spaces",
    "trailing": "a trailing space ",
    "space": " ",
    "newline": "\n",
    "nul": "a\0b",
    "empty": "",
}
# How the models' published tokenizer.json files cut a text into words before the merges.
GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def essays() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(ESSAYS.glob("*.txt"))]


def byte_letters() -> list[str]:
    """The letter that byte-level vocabularies write for each byte: itself if it can be seen, else one from 256 on."""
    seen = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    hidden = [byte for byte in range(256) if byte not in seen]
    return [chr(byte) if byte in seen else chr(256 + hidden.index(byte)) for byte in range(256)]


class PlainBytePairs:
    """Byte-level byte-pair encoding written out: the reference for folders that have nothing but a vocabulary and merges."""

    def __init__(self, vocabulary, merges, words, whole, normalize=lambda text: text, ignore_merges=False):
        self.vocabulary = vocabulary
        self.ranks = {tuple(merge): rank for rank, merge in enumerate(merges)}
        self.words = regex.compile(words)
        # The longest first: of the tokens that are cut out whole, a run of spaces takes as many as it can.
        self.whole = re.compile("|".join(map(re.escape, sorted(whole, key=len, reverse=True))) or "(?!)")
        self.normalize = normalize
        self.ignore_merges = ignore_merges
        self.letters = byte_letters()

    def encode(self, text: str) -> list[int]:
        text = self.normalize(text)
        ids, start = [], 0
        for match in self.whole.finditer(text):
            ids += self._encode_part(text[start : match.start()]) + [self.vocabulary[match.group()]]
            start = match.end()
        return ids + self._encode_part(text[start:])

    def _encode_part(self, text: str) -> list[int]:
        return [self.vocabulary[piece] for word in self.words.findall(text) for piece in self._merge(word)]

    def _merge(self, word: str) -> list[str]:
        pieces = [self.letters[byte] for byte in word.encode("utf-8")]
        if self.ignore_merges and "".join(pieces) in self.vocabulary:
            return ["".join(pieces)]
        while True:
            ranked = [(self.ranks.get(pair, len(self.ranks)), at) for at, pair in enumerate(zip(pieces, pieces[1:]))]
            rank, at = min(ranked, default=(len(self.ranks), 0))
            if rank == len(self.ranks):
                return pieces
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]


def write_json(kind: str, name: str, value: dict) -> None:
    (FOLDER / kind / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def mark_differences(kind: str, expected: dict) -> None:
    """Compares what AutoTokenizer reads from the folder with what is expected."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(FOLDER / kind, local_files_only=True)
    for name, entry in expected.items():
        ids = tokenizer(entry["text"], split_special_tokens=True)["input_ids"]
        without = tokenizer(entry["text"], split_special_tokens=True, add_special_tokens=False)["input_ids"]
        differs = ids != entry["ids"] or without != entry["ids_without_special"]
        assert differs == (name in DIFFERS.get(kind, ())), (kind, name, ids, entry)
        entry["differs"] = differs


def save(kind: str, model: dict, config: dict, expected: dict) -> None:
    write_json(kind, "config.json", model)
    write_json(kind, "tokenizer_config.json", config)
    mark_differences(kind, expected)
    lines = [f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in expected.items()]
    (FOLDER / kind / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def expect(encode, prepended: list[int], special: str, normalize=lambda text: text) -> dict:
    """Ids of every text; `prepended` are the ids that the kind's rule puts before a text."""
    texts = {**TEXTS, "special": f"a literal {special}in the text"}
    expected = {}
    for name, text in texts.items():
        ids = encode(text)
        expected[name] = {"text": text, "ids": prepended + ids, "ids_without_special": ids, "decoded": normalize(text)}
    return expected


def train_byte_level(words: str, special: list[str], normalizer=None, more_texts=()) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    cut = pre_tokenizers.Split(Regex(words), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*essays(), *more_texts], trainer)
    return tokenizer


def vocabulary_and_merges(tokenizer: Tokenizer) -> tuple[dict, list]:
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], model["merges"]


def save_checked(kind: str, tokenizer: Tokenizer, model: dict, config: dict, expected: dict) -> None:
    """Saves a tokenizer.json, for which the `tokenizers` library must say what the reference says."""
    (FOLDER / kind).mkdir(parents=True, exist_ok=True)
    tokenizer.encode_special_tokens = True
    tokenizer.save(str(FOLDER / kind / "tokenizer.json"), pretty=False)
    for name, entry in expected.items():
        assert tokenizer.encode(entry["text"]).ids == entry["ids"], (kind, name)
        without = tokenizer.encode(entry["text"], add_special_tokens=False).ids
        assert without == entry["ids_without_special"], (kind, name)
        assert tokenizer.decode(without, skip_special_tokens=False) == entry["decoded"], (kind, name)
    save(kind, model, config, expected)


def make_neox() -> None:
    """Pythia, OLMo and Mamba: composes accents first, has tokens for runs of spaces, adds nothing."""
    tokenizer = train_byte_level(GPT2_WORDS, ["<|endoftext|>", "<|padding|>"], normalizers.NFC())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    runs = [" " * length for length in range(8, 1, -1)]
    tokenizer.add_tokens([AddedToken(run, normalized=True, special=False) for run in runs])
    vocabulary, merges = vocabulary_and_merges(tokenizer)
    vocabulary = {**vocabulary, **{run: tokenizer.token_to_id(run) for run in runs}}

    def compose(text):
        return unicodedata.normalize("NFC", text)

    plain = PlainBytePairs(vocabulary, merges, GPT2_WORDS, runs, compose)
    end = "<|endoftext|>"
    config = {"tokenizer_class": "GPTNeoXTokenizer", "add_prefix_space": False, "unk_token": end}
    config |= {"bos_token": end, "eos_token": end}
    model = {"architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox"}
    save_checked("neox", tokenizer, model, config, expect(plain.encode, [], end, compose))


def without_merges(tokenizer: Tokenizer, words: list[str]) -> Tokenizer:
    """The tokenizer with these words out of the reach of its merges: only a whole word of the text can become one."""
    content = json.loads(tokenizer.to_str())
    merges = content["model"]["merges"]
    assert {"".join(merge) for merge in merges} >= set(words)
    content["model"]["merges"] = [merge for merge in merges if "".join(merge) not in words]
    content["model"]["ignore_merges"] = True
    return Tokenizer.from_str(json.dumps(content))


def make_llama3() -> None:
    """Llama 3: its own cut into words, digits by threes, words of the vocabulary taken whole, a text is opened."""
    numbers = " ".join(str(number) for number in [*range(1800, 1900), *range(1000, 90000, 1000)])
    tokenizer = without_merges(train_byte_level(LLAMA3_WORDS, [], more_texts=[numbers]), ["Ġthe", "Ġand"])
    begin, end = "<|begin_of_text|>", "<|end_of_text|>"
    tokenizer.add_special_tokens([begin, end])
    first = tokenizer.token_to_id(begin)
    template = processors.TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, first)])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    vocabulary, merges = vocabulary_and_merges(tokenizer)
    plain = PlainBytePairs(vocabulary, merges, LLAMA3_WORDS, [], ignore_merges=True)
    # Each of the kind's own rules has to matter for some text.
    for other in (
        PlainBytePairs(vocabulary, merges, LLAMA3_WORDS, []),
        PlainBytePairs(vocabulary, merges, GPT2_WORDS, [], ignore_merges=True),
    ):
        assert any(other.encode(text) != plain.encode(text) for text in TEXTS.values())
    config = {"bos_token": begin, "clean_up_tokenization_spaces": True, "eos_token": end}
    config |= {"model_input_names": ["input_ids", "attention_mask"], "tokenizer_class": "PreTrainedTokenizerFast"}
    model = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    save_checked("llama3", tokenizer, model, config, expect(plain.encode, [first], begin))


def make_opt() -> None:
    """OPT: vocab.json and merges.txt alone; the end token </s> opens a text."""
    tokenizer = train_byte_level(GPT2_WORDS, ["<s>", "<pad>", "</s>", "<unk>"])
    vocabulary, merges = vocabulary_and_merges(tokenizer)
    (FOLDER / "opt").mkdir(parents=True, exist_ok=True)
    (FOLDER / "opt" / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
    (FOLDER / "opt" / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    token = {"content": "</s>", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    special = {"bos_token": token, "eos_token": token, "unk_token": token}
    write_json("opt", "special_tokens_map.json", {**special, "pad_token": "<pad>"})
    config = {name: {**value, "__type": "AddedToken"} for name, value in special.items()}
    config |= {"errors": "replace", "pad_token": "<pad>"}
    config |= {"add_prefix_space": False, "add_bos_token": True, "tokenizer_class": "GPT2Tokenizer"}
    plain = PlainBytePairs(vocabulary, merges, GPT2_WORDS, [])
    model = {"architectures": ["OPTForCausalLM"], "model_type": "opt"}
    save("opt", model, config, expect(plain.encode, [vocabulary["</s>"]], "</s>"))


def train_sentencepiece() -> bytes:
    """As Llama's tokenizer.model was trained: pairs, bytes for unknown characters, single digits, spaces kept as they are."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for essay in essays() for line in essay.splitlines() if line]),
        model_writer=model,
        model_type="bpe",
        vocab_size=VOCABULARY,
        character_coverage=1.0,
        byte_fallback=True,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def llama2_json(model: sentencepiece.SentencePieceProcessor) -> Tokenizer:
    """The tokenizer.json that Llama-2 folders have beside tokenizer.model."""
    pieces = [model.id_to_piece(index) for index in range(model.get_piece_size())]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    merges = []
    for index, piece in enumerate(pieces):
        if model.is_control(index) or model.is_unknown(index) or model.is_byte(index):
            continue
        cuts = [(piece[:at], piece[at:]) for at in range(1, len(piece))]
        merges += sorted((cut for cut in cuts if cut[0] in vocabulary and cut[1] in vocabulary), key=lambda c: len(c[0]))
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in ("<unk>", "<s>", "</s>")])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def make_llama2() -> None:
    """Llama-2 and Sheared-LLaMA: metaspace, bytes for unknown characters, <s> opens a text; as JSON and as SentencePiece."""
    model_bytes = train_sentencepiece()
    model = sentencepiece.SentencePieceProcessor(model_proto=model_bytes)
    tokenizer = llama2_json(model)
    expected = expect(model.encode, [model.bos_id()], "<s>")
    tokenizer.encode_special_tokens = True
    for name, entry in expected.items():
        assert tokenizer.encode(entry["text"]).ids == entry["ids"], name
        assert model.decode(entry["ids_without_special"]) == entry["decoded"], name
    token = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    special = {name: {"content": content, **token} for name, content in special.items()}
    config = {"add_bos_token": True, "add_eos_token": False, "clean_up_tokenization_spaces": False, "legacy": False}
    config |= {name: {**value, "__type": "AddedToken"} for name, value in special.items()}
    config |= {"pad_token": None, "sp_model_kwargs": {}, "tokenizer_class": "LlamaTokenizer"}
    for kind in ("llama2", "sentencepiece"):
        (FOLDER / kind).mkdir(parents=True, exist_ok=True)
        (FOLDER / kind / "tokenizer.model").write_bytes(model_bytes)
        write_json(kind, "special_tokens_map.json", special)
        if kind == "llama2":
            tokenizer.save(str(FOLDER / kind / "tokenizer.json"), pretty=False)
        save(kind, {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}, config, expected)


def main() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    make_neox()
    make_llama3()
    make_opt()
    make_llama2()


if __name__ == "__main__":
    main()
