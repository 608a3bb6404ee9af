"""The reference's way of optimising memory vectors, one text at a time over Hugging Face transformers, timed.

This is the yardstick of benchmarks/README.md: the published protocol in the best plain form (text embedded once, no
token fed or scored in vain, frozen weights, fused attention, fused AdamW), with the two host reads per step (loss and
accuracy) on which its stop rule rests. Prints a line with a JSON object for each N and K that is asked for.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

TIMED_BLOCKS = 5


def random_llama(arguments: argparse.Namespace) -> PreTrainedModel:
    """An untrained Llama of the given shape: the time of a step does not depend on the weights' values."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=arguments.width,
        intermediate_size=arguments.intermediate,
        num_hidden_layers=arguments.layers,
        num_attention_heads=arguments.heads,
        num_key_value_heads=arguments.heads,
        vocab_size=arguments.vocabulary,
        max_position_embeddings=max(2048, max(arguments.length) + max(arguments.memory_vectors)),
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM._from_config(config, attn_implementation=arguments.attention, dtype=torch.float32)


def load_model(arguments: argparse.Namespace) -> PreTrainedModel:
    if arguments.model is None:
        model = random_llama(arguments)
    else:
        config = transformers.AutoConfig.from_pretrained(arguments.model)
        attention = arguments.attention if hasattr(config, "num_attention_heads") else None
        options = {"dtype": torch.float32, "attn_implementation": attention}
        if any(arguments.model.glob("*.safetensors")):
            model = transformers.AutoModelForCausalLM.from_pretrained(arguments.model, **options)
        else:
            model = transformers.AutoModelForCausalLM.from_config(config, **options)
    return model.to(arguments.device).eval().requires_grad_(False)


def text_tokens(arguments: argparse.Namespace, vocabulary: int, length: int) -> torch.Tensor:
    """N token ids [N]: those of a text file, or random ones."""
    if arguments.text is None:
        return torch.randint(vocabulary, (length,), generator=torch.Generator().manual_seed(1))
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    ids = tokenizer(arguments.text.read_text(encoding="utf-8")).input_ids[:length]
    if len(ids) < length:
        raise SystemExit(f"{arguments.text} has {len(ids)} tokens only, --length asks for {length}")
    return torch.tensor(ids)


class Trial:
    """One text being crammed into memory vectors, by the protocol's own values."""

    def __init__(self, model: PreTrainedModel, tokens: torch.Tensor, memory_vectors: int, autocast: bool):
        embeddings = model.get_input_embeddings()
        scale = embeddings.weight.std()
        self.model = model
        self.targets = tokens[1:].to(model.device)
        self.text = embeddings(tokens[:-1].to(model.device))
        self.memory = torch.nn.Parameter(
            torch.randn(memory_vectors, self.text.shape[1], device=model.device) * scale
        )
        self.optimiser = torch.optim.AdamW(
            [self.memory], lr=1e-2, betas=(0.9, 0.9), weight_decay=0.01, eps=1e-8, fused=True
        )
        self.autocast = torch.autocast(model.device.type, torch.bfloat16, enabled=autocast)
        self.best_accuracy, self.best_loss = 0.0, float("inf")

    def step(self) -> bool:
        """One evaluation and update; True once every scored token is right."""
        with self.autocast:
            embedded = torch.cat([self.memory, self.text])[None]
            logits = self.model(
                inputs_embeds=embedded, use_cache=False, logits_to_keep=len(self.targets)
            ).logits[0]
        loss = F.cross_entropy(logits.float(), self.targets)
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        accuracy = (logits.argmax(-1) == self.targets).float().mean().item()
        self.best_loss = min(self.best_loss, loss.item())
        self.best_accuracy = max(self.best_accuracy, accuracy)
        return accuracy == 1.0


