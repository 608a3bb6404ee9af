"""Gemma 2 and Gemma 3 checkpoints; of those with a part for images, the text is what is tested."""

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
            Change("rope_scaling.yarn", {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}),
        ),
        unsupported=(
            *edits(hidden_activation="quick_gelu", use_bidirectional_attention=True),
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
            Change("rope_scaling.yarn", {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}),
        ),
        unsupported=(
            *edits(hidden_activation="quick_gelu", use_bidirectional_attention=True),
        ),
    )


def beside_images(**text) -> dict:
    """Gemma 3 from 4B on: the text's keys in an object of their own, and a part for images as small as can be."""
    nested = without(gemma3_config(**text), "architectures", "torch_dtype", "transformers_version")
    return {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "boi_token_index": 40,
        "eoi_token_index": 41,
        "eos_token_id": [1, 42],
        "image_token_index": 42,
        "initializer_range": 0.02,
        "mm_tokens_per_image": 4,
        "model_type": "gemma3",
        "text_config": {key: value for key, value in nested.items() if value is not None},
        "torch_dtype": "bfloat16",
        "transformers_version": "4.50.0.dev0",
        "vision_config": {
            "hidden_size": 4,
            "image_size": 4,
            "intermediate_size": 4,
            "model_type": "siglip_vision_model",
            "num_attention_heads": 1,
            "num_channels": 1,
            "num_hidden_layers": 1,
            "patch_size": 2,
            "vision_use_head": False,
        },
    }


def gemma3_images() -> Variant:
    config = beside_images()
    text = config["text_config"]
    sliding, full = "sliding_attention", "full_attention"
    rotary = {
        full: {"factor": 4.0, "rope_theta": 5000.0, "rope_type": "linear"},
        sliding: {"rope_theta": 100.0, "rope_type": "default"},
    }
    bare = without(text, "rope_local_base_freq", "rope_scaling", "rope_theta", "sliding_window_pattern")
    return Variant(
        name="gemma3-images",
        about="Gemma 3 with a part for images: text_config, names as published, head tied by default",
        seed=1904,
        config=config,
        norm_center=0.0,
        renamed={
            "model.language_model.": "language_model.model.",
            "model.vision_tower.": "vision_tower.",
            "model.multi_modal_projector.": "multi_modal_projector.",
        },
        forms={
            "config.rope_parameters.json": without(config, "torch_dtype")
            | {"dtype": "bfloat16", "tie_word_embeddings": True}
            | {
                "text_config": bare
                | {"_sliding_window_pattern": 2, "layer_types": [sliding, full, sliding], "tie_word_embeddings": True}
                | {"dtype": "bfloat16", "rope_parameters": rotary, "use_bidirectional_attention": False}
            },
        },
        moves=tuple(
            Change(f"text_config.{key}", {"text_config": {key: value}})
            for key, value in {"rope_theta": 200.0, "sliding_window": 5, "rms_norm_eps": 0.5}.items()
        ),
        keeps=(Change("text_config.tie_word_embeddings", {"text_config": {"tie_word_embeddings": False}}),),
        # The cap is not applied here, though it is in Gemma3ForCausalLM.
        unsupported=(
            Change("text_config.final_logit_softcapping", {"text_config": {"final_logit_softcapping": 2.0}}),
            Change("text_config", {"text_config": None}),
        ),
    )


def gemma3_images_untied() -> Variant:
    text = {"num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 20, "query_pre_attn_scalar": 8}
    return Variant(
        name="gemma3-images-untied",
        about="the same with the names of the modules and a head of its own",
        seed=1905,
        config=beside_images(**text) | {"tie_word_embeddings": False},
        norm_center=0.0,
        moves=(Change("text_config.query_pre_attn_scalar", {"text_config": {"query_pre_attn_scalar": 30}}),),
    )


def variants() -> list[Variant]:
    return [gemma2(), gemma2_uncapped(), gemma3(), gemma3_images(), gemma3_images_untied()]
