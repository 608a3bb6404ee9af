"""Qwen2, Qwen3 and Qwen3-MoE checkpoints."""

from __future__ import annotations

import torch
from variants import Change, Variant, edits, without

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
YARN_KEYS = {
    "bare": {},
    "no original": {"original_max_position_embeddings": None},
    "band": {"beta_fast": 3.0, "beta_slow": 0.25},
    "parts of pairs": {"beta_fast": 3.0, "beta_slow": 0.25, "truncate": False},
    "mscale": {"mscale": 0.7, "mscale_all_dim": 1.4},
    "one mscale": {"mscale": 0.7},
    "attention_factor": {"attention_factor": 1.5, "mscale": 0.7, "mscale_all_dim": 1.4},
}


def qwen2_config(**overrides) -> dict:
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 151643,
        "eos_token_id": 151643,
        "hidden_act": "silu",
        "hidden_size": 24,
        "initializer_range": 0.02,
        "intermediate_size": 28,
        "max_position_embeddings": 128,
        "max_window_layers": 1,
        "model_type": "qwen2",
        "num_attention_heads": 3,
        "num_hidden_layers": 2,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": 7,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.40.1",
        "use_cache": True,
        "use_mrope": False,
        "use_sliding_window": False,
        "vocab_size": 43,
    } | overrides


def qwen2() -> Variant:
    config = qwen2_config()
    sliding = {"use_sliding_window": True}
    return Variant(
        name="qwen2",
        about="Qwen2: biases on queries, keys and values, a sliding window that is switched off, tied head",
        seed=1401,
        config=config,
        forms={
            "config.rope_parameters.json": without(config, "rope_theta", "torch_dtype", "use_mrope")
            | {"dtype": "bfloat16", "layer_types": ["full_attention", "full_attention"]}
            | {"rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"}, "sliding_window": None},
        },
        moves=(
            *edits(rms_norm_eps=0.03, rope_theta=300.0, num_hidden_layers=1, use_sliding_window=True),
            Change("rope_theta left out", {"rope_theta": None}),
            Change("max_window_layers", sliding | {"max_window_layers": 0}),
            Change("sliding_window", sliding | {"sliding_window": 4}),
            Change("layer_types", sliding | {"layer_types": ["sliding_attention", "full_attention"]}),
            Change("rope_scaling.linear", {"rope_scaling": {"type": "linear", "factor": 3.0}}),
            Change("rope_scaling.yarn", {"rope_scaling": YARN}),
            Change("original_max_position_embeddings", {"rope_scaling": YARN, "original_max_position_embeddings": 9}),
        ),
        keeps=edits(sliding_window=3, max_window_layers=0),
        unsupported=(
            *edits(hidden_act="quick_gelu"),
            Change("layer_types", {"layer_types": ["linear_attention", "full_attention"]}),
        ),
    )


def qwen2_sliding() -> Variant:
    config = without(qwen2_config(), "rope_theta", "torch_dtype", "transformers_version", "use_mrope") | {
        "dtype": "bfloat16",
        "layer_types": ["full_attention", "sliding_attention", "full_attention"],
        "num_hidden_layers": 3,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "sliding_window": 6,
        "tie_word_embeddings": False,
        "use_sliding_window": True,
    }
    return Variant(
        name="qwen2-sliding",
        about="Qwen2 in the configuration of transformers 5: one layer of three with a sliding window of 6, untied head",
        seed=1402,
        config=config,
        moves=(
            *edits(sliding_window=9, layer_types=["full_attention"] * 3),
            Change("max_window_layers", {"layer_types": None}),
            Change("rope_theta", {"rope_parameters": {"rope_theta": 300.0}}),
        ),
        keeps=edits(max_window_layers=2),
    )


def qwen3() -> Variant:
    config = without(qwen2_config(), "use_mrope") | {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "head_dim": 12,
        "max_window_layers": 2,
        "model_type": "qwen3",
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_scaling": None,
        "sliding_window": None,
        "transformers_version": "4.51.0",
    }
    sliding = {"use_sliding_window": True, "sliding_window": 7}
    return Variant(
        name="qwen3",
        about="Qwen3: queries and keys normed head by head, head_dim 12 where hidden_size / heads is 6, tied head",
        seed=1403,
        config=config,
        forms={
            "config.rope_parameters.json": without(config, "rope_theta", "rope_scaling", "torch_dtype")
            | {"dtype": "bfloat16", "layer_types": ["full_attention", "full_attention"]}
            | {"rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"}},
        },
        moves=(
            *edits(rms_norm_eps=0.1, rope_theta=300.0, num_hidden_layers=1),
            Change("max_window_layers", sliding | {"max_window_layers": 1}),
            Change("layer_types", sliding | {"layer_types": ["sliding_attention", "full_attention"]}),
            Change("rope_scaling.linear", {"rope_scaling": {"type": "linear", "factor": 3.0}}),
            *(Change(f"rope_scaling.yarn.{name}", {"rope_scaling": YARN | keys}) for name, keys in YARN_KEYS.items()),
        ),
        unsupported=edits(hidden_act="quick_gelu"),
    )


