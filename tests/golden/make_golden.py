"""Writes the golden values of memcap's tests: run it in the reference environment, see README.md beside it."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import safetensors
import tokenizers
import torch
import transformers
from safetensors.torch import load_file
from transformers import PreTrainedModel

from families import all_variants
from measure import (
    Inputs,
    Protocol,
    Run,
    Unusable,
    embedding_std,
    load_model,
    measure,
    memory_logits,
    relative_error,
    require,
)
from variants import Change, Variant, merge_patch, save_tensors, write_checkpoint, write_json

HERE = Path(__file__).resolve().parent
# A key of the configuration that moves no logit by more than this is not tested by its case.
SMALLEST_CHANGE = 1e-3
# A comparison to 1e-5 (1e-4 for a run's losses) has no meaning on a case whose own rounding is near it.
LARGEST_ROUNDING = {"logits": 2e-6, "grad_after_first": 3e-6, "losses": 1e-6, "memory_after_50": 1e-5}

SHORT = Run("short", memory_vectors=1, length=11)
LONG = Run("long", memory_vectors=3, length=24, prefix=5)
# These vary what the optimiser does; one checkpoint is enough for them.
OPTIMISER_RUNS = (
    Run(
        "cosine",
        3,
        24,
        protocol=Protocol(learning_rate=0.05, schedule="cosine", warmup_steps=10, max_steps=50),
    ),
    Run(
        "linear",
        3,
        24,
        protocol=Protocol(learning_rate=0.03, schedule="linear", warmup_steps=4, max_steps=80, target="all"),
    ),
    Run("adamw_keys", 3, 24, protocol=Protocol(betas=(0.8, 0.95), weight_decay=0.5, epsilon=1e-2)),
    Run("two_tokens", 2, 2),
    Run(
        "sharp",
        3,
        24,
        protocol=Protocol(
            learning_rate=0.5,
            schedule="cosine",
            warmup_steps=10,
            max_steps=100,
            rate_unit="embedding_std",
            loss_temperature=0.25,
        ),
    ),
)


SHIPPED_RUNS = (
    Run("short", memory_vectors=1, length=16),
    Run("long", memory_vectors=4, length=48, prefix=8),
    Run(
        "cosine",
        1,
        32,
        protocol=Protocol(learning_rate=0.1, schedule="cosine", warmup_steps=10, max_steps=100),
    ),
)

# How many initial memories and texts are tried until one gives values that can be compared.
ATTEMPTS = 40


def draw_inputs(variant: Variant, model: PreTrainedModel, run: Run, seed: int) -> Inputs:
    """Distinct random tokens, so that labels off by one are wrong everywhere, and the initial memory of the paper."""
    generator = torch.Generator().manual_seed(variant.seed * 100_000 + sum(run.name.encode()) * 10 + seed)
    embedding = model.get_input_embeddings()
    drawn = torch.randperm(embedding.num_embeddings, generator=generator)[: run.prefix + run.length]
    memory = torch.randn(run.memory_vectors, embedding.embedding_dim, generator=generator)
    return Inputs(memory * embedding_std(model), drawn[: run.prefix], drawn[run.prefix :])


def first_usable(
    case: str,
    run: Run,
    draw: Callable[[int], Inputs],
    compute: Callable[[Inputs], tuple],
    first_seed: int = 0,
    slack: float = 1.0,
) -> tuple[Inputs, dict, dict[str, torch.Tensor]]:
    """Scalars and tensors of a run from the first inputs that are fit to compare with."""
    for seed in range(first_seed, first_seed + ATTEMPTS):
        inputs = draw(seed)
        try:
            scalars, values = compute(inputs)
            check_rounding(case, scalars, slack)
        except Unusable as reason:
            print(f"{case}/{run.name}, seed {seed}: {reason}")
        else:
            return inputs, scalars, values
    raise Unusable(f"{case}/{run.name}: no initial memory gave values that can be compared")


def changed_logits(folder: Path, variant: Variant, change: Change, inputs: Inputs) -> torch.Tensor:
    """Last row of the logits [V] after an edit of config.json, on the same weights."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        for source in folder.glob("*.safetensors*"):
            shutil.copy(source, copy)
        write_json(copy / "config.json", merge_patch(variant.config, change.patch))
        if change.index_patch is not None:
            index = copy / "model.safetensors.index.json"
            write_json(index, merge_patch(json.loads(index.read_text()), change.index_patch))
        return memory_logits(load_model(copy), inputs.memory, inputs)[-1]


