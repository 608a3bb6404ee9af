"""The tiny random Llama checkpoints behind the golden values: what each one varies, and how its files are written."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file

# A tensor whose entries hardly vary (unit norms, zero biases) would hide a defect, so each one has at least this spread.
SMALLEST_SPREAD = 0.2


@dataclass(frozen=True)
class Change:
    """One edit of config.json (a JSON merge patch, RFC 7396) under which transformers' logits were computed as well.

    `index_patch` is a merge patch of model.safetensors.index.json that goes with it.
    """

    name: str
    patch: dict
    index_patch: dict | None = None


@dataclass(frozen=True)
class Variant:
    """One checkpoint: its configuration as published models write it, and everything that is tested with it."""

    name: str
    about: str
    seed: int
    config: dict
    dtype: torch.dtype = torch.float32
    embedding_std: float = 0.3
    shards: int = 1
    # Other spellings of the same configuration: file name -> config.json content; logits must be the same.
    forms: dict[str, dict] = field(default_factory=dict)
    # Edits that move the logits, that must not move them, and that a reader without support has to refuse.
    moves: tuple[Change, ...] = ()
    keeps: tuple[Change, ...] = ()
    unsupported: tuple[Change, ...] = ()


def base_config(**overrides) -> dict:
    """A small Llama configuration; None removes a key."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 32,
        "intermediate_size": 44,
        "max_position_embeddings": 128,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "vocab_size": 97,
    }
    config.update(overrides)
    return {key: value for key, value in sorted(config.items()) if value is not None}


def without(config: dict, *keys: str) -> dict:
    return {key: value for key, value in config.items() if key not in keys}


def plain() -> Variant:
    config = base_config(rope_theta=10000.0, rope_scaling=None, rms_norm_eps=1e-6, torch_dtype="float32")
    minimal = without(
        config,
        "attention_bias",
        "mlp_bias",
        "num_key_value_heads",
        "rms_norm_eps",
        "rope_theta",
        "tie_word_embeddings",
    )
    return Variant(
        name="llama-plain",
        about="multi-head attention, untied head, float32 file: the shape of Llama 2 7B",
        seed=1001,
        config=config,
        forms={
            "config.minimal.json": minimal,
            "config.rope_parameters.json": without(config, "rope_theta")
            | {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}},
            "config.nulls.json": config
            | {"head_dim": None, "rope_scaling": None, "num_key_value_heads": None},
        },
        moves=(
            Change("rms_norm_eps", {"rms_norm_eps": 0.03}),
            Change("rope_theta", {"rope_theta": 2000.0}),
            Change("num_attention_heads", {"num_attention_heads": 2, "num_key_value_heads": 2}),
            Change("num_hidden_layers", {"num_hidden_layers": 1}),
            Change("rope_scaling.linear", {"rope_scaling": {"type": "linear", "factor": 2.0}}),
        ),
        keeps=(
            # transformers ties the head only where the file holds no other one.
            Change("tie_word_embeddings", {"tie_word_embeddings": True}),
            Change(
                "metadata",
                {"torch_dtype": "bfloat16", "use_cache": False, "pretraining_tp": 4, "eos_token_id": [2, 3]},
            ),
            Change("rope_scaling.default", {"rope_scaling": {"rope_type": "default"}}),
        ),
        unsupported=(
            Change("rope_scaling.dynamic", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}),
            Change(
                "rope_scaling.yarn",
                {
                    "rope_scaling": {
                        "rope_type": "yarn",
                        "factor": 4.0,
                        "original_max_position_embeddings": 32,
                    }
                },
            ),
            Change(
                "rope_scaling.longrope",
                {
                    "rope_scaling": {
                        "rope_type": "longrope",
                        "short_factor": [1.0] * 4,
                        "long_factor": [2.0] * 4,
                        "original_max_position_embeddings": 32,
                    }
                },
            ),
            Change("hidden_act", {"hidden_act": "relu"}),
        ),
    )


def grouped_tied() -> Variant:
    return Variant(
        name="llama-grouped-tied",
        about="grouped-query attention (2 key/value heads for 4), large rope_theta, tied head, bfloat16 file: Llama 3 type",
        seed=1002,
        config=base_config(
            hidden_size=40,
            intermediate_size=46,
            num_key_value_heads=2,
            rope_theta=500000.0,
            rope_scaling=None,
            tie_word_embeddings=True,
            vocab_size=113,
            torch_dtype="bfloat16",
        ),
        dtype=torch.bfloat16,
        moves=(
            Change("rms_norm_eps", {"rms_norm_eps": 0.03}),
            Change("rope_theta", {"rope_theta": 10000.0}),
            Change("num_attention_heads", {"num_attention_heads": 2, "num_key_value_heads": 1}),
        ),
    )


