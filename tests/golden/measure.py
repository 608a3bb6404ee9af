"""What is computed for a golden case: logits, losses, gradients and AdamW runs, by torch and transformers alone.

Shapes: K memory vectors, n prefix tokens, N text tokens, T = K + n + N - 1 inputs, E embedding, V vocabulary.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, PreTrainedModel

EVALUATIONS = 50
# Below this distance between a target's logit and its best rival, rounding could change the recorded accuracy.
SMALLEST_MARGIN = 2e-4
# Where transformers' own bfloat16 is further off than this, staying near it says little.
LARGEST_BFLOAT16_ERROR = 0.03
BFLOAT16_MEMORIES = 30


class Unusable(SystemExit):
    """A case on which a right program could fail, or a wrong one pass."""


@dataclass(frozen=True)
class Protocol:
    """The keys of an experiment's protocol that matter here, at the paper's values."""

    learning_rate: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.9)
    weight_decay: float = 0.01
    epsilon: float = 1e-8
    max_steps: int = 5000
    schedule: str = "constant"
    warmup_steps: int = 0
    target: str = "after_first"
    rate_unit: str = "absolute"
    loss_temperature: float = 1.0

    def rate(self, update: int) -> float:
        """Learning rate of update 1, 2, ...: a linear warm-up, then the schedule over what is left of max_steps."""
        if update <= self.warmup_steps:
            return self.learning_rate * update / self.warmup_steps
        done = (update - self.warmup_steps) / (self.max_steps - self.warmup_steps)
        shape = {"constant": 1.0, "cosine": (1.0 + math.cos(math.pi * done)) / 2.0, "linear": 1.0 - done}
        return self.learning_rate * shape[self.schedule]


@dataclass(frozen=True)
class Run:
    """One trial: K memory vectors for N text tokens behind a prefix, and the protocol it is optimised with."""

    name: str
    memory_vectors: int
    length: int
    prefix: int = 0
    protocol: Protocol = field(default_factory=Protocol)


@dataclass
class Inputs:
    memory: torch.Tensor  # [K, E]
    prefix: torch.Tensor  # [n] int64
    tokens: torch.Tensor  # [N] int64


def load_model(
    folder: Path, attention: str = "eager", dtype: torch.dtype = torch.float32
) -> PreTrainedModel:
    model, found = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        attn_implementation=attention,
        experts_implementation="eager",
        output_loading_info=True,
    )
    lacking = [*found["missing_keys"], *found["mismatched_keys"]]
    require(not lacking, f"{folder.parent.name}: transformers made up {lacking}")
    for module in model.modules():
        if is_dynamic(module):
            module.register_forward_pre_hook(forget_lengths)
    return model.eval().requires_grad_(False)


def is_dynamic(module: torch.nn.Module) -> bool:
    return getattr(module, "rope_type", None) == "dynamic"


def forget_lengths(rotation: torch.nn.Module, _: tuple) -> None:
    """Every input finds `dynamic` scaling as in a fresh process: transformers keeps the base of the longest one so far."""
    rotation.inv_freq = rotation.original_inv_freq.clone()
    rotation.max_seq_len_cached = rotation.original_max_seq_len


def embedding_std(model: PreTrainedModel) -> float:
    """Unbiased spread of all input embeddings as the model takes them in (Gemma scales those of its file)."""
    embedding = model.get_input_embeddings()
    return embedding(torch.arange(len(embedding.weight))).std().item()


def memory_logits(model: PreTrainedModel, memory: torch.Tensor, inputs: Inputs) -> torch.Tensor:
    """Logits [T, V] over memory, prefix and text without its last token."""
    context = torch.cat([inputs.prefix, inputs.tokens[:-1]])
    embedded = model.get_input_embeddings()(context)
    return model(inputs_embeds=torch.cat([memory, embedded])[None], use_cache=False).logits[0]


def scored(logits: torch.Tensor, inputs: Inputs, target: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows of memory_logits that are scored, and their targets: tok_2.. (`after_first`) or tok_1.. (`all`)."""
    count = len(inputs.tokens) - (target == "after_first")
    return logits[-count:], inputs.tokens[-count:]