def config_changes(folder: Path, variant: Variant, inputs: Inputs, logits: torch.Tensor) -> tuple[dict, dict]:
    """Each edit of the configuration with its effect on the last row of the logits of the run `long`."""
    tensors, moves, keeps = {}, [], []
    for change in variant.moves:
        changed = changed_logits(folder, variant, change, inputs)
        difference = (changed - logits[-1]).abs().max().item()
        require(
            difference > SMALLEST_CHANGE,
            f"{variant.name}: {change.name} moves the logits by {difference:.1e} only",
        )
        tensors[f"change/{change.name}"] = changed
        moves.append(entry(change) | {"max_abs_logit_change": difference})
    for change in variant.keeps:
        changed = changed_logits(folder, variant, change, inputs)
        require(
            torch.equal(changed, logits[-1]), f"{variant.name}: {change.name} was to leave the logits alone"
        )
        keeps.append(entry(change))
    return {
        "config_moves": moves,
        "config_keeps": keeps,
        "config_unsupported": [entry(c) for c in variant.unsupported],
    }, tensors


def entry(change: Change) -> dict:
    return {"name": change.name, "patch": change.patch} | (
        {"index_patch": change.index_patch} if change.index_patch else {}
    )


def check_forms(folder: Path, variant: Variant, inputs: Inputs, logits: torch.Tensor) -> None:
    """The other spellings of config.json mean the same model to transformers, bit for bit."""
    for name, config in variant.forms.items():
        with tempfile.TemporaryDirectory() as copy:
            shutil.copy(folder / "model.safetensors", copy)
            write_json(Path(copy) / "config.json", config)
            same = torch.equal(memory_logits(load_model(Path(copy)), inputs.memory, inputs), logits)
        require(same, f"{variant.name}: {name} gives other logits than config.json")


def check_rounding(case: str, scalars: dict, slack: float = 1.0) -> None:
    for quantity, limit in LARGEST_ROUNDING.items():
        found = scalars["rounding"][quantity]
        require(
            found < slack * limit,
            f"{case}/{scalars['name']}: {quantity} are only reproducible to {found:.1e}; choose another seed",
        )


def make_variant(variant: Variant, out: Path) -> None:
    case = out / variant.name
    folder = case / "model"
    write_checkpoint(variant, folder)
    model = load_model(folder)
    scale = embedding_std(model)
    runs, tensors = [], {}
    for run in (SHORT, LONG) + (OPTIMISER_RUNS if variant.optimiser_runs else ()):
        inputs, scalars, values = first_usable(
            variant.name,
            run,
            lambda seed, run=run: draw_inputs(variant, model, run, seed),
            lambda inputs, run=run: measure(folder, model, run, inputs, variant.gradient_in_bfloat16),
            variant.first_seeds.get(run.name, 0),
        )
        if run is LONG:
            changes, changed = config_changes(folder, variant, inputs, values["logits"])
            check_forms(folder, variant, inputs, values["logits"])
        runs.append(scalars)
        rows = variant.rows.get(run.name, 2)
        tensors |= {f"{run.name}/{name}": value for name, value in keep_rows(values, rows).items()}
    content = {
        "about": variant.about,
        "config_forms": sorted(variant.forms),
        "embedding_std": scale,
        "runs": runs,
        "versions": versions(),
    }
    write_case(case, content | changes, tensors | changed)


def keep_rows(values: dict[str, torch.Tensor], rows: int | None) -> dict[str, torch.Tensor]:
    """Logits of some rows, spread from first to last, beside the numbers of these rows (None: all of them)."""
    kept = dict(values)
    for name in ("logits", "logits_nomem"):
        count = len(values[name])
        chosen = (
            torch.arange(count)
            if rows is None or rows >= count
            else torch.linspace(0, count - 1, rows).round().long()
        )
        kept[name] = values[name][chosen]
        kept[f"{name}_rows"] = chosen.to(torch.int32)
    return kept


