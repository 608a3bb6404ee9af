"""Writes a trained model as a Hugging Face folder: bf16 weights, tokenizer, configuration, and a card with measured facts."""

import csv
import json
import math
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from corpus import END_OF_TEXT, Corpus, sha256_of
from language_model import MAX_POSITIONS, VOCABULARY, LanguageModel

DEV_WINDOWS = 8
DEV_BATCH = 10


def export_model(model: LanguageModel, corpus: Corpus, facts: dict, dev_csv: Path | None, folder: Path) -> None:
    """Writes the model folder; each file replaces its predecessor at once, so readers never meet half a file."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        fresh = Path(name)
        save_file(rounded_tensors(model), fresh / "model.safetensors", metadata={"format": "pt"})
        config = config_of(model, corpus.tokenizer.token_to_id(END_OF_TEXT))
        write_json(fresh / "config.json", config)
        corpus.tokenizer.save(str(fresh / "tokenizer.json"))
        write_json(fresh / "tokenizer_config.json", tokenizer_config())
        results = {}
        if dev_csv is not None:
            rounded = facts["rung"].build()
            rounded.load(load_file(fresh / "model.safetensors"))
            results = dev_losses(rounded, corpus, dev_csv)
        card = model_card(model, corpus, facts, results, fresh, dev_csv)
        (fresh / "README.md").write_text(card, encoding="utf-8")
        for written in sorted(fresh.iterdir()):
            written.chmod(0o644)
            os.replace(written, folder / written.name)


def rounded_tensors(model: LanguageModel) -> dict[str, torch.Tensor]:
    """The weights in bf16, as the file holds them."""
    return {name: tensor.detach().to("cpu", torch.bfloat16).contiguous() for name, tensor in model.tensors().items()}


def config_of(model: LanguageModel, end_id: int) -> dict:
    """config.json: the family's keys and those that all families have."""
    return model.config() | {
        "bos_token_id": end_id,
        "eos_token_id": end_id,
        "initializer_range": 0.02,
        "tie_word_embeddings": model.tied,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": VOCABULARY,
    }


def tokenizer_config() -> dict:
    """tokenizer_config.json: no token is put before or after a text."""
    return {
        "add_bos_token": False,
        "add_eos_token": False,
        "bos_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": False,
        "eos_token": END_OF_TEXT,
        "model_max_length": MAX_POSITIONS,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def dev_losses(model: LanguageModel, corpus: Corpus, dev_csv: Path) -> dict:
    """Nats a token and a byte on the first DEV_WINDOWS windows of each row, and those of a unigram model on the same tokens."""
    with open(dev_csv, encoding="utf-8", newline="") as file:
        rows = [torch.tensor(corpus.tokenizer.encode(row["text"]).ids) for row in csv.DictReader(file)]
    starts = range(0, DEV_WINDOWS * MAX_POSITIONS, MAX_POSITIONS)
    windows = [row[start : start + MAX_POSITIONS + 1] for row in rows for start in starts if start + MAX_POSITIONS < len(row)]
    if not windows:
        raise SystemExit(f"no row of {dev_csv} has the {MAX_POSITIONS + 1} tokens that a loss needs: use longer texts")
    windows = torch.stack(windows)
    targets = windows[:, 1:].flatten()
    nll_nats = 0.0
    with torch.no_grad():
        for batch in windows.split(DEV_BATCH):
            logits = model.logits(batch[:, :-1]).view(-1, VOCABULARY)
            nll_nats += F.cross_entropy(logits, batch[:, 1:].flatten(), reduction="sum").item()
    counts = torch.from_numpy(np.bincount(corpus.tokens, minlength=VOCABULARY) + 1.0)
    unigram_nats = -(counts / counts.sum()).log()[targets].sum().item()
    # Every character of a byte-level entry stands for one byte.
    entry_bytes = torch.tensor([len(corpus.tokenizer.id_to_token(entry)) for entry in range(VOCABULARY)])
    size_bytes = entry_bytes[targets].sum().item()
    return {
        "predicted": len(targets),
        "rows": len(rows),
        "nats_token": nll_nats / len(targets),
        "nats_byte": nll_nats / size_bytes,
        "bits_byte": nll_nats / size_bytes / math.log(2),
        "unigram_token": unigram_nats / len(targets),
        "unigram_byte": unigram_nats / size_bytes,
    }


def model_card(model: LanguageModel, corpus: Corpus, facts: dict, results: dict, folder: Path, dev_csv: Path | None) -> str:
    """README.md of a model folder, made of what is known at the export."""
    rung = facts["rung"]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    size_bytes = (folder / "model.safetensors").stat().st_size
    passes = facts["tokens"] / len(corpus.tokens)
    inner = "Muon for the matrices inside the layers, AdamW for the rest" if facts["optimizer"] == "muon" else "AdamW"
    lines = [
        "---",
        "language: en",
        "pipeline_tag: text-generation",
        "---",
        f"# {rung.name}",
        "",
        f"A {model.FAMILY}-type language model of {parameters:,} parameters, trained from nothing for memcap by "
        "`experiments/models/train.py`. It is meant for measurements on small machines: it writes English-like text and knows nothing.",
        "",
        "| | |",
        "|---|---|",
        f"| sizes | width {model.width}, {len(model.blocks)} layers, {model.summary()}, "
        f"{'tied' if model.tied else 'separate'} output matrix, {MAX_POSITIONS} positions |",
        f"| tokenizer | byte-level BPE of {VOCABULARY:,} entries, learnt from the same text; adds no special tokens; "
        f"`{END_OF_TEXT}` ended each book in training |",
        f"| file | bf16 safetensors, {size_bytes / 1e6:.2f} MB |",
        f"| data | `{corpus.text_name}`, {len(corpus.tokens) / 1e6:.1f} million tokens of English books |",
        f"| tokens seen | {facts['tokens'] / 1e6:.1f} million ({passes:.2f} passes) in {facts['steps']:,} steps |",
        f"| recipe | {inner}; peak rate {rung.learning_rate:g}, constant after a warm-up, then linear to 0 over the last "
        f"{facts['decay_steps']:,} steps; contexts of {MAX_POSITIONS // 2} tokens, every fourth step {MAX_POSITIONS}; "
        f"{facts['precision']}; seed {facts['seed']} |",
        f"| time | {facts['seconds'] / 60:.0f} minutes{', ' + facts['hardware'] if facts['hardware'] else ''} |",
    ]
    if results:
        lines += [
            f"| loss on held-out text | **{results['nats_token']:.4f} nats a token**, {results['nats_byte']:.4f} nats "
            f"({results['bits_byte']:.4f} bits) a byte |",
            f"| a unigram model there | {results['unigram_token']:.4f} nats a token, {results['unigram_byte']:.4f} nats a byte |",
            "",
            f"The loss is that of the exported bf16 weights, computed in float32, on {results['predicted']:,} tokens: the first "
            f"{DEV_WINDOWS} windows of {MAX_POSITIONS} of each of the {results['rows']} rows of `{dev_csv.name}`, from books that are not "
            "in the training text.",
        ]
    lines += ["", "## Hashes (SHA-256)", ""]
    lines += [f"* `{name}`: `{sha256_of(folder / name)}`" for name in ("config.json", "model.safetensors", "tokenizer.json")]
    lines += [f"* training text `{corpus.text_name}`: `{corpus.text_sha256}`", "", "## Licence", ""]
    lines += ["The texts it learnt from are books in the public domain. The weights come under memcap's own licence.", ""]
    return "\n".join(lines)


def write_json(path: Path, value: dict) -> None:
    """Writes a JSON object with sorted keys, so that equal contents give equal hashes."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
