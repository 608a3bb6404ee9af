"""GPT-NeoX checkpoints: the shape of Pythia, and the family's other switches."""

from __future__ import annotations

import torch

from variants import Change, Variant, edits, without


def pythia_config(**overrides) -> dict:
    """The keys of a published Pythia's config.json, in the spelling of 2023."""
    return {
        "architectures": ["GPTNeoXForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "classifier_dropout": 0.1,
        "eos_token_id": 0,
        "hidden_act": "gelu",
        "hidden_dropout": 0.0,
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 28,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 32,
        "model_type": "gpt_neox",
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "rotary_emb_base": 10000,
        "rotary_pct": 0.25,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.24.0",
        "use_cache": True,
        "use_parallel_residual": True,
        "vocab_size": 43,
    } | overrides


def published_buffers(config: dict) -> dict[str, torch.Tensor]:
    """What Pythia's files hold beside its weights: a causal mask under the name of a bias, and rotary frequencies."""
    context = config["max_position_embeddings"]
    rotated = int(config["hidden_size"] // config["num_attention_heads"] * config["rotary_pct"])
    frequencies = config["rotary_emb_base"] ** (-torch.arange(0, rotated, 2) / rotated)
    buffers = {}
    for layer in range(config["num_hidden_layers"]):
        scope = f"gpt_neox.layers.{layer}.attention"
        buffers[f"{scope}.bias"] = torch.ones(1, 1, context, context, dtype=torch.bool).tril()
        buffers[f"{scope}.masked_bias"] = torch.tensor(-1e9)
        buffers[f"{scope}.rotary_emb.inv_freq"] = frequencies.clone()
    return buffers


def parallel() -> Variant:
    config = pythia_config()
    rotary = {"rope_theta": 10000.0, "partial_rotary_factor": 0.25, "rope_type": "default"}
    return Variant(
        name="gpt-neox-parallel",
        about="Pythia type: parallel residual, a quarter of each head rotates, head embed_out, masks in the file",
        seed=1101,
        config=config,
        renamed={"lm_head.": "embed_out."},
        buffers=published_buffers,
        forms={
            "config.minimal.json": without(
                config,
                *("classifier_dropout", "hidden_act", "layer_norm_eps", "rotary_emb_base", "rotary_pct"),
                *("tie_word_embeddings", "use_parallel_residual"),
            ),
            "config.rope_parameters.json": without(config, "rotary_emb_base", "rotary_pct", "torch_dtype")
            | {"attention_bias": True, "dtype": "bfloat16", "is_decoder": False, "rope_parameters": rotary},
        },
        moves=(
            *edits(rotary_pct=0.75, rotary_emb_base=300, layer_norm_eps=0.05, use_parallel_residual=False),
            *edits(num_attention_heads=4, num_hidden_layers=1, hidden_act="relu", attention_bias=False),
            Change("rope_scaling.linear", {"rope_scaling": {"type": "linear", "factor": 3.0}}),
            Change("rope_scaling.yarn", {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}),
        ),
        keeps=(
            Change("tie_word_embeddings", {"tie_word_embeddings": True}),
            Change("metadata", {"torch_dtype": "float16", "use_cache": False, "attention_dropout": 0.1}),
        ),
        unsupported=edits(hidden_act="quick_gelu"),
    )


def sequential() -> Variant:
    config = without(pythia_config(), "rotary_emb_base", "rotary_pct", "torch_dtype") | {
        "attention_bias": False,
        "dtype": "bfloat16",
        "hidden_act": "gelu_fast",
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_attention_heads": 3,
        "rope_parameters": {"rope_theta": 5000.0, "partial_rotary_factor": 0.5, "rope_type": "default"},
        "tie_word_embeddings": True,
        "transformers_version": "5.23.0",
        "use_parallel_residual": False,
    }
    return Variant(
        name="gpt-neox-sequential",
        about="sequential residual, no attention biases, half of each head rotates, gelu by tanh, tied head",
        seed=1102,
        config=config,
        forms={
            "config.rotary_pct.json": without(config, "rope_parameters", "dtype")
            | {"rotary_emb_base": 5000.0, "rotary_pct": 0.5, "rope_scaling": None, "torch_dtype": "bfloat16"}
        },
        moves=(
            *edits(use_parallel_residual=True, layer_norm_eps=0.05),
            Change("partial_rotary_factor", {"rope_parameters": {"partial_rotary_factor": 1.0}}),
            Change("rope_theta", {"rope_parameters": {"rope_theta": 200.0}}),
            Change("rope_parameters.linear", {"rope_parameters": {"rope_type": "linear", "factor": 3.0}}),
        ),
    )


def variants() -> list[Variant]:
    return [parallel(), sequential()]