def make_shipped(folder: Path, text_file: Path, out: Path) -> None:
    """The same for a model that ships with the project: its weights stay where they are, known by their hash."""
    model = load_model(folder)
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    words = text_file.read_text(encoding="utf-8").split()
    prefix = tokenizer.encode(" ".join(words[: len(words) // 2]) + " ", add_special_tokens=False).ids
    text = tokenizer.encode(" ".join(words[len(words) // 2 :])).ids
    runs, tensors = [], {}
    for run in SHIPPED_RUNS:
        scalars, values = measure_shipped(folder, model, run, torch.tensor(prefix), torch.tensor(text))
        runs.append(scalars)
        tensors |= {f"{run.name}/{name}": value for name, value in keep_rows(values, 4).items()}
    hashes = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("config.json", "model.safetensors")
    }
    content = {
        "about": f"the shipped model {folder.name}, on words of {text_file.name}",
        "embedding_std": embedding_std(model),
        "runs": runs,
        "sha256": hashes,
        "text_file": text_file.name,
        "versions": versions(),
    }
    write_case(out / folder.name, content, tensors)


def measure_shipped(
    folder: Path, model: PreTrainedModel, run: Run, prefix: torch.Tensor, text: torch.Tensor
) -> tuple[dict, dict[str, torch.Tensor]]:
    """One run of a trained model, which may change: its case follows."""

    def draw(seed: int) -> Inputs:
        generator = torch.Generator().manual_seed(2000 + seed)
        width = model.get_input_embeddings().embedding_dim
        memory = torch.randn(run.memory_vectors, width, generator=generator) * embedding_std(model)
        return Inputs(memory, prefix[len(prefix) - run.prefix :], text[: run.length])

    _, scalars, values = first_usable(
        folder.name, run, draw, lambda inputs: measure(folder, model, run, inputs), slack=10.0
    )
    return scalars, values


def write_case(case: Path, content: dict, tensors: dict[str, torch.Tensor]) -> None:
    case.mkdir(parents=True, exist_ok=True)
    values = {name: value.contiguous().clone() for name, value in tensors.items()}
    save_tensors(case / "expected.safetensors", values)
    write_json(case / "case.json", content)
    worst = {key: max(run["rounding"][key] for run in content["runs"]) for key in LARGEST_ROUNDING}
    print(
        f"{case.name}: {len(tensors)} tensors; own rounding "
        + ", ".join(f"{k} {v:.1e}" for k, v in worst.items())
    )


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "safetensors": safetensors.__version__,
        "tokenizers": tokenizers.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def compare(fresh: Path, committed: Path) -> bool:
    """Whether every expected tensor of `fresh` is found again in `committed`: to 1e-5, the ends of trajectories to 1e-4."""
    worst = 0.0
    for path in sorted(fresh.glob("*/expected.safetensors")):
        ours, theirs = load_file(path), load_file(committed / path.relative_to(fresh))
        require(ours.keys() == theirs.keys(), f"{path.parent.name}: other tensors than the committed ones")
        for name, value in ours.items():
            error = (
                relative_error(value, theirs[name])
                if theirs[name].abs().max() > 0
                else value.abs().max().item()
            )
            worst = max(worst, error / (1e-4 if "/memory_" in name else 1e-5))
    print(f"largest deviation from the committed values: {worst:.2g} of the tolerance")
    return worst < 1.0


def chosen(names: list[str]) -> list[Variant]:
    variants = {variant.name: variant for variant in all_variants()}
    if unknown := sorted(set(names) - set(variants)):
        raise SystemExit(f"no case is called {', '.join(unknown)}; there are: {', '.join(variants)}")
    return [variants[name] for name in names or variants]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="make these only (default: all)")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the cases (default: this script's)")
    parser.add_argument(
        "--shipped", type=Path, metavar="MODEL_DIR", help="write the case of this shipped model only"
    )
    parser.add_argument(
        "--text", type=Path, metavar="FILE", help="text for --shipped (default: the first shipped essay)"
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; compare fresh values with the committed ones"
    )
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    if arguments.shipped:
        essays = sorted((HERE.parents[1] / "experiments" / "texts" / "essays").glob("*.txt"))
        make_shipped(arguments.shipped.resolve(), arguments.text or essays[0], arguments.out)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) if arguments.check else arguments.out
        for variant in chosen(arguments.cases):
            make_variant(variant, out)
        return 0 if not arguments.check or compare(out, arguments.out) else 1


if __name__ == "__main__":
    raise SystemExit(main())
