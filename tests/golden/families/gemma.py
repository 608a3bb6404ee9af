"""Gemma 2 and Gemma 3 (text) checkpoints."""

from __future__ import annotations

from variants import Change, Variant, edits, without


def gemma2_config(**overrides) -> dict:
    return {
        "architectures": ["Gemma2ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "attn_logit_softcapping": 2.5,
        "bos_token_id": 2,
        "cache_implementation": "hybrid",
        "eos_token_id": 1,
        "final_logit_softcapping": 4.0,
        "head_dim": 8,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 20,
        "initializer_range": 0.02,
        "intermediate_size": 28,
        "max_position_embeddings": 128,
        "model_type": "gemma2",
        "num_attention_heads": 4,
        "num_hidden_layers": 3,
        "num_key_value_heads": 2,
        "pad_token_id": 0,
        "query_pre_attn_scalar": 12,
        "rms_norm_eps": 1e-06,
        "rope_theta": 10000.0,
        "sliding_window": 7,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.42.4",
        "use_cache": True,
        "vocab_size": 43,
    } | overrides


def gemma2() -> Variant:
    config = gemma2_config()
    sliding, full = "sliding_attention", "full_attention"
    return Variant(
        name="gemma2",
        about="Gemma 2: embeddings scaled by sqrt(hidden_size), soft caps at work, layers 0 and 2 local, head tied by default",
        seed=1901,
        config=config,
        norm_center=0.0,
        forms={
            "config.rope_parameters.json": without(config, "rope_theta", "hidden_act", "torch_dtype")
            | {"dtype": "bfloat16", "layer_types": [sliding, full, sliding], "tie_word_embeddings": True}
            | {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}}
            | {"use_bidirectional_attention": None},
        },
        moves=(
            *edits(attn_logit_softcapping=1.0, final_logit_softcapping=2.0, query_pre_attn_scalar=8),
            *edits(sliding_window=5, rms_norm_eps=0.5, rope_theta=300.0, num_hidden_layers=2),
            *edits(layer_types=[full, sliding, sliding]),
            # Without the keys the caps are 50 and 30, the divisor sqrt(256).
            Change("attn_logit_softcapping.default", {"attn_logit_softcapping": None}),
            Change("final_logit_softcapping.default", {"final_logit_softcapping": None}),
            Change("query_pre_attn_scalar.default", {"query_pre_attn_scalar": None}),
            Change("rope_scaling.linear", {"rope_scaling": {"type": "linear", "factor": 3.0}}),
        ),
        unsupported=(
            *edits(hidden_activation="quick_gelu", use_bidirectional_attention=True),
            Change("rope_scaling.yarn", {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}),
        ),
    )


def gemma2_uncapped() -> Variant:
    return Variant(
        name="gemma2-uncapped",
        about="Gemma 2 with caps that are null, attention biases, and an untied head",
        seed=1902,
        config=gemma2_config(
            attention_bias=True,
            attn_logit_softcapping=None,
            final_logit_softcapping=None,
            num_attention_heads=2,
            num_hidden_layers=2,
            num_key_value_heads=1,
            tie_word_embeddings=False,
        ),
        norm_center=0.0,
        moves=edits(attention_bias=False, attn_logit_softcapping=1.0, final_logit_softcapping=2.0),
    )


def gemma3_config(**overrides) -> dict:
    config = without(gemma2_config(), "hidden_act") | {
        "architectures": ["Gemma3ForCausalLM"],
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
        "model_type": "gemma3_text",
        "rope_local_base_freq": 100.0,
        "rope_scaling": {"factor": 4.0, "rope_type": "linear"},
        "rope_theta": 5000.0,
        "sliding_window_pattern": 2,
        "transformers_version": "4.50.0.dev0",
    }
    return config | overrides


def gemma3() -> Variant:
    config = gemma3_config()
    bare = without(
        config,
        *("rope_local_base_freq", "rope_scaling", "rope_theta", "sliding_window_pattern", "torch_dtype"),
    )
    sliding, full = "sliding_attention", "full_attention"
    types = [sliding, full, sliding]
    return Variant(
        name="gemma3",
        about="Gemma 3 text: queries and keys normed, layer 1 global with a rotary base of its own, scaled linearly",
        seed=1903,
        config=config,
        norm_center=0.0,
        forms={
            "config.layer_types.json": without(config, "sliding_window_pattern")
            | {"_sliding_window_pattern": 6, "layer_types": types, "use_bidirectional_attention": False},
            "config.rope_parameters.json": bare
            | {"_sliding_window_pattern": 6, "dtype": "bfloat16", "layer_types": types}
            | {
                "rope_parameters": {
                    full: {"factor": 4.0, "rope_theta": 5000.0, "rope_type": "linear"},
                    sliding: {"rope_theta": 100.0, "rope_type": "default"},
                }
            },
        },
        moves=(
            *edits(rope_theta=200.0, rope_local_base_freq=5000.0, sliding_window_pattern=3, sliding_window=5),
            *edits(query_pre_attn_scalar=8, rms_norm_eps=0.5, num_hidden_layers=2, rope_scaling=None),
            *edits(final_logit_softcapping=2.0, layer_types=[full, sliding, sliding]),
            Change("rope_scaling.factor", {"rope_scaling": {"factor": 2.0}}),
            Change("sliding_window_pattern.default", {"sliding_window_pattern": None}),
            Change("rope_local_base_freq.default", {"rope_local_base_freq": None}),
        ),
        unsupported=(
            *edits(hidden_activation="quick_gelu", use_bidirectional_attention=True),
            Change("rope_scaling.yarn", {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}),
        ),
    )


def variants() -> list[Variant]:
    return [gemma2(), gemma2_uncapped(), gemma3()]
