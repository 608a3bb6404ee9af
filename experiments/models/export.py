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
from ladder import HEAD_WIDTH, MAX_POSITIONS, NORM_EPSILON, ROPE_THETA, VOCABULARY, InkModel

DEV_WINDOWS = 8
DEV_BATCH = 10


def export_model(model: InkModel, corpus: Corpus, facts: dict, dev_csv: Path | None, folder: Path) -> None:
    """Writes the model folder; each file replaces its predecessor at once, so readers never meet half a file."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        fresh = Path(name)
        tensors = hugging_face_tensors(model)
        save_file(tensors, fresh / "model.safetensors", metadata={"format": "pt"})
        config = config_of(model, corpus.tokenizer.token_to_id(END_OF_TEXT))
        write_json(fresh / "config.json", config)
        corpus.tokenizer.save(str(fresh / "tokenizer.json"))
        write_json(fresh / "tokenizer_config.json", tokenizer_config())
        results = {}
        if dev_csv is not None:
            rounded = InkModel(model.rung)
            load_tensors(rounded, load_file(fresh / "model.safetensors"))
            results = dev_losses(rounded, corpus, dev_csv)
        card = model_card(model, corpus, facts, results, fresh, dev_csv)
        (fresh / "README.md").write_text(card, encoding="utf-8")
        for written in sorted(fresh.iterdir()):
            written.chmod(0o644)
            os.replace(written, folder / written.name)


def hugging_face_tensors(model: InkModel) -> dict[str, torch.Tensor]:
    """The weights in bf16 under the names of LlamaForCausalLM; a tied head is left out, as in files of the hub."""
    rung = model.rung
    tensors = {"model.embed_tokens.weight": model.embedding.weight, "model.norm.weight": model.final_norm}
    if model.head is not None:
        tensors["lm_head.weight"] = model.head.weight
    kv_rows = rung.kv_heads * HEAD_WIDTH
    for index, block in enumerate(model.blocks):
        at = f"model.layers.{index}."
        q, k, v = block.qkv.weight.split([rung.heads * HEAD_WIDTH, kv_rows, kv_rows])
        gate, up = block.gate_up.weight.chunk(2)
        tensors |= {
            at + "input_layernorm.weight": block.attention_norm,
            at + "post_attention_layernorm.weight": block.ffn_norm,
            at + "self_attn.q_proj.weight": q,
            at + "self_attn.k_proj.weight": k,
            at + "self_attn.v_proj.weight": v,
            at + "self_attn.o_proj.weight": block.out.weight,
            at + "mlp.gate_proj.weight": gate,
            at + "mlp.up_proj.weight": up,
            at + "mlp.down_proj.weight": block.down.weight,
        }
    return {name: tensor.detach().to("cpu", torch.bfloat16).contiguous() for name, tensor in tensors.items()}


def load_tensors(model: InkModel, tensors: dict[str, torch.Tensor]) -> None:
    """Puts exported weights back into a float32 model, so that its loss is that of the file."""
    with torch.no_grad():
        model.embedding.weight.copy_(tensors["model.embed_tokens.weight"])
        model.final_norm.copy_(tensors["model.norm.weight"])
        if model.head is not None:
            model.head.weight.copy_(tensors["lm_head.weight"])
        for index, block in enumerate(model.blocks):
            layer = {name.removeprefix(f"model.layers.{index}."): tensor for name, tensor in tensors.items()}
            block.attention_norm.copy_(layer["input_layernorm.weight"])
            block.ffn_norm.copy_(layer["post_attention_layernorm.weight"])
            block.qkv.weight.copy_(torch.cat([layer[f"self_attn.{part}_proj.weight"] for part in "qkv"]))
            block.out.weight.copy_(layer["self_attn.o_proj.weight"])
            block.gate_up.weight.copy_(torch.cat([layer["mlp.gate_proj.weight"], layer["mlp.up_proj.weight"]]))
            block.down.weight.copy_(layer["mlp.down_proj.weight"])


def config_of(model: InkModel, end_id: int) -> dict:
    """config.json with the keys that both old and new releases of transformers read."""
    rung = model.rung
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": end_id,
        "eos_token_id": end_id,
        "head_dim": HEAD_WIDTH,
        "hidden_act": "silu",
        "hidden_size": rung.width,
        "initializer_range": 0.02,
        "intermediate_size": rung.ffn,
        "max_position_embeddings": MAX_POSITIONS,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": rung.heads,
        "num_hidden_layers": rung.layers,
        "num_key_value_heads": rung.kv_heads,
        "rms_norm_eps": NORM_EPSILON,
        "rope_scaling": None,
        "rope_theta": ROPE_THETA,
        "tie_word_embeddings": rung.tied,
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


def dev_losses(model: InkModel, corpus: Corpus, dev_csv: Path) -> dict:
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


def model_card(model: InkModel, corpus: Corpus, facts: dict, results: dict, folder: Path, dev_csv: Path | None) -> str:
    """README.md of a model folder, made of what is known at the export."""
    rung = model.rung
    parameters = sum(parameter.numel() for parameter in model.parameters())
    size_bytes = (folder / "model.safetensors").stat().st_size
    heads = f"{rung.heads} heads of {HEAD_WIDTH}" + (f" with {rung.kv_heads} key-value heads" if rung.kv_heads < rung.heads else "")
    passes = facts["tokens"] / len(corpus.tokens)
    inner = "Muon for the matrices inside the layers, AdamW for the rest" if facts["optimizer"] == "muon" else "AdamW"
    lines = [
        "---",
        "language: en",
        "pipeline_tag: text-generation",
        "---",
        f"# {rung.name}",
        "",
        f"A Llama-type language model of {parameters:,} parameters, trained from nothing for memcap by "
        "`experiments/models/train.py`. It is meant for measurements on small machines: it writes English-like text and knows nothing.",
        "",
        "| | |",
        "|---|---|",
        f"| sizes | width {rung.width}, {rung.layers} layers, {heads}, SwiGLU of {rung.ffn}, "
        f"{'tied' if rung.tied else 'separate'} output matrix, {MAX_POSITIONS} positions |",
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