def loss_and_accuracy(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, float]:
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(logits, targets), (logits.argmax(-1) == targets).float().mean().item()


def label_loss(model: PreTrainedModel, inputs: Inputs, target: str) -> float:
    """The same loss by another road: transformers' own label shift over the whole text."""
    context = torch.cat([inputs.prefix, inputs.tokens])
    embedded = model.get_input_embeddings()(context)
    silent = len(inputs.memory) + len(inputs.prefix) + (target == "after_first")
    labels = torch.cat([torch.zeros(len(inputs.memory), dtype=torch.int64), context])
    labels[:silent] = -100
    return model(
        inputs_embeds=torch.cat([inputs.memory, embedded])[None], labels=labels[None], use_cache=False
    ).loss.item()


def no_memory(model: PreTrainedModel, inputs: Inputs) -> tuple[torch.Tensor, float, float]:
    """Logits [n + N, V] of prefix and text without memory; loss and accuracy over tok_2..tok_N.

    For these the last token is no input, as in memory_logits: how `longrope` and `dynamic` rotate depends on it.
    """
    context = torch.cat([inputs.prefix, inputs.tokens])
    logits = model(input_ids=context[None], use_cache=False).logits[0]
    scored_logits = model(input_ids=context[None, :-1], use_cache=False).logits[0]
    count = len(inputs.tokens) - 1
    loss, accuracy = loss_and_accuracy(scored_logits[-count:], inputs.tokens[1:])
    return logits, loss.item(), accuracy


def with_gradient(model: PreTrainedModel, inputs: Inputs, target: str) -> tuple[float, float, torch.Tensor]:
    memory = inputs.memory.clone().requires_grad_(True)
    loss, accuracy = loss_and_accuracy(*scored(memory_logits(model, memory, inputs), inputs, target))
    (gradient,) = torch.autograd.grad(loss, memory)
    return loss.item(), accuracy, gradient


