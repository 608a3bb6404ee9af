"""Mistral checkpoints."""

from __future__ import annotations

from variants import Change, Variant, edits, without


def mistral_config(**overrides) -> dict:
    return {
        "architectures": ["MistralForCausalLM"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 24,
        "initializer_range": 0.02,
        "intermediate_size": 28,
        "max_position_embeddings": 128,
        "model_type": "mistral",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "sliding_window": 7,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.34.0.dev0",
        "use_cache": True,
        "vocab_size": 43,
    } | overrides


def windowed() -> Variant:
    config = mistral_config()
    return Variant(
        name="mistral-window",
        about="Mistral 7B v0.1 type: each layer sees the last 7 positions, grouped keys",
        seed=1501,
        config=config,
        forms={
            "config.rope_parameters.json": without(config, "rope_theta", "torch_dtype")
            | {"attention_dropout": 0.0, "dtype": "bfloat16", "head_dim": None}
            | {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}},
        },
        moves=(
            *edits(sliding_window=5, rms_norm_eps=0.03, rope_theta=300.0, num_hidden_layers=1),
            # Without the key the window is 4096, here as good as none.
            Change("sliding_window.default", {"sliding_window": None}),
            Change("num_attention_heads", {"num_attention_heads": 2, "num_key_value_heads": 1}),
            Change("rope_scaling.linear", {"rope_scaling": {"type": "linear", "factor": 3.0}}),
            Change("rope_scaling.yarn", {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}),
        ),
        unsupported=edits(hidden_act="quick_gelu"),
    )


def without_window() -> Variant:
    return Variant(
        name="mistral-head-dim",
        about="Mistral v0.3 and Nemo type: no window (null), head_dim 10 where hidden_size / heads is 8",
        seed=1502,
        config=mistral_config(
            head_dim=10, num_attention_heads=3, num_key_value_heads=1, rope_theta=1000000.0, sliding_window=None
        ),
        moves=edits(sliding_window=7, rope_theta=300.0),
    )


def variants() -> list[Variant]:
    return [windowed(), without_window()]
