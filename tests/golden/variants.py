"""Tiny random checkpoints behind the golden values: what describes one, how it is drawn and written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

# A tensor whose entries hardly vary (unit norms, zero biases) would hide a defect, so each one has at least this spread.
SMALLEST_SPREAD = 0.2

EMBEDDINGS = ("embed_tokens.weight", "embed_in.weight", "wte.weight", "embeddings.weight")


@dataclass(frozen=True)
class Change:
    """One edit of config.json (a JSON merge patch, RFC 7396) under which transformers' logits were computed as well.

    `index_patch` is a merge patch of model.safetensors.index.json that goes with it.
    """

    name: str
    patch: dict
    index_patch: dict | None = None


def edits(**values) -> tuple[Change, ...]:
    """One edit for each key, named after it."""
    return tuple(Change(key, {key: value}) for key, value in values.items())


@dataclass(frozen=True)
class Variant:
    """One checkpoint: its configuration as published models write it, and everything that is tested with it."""

    name: str
    about: str
    seed: int
    config: dict
    dtype: torch.dtype = torch.bfloat16
    embedding_std: float = 0.3
    weight_std: float = 0.22
    # What the weights of norms lie around: 0 where the model itself adds 1.
    norm_center: float = 1.0
    shards: int = 1
    # Names in the file for those of transformers' modules: beginnings to replace, the first that fits.
    renamed: dict[str, str] = field(default_factory=dict)
    # Tensors as the files have them, where modules hold several in one.
    split: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]] = lambda tensors: tensors
    # Tensors of published files that are no weights: name -> value, for a reader to pass over.
    buffers: Callable[[dict], dict[str, torch.Tensor]] = lambda config: {}
    # Other spellings of the same configuration: file name -> config.json content; logits must be the same.
    forms: dict[str, dict] = field(default_factory=dict)
    # Edits that move the logits, that must not move them, and that a reader without support has to refuse.
    moves: tuple[Change, ...] = ()
    keeps: tuple[Change, ...] = ()
    unsupported: tuple[Change, ...] = ()
    # How many rows of logits each run keeps (None: all).
    rows: dict[str, int | None] = field(default_factory=lambda: {"short": 6, "long": 6})
    # Where the search for inputs that are fit to compare with begins, by run.
    first_seeds: dict[str, int] = field(default_factory=dict)
    optimiser_runs: bool = False
    gradient_in_bfloat16: bool = True


def without(config: dict, *keys: str) -> dict:
    return {key: value for key, value in config.items() if key not in keys}


def module_tensors(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights as transformers holds them, in the order of its modules; a tied head has none."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    tied = set(model.all_tied_weights_keys)
    return {name: tuple(value.shape) for name, value in model.state_dict().items() if name not in tied}


def draw_tensor(variant: Variant, name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """One random weight, float32, of a size at which a model of this kind computes what can be compared."""
    normal = torch.randn(shape, generator=generator)
    if name.endswith(EMBEDDINGS):
        return variant.embedding_std * normal
    if name.endswith(("dt_proj.bias", "dt_bias")):
        return 0.5 * normal - 1.0  # time steps of .1 to .7
    if name.endswith("A_log"):
        return 0.5 * normal
    if name.endswith(".D"):
        return 1.0 + 0.3 * normal
    if name.endswith("conv1d.weight"):
        return 0.4 * normal
    if name.endswith(".bias"):
        return 0.3 * normal
    if len(shape) == 1:
        return variant.norm_center + 0.3 * normal
    return variant.weight_std * normal


def file_name(variant: Variant, name: str) -> str:
    for beginning, replacement in variant.renamed.items():
        if name.startswith(beginning):
            return replacement + name.removeprefix(beginning)
    return name


def draw_tensors(variant: Variant, folder: Path) -> dict[str, torch.Tensor]:
    """Random weights for the folder's config.json, in the file's dtype."""
    generator = torch.Generator().manual_seed(variant.seed)
    tensors = {}
    for name, shape in module_tensors(folder).items():
        for _ in range(50):
            tensor = draw_tensor(variant, name, shape, generator).to(variant.dtype)
            if tensor.float().std().item() >= SMALLEST_SPREAD:
                break
        else:
            raise SystemExit(f"{variant.name}: {name} has a spread of less than {SMALLEST_SPREAD}")
        tensors[file_name(variant, name)] = tensor
    return variant.split(tensors) | variant.buffers(variant.config)


def write_checkpoint(variant: Variant, folder: Path) -> None:
    """config.json with its other spellings, and the weights in one file or in shards with an index."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, config in {"config.json": variant.config, **variant.forms}.items():
        write_json(folder / name, config)
    tensors = draw_tensors(variant, folder)
    if variant.shards == 1:
        save_tensors(folder / "model.safetensors", tensors)
        return
    # The head has the last shard for itself, so that an index without it describes a file set without a head.
    body = [name for name in tensors if name != "lm_head.weight"]
    size = -(-len(body) // (variant.shards - 1))
    groups = [body[start : start + size] for start in range(0, len(body), size)] + [["lm_head.weight"]]
    weight_map = {}
    for number, names in enumerate(groups, 1):
        shard = f"model-{number:05d}-of-{len(groups):05d}.safetensors"
        save_tensors(folder / shard, {name: tensors[name] for name in names})
        weight_map.update({name: shard for name in names})
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
