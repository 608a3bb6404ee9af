"""Writes tiny random checkpoints as one version of transformers writes them, for memcap to read.

    VENV/bin/python tests/golden/written_by.py OUT               # VENV: any transformers from 4.28 on, torch, safetensors
    python3 tests/golden/written_by.py OUT --describe ./memcap   # what memcap says to each folder below OUT

OUT/<version>/<model type>-<form> is a model folder with an expected.json: the tokens of a text and transformers' mean
loss over all but the first. The forms are `diff` (save_pretrained), `full` (a config.json with all that the version's
classes hold) and, where the head is tied, `body` (AutoModel's names, without those of the model around it).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

VOCABULARY = 48
TOKENS = [7, 31, 2, 40, 19, 5, 44, 13, 28, 3, 36, 11]
NOISE_STD = 0.2

LLAMA = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": True,
}
GEMMA = LLAMA | {"head_dim": 8, "query_pre_attn_scalar": 12, "sliding_window": 5}
MAMBA = {"vocab_size": VOCABULARY, "hidden_size": 16, "state_size": 4, "num_hidden_layers": 2}
SIZES = {
    "gemma2": GEMMA,
    "gemma3_text": GEMMA,
    "granitemoehybrid": LLAMA
    | {
        "layer_types": ["mamba", "attention"],
        "mamba_d_head": 8,
        "mamba_d_state": 4,
        "mamba_n_groups": 1,
        "mamba_n_heads": 4,
        "num_local_experts": 0,
        "shared_intermediate_size": 24,
    },
    "gpt2": {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64},
    "gpt_neox": {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"} | {"rotary_pct": 0.5},
    "llama": LLAMA,
    "mamba": MAMBA | {"time_step_rank": 2},
    # With more groups, versions up to 5.0 compute something else than later ones.
    "mamba2": MAMBA | {"num_heads": 4, "head_dim": 8, "n_groups": 1, "chunk_size": 8},
    "mistral": LLAMA | {"sliding_window": 5},
    "olmo": LLAMA,
    "olmo2": LLAMA,
    # Versions differ in the base that they take by default.
    "olmo3": LLAMA | {"sliding_window": 5, "rope_theta": 500000.0},
    "opt": {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "word_embed_proj_dim": 16,
        "ffn_dim": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
    },
    "phi3": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA | {"head_dim": 8},
    "qwen3_moe": LLAMA | {"head_dim": 8, "moe_intermediate_size": 12, "num_experts": 4, "num_experts_per_tok": 2},
    "smollm3": LLAMA,
}


def known(transformers, model_type: str):
    """The configuration of a type with the sizes that this version's class has; None where there is no such class."""
    try:
        default = transformers.AutoConfig.for_model(model_type)
    except ValueError as reason:
        if "nrecognized model identifier" not in str(reason):
            raise
        return None
    renamed = ("rope_theta", "rotary_pct")
    sizes = {key: value for key, value in SIZES[model_type].items() if hasattr(default, key) or key in renamed}
    return transformers.AutoConfig.for_model(model_type, **sizes)


def make_model(transformers, torch, config):
    """A float32 model with noise on all weights, so that none is a plain zero or one; all are bfloat16's."""
    version = tuple(int(part) for part in transformers.__version__.split(".")[:2])
    # Fused attention leaves out Gemma's soft caps in some versions.
    how = {"attn_implementation": "eager"} if version >= (4, 36) else {}
    torch.manual_seed(len(config.model_type))
    model = transformers.AutoModelForCausalLM.from_config(config, **how).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += NOISE_STD * torch.randn(parameter.shape)
            parameter.copy_(parameter.bfloat16())
    return model


def loss(torch, model) -> float:
    """Mean loss in nats over all tokens but the first."""
    ids = torch.tensor([TOKENS])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, :-1].double()
    return torch.nn.functional.cross_entropy(logits, ids[0, 1:]).item()


def save(model, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "generation_config.json").unlink(missing_ok=True)
    for file in folder.iterdir():
        file.chmod(0o644)


def write_all(out: Path) -> None:
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    for model_type in SIZES:
        config = known(transformers, model_type)
        if config is None:
            print(f"{model_type}: not in transformers {transformers.__version__}")
            continue
        model = make_model(transformers, torch, config)
        folder = out / transformers.__version__ / model_type
        expected = {
            "loss_nomem_nats": loss(torch, model),
            "tokens": TOKENS,
            "transformers": transformers.__version__,
        }
        model = model.bfloat16()
        forms = {"diff": model, "full": model}
        # The first versions 5 have no such key for Mamba.
        if getattr(config, "tie_word_embeddings", False):
            forms["body"] = model.base_model
        for form, saved in forms.items():
            place = folder.with_name(f"{model_type}-{form}")
            save(saved, place)
            if form == "full":
                model.config.to_json_file(place / "config.json", use_diff=False)
            if form == "body":
                text = json.loads((place / "config.json").read_text())
                # What the user of such a folder has to say, too.
                text["architectures"] = [type(model).__name__]
                (place / "config.json").write_text(json.dumps(text, indent=2) + "\n")
            (place / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
        print(f"{model_type}: loss {expected['loss_nomem_nats']:.6f}")


def describe_all(memcap: Path, out: Path) -> int:
    """Prints what memcap refuses, and which keys it ignores; the number of refusals."""
    refused = 0
    folders = sorted(file.parent for file in out.rglob("expected.json"))
    for folder in folders:
        result = subprocess.run([memcap, "describe", folder], capture_output=True, text=True, check=False)
        ignored = [line for line in result.stdout.splitlines() if line.startswith("ignored keys")]
        # The folders have no tokenizer, which is no error but a verdict.
        if result.stderr:
            refused += 1
            print(f"{folder.relative_to(out)}: {result.stderr.strip().splitlines()[-1]}")
        elif ignored:
            print(f"{folder.relative_to(out)}: {ignored[0]}")
    print(f"{len(folders) - refused} of {len(folders)} folders are read")
    return refused


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--describe", type=Path, metavar="MEMCAP")
    options = parser.parse_args()
    if options.describe:
        return 1 if describe_all(options.describe.resolve(), options.out) else 0
    write_all(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
