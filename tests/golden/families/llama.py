"""Llama checkpoints: Llama 2 and 3, and SmolLM2, which is one."""

from __future__ import annotations

from dataclasses import replace

import torch

from variants import Change, Variant, edits, without


def base_config(**overrides) -> dict:
    """A small Llama configuration; None removes a key."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 32,
        "intermediate_size": 44,
        "max_position_embeddings": 128,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "vocab_size": 97,
    }
    config.update(overrides)
    return {key: value for key, value in sorted(config.items()) if value is not None}


def plain() -> Variant:
    config = base_config(rope_theta=10000.0, rope_scaling=None, rms_norm_eps=1e-6, torch_dtype="float32")
    with_defaults = (
        *("attention_bias", "mlp_bias", "num_key_value_heads", "rms_norm_eps"),
        *("rope_theta", "tie_word_embeddings"),
    )
    metadata = {"torch_dtype": "bfloat16", "use_cache": False, "pretraining_tp": 4, "eos_token_id": [2, 3]}
    return Variant(
        name="llama-plain",
        about="multi-head attention, untied head, float32 file: the shape of Llama 2 7B",
        seed=1001,
        config=config,
        dtype=torch.float32,
        optimiser_runs=True,
        forms={
            "config.minimal.json": without(config, *with_defaults),
            "config.rope_parameters.json": without(config, "rope_theta")
            | {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}},
            "config.nulls.json": config
            | {"head_dim": None, "rope_scaling": None, "num_key_value_heads": None},
        },
        moves=(
            *edits(rms_norm_eps=0.03, rope_theta=2000.0),
            Change("num_attention_heads", {"num_attention_heads": 2, "num_key_value_heads": 2}),
            Change("num_hidden_layers", {"num_hidden_layers": 1}),
            Change("rope_scaling.linear", {"rope_scaling": {"type": "linear", "factor": 2.0}}),
        ),
        keeps=(
            # transformers ties the head only where the file holds no other one.
            Change("tie_word_embeddings", {"tie_word_embeddings": True}),
            Change("metadata", metadata),
            Change("rope_scaling.default", {"rope_scaling": {"rope_type": "default"}}),
        ),
        unsupported=(
            Change("rope_scaling.proportional", {"rope_scaling": {"rope_type": "proportional", "factor": 2.0}}),
            *edits(hidden_act="quick_gelu", partial_rotary_factor=0.5),
        ),
    )


def grouped_tied() -> Variant:
    return Variant(
        name="llama-grouped-tied",
        about="grouped-query attention (2 key/value heads for 4), large rope_theta, tied head, bfloat16 file: Llama 3 type",
        seed=1002,
        config=base_config(
            hidden_size=40,
            intermediate_size=46,
            num_key_value_heads=2,
            rope_theta=500000.0,
            rope_scaling=None,
            tie_word_embeddings=True,
            vocab_size=113,
            torch_dtype="bfloat16",
        ),
        moves=(
            Change("rms_norm_eps", {"rms_norm_eps": 0.03}),
            Change("rope_theta", {"rope_theta": 10000.0}),
            Change("num_attention_heads", {"num_attention_heads": 2, "num_key_value_heads": 1}),
        ),
    )


def llama3_rope() -> Variant:
    # Head dimension 16 and theta 10000 give wavelengths 6.3, 20, 63, 199, ...: with the bounds 16 and 64 some are kept,
    # some blended and some divided by the factor, and the positions of the tests (up to 31) see all three.
    scaling = {
        "factor": 8.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 64,
    }
    config = base_config(
        hidden_size=48,
        intermediate_size=40,
        num_attention_heads=3,
        num_key_value_heads=1,
        rope_theta=10000.0,
        rope_scaling=scaling | {"rope_type": "llama3"},
        torch_dtype="bfloat16",
        vocab_size=101,
    )
    bare = without(config, "rope_theta", "rope_scaling")
    return Variant(
        name="llama-rope-llama3",
        about="`llama3` rope scaling with all three frequency bands in use, one key/value head, bfloat16 file: Llama 3.1 type",
        seed=1003,
        config=config,
        forms={
            "config.rope_type_as_type.json": config | {"rope_scaling": scaling | {"type": "llama3"}},
            "config.rope_parameters.json": bare
            | {"rope_parameters": scaling | {"rope_theta": 10000.0, "rope_type": "llama3"}},
        },
        moves=tuple(
            Change(f"rope_scaling.{key}", {"rope_scaling": {key: value}})
            for key, value in (
                ("factor", 3.0),
                ("low_freq_factor", 2.5),
                ("high_freq_factor", 12.0),
                ("original_max_position_embeddings", 24),
            )
        )
        + (
            Change("rope_scaling", {"rope_scaling": None}),
            Change("rope_theta", {"rope_theta": 4000.0}),
            Change("rms_norm_eps", {"rms_norm_eps": 0.03}),
        ),
    )


def biased() -> Variant:
    return Variant(
        name="llama-biases",
        about="attention_bias and mlp_bias, bfloat16 file, configuration in the form of transformers 5",
        seed=1004,
        config=base_config(
            attention_bias=True,
            mlp_bias=True,
            dtype="bfloat16",
            head_dim=8,
            num_key_value_heads=2,
            rope_parameters={"rope_theta": 20000.0, "rope_type": "default"},
        ),
        moves=(
            # The file still holds the biases: the key alone decides whether they are used.
            Change("attention_bias", {"attention_bias": False}),
            Change("mlp_bias", {"mlp_bias": False}),
            Change("rope_parameters.rope_theta", {"rope_parameters": {"rope_theta": 5000.0}}),
            Change("rms_norm_eps", {"rms_norm_eps": 0.03}),
        ),
    )


def wide_heads() -> Variant:
    return Variant(
        name="llama-head-dim",
        about="head_dim 16 given, other than hidden_size / heads (9), bfloat16 file",
        seed=1005,
        config=base_config(
            hidden_size=36,
            intermediate_size=36,
            head_dim=16,
            num_key_value_heads=2,
            rope_theta=10000.0,
            torch_dtype="bfloat16",
        ),
        first_seeds={"long": 1},
        moves=(
            Change("head_dim", {"head_dim": 32, "num_attention_heads": 2, "num_key_value_heads": 1}),
            Change("rope_theta", {"rope_theta": 2000.0}),
            Change("rms_norm_eps", {"rms_norm_eps": 0.03}),
        ),
    )


def sharded() -> Variant:
    return Variant(
        name="llama-sharded",
        about="three layers in three shards with an index, a layer split between shards, bfloat16 files",
        seed=1006,
        config=base_config(
            num_hidden_layers=3,
            intermediate_size=36,
            num_key_value_heads=2,
            rope_theta=10000.0,
            torch_dtype="bfloat16",
            vocab_size=127,
        ),
        shards=3,
        moves=(
            Change(
                "tie_word_embeddings", {"tie_word_embeddings": True}, {"weight_map": {"lm_head.weight": None}}
            ),
            Change("num_hidden_layers", {"num_hidden_layers": 2}),
            Change("rope_theta", {"rope_theta": 2000.0}),
        ),
    )


def half_precision() -> Variant:
    return Variant(
        name="llama-float16",
        about="float16 file, multi-head attention with three heads of 12",
        seed=1007,
        config=base_config(
            hidden_size=36,
            intermediate_size=42,
            num_attention_heads=3,
            num_key_value_heads=3,
            rope_theta=10000.0,
            torch_dtype="float16",
        ),
        dtype=torch.float16,
        moves=(Change("rope_theta", {"rope_theta": 2000.0}), Change("rms_norm_eps", {"rms_norm_eps": 0.03})),
    )


def linear_rope() -> Variant:
    config = base_config(
        rms_norm_eps=0.05,
        rope_theta=10000.0,
        rope_scaling={"factor": 4.0, "type": "linear"},
        num_key_value_heads=1,
        torch_dtype="bfloat16",
    )
    bare = without(config, "rope_theta", "rope_scaling")
    return Variant(
        name="llama-rope-linear",
        about="linear rope scaling in its form of 2023, an rms_norm_eps large enough to see, bfloat16 file",
        seed=1008,
        config=config,
        embedding_std=0.25,
        forms={
            "config.rope_type.json": config | {"rope_scaling": {"factor": 4.0, "rope_type": "linear"}},
            "config.rope_parameters.json": bare
            | {"rope_parameters": {"factor": 4.0, "rope_theta": 10000.0, "rope_type": "linear"}},
        },
        moves=(
            Change("rms_norm_eps", {"rms_norm_eps": 1e-5}),
            Change("rope_scaling.factor", {"rope_scaling": {"factor": 2.0}}),
            Change("rope_scaling", {"rope_scaling": None}),
            Change("rope_theta", {"rope_theta": 2000.0}),
        ),
    )


def dynamic_rope() -> Variant:
    # The base grows for inputs longer than 16, as the runs `long` are and `short` is not.
    scaling = {"factor": 3.0, "type": "dynamic"}
    config = base_config(
        hidden_size=48,
        intermediate_size=40,
        max_position_embeddings=16,
        num_attention_heads=3,
        num_key_value_heads=1,
        rope_scaling=scaling,
        rope_theta=500.0,
        torch_dtype="bfloat16",
        vocab_size=101,
    )
    return Variant(
        name="llama-rope-dynamic",
        about="`dynamic` rope scaling: a base that grows with the length of inputs beyond the context of 16",
        seed=1010,
        config=config,
        forms={
            "config.rope_parameters.json": without(config, "rope_theta", "rope_scaling")
            | {"rope_parameters": {"factor": 3.0, "rope_theta": 500.0, "rope_type": "dynamic"}},
        },
        moves=(
            *edits(rope_theta=2000.0, max_position_embeddings=24),
            Change("rope_scaling.factor", {"rope_scaling": {"factor": 6.0}}),
            Change("rope_scaling.default", {"max_position_embeddings": 64, "rope_scaling": {"type": "default"}}),
            Change("rope_scaling.linear", {"max_position_embeddings": 64, "rope_scaling": {"type": "linear"}}),
        ),
        keeps=edits(original_max_position_embeddings=8),
    )


def smollm2() -> Variant:
    return Variant(
        name="llama-smollm2",
        about="SmolLM2: keys of its published configuration that no other Llama has, tied head",
        seed=1009,
        config=base_config(
            hidden_size=24,
            intermediate_size=28,
            num_attention_heads=3,
            num_key_value_heads=1,
            is_llama_config=True,
            rope_interleaved=False,
            rope_scaling=None,
            rope_theta=100000,
            tie_word_embeddings=True,
            torch_dtype="bfloat16",
            transformers_version="4.40.1",
            vocab_size=43,
        )
        | {"transformers.js_config": {"kv_cache_dtype": {"fp16": "float16", "q4f16": "float16"}}},
        moves=edits(rms_norm_eps=0.03, rope_theta=2000.0),
    )


def variants() -> list[Variant]:
    """All but the last two keep more rows of logits and no gradients in bfloat16."""
    first = (
        plain(),
        grouped_tied(),
        llama3_rope(),
        biased(),
        wide_heads(),
        sharded(),
        half_precision(),
        linear_rope(),
    )
    kept = {"short": None, "long": 10}
    return [*(replace(each, rows=kept, gradient_in_bfloat16=False) for each in first), dynamic_rope(), smollm2()]