def flops_per_step(config: transformers.PretrainedConfig, length: int, memory_vectors: int) -> float | None:
    """Products of one step with frozen weights: forward, and backward for the inputs alone; None without attention."""
    heads = getattr(config, "num_attention_heads", None)
    if heads is None:
        return None
    hidden = config.hidden_size
    head_dim = getattr(config, "head_dim", None) or hidden // heads
    attention = hidden * head_dim * (2 * heads + 2 * (getattr(config, "num_key_value_heads", None) or heads))
    mlp_matrices = 2 if config.model_type == "gpt_neox" else 3
    block = config.num_hidden_layers * (attention + mlp_matrices * hidden * config.intermediate_size)
    inputs = memory_vectors + length - 1
    quadratic = 7.0 * inputs**2 * heads * head_dim * config.num_hidden_layers
    return 4.0 * block * inputs + quadratic + 4.0 * config.vocab_size * hidden * (length - 1)


def timed_blocks(trial: Trial, steps: int, warmup: int) -> tuple[list[float], float]:
    """Steps per second of each of several blocks, after steps that are not counted, and steps per second of CPU time.

    A solved trial goes on: what is asked is the price of a step.
    """
    for _ in range(warmup):
        trial.step()
    rates, count, cpu_start = [], max(1, steps // TIMED_BLOCKS), time.process_time()
    for _ in range(TIMED_BLOCKS):
        start = time.perf_counter()
        for _ in range(count):
            trial.step()
        rates.append(count / (time.perf_counter() - start))
    return rates, count * TIMED_BLOCKS / (time.process_time() - cpu_start)


def step_bytes(trial: Trial) -> int:
    """The most bytes that a step of a trial holds at a time beside the weights."""
    if trial.model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        trial.step()
        return torch.cuda.max_memory_allocated() - before
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True, acc_events=True) as profile:
        trial.step()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model",
        type=Path,
        help="Hugging Face folder, random weights if it has none; without it, a random Llama of the shape below",
    )
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--intermediate", type=int, default=192)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, default=1024)
    parser.add_argument(
        "--text", type=Path, help="text file, for the model's own tokenizer (default: random tokens)"
    )
    parser.add_argument("--length", type=int, nargs="+", default=[64], help="N, tokens of the text")
    parser.add_argument("--memory-vectors", type=int, nargs="+", default=[1], help="K")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--warmup", type=int, default=50, help="steps before the clock starts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32", help="bfloat16: autocast"
    )
    parser.add_argument(
        "--attention", choices=("sdpa", "eager"), default="sdpa", help="transformers' attention"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments = parser.parse_args()
    if arguments.text is not None and arguments.model is None:
        parser.error("--text needs --model, whose tokenizer splits it")
    return arguments


def measure(model: PreTrainedModel, length: int, memory_vectors: int, arguments: argparse.Namespace) -> dict:
    tokens = text_tokens(arguments, model.config.vocab_size, length)
    trial = Trial(model, tokens, memory_vectors, arguments.precision == "bfloat16")
    rates, per_cpu_s = timed_blocks(trial, arguments.steps, arguments.warmup)
    rate = statistics.median(rates)
    flops = flops_per_step(model.config, length, memory_vectors)
    return {
        "length": length,
        "memory_vectors": memory_vectors,
        "steps_per_s": rate,
        "steps_per_s_slowest": min(rates),
        "steps_per_s_fastest": max(rates),
        "steps_per_cpu_s": per_cpu_s,
        "flops_per_step": flops,
        "flops_per_s": flops and flops * rate,
        "step_bytes": step_bytes(trial),
        "threads": arguments.threads,
        "cores": os.cpu_count(),
        "attention": arguments.attention,
        "precision": arguments.precision,
        "device": arguments.device,
        "best_loss_nats": trial.best_loss,
        "best_accuracy": trial.best_accuracy,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def main() -> None:
    arguments = parse_arguments()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    model = load_model(arguments)
    for length in arguments.length:
        for memory_vectors in arguments.memory_vectors:
            print(json.dumps(measure(model, length, memory_vectors, arguments)), flush=True)


if __name__ == "__main__":
    main()