def llama3_rope() -> Variant:
    # Head dimension 16 and theta 10000 give wavelengths 6.3, 20, 63, 199, ...: with the bounds 16 and 64 some are kept,
    # some blended and some divided by the factor, and the positions of the tests (up to 31) see all three.
    scaling = {
        "factor": 8.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 64,
    }
    config = base_config(
        hidden_size=48,
        intermediate_size=40,
        num_attention_heads=3,
        num_key_value_heads=1,
        rope_theta=10000.0,
        rope_scaling=scaling | {"rope_type": "llama3"},
        torch_dtype="bfloat16",
        vocab_size=101,
    )
    bare = without(config, "rope_theta", "rope_scaling")
    return Variant(
        name="llama-rope-llama3",
        about="`llama3` rope scaling with all three frequency bands in use, one key/value head, bfloat16 file: Llama 3.1 type",
        seed=1003,
        config=config,
        dtype=torch.bfloat16,
        forms={
            "config.rope_type_as_type.json": config | {"rope_scaling": scaling | {"type": "llama3"}},
            "config.rope_parameters.json": bare
            | {"rope_parameters": scaling | {"rope_theta": 10000.0, "rope_type": "llama3"}},
        },
        moves=tuple(
            Change(f"rope_scaling.{key}", {"rope_scaling": {key: value}})
            for key, value in (
                ("factor", 3.0),
                ("low_freq_factor", 2.5),
                ("high_freq_factor", 12.0),
                ("original_max_position_embeddings", 24),
            )
        )
        + (
            Change("rope_scaling", {"rope_scaling": None}),
            Change("rope_theta", {"rope_theta": 4000.0}),
            Change("rms_norm_eps", {"rms_norm_eps": 0.03}),
        ),
    )


def biased() -> Variant:
    return Variant(
        name="llama-biases",
        about="attention_bias and mlp_bias, bfloat16 file, configuration in the form of transformers 5",
        seed=1004,
        config=base_config(
            attention_bias=True,
            mlp_bias=True,
            dtype="bfloat16",
            head_dim=8,
            num_key_value_heads=2,
            rope_parameters={"rope_theta": 20000.0, "rope_type": "default"},
        ),
        dtype=torch.bfloat16,
        moves=(
            # The file still holds the biases: the key alone decides whether they are used.
            Change("attention_bias", {"attention_bias": False}),
            Change("mlp_bias", {"mlp_bias": False}),
            Change("rope_parameters.rope_theta", {"rope_parameters": {"rope_theta": 5000.0}}),
            Change("rms_norm_eps", {"rms_norm_eps": 0.03}),
        ),
    )


def wide_heads() -> Variant:
    return Variant(
        name="llama-head-dim",
        about="head_dim 16 given, other than hidden_size / heads (9), bfloat16 file",
        seed=1005,
        config=base_config(
            hidden_size=36,
            intermediate_size=36,
            head_dim=16,
            num_key_value_heads=2,
            rope_theta=10000.0,
            torch_dtype="bfloat16",
        ),
        dtype=torch.bfloat16,
        moves=(
            Change("head_dim", {"head_dim": 32, "num_attention_heads": 2, "num_key_value_heads": 1}),
            Change("rope_theta", {"rope_theta": 2000.0}),
            Change("rms_norm_eps", {"rms_norm_eps": 0.03}),
        ),
    )


def sharded() -> Variant:
    return Variant(
        name="llama-sharded",
        about="three layers in three shards with an index, a layer split between shards, bfloat16 files",
        seed=1006,
        config=base_config(
            num_hidden_layers=3,
            intermediate_size=36,
            num_key_value_heads=2,
            rope_theta=10000.0,
            torch_dtype="bfloat16",
            vocab_size=127,
        ),
        dtype=torch.bfloat16,
        shards=3,
        moves=(
            Change(
                "tie_word_embeddings", {"tie_word_embeddings": True}, {"weight_map": {"lm_head.weight": None}}
            ),
            Change("num_hidden_layers", {"num_hidden_layers": 2}),
            Change("rope_theta", {"rope_theta": 2000.0}),
        ),
    )


def half_precision() -> Variant:
    return Variant(
        name="llama-float16",
        about="float16 file, multi-head attention with three heads of 12",
        seed=1007,
        config=base_config(
            hidden_size=36,
            intermediate_size=42,
            num_attention_heads=3,
            num_key_value_heads=3,
            rope_theta=10000.0,
            torch_dtype="float16",
        ),
        dtype=torch.float16,
        moves=(Change("rope_theta", {"rope_theta": 2000.0}), Change("rms_norm_eps", {"rms_norm_eps": 0.03})),
    )


