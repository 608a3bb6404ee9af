"""OPT checkpoints: the pre-norm models, and the post-norm one with narrower embeddings (350m)."""

from __future__ import annotations

from variants import Change, Variant, edits, without


def opt_config(**overrides) -> dict:
    """The keys of a published OPT's config.json."""
    return {
        "_remove_final_layer_norm": False,
        "activation_dropout": 0.0,
        "activation_function": "relu",
        "architectures": ["OPTForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 2,
        "do_layer_norm_before": True,
        "dropout": 0.1,
        "eos_token_id": 2,
        "ffn_dim": 32,
        "hidden_size": 24,
        "init_std": 0.02,
        "layerdrop": 0.0,
        "max_position_embeddings": 32,
        "model_type": "opt",
        "num_attention_heads": 3,
        "num_hidden_layers": 2,
        "pad_token_id": 1,
        "prefix": "</s>",
        "torch_dtype": "bfloat16",
        "transformers_version": "4.21.0.dev0",
        "use_cache": True,
        "vocab_size": 43,
        "word_embed_proj_dim": 24,
    } | overrides


def pre_norm() -> Variant:
    config = opt_config()
    return Variant(
        name="opt-pre-norm",
        about="OPT 1.3B type: positions from row 2 on, ReLU, norms before attention and MLP, tied head",
        seed=1201,
        config=config,
        forms={
            "config.minimal.json": without(
                config,
                *("_remove_final_layer_norm", "activation_function", "do_layer_norm_before", "prefix"),
                *("word_embed_proj_dim", "torch_dtype"),
            ),
            "config.explicit.json": without(config, "prefix")
            | {"enable_bias": True, "layer_norm_elementwise_affine": True, "tie_word_embeddings": True}
            | {"dtype": "bfloat16", "word_embed_proj_dim": None},
        },
        moves=(
            *edits(do_layer_norm_before=False, _remove_final_layer_norm=True, enable_bias=False),
            *edits(layer_norm_elementwise_affine=False, num_attention_heads=2, num_hidden_layers=1),
            *edits(activation_function="gelu"),
        ),
        keeps=(Change("metadata", {"dropout": 0.0, "layerdrop": 0.1, "init_std": 0.006, "pad_token_id": 7}),),
        unsupported=edits(activation_function="quick_gelu"),
    )


def post_norm() -> Variant:
    return Variant(
        name="opt-350m",
        about="OPT 350m type: norms after attention and MLP, none at the end, narrow embeddings; names without `model.`",
        seed=1202,
        config=opt_config(
            do_layer_norm_before=False, num_attention_heads=2, vocab_size=47, word_embed_proj_dim=16
        ),
        renamed={"model.": ""},
        moves=edits(num_attention_heads=4, num_hidden_layers=1, enable_bias=False),
        # There is no norm at the end that could be removed.
        keeps=edits(_remove_final_layer_norm=True),
    )


def variants() -> list[Variant]:
    return [pre_norm(), post_norm()]
