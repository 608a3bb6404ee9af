"""Phi-3 checkpoints."""

from __future__ import annotations

from variants import Change, Variant, edits, without


def phi3_config(**overrides) -> dict:
    return {
        "architectures": ["Phi3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "embd_pdrop": 0.0,
        "eos_token_id": 32000,
        "hidden_act": "silu",
        "hidden_size": 24,
        "initializer_range": 0.02,
        "intermediate_size": 28,
        "max_position_embeddings": 128,
        "model_type": "phi3",
        "num_attention_heads": 3,
        "num_hidden_layers": 2,
        "num_key_value_heads": 3,
        "original_max_position_embeddings": 128,
        "pad_token_id": 2,
        "resid_pdrop": 0.0,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "sliding_window": 9,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.40.2",
        "use_cache": True,
        "vocab_size": 43,
    } | overrides


def longrope(name: str) -> dict:
    factors = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    return {"rope_scaling": factors | {"type": name}, "original_max_position_embeddings": 64}


def mini() -> Variant:
    config = phi3_config()
    return Variant(
        name="phi3-window",
        about="Phi-3 mini 4k type: queries, keys and values in one matrix, gate and up in one, a window of 9 positions",
        seed=1701,
        config=config,
        forms={
            "config.rope_parameters.json": without(config, "rope_theta", "rope_scaling", "torch_dtype")
            | {"dtype": "bfloat16"}
            | {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default", "partial_rotary_factor": 1.0}},
        },
        moves=(
            *edits(sliding_window=5, rms_norm_eps=0.03, rope_theta=300.0, num_hidden_layers=1),
            *edits(partial_rotary_factor=0.5),
            Change("sliding_window.none", {"sliding_window": None}),
        ),
        keeps=edits(original_max_position_embeddings=64, resid_pdrop=0.1),
        unsupported=(
            *edits(hidden_act="quick_gelu"),
            Change("rope_scaling.longrope", longrope("longrope")),
            Change("rope_scaling.su", longrope("su")),
            Change("rope_scaling.yarn", longrope("yarn")),
        ),
    )


def partial() -> Variant:
    config = phi3_config(
        num_attention_heads=2,
        num_key_value_heads=1,
        partial_rotary_factor=0.5,
        sliding_window=None,
        tie_word_embeddings=True,
        vocab_size=47,
    )
    return Variant(
        name="phi3-partial",
        about="Phi-4 mini type: half of each head rotates, one key/value head for two, tied head, no window",
        seed=1702,
        config=config,
        forms={
            "config.rope_parameters.json": without(
                config, "rope_theta", "rope_scaling", "partial_rotary_factor", "torch_dtype"
            )
            | {"dtype": "bfloat16"}
            | {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default", "partial_rotary_factor": 0.5}},
        },
        moves=edits(partial_rotary_factor=1.0, rope_theta=30.0),
    )


def variants() -> list[Variant]:
    return [mini(), partial()]
