"""OLMo, OLMo-2 and OLMo-3 checkpoints."""

from __future__ import annotations

from variants import Change, Variant, edits, without


def olmo_config(**overrides) -> dict:
    return {
        "architectures": ["OlmoForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "clip_qkv": 1.2,
        "eos_token_id": 50279,
        "hidden_act": "silu",
        "hidden_size": 24,
        "initializer_range": 0.02,
        "intermediate_size": 28,
        "max_position_embeddings": 128,
        "model_type": "olmo",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "pad_token_id": 1,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.40.0.dev0",
        "use_cache": True,
        "vocab_size": 43,
    } | overrides


def olmo() -> Variant:
    config = olmo_config()
    return Variant(
        name="olmo-clipped",
        about="OLMo: norms without weights, queries, keys and values clipped, grouped keys, tied head",
        seed=1301,
        config=config,
        forms={
            "config.rope_parameters.json": without(config, "rope_theta", "rope_scaling", "torch_dtype")
            | {"dtype": "bfloat16", "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}},
        },
        moves=(
            *edits(clip_qkv=0.5, rope_theta=200.0, num_hidden_layers=1),
            Change("clip_qkv.none", {"clip_qkv": None}),
            Change("num_attention_heads", {"num_attention_heads": 2, "num_key_value_heads": 1}),
            Change("rope_scaling.linear", {"rope_scaling": {"type": "linear", "factor": 3.0}}),
            Change("rope_scaling.yarn", {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}),
        ),
        unsupported=edits(hidden_act="quick_gelu"),
    )


def olmo_biases() -> Variant:
    return Variant(
        name="olmo-biases",
        about="OLMo with attention_bias, nothing clipped, untied head, as many keys as queries by default",
        seed=1302,
        config=without(
            olmo_config(attention_bias=True, clip_qkv=None, num_attention_heads=3),
            *("num_key_value_heads", "tie_word_embeddings"),
        ),
        moves=edits(attention_bias=False, clip_qkv=1.0),
    )


def olmo2() -> Variant:
    config = without(olmo_config(), "clip_qkv") | {
        "architectures": ["Olmo2ForCausalLM"],
        "model_type": "olmo2",
        "rms_norm_eps": 1e-06,
        "rope_theta": 500000,
        "tie_word_embeddings": False,
        "transformers_version": "4.47.0.dev0",
    }
    return Variant(
        name="olmo2",
        about="OLMo-2: norms behind attention and MLP, queries and keys normed before they are split into heads",
        seed=1303,
        config=config,
        forms={
            "config.rope_parameters.json": without(config, "rope_theta", "rope_scaling", "torch_dtype")
            | {"dtype": "bfloat16", "rope_parameters": {"rope_theta": 500000, "rope_type": "default"}},
        },
        moves=(
            *edits(rms_norm_eps=0.1, rope_theta=300.0, num_hidden_layers=1),
            Change("num_attention_heads", {"num_attention_heads": 2, "num_key_value_heads": 1}),
            Change("rope_scaling.linear", {"rope_scaling": {"type": "linear", "factor": 3.0}}),
        ),
        unsupported=edits(hidden_act="quick_gelu"),
    )


def olmo3() -> Variant:
    scaling = {
        "attention_factor": 1.138629436111989,
        "beta_fast": 32,
        "beta_slow": 1,
        "factor": 4.0,
        "original_max_position_embeddings": 16,
        "rope_type": "yarn",
    }
    sliding, full = "sliding_attention", "full_attention"
    config = without(olmo_config(), "clip_qkv") | {
        "architectures": ["Olmo3ForCausalLM"],
        "layer_types": [sliding, sliding, sliding, full],
        "max_position_embeddings": 64,
        "model_type": "olmo3",
        "num_hidden_layers": 4,
        "rms_norm_eps": 1e-06,
        "rope_scaling": scaling,
        "rope_theta": 500000,
        "sliding_window": 7,
        "tie_word_embeddings": False,
        "transformers_version": "4.57.0",
    }
    bare = without(config, "rope_theta", "rope_scaling", "torch_dtype") | {"dtype": "bfloat16"}
    plain = {"rope_theta": 500000, "rope_type": "default"}
    factors = {"factor": 2.0, "attention_factor": 1.5, "original_max_position_embeddings": 2048, "beta_slow": 0.001}
    return Variant(
        name="olmo3",
        about="OLMo-3: OLMo-2 with a window in three layers of four, `yarn` scaling in the fourth",
        seed=1304,
        config=config,
        forms={
            "config.minimal.json": without(config, "layer_types"),
            "config.rope_parameters.json": bare
            | {"rope_parameters": {full: scaling | {"rope_theta": 500000}, sliding: plain}},
        },
        moves=(
            *edits(sliding_window=5, rms_norm_eps=0.1, rope_theta=300.0, layer_types=[sliding, full, full, sliding]),
            *(Change(f"rope_scaling.{key}", {"rope_scaling": {key: value}}) for key, value in factors.items()),
            Change("rope_parameters", {"rope_parameters": {full: scaling, sliding: plain | {"rope_theta": 300.0}}}),
        ),
        keeps=(
            Change("rope_scaling.truncate", {"rope_scaling": {"truncate": False, "beta_fast": 30}}),
            Change("original_max_position_embeddings", {"original_max_position_embeddings": 8}),
        ),
        unsupported=(
            *edits(hidden_act="quick_gelu", layer_types=["linear_attention", sliding, sliding, full]),
        ),
    )


def variants() -> list[Variant]:
    return [olmo(), olmo_biases(), olmo2(), olmo3()]
