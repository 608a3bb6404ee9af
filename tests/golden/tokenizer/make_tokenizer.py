"""Trains the small byte-level BPE tokenizer of the text tests on the shipped essays and writes the ids expected of it.

The expectations come from the `tokenizers` library alone. A special token that a text spells is text.
Run from the root of the project: .venv/python/bin/python3 tests/golden/tokenizer/make_tokenizer.py
"""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

FOLDER = Path(__file__).resolve().parent
ESSAYS = FOLDER.parents[2] / "experiments" / "texts" / "essays"
VOCABULARY = 512
TEXTS = {
    "plain": "The heron stood in the dry channel and waited.",
    "accents": "Dvořák naïvely ate crème brûlée in Łódź.",
    "cjk": "東京は夜の七時。我们走吧！",
    "emoji": "A thumb 👍🏽, a family 👩‍👩‍👧 and a flag 🇪🇪.",
    "spaces": "tab\there,  two   three spaces\n\nnew paragraph ",
    "special": "a literal <s> in the text",
    "empty": "",
}


def train() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train([str(path) for path in sorted(ESSAYS.glob("*.txt"))], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return tokenizer


def main() -> None:
    tokenizer = train()
    tokenizer.save(str(FOLDER / "tokenizer.json"), pretty=False)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (FOLDER / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenizer.encode_special_tokens = True
    expected = {
        name: {
            "text": text,
            "ids": tokenizer.encode(text).ids,
            "ids_without_special": tokenizer.encode(text, add_special_tokens=False).ids,
        }
        for name, text in TEXTS.items()
    }
    lines = [f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in expected.items()]
    (FOLDER / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
