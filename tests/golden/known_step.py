"""The expected values of the step that memcap computes at its start (src/app/self_check.cpp), by torch and transformers alone.

    .venv/reference/bin/python tests/golden/known_step.py

Prints the rows of expected_known_step(). The weights are those of memcap's random models: one block of normal numbers again and again.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from transformers import LlamaConfig, LlamaForCausalLM

BLOCK = 1_000_003
MEMORY_VECTORS, LENGTH, EVALUATIONS, PIECES = 2, 65, 3, 8
TRIALS = (2, 3, 4, 5)
# Adam's steps follow the sign of each element: one that rounding could turn would make the losses chance.
SMALLEST_ELEMENT = 2e-5
STACKS = [
    ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], ["self_attn.o_proj"],
    ["mlp.gate_proj", "mlp.up_proj"], ["mlp.down_proj"],
]  # fmt: skip


def known_model() -> LlamaForCausalLM:
    config = LlamaConfig(
        hidden_act="silu", rms_norm_eps=1e-5, hidden_size=128, intermediate_size=384, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, vocab_size=1024, max_position_embeddings=256,
        rope_theta=10000.0, tie_word_embeddings=True, attn_implementation="eager",
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    block = torch.empty(BLOCK).normal_(0.0, 0.02, generator=torch.Generator().manual_seed(0))
    model.model.embed_tokens.weight.copy_(block[: 1024 * 128].view(1024, 128))
    for layer in model.model.layers:
        for stack in STACKS:
            first = 0
            for weight in (layer.get_submodule(name).weight for name in stack):
                weight.copy_(block[first : first + weight.numel()].view_as(weight))
                first += weight.numel()
    return model


def known_trial(number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens [N] and memory [K, E]."""
    tokens = torch.tensor([(i * i * 7 + i * 31 + number * 101) % 1024 for i in range(LENGTH)])
    memory = torch.tensor([((i * 37 + number * 13) % 101 - 50) / 2048 for i in range(MEMORY_VECTORS * 128)])
    return tokens, memory.view(MEMORY_VECTORS, 128)


def known_step(model: LlamaForCausalLM, number: int) -> tuple[list[float], list[float]]:
    """Losses of the first evaluations, and the norms of the pieces of the first gradient."""
    tokens, start = known_trial(number)
    memory = torch.nn.Parameter(start.clone())
    optimiser = torch.optim.AdamW([memory], lr=1e-2, betas=(0.9, 0.9), weight_decay=0.01, eps=1e-8)
    losses, norms = [], []
    for evaluation in range(EVALUATIONS):
        inputs = torch.cat([memory, model.get_input_embeddings()(tokens[:-1])])[None]
        logits = model(inputs_embeds=inputs, use_cache=False).logits[0, MEMORY_VECTORS:]
        loss = F.cross_entropy(logits, tokens[1:])
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        size = memory.grad.abs()
        if size.min() < SMALLEST_ELEMENT * size.max():
            raise SystemExit(f"trial {number}: an element of gradient {evaluation + 1} is too small to have a sign")
        if evaluation == 0:
            norms = memory.grad.flatten().view(PIECES, -1).norm(dim=1).tolist()
        optimiser.step()
    return losses, norms


def main() -> None:
    torch.set_num_threads(1)
    model = known_model()
    for number in TRIALS:
        losses, norms = known_step(model, number)
        print(f"        {{{{{', '.join(f'{value:.8g}' for value in losses)}}},\n"
              f"         {{{', '.join(f'{value:.8g}' for value in norms)}}}}},")


if __name__ == "__main__":
    main()
