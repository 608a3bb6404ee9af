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


# Where the files of Phi-3 have it and, for `su`, where transformers 5 wants it besides.
ORIGINAL = {"original_max_position_embeddings": 64}


def longrope(name: str) -> dict:
    factors = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    return {"rope_scaling": factors | {"type": name} | ORIGINAL} | ORIGINAL


def scaling(name: str) -> Change:
    return Change(f"rope_scaling.{name}", {"rope_scaling": {"type": name, "factor": 2.0}})


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
            *(Change(f"rope_scaling.{name}", longrope(name)) for name in ("longrope", "su", "yarn")),
        ),
        keeps=edits(original_max_position_embeddings=64, resid_pdrop=0.1),
        unsupported=(*edits(hidden_act="quick_gelu"), scaling("linear"), scaling("dynamic"), scaling("llama3")),
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


def long_context() -> Variant:
    # Inputs of more than 20 positions, as those of the runs `long` are and of `short` are not, take the long factors.
    factors = {"long_factor": [1.5, 3.0, 7.0], "short_factor": [1.1, 1.3, 2.0]}
    config = phi3_config(
        max_position_embeddings=32,
        original_max_position_embeddings=20,
        partial_rotary_factor=0.75,
        rope_scaling=factors | {"type": "longrope"},
        sliding_window=None,
        vocab_size=53,
        **{"full_attn_mod": 1, "interpolate_factor": 1, "lm_head_bias": False, "mlp_bias": False},
    )
    bare = without(config, "rope_theta", "rope_scaling", "partial_rotary_factor", "torch_dtype") | {"dtype": "bfloat16"}
    parameters = factors | {"partial_rotary_factor": 0.75, "rope_theta": 10000.0, "rope_type": "longrope"}
    return Variant(
        name="phi3-longrope",
        about="Phi-4 mini, Phi-3 128k type: `longrope` scaling of three quarters of each head, short and long inputs",
        seed=1703,
        config=config,
        forms={
            "config.su.json": config
            | {"rope_scaling": factors | {"type": "su", "original_max_position_embeddings": 20}},
            "config.yarn.json": config | {"rope_scaling": factors | {"type": "yarn"}},
            "config.rope_parameters.json": bare
            | {"rope_parameters": parameters | {"original_max_position_embeddings": 20}},
        },
        moves=(
            *edits(rope_theta=300.0, max_position_embeddings=256, original_max_position_embeddings=31),
            Change("rope_scaling.long_factor", {"rope_scaling": {"long_factor": [1.5, 3.0, 2.0]}}),
            Change("rope_scaling.short_factor", ORIGINAL | {"rope_scaling": {"short_factor": [1.5, 3.0, 2.0]}}),
            Change("rope_scaling.factor", {"rope_scaling": {"factor": 30.0}}),
            Change("rope_scaling.attention_factor", {"rope_scaling": {"attention_factor": 0.8}}),
        ),
        keeps=(
            Change("rope_scaling.original_max_position_embeddings", {"rope_scaling": ORIGINAL}),
            Change("rope_scaling.rope_type", {"rope_scaling": {"rope_type": "longrope", "type": "dynamic"}}),
        ),
        unsupported=(Change("rope_scaling.long_factor", {"rope_scaling": {"long_factor": [1.5, 3.0]}}),),
    )


def variants() -> list[Variant]:
    return [mini(), partial(), long_context()]