def qwen3_biases() -> Variant:
    config = without(qwen2_config(), "use_mrope", "sliding_window", "max_window_layers") | {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": True,
        "head_dim": 8,
        "model_type": "qwen3",
        "tie_word_embeddings": False,
    }
    return Variant(
        name="qwen3-biases",
        about="Qwen3 with attention_bias, one key/value head for three, untied head",
        seed=1404,
        config=config,
        moves=edits(attention_bias=False),
    )


def split_experts(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The experts one by one, as published files and those of save_pretrained have them."""
    split = {}
    for name, tensor in tensors.items():
        body, _, kind = name.rpartition(".")
        if not body.endswith(".experts"):
            split[name] = tensor
            continue
        for number, matrix in enumerate(tensor):
            parts = {"gate_proj": 0, "up_proj": 1} if kind == "gate_up_proj" else {kind: 0}
            for part, half in zip(parts, matrix.chunk(len(parts)), strict=True):
                split[f"{body}.{number}.{part}.weight"] = half.contiguous()
    return split


def qwen3_moe_config(**overrides) -> dict:
    return without(qwen2_config(), "use_mrope") | {
        "architectures": ["Qwen3MoeForCausalLM"],
        "attention_bias": False,
        "decoder_sparse_step": 1,
        "head_dim": 12,
        "max_window_layers": 2,
        "mlp_only_layers": [],
        "model_type": "qwen3_moe",
        "moe_intermediate_size": 10,
        "norm_topk_prob": True,
        "num_attention_heads": 4,
        "num_experts": 5,
        "num_experts_per_tok": 2,
        "num_key_value_heads": 2,
        "output_router_logits": False,
        "rope_scaling": None,
        "router_aux_loss_coef": 0.001,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "transformers_version": "4.51.0",
    } | overrides


def qwen3_moe() -> Variant:
    config = qwen3_moe_config()
    return Variant(
        name="qwen3-moe",
        about="Qwen3-MoE: each token takes 2 of 5 experts in each layer, their shares normed to 1; untied head",
        seed=1405,
        config=config,
        split=split_experts,
        forms={
            "config.minimal.json": without(config, "mlp_only_layers", "decoder_sparse_step", "attention_bias"),
            "config.rope_parameters.json": without(config, "rope_theta", "rope_scaling", "torch_dtype", "num_experts")
            | {"dtype": "bfloat16", "num_local_experts": 5}
            | {"rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"}},
        },
        moves=(
            *edits(norm_topk_prob=False, num_experts_per_tok=3, rms_norm_eps=0.1, rope_theta=300.0),
            *edits(num_hidden_layers=1),
            Change("use_sliding_window", {"use_sliding_window": True, "sliding_window": 7}),
            Change("rope_scaling.yarn", {"rope_scaling": YARN}),
        ),
        keeps=(
            *edits(router_aux_loss_coef=0.1, max_window_layers=0, intermediate_size=40),
            Change("sliding_window", {"sliding_window": 7}),
            Change("Qwen3-Coder", {"qkv_bias": False, "use_qk_norm": True, "shared_expert_intermediate_size": 0}),
        ),
        unsupported=edits(hidden_act="quick_gelu", num_experts_per_tok=6, num_local_experts=4),
    )


def qwen3_moe_mixed() -> Variant:
    return Variant(
        name="qwen3-moe-mixed",
        about="Qwen3-MoE with experts in one layer of four, shares as they are, attention_bias, a window, tied head",
        seed=1406,
        config=without(qwen3_moe_config(), "rope_theta", "rope_scaling", "torch_dtype", "num_experts")
        | {
            "attention_bias": True,
            "decoder_sparse_step": 2,
            "dtype": "bfloat16",
            "mlp_only_layers": [3],
            "norm_topk_prob": False,
            "num_hidden_layers": 4,
            "num_local_experts": 4,
            "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
            "sliding_window": 6,
            "tie_word_embeddings": True,
            "use_sliding_window": True,
        },
        split=split_experts,
        moves=edits(norm_topk_prob=True, num_experts_per_tok=1, sliding_window=9, attention_bias=False),
    )


def variants() -> list[Variant]:
    return [qwen2(), qwen2_sliding(), qwen3(), qwen3_biases(), qwen3_moe(), qwen3_moe_mixed()]
