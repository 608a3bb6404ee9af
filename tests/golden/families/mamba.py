"""Mamba and Mamba-2 checkpoints."""

from __future__ import annotations

from variants import Change, Variant, edits, without


def mamba_config(**overrides) -> dict:
    """The keys of a published Mamba's config.json (state-spaces/mamba-130m-hf)."""
    return {
        "architectures": ["MambaForCausalLM"],
        "bos_token_id": 0,
        "conv_kernel": 4,
        "d_inner": 40,
        "d_model": 20,
        "eos_token_id": 0,
        "expand": 2,
        "fused_add_norm": True,
        "hidden_act": "silu",
        "hidden_size": 20,
        "initializer_range": 0.1,
        "intermediate_size": 40,
        "layer_norm_epsilon": 1e-05,
        "model_type": "mamba",
        "n_layer": 2,
        "num_hidden_layers": 2,
        "pad_token_id": 0,
        "pad_vocab_size_multiple": 8,
        "rescale_prenorm_residual": False,
        "residual_in_fp32": True,
        "rms_norm": True,
        "ssm_cfg": {},
        "state_size": 6,
        "time_step_floor": 0.0001,
        "time_step_init_scheme": "random",
        "time_step_max": 0.1,
        "time_step_min": 0.001,
        "time_step_rank": 3,
        "time_step_scale": 1.0,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.39.0.dev0",
        "use_bias": False,
        "use_cache": True,
        "use_conv_bias": True,
        "vocab_size": 43,
    } | overrides


def mamba() -> Variant:
    config = mamba_config()
    originals = ("d_inner", "d_model", "fused_add_norm", "n_layer", "pad_vocab_size_multiple", "rms_norm", "ssm_cfg")
    return Variant(
        name="mamba",
        about="Mamba 130m type: convolution with bias, projections without, 6 states a channel, head tied by default",
        seed=2001,
        config=config,
        forms={
            "config.new.json": without(config, *originals, "torch_dtype", "intermediate_size")
            | {"dtype": "bfloat16", "tie_word_embeddings": True, "use_associative_scan": True}
            | {"use_mambapy": False},
            "config.minimal.json": without(
                config,
                *(*originals, "conv_kernel", "expand", "hidden_act", "intermediate_size", "use_bias"),
                *("layer_norm_epsilon", "residual_in_fp32", "use_conv_bias"),
            ),
        },
        moves=edits(layer_norm_epsilon=0.05, num_hidden_layers=1, use_conv_bias=False),
        keeps=(
            Change("metadata", {"residual_in_fp32": False, "time_step_min": 0.01, "time_step_max": 0.2}),
            Change("original_keys", {"rms_norm": False, "n_layer": 5, "fused_add_norm": False}),
        ),
        unsupported=edits(hidden_act="quick_gelu"),
    )


def mamba_biases() -> Variant:
    return Variant(
        name="mamba-biases",
        about="Mamba with biases in its projections, none in the convolution, `auto` rank, kernel of 3, expand 3, untied head",
        seed=2002,
        config=without(
            mamba_config(
                conv_kernel=3,
                expand=3,
                num_hidden_layers=2,
                state_size=4,
                tie_word_embeddings=False,
                time_step_rank="auto",
                use_bias=True,
                use_conv_bias=False,
            ),
            *("d_inner", "d_model", "fused_add_norm", "intermediate_size", "n_layer", "pad_vocab_size_multiple"),
            *("rms_norm", "ssm_cfg"),
        ),
        moves=edits(use_bias=False, layer_norm_epsilon=0.05),
    )


def mamba2_config(**overrides) -> dict:
    return {
        "architectures": ["Mamba2ForCausalLM"],
        "bos_token_id": 0,
        "chunk_size": 8,
        "conv_kernel": 4,
        "eos_token_id": 0,
        "expand": 2,
        "head_dim": 10,
        "hidden_act": "silu",
        "hidden_size": 20,
        "initializer_range": 0.1,
        "layer_norm_epsilon": 1e-05,
        "model_type": "mamba2",
        "n_groups": 1,
        "num_heads": 4,
        "num_hidden_layers": 2,
        "pad_token_id": 0,
        "rescale_prenorm_residual": False,
        "residual_in_fp32": True,
        "rms_norm": True,
        "state_size": 6,
        "tie_word_embeddings": True,
        "time_step_floor": 0.0001,
        "time_step_limit": [0.0, {"__float__": "Infinity"}],
        "time_step_max": 0.1,
        "time_step_min": 0.001,
        "time_step_rank": 2,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.44.0.dev0",
        "use_bias": False,
        "use_cache": True,
        "use_conv_bias": True,
        "vocab_size": 43,
    } | overrides


def mamba2() -> Variant:
    config = mamba2_config()
    return Variant(
        name="mamba2",
        about="Mamba-2 130m type: one group for four heads, chunks of 8 positions, unlimited time steps, tied head",
        seed=2003,
        config=config,
        forms={
            # As transformers wrote it in 2024; json.dumps writes the infinity without quotes, which is no JSON.
            "config.infinity.json": config | {"norm_before_gate": True, "time_step_limit": [0.0, float("inf")]},
            "config.minimal.json": without(
                config,
                *("conv_kernel", "expand", "hidden_act", "layer_norm_epsilon", "residual_in_fp32", "rms_norm"),
                *("time_step_limit", "time_step_rank", "use_bias", "use_conv_bias"),
            ),
        },
        moves=(
            *edits(layer_norm_epsilon=0.05, num_hidden_layers=1, use_conv_bias=False),
            *edits(time_step_limit=[0.25, 0.4]),
            Change("time_step_limit.upper", {"time_step_limit": [0.0, 0.3]}),
        ),
        keeps=(Change("metadata", {"residual_in_fp32": False, "norm_before_gate": False, "rms_norm": False}),),
        unsupported=edits(hidden_act="quick_gelu"),
    )


def mamba2_groups() -> Variant:
    return Variant(
        name="mamba2-groups",
        about="Mamba-2 with two groups, also in its norm, limited time steps, biases in its projections only, untied head",
        seed=2004,
        config=without(mamba2_config(), "rms_norm", "tie_word_embeddings", "time_step_rank")
        | {
            "chunk_size": 5,
            "conv_kernel": 3,
            "n_groups": 2,
            "state_size": 4,
            "time_step_limit": [0.2, 0.5],
            "use_bias": True,
            "use_conv_bias": False,
        },
        moves=edits(use_bias=False, time_step_limit=[0.0, 0.5]),
    )


def variants() -> list[Variant]:
    return [mamba(), mamba_biases(), mamba2(), mamba2_groups()]
