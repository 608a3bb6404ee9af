"""Granite 4 checkpoints: hybrids of Mamba-2 and attention without experts."""

from __future__ import annotations

from variants import Change, Variant, edits, without


def granite_config(**overrides) -> dict:
    return {
        "architectures": ["GraniteMoeHybridForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "attention_multiplier": 0.3,
        "bos_token_id": 100257,
        "embedding_multiplier": 4,
        "eos_token_id": 100257,
        "hidden_act": "silu",
        "hidden_size": 24,
        "init_method": "mup",
        "initializer_range": 0.1,
        "intermediate_size": 28,
        "layer_types": ["mamba", "attention", "mamba"],
        "logits_scaling": 3,
        "mamba_chunk_size": 8,
        "mamba_conv_bias": True,
        "mamba_d_conv": 4,
        "mamba_d_head": 12,
        "mamba_d_state": 6,
        "mamba_expand": 2,
        "mamba_n_groups": 1,
        "mamba_n_heads": 4,
        "mamba_proj_bias": False,
        "max_position_embeddings": 128,
        "model_type": "granitemoehybrid",
        "normalization_function": "rmsnorm",
        "num_attention_heads": 3,
        "num_experts_per_tok": 0,
        "num_hidden_layers": 3,
        "num_key_value_heads": 1,
        "num_local_experts": 0,
        "output_router_logits": False,
        "pad_token_id": 2,
        "position_embedding_type": "nope",
        "residual_multiplier": 0.6,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": 10000,
        "router_aux_loss_coef": 0.01,
        "shared_intermediate_size": 28,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.56.0",
        "use_cache": True,
        "vocab_size": 43,
    } | overrides


def hybrid() -> Variant:
    config = granite_config()
    named = {"layer_types": ["linear_attention", "full_attention", "linear_attention"]}
    return Variant(
        name="granite-hybrid",
        about="Granite 4 h-1b type: attention without positions in one layer of three, Mamba-2 in the others, tied head",
        seed=1901,
        config=config,
        forms={
            "config.rope_parameters.json": without(config, "rope_theta", "rope_scaling", "torch_dtype", "init_method")
            | named
            | {"dtype": "bfloat16", "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}},
            "config.auto.json": config | {"mamba_d_head": "auto"},
        },
        moves=(
            *edits(attention_multiplier=1.0, embedding_multiplier=1.0, residual_multiplier=1.0, logits_scaling=1.0),
            *edits(rms_norm_eps=0.1, position_embedding_type="rope", time_step_limit=[0.2, 0.4]),
            Change("rope_theta", {"position_embedding_type": "rope", "rope_theta": 30.0}),
        ),
        keeps=edits(rope_theta=30.0, intermediate_size=40, router_aux_loss_coef=0.1),
        unsupported=(
            *edits(hidden_act="quick_gelu", num_local_experts=2, layer_types=["mamba", "sliding_attention", "mamba"]),
        ),
    )


def rotating() -> Variant:
    config = granite_config(
        attention_bias=True,
        layer_types=["attention", "mamba", "attention"],
        mamba_conv_bias=False,
        mamba_n_groups=2,
        mamba_proj_bias=True,
        position_embedding_type="rope",
        tie_word_embeddings=False,
    )
    return Variant(
        name="granite-hybrid-rope",
        about="Granite 4 hybrid that begins with attention and rotates, 2 groups of states, biases, untied head",
        seed=1902,
        config=config,
        moves=(
            *edits(rope_theta=30.0, position_embedding_type="nope", attention_bias=False),
            Change("rope_scaling.linear", {"rope_scaling": {"type": "linear", "factor": 3.0}}),
        ),
    )


def variants() -> list[Variant]:
    return [hybrid(), rotating()]