def smallest_margin(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """Distance of the closest target logit to its best rival: how far an accuracy is from changing."""
    at_target = logits.gather(1, targets[:, None])[:, 0]
    rivals = logits.scatter(1, targets[:, None], float("-inf")).max(-1).values
    return (at_target - rivals).abs().min().item()


def optimise(model: PreTrainedModel, inputs: Inputs, protocol: Protocol) -> dict[str, torch.Tensor]:
    """Loss and accuracy at evaluations 1..50; the memory that evaluation 50 saw and the one after its update."""
    memory = torch.nn.Parameter(inputs.memory.clone())
    # A move counts in units; the decay, which is a share, does not.
    unit = embedding_std(model) if protocol.rate_unit == "embedding_std" else 1.0
    optimiser = torch.optim.AdamW(
        [memory],
        lr=0.0,
        betas=protocol.betas,
        weight_decay=protocol.weight_decay / unit,
        eps=protocol.epsilon,
        foreach=False,
    )
    losses, accuracies, margins, before = [], [], [], memory.detach().clone()
    for update in range(1, EVALUATIONS + 1):
        before = memory.detach().clone()
        logits, targets = scored(memory_logits(model, memory, inputs), inputs, protocol.target)
        loss, accuracy = loss_and_accuracy(logits, targets)
        losses.append(loss.item())
        accuracies.append(accuracy)
        margins.append(smallest_margin(logits.detach(), targets))
        optimiser.zero_grad()
        F.cross_entropy(logits / protocol.loss_temperature, targets).backward()
        optimiser.param_groups[0]["lr"] = protocol.rate(update) * unit
        optimiser.step()
    return {
        "losses": torch.tensor(losses),
        "accuracies": torch.tensor(accuracies),
        "memory_at_50": before,
        "memory_after_50": memory.detach(),
        "margins": torch.tensor(margins),
    }


def relative_error(value: torch.Tensor, reference: torch.Tensor) -> float:
    """max|a - b| / max|b|, the measure of all golden comparisons."""
    return ((value.double() - reference.double()).abs().max() / reference.double().abs().max()).item()


def spread_error(value: torch.Tensor, reference: torch.Tensor) -> float:
    """|a - b| / |b| in the Euclidean norm: how far two roundings are off as a whole, where single elements are chance."""
    return ((value.double() - reference.double()).norm() / reference.double().norm()).item()


def bfloat16_gradient_median(folder: Path, inputs: Inputs) -> dict[str, float]:
    """Median of spread_error of the bfloat16 gradient over BFLOAT16_MEMORIES random memories.

    At a single memory the error is chance: a rectifier that flips, a score that changes places.
    """
    full, low = load_model(folder), load_model(folder).to(torch.bfloat16)
    generator = torch.Generator().manual_seed(1)
    autocast, whole = [], []
    for _ in range(BFLOAT16_MEMORIES):
        memory = torch.randn(inputs.memory.shape, generator=generator) * embedding_std(full)
        here = Inputs(memory, inputs.prefix, inputs.tokens)
        true = with_gradient(full, here, "after_first")[2]
        with torch.autocast("cpu", torch.bfloat16):
            autocast.append(spread_error(with_gradient(full, here, "after_first")[2], true))
        rounded = Inputs(memory.to(torch.bfloat16), inputs.prefix, inputs.tokens)
        whole.append(spread_error(with_gradient(low, rounded, "after_first")[2], true))
    return {"autocast": statistics.median(autocast), "whole_model": statistics.median(whole)}


def in_float64(inputs: Inputs) -> Inputs:
    return Inputs(inputs.memory.double(), inputs.prefix, inputs.tokens)


def rounding(
    folder: Path, model: PreTrainedModel, inputs: Inputs, run: Run, expected: dict[str, torch.Tensor]
) -> dict[str, float]:
    """How far another order of the same float32 arithmetic (fused attention) lands from the expected values.

    For a model without fused attention it is the same in float64. A comparison cannot be tighter than this; it shows
    that the case itself is well conditioned.
    """
    if model._supports_sdpa:
        model = load_model(folder, "sdpa")
    else:
        model, inputs = load_model(folder, dtype=torch.float64), in_float64(inputs)
    optimised = optimise(model, inputs, run.protocol)
    return {
        "logits": relative_error(memory_logits(model, inputs.memory, inputs), expected["logits"]),
        "grad_after_first": relative_error(
            with_gradient(model, inputs, "after_first")[2], expected["grad_after_first"]
        ),
        "losses": relative_error(optimised["losses"], expected["losses"]),
        "memory_after_50": relative_error(optimised["memory_after_50"], expected["memory_after_50"]),
    }


def bfloat16_errors(
    folder: Path, inputs: Inputs, expected: dict[str, torch.Tensor], gradient: bool
) -> dict[str, dict[str, float]]:
    """Error of transformers' own bfloat16 against float32: all of the model in it, and by autocast.

    The gradient only means something where both see the same weights: those of a bfloat16 file.
    """
    model = load_model(folder)
    with torch.autocast("cpu", torch.bfloat16):
        autocast = memory_logits(model, inputs.memory, inputs)
        autocast_gradient = with_gradient(model, inputs, "after_first")[2] if gradient else None
    model.to(torch.bfloat16)
    low = Inputs(inputs.memory.to(torch.bfloat16), inputs.prefix, inputs.tokens)
    whole = memory_logits(model, low.memory, low)
    logits = expected["logits"]
    errors = {
        "bfloat16_logits_error": {
            "autocast": relative_error(autocast, logits),
            "whole_model": relative_error(whole, logits),
        }
    }
    if gradient:
        true = expected["grad_after_first"]
        errors["bfloat16_gradient_error"] = {
            "autocast": relative_error(autocast_gradient, true),
            "whole_model": relative_error(with_gradient(model, low, "after_first")[2], true),
        }
        worst = max(error for pair in errors.values() for error in pair.values())
        require(worst < LARGEST_BFLOAT16_ERROR, f"bfloat16 is {worst:.1e} off; choose another seed")
    return errors


def at_start(
    model: PreTrainedModel, run: Run, inputs: Inputs
) -> tuple[dict, dict[str, torch.Tensor]]:
    """Scalars and tensors of a run's initial memory."""
    nomem_logits, nomem_loss, nomem_accuracy = no_memory(model, inputs)
    logits = memory_logits(model, inputs.memory, inputs)
    tensors = {
        "tokens": inputs.tokens.to(torch.int32),
        "mem0": inputs.memory,
        "logits": logits,
        "logits_nomem": nomem_logits,
    }
    if len(inputs.prefix):
        tensors["prefix"] = inputs.prefix.to(torch.int32)
    scalars = {
        "name": run.name,
        "memory_vectors": run.memory_vectors,
        "length": run.length,
        "prefix": run.prefix,
        "protocol": asdict(run.protocol),
        "loss_nomem_nats": nomem_loss,
        "accuracy_nomem": nomem_accuracy,
    }
    for target in ("after_first", "all"):
        loss, accuracy, gradient = with_gradient(model, inputs, target)
        # Over there the last token is an input as well: one more, by which `dynamic` rotates otherwise.
        require(
            any(map(is_dynamic, model.modules()))
            or abs(loss - label_loss(model, inputs, target)) < 1e-5 * loss,
            f"{run.name}: label shift disagrees",
        )
        scalars |= {f"loss_{target}_nats": loss, f"accuracy_{target}": accuracy}
        tensors[f"grad_{target}"] = gradient
    return scalars | misaligned_losses(logits, inputs), tensors


def measure(
    folder: Path, model: PreTrainedModel, run: Run, inputs: Inputs, gradient_in_bfloat16: bool = False
) -> tuple[dict, dict[str, torch.Tensor]]:
    """Scalars and full tensors of one run."""
    scalars, tensors = at_start(model, run, inputs)
    scalars |= bfloat16_errors(folder, inputs, tensors, gradient_in_bfloat16)
    if gradient_in_bfloat16:
        scalars["bfloat16_gradient_median"] = bfloat16_gradient_median(folder, inputs)
    optimised = optimise(model, inputs, run.protocol)
    margin = optimised.pop("margins").min().item()
    require(
        margin > SMALLEST_MARGIN,
        f"{run.name}: a target is within {margin:.1e} of its rival; choose another seed",
    )
    tensors |= optimised
    best = int(optimised["accuracies"].argmax())
    solved = (optimised["accuracies"] == 1.0).nonzero()
    scalars |= {
        "best_evaluation": best + 1,
        "best_accuracy": optimised["accuracies"][best].item(),
        "first_solved_evaluation": int(solved[0]) + 1 if len(solved) else 0,
        "smallest_margin": margin,
        "rounding": rounding(folder, model, inputs, run, tensors),
    }
    return scalars, tensors


def misaligned_losses(logits: torch.Tensor, inputs: Inputs) -> dict[str, float]:
    """The loss that labels one token early or late would give: far from the true one, or the case proves nothing."""
    rows, _ = scored(logits, inputs, "after_first")
    early = F.cross_entropy(rows, inputs.tokens[:-1]).item()
    late = F.cross_entropy(rows[:-1], inputs.tokens[2:]).item() if len(inputs.tokens) > 2 else float("inf")
    true = F.cross_entropy(rows, inputs.tokens[1:]).item()
    require(
        min(abs(early - true), abs(late - true)) > 0.02,
        "labels off by one would hardly show; choose another seed",
    )
    result = {"loss_labels_one_early_nats": early}
    return result | ({"loss_labels_one_late_nats": late} if math.isfinite(late) else {})


def require(condition: bool, message: str) -> None:
    if not condition:
        raise Unusable(f"golden values are not usable: {message}")
