"""SmolLM3 checkpoints; SmolLM2 is a Llama."""

from __future__ import annotations

from variants import Change, Variant, edits, without


def smollm3_config() -> dict:
    return {
        "architectures": ["SmolLM3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 128000,
        "eos_token_id": 128001,
        "hidden_act": "silu",
        "hidden_size": 24,
        "initializer_range": 0.02,
        "intermediate_size": 28,
        "layer_types": ["full_attention"] * 3,
        "max_position_embeddings": 128,
        "max_window_layers": 28,
        "mlp_bias": False,
        "model_type": "smollm3",
        "no_rope_layer_interval": 2,
        "no_rope_layers": [1, 0, 1],
        "num_attention_heads": 3,
        "num_hidden_layers": 3,
        "num_key_value_heads": 1,
        "pad_token_id": 4,
        "pretraining_tp": 2,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 5000000.0,
        "sliding_window": None,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.54.0.dev0",
        "use_cache": False,
        "use_sliding_window": False,
        "vocab_size": 43,
    }


def smollm3() -> Variant:
    config = smollm3_config()
    sliding = {"use_sliding_window": True, "sliding_window": 7}
    return Variant(
        name="smollm3",
        about="SmolLM3: the second of three layers does not rotate, head tied by default",
        seed=1601,
        config=config,
        forms={
            "config.interval.json": without(config, "no_rope_layers", "layer_types"),
            "config.rope_parameters.json": without(config, "rope_theta", "rope_scaling", "torch_dtype")
            | {"dtype": "bfloat16", "rope_parameters": {"rope_theta": 5000000.0, "rope_type": "default"}}
            | {"tie_word_embeddings": True},
        },
        moves=(
            *edits(rms_norm_eps=0.03, rope_theta=300.0, no_rope_layers=[1, 1, 0]),
            # Rotation everywhere makes the default visible, which is close to the first base.
            Change("rope_theta left out", {"rope_theta": None, "no_rope_layers": [1, 1, 1]}),
            Change("no_rope_layer_interval", {"no_rope_layers": None, "no_rope_layer_interval": 3}),
            Change("no_rope_layer_interval.default", {"no_rope_layers": None, "no_rope_layer_interval": None}),
            Change("use_sliding_window", sliding | {"layer_types": None}),
            Change("layer_types", sliding | {"layer_types": ["sliding_attention"] + ["full_attention"] * 2}),
            Change("rope_scaling.linear", {"rope_scaling": {"type": "linear", "factor": 3.0}}),
            Change("rope_scaling.yarn", {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}),
        ),
        unsupported=edits(hidden_act="quick_gelu"),
    )


def variants() -> list[Variant]:
    return [smollm3()]
