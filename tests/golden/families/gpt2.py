"""GPT-2 checkpoints."""

from __future__ import annotations

import torch

from variants import Change, Variant, edits, without


def gpt2_config(**overrides) -> dict:
    """The keys of the published GPT-2's config.json."""
    return {
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": 0.1,
        "bos_token_id": 50256,
        "embd_pdrop": 0.1,
        "eos_token_id": 50256,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05,
        "model_type": "gpt2",
        "n_ctx": 32,
        "n_embd": 20,
        "n_head": 2,
        "n_layer": 2,
        "n_positions": 32,
        "resid_pdrop": 0.1,
        "summary_activation": None,
        "summary_first_dropout": 0.1,
        "summary_proj_to_labels": True,
        "summary_type": "cls_index",
        "summary_use_proj": True,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        "vocab_size": 43,
    } | overrides


def published_buffers(config: dict) -> dict[str, torch.Tensor]:
    """The causal masks that the published files hold under the name of a bias."""
    context = config["n_positions"]
    buffers = {}
    for layer in range(config["n_layer"]):
        buffers[f"h.{layer}.attn.bias"] = torch.ones(1, 1, context, context, dtype=torch.uint8).tril()
        buffers[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    return buffers


def current() -> Variant:
    config = gpt2_config()
    return Variant(
        name="gpt2",
        about="GPT-2 as transformers saves it today: matrices stored input by output, an MLP of four widths by default",
        seed=1801,
        config=config,
        forms={
            "config.minimal.json": without(
                config,
                *("activation_function", "layer_norm_epsilon", "n_ctx", "task_specific_params"),
                *(key for key in config if key.startswith("summary_")),
            ),
            "config.explicit.json": without(config, "n_ctx", "task_specific_params")
            | {"add_cross_attention": False, "dtype": "bfloat16", "n_inner": None, "pad_token_id": None}
            | {"reorder_and_upcast_attn": False, "scale_attn_by_inverse_layer_idx": False}
            | {"scale_attn_weights": True, "tie_word_embeddings": True, "use_cache": True},
        },
        moves=(
            *edits(layer_norm_epsilon=0.05, n_head=4, n_layer=1, scale_attn_weights=False),
            *edits(scale_attn_by_inverse_layer_idx=True, activation_function="relu"),
        ),
        keeps=(Change("metadata", {"resid_pdrop": 0.0, "n_ctx": 20, "summary_type": "mean"}),),
        unsupported=edits(activation_function="quick_gelu"),
    )


def published() -> Variant:
    return Variant(
        name="gpt2-old-names",
        about="GPT-2 with the names of its publication and masks in the file; n_inner, gelu by erf, scores divided by layer",
        seed=1802,
        config=gpt2_config(
            activation_function="gelu",
            n_head=2,
            n_inner=36,
            scale_attn_by_inverse_layer_idx=True,
            torch_dtype="bfloat16",
            vocab_size=47,
        ),
        renamed={"transformer.": ""},
        buffers=published_buffers,
        moves=edits(scale_attn_by_inverse_layer_idx=False, layer_norm_epsilon=0.05),
    )


def variants() -> list[Variant]:
    return [current(), published()]