def linear_rope() -> Variant:
    config = base_config(
        rms_norm_eps=0.05,
        rope_theta=10000.0,
        rope_scaling={"factor": 4.0, "type": "linear"},
        num_key_value_heads=1,
        torch_dtype="bfloat16",
    )
    bare = without(config, "rope_theta", "rope_scaling")
    return Variant(
        name="llama-rope-linear",
        about="linear rope scaling in its form of 2023, an rms_norm_eps large enough to see, bfloat16 file",
        seed=1008,
        config=config,
        dtype=torch.bfloat16,
        embedding_std=0.25,
        forms={
            "config.rope_type.json": config | {"rope_scaling": {"factor": 4.0, "rope_type": "linear"}},
            "config.rope_parameters.json": bare
            | {"rope_parameters": {"factor": 4.0, "rope_theta": 10000.0, "rope_type": "linear"}},
        },
        moves=(
            Change("rms_norm_eps", {"rms_norm_eps": 1e-5}),
            Change("rope_scaling.factor", {"rope_scaling": {"factor": 2.0}}),
            Change("rope_scaling", {"rope_scaling": None}),
            Change("rope_theta", {"rope_theta": 2000.0}),
        ),
    )


def all_variants() -> list[Variant]:
    return [
        plain(),
        grouped_tied(),
        llama3_rope(),
        biased(),
        wide_heads(),
        sharded(),
        half_precision(),
        linear_rope(),
    ]


def tensor_shapes(config: dict) -> dict[str, tuple[int, ...]]:
    """Names and shapes as Hugging Face stores a Llama, in the order of its modules."""
    hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    head_dim = config.get("head_dim") or hidden // heads
    query, key = heads * head_dim, config["num_key_value_heads"] * head_dim
    projections = {
        "self_attn.q_proj": (query, hidden),
        "self_attn.k_proj": (key, hidden),
        "self_attn.v_proj": (key, hidden),
        "self_attn.o_proj": (hidden, query),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config["vocab_size"], hidden)}
    for layer in range(config["num_hidden_layers"]):
        scope = f"model.layers.{layer}"
        for name, shape in projections.items():
            shapes[f"{scope}.{name}.weight"] = shape
            if config["attention_bias" if name.startswith("self_attn") else "mlp_bias"]:
                shapes[f"{scope}.{name}.bias"] = shape[:1]
        shapes[f"{scope}.input_layernorm.weight"] = (hidden,)
        shapes[f"{scope}.post_attention_layernorm.weight"] = (hidden,)
    shapes["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    return shapes


def draw_tensors(variant: Variant) -> dict[str, torch.Tensor]:
    """Random weights in the file's dtype, each with a spread that no defect hides behind."""
    generator = torch.Generator().manual_seed(variant.seed)
    tensors = {}
    for name, shape in tensor_shapes(variant.config).items():
        normal = torch.randn(shape, generator=generator)
        if name.endswith("norm.weight"):
            tensor = 1.0 + 0.3 * normal
        elif name.endswith(".bias"):
            tensor = 0.3 * normal
        elif name == "model.embed_tokens.weight":
            tensor = variant.embedding_std * normal
        else:
            tensor = 0.22 * normal
        tensors[name] = tensor.to(variant.dtype)
        spread = tensors[name].float().std().item()
        if spread < SMALLEST_SPREAD:
            raise SystemExit(f"{variant.name}: {name} has a spread of {spread:.3f}; choose another seed")
    return tensors


def write_checkpoint(variant: Variant, folder: Path) -> None:
    """config.json with its other spellings, and the weights in one file or in shards with an index."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, config in {"config.json": variant.config, **variant.forms}.items():
        write_json(folder / name, config)
    tensors = draw_tensors(variant)
    if variant.shards == 1:
        save_tensors(folder / "model.safetensors", tensors)
        return
    # The head has the last shard for itself, so that an index without it describes a file set without a head.
    body = [name for name in tensors if name != "lm_head.weight"]
    size = -(-len(body) // (variant.shards - 1))
    groups = [body[start : start + size] for start in range(0, len(body), size)] + [["lm_head.weight"]]
    weight_map = {}
    for number, names in enumerate(groups, 1):
        file_name = f"model-{number:05d}-of-{len(groups):05d}.safetensors"
        save_tensors(folder / file_name, {name: tensors[name] for name in names})
        weight_map.update({name: file_name for name in names})
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    write_json(
        folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map}
    )


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors leaves its files to their owner alone


def merge_patch(document: dict, patch: dict) -> dict:
    """RFC 7396, as nlohmann::json::merge_patch does it: null removes, objects merge, all else replaces."""
    merged = dict(document)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = merge_patch(merged[key] if isinstance(merged.get(key), dict) else {}, value)
        else:
            merged[key] = value
    return merged


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
