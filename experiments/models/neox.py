"""The Pythia-type model of the ladder: GPT-NeoX with a parallel residual, a quarter of each head rotated, GELU, LayerNorm."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from language_model import HEAD_WIDTH, MAX_POSITIONS, NORM_EPSILON, ROPE_THETA, LanguageModel, Rotary, attend, scaled_normal

ROTATED_SHARE = 0.25


@dataclass(frozen=True)
class NeoxSizes:
    """Width of the residual stream, layers, heads of HEAD_WIDTH, width of the feed-forward layer; the output matrix is its own."""

    width: int
    layers: int
    heads: int
    ffn: int


class Block(nn.Module):
    """One layer: attention and feed-forward both read the layer's input; q, k and v lie head by head in one matrix."""

    def __init__(self, sizes: NeoxSizes, rotary: Rotary):
        super().__init__()
        self.heads = sizes.heads
        self.attention_norm = nn.LayerNorm(sizes.width, eps=NORM_EPSILON)
        self.ffn_norm = nn.LayerNorm(sizes.width, eps=NORM_EPSILON)
        self.qkv = nn.Linear(sizes.width, 3 * sizes.heads * HEAD_WIDTH)
        self.out = nn.Linear(sizes.heads * HEAD_WIDTH, sizes.width)
        self.up = nn.Linear(sizes.width, sizes.ffn)
        self.down = nn.Linear(sizes.ffn, sizes.width)
        self.rotary = rotary
        for matrix, shrink in ((self.qkv, 1), (self.up, 1), (self.out, 2 * sizes.layers), (self.down, 2 * sizes.layers)):
            scaled_normal(matrix, shrink)
            nn.init.zeros_(matrix.bias)

    def matrices(self):
        return (self.qkv, self.out, self.up, self.down)

    def forward(self, x_btd):
        batch, length, _ = x_btd.shape
        qkv = self.qkv(self.attention_norm(x_btd)).view(batch, length, self.heads, 3 * HEAD_WIDTH)
        q, k, v = qkv.chunk(3, -1)
        mixed = self.out(attend(self.rotary(q), self.rotary(k), v))
        return x_btd + mixed + self.down(F.gelu(self.up(self.ffn_norm(x_btd))))


class NeoxModel(LanguageModel):
    """A GPT-NeoX-type language model."""

    FAMILY = "GPT-NeoX"

    def __init__(self, sizes: NeoxSizes):
        rotary = Rotary(int(HEAD_WIDTH * ROTATED_SHARE))
        super().__init__(sizes.width, (Block(sizes, rotary) for _ in range(sizes.layers)), tied=False)
        self.final_bias = nn.Parameter(torch.zeros(sizes.width))
        self.sizes = sizes

    def final(self, x_btd):
        return F.layer_norm(x_btd, (self.width,), self.final_norm, self.final_bias, NORM_EPSILON)

    def tensors(self):
        tensors = {
            "gpt_neox.embed_in.weight": self.embedding.weight,
            "gpt_neox.final_layer_norm.weight": self.final_norm,
            "gpt_neox.final_layer_norm.bias": self.final_bias,
            "embed_out.weight": self.head.weight,
        }
        for index, block in enumerate(self.blocks):
            parts = {
                "input_layernorm": block.attention_norm,
                "post_attention_layernorm": block.ffn_norm,
                "attention.query_key_value": block.qkv,
                "attention.dense": block.out,
                "mlp.dense_h_to_4h": block.up,
                "mlp.dense_4h_to_h": block.down,
            }
            for name, part in parts.items():
                tensors[f"gpt_neox.layers.{index}.{name}.weight"] = part.weight
                tensors[f"gpt_neox.layers.{index}.{name}.bias"] = part.bias
        return tensors

    def config(self):
        sizes = self.sizes
        return {
            "architectures": ["GPTNeoXForCausalLM"],
            "attention_bias": True,
            "attention_dropout": 0.0,
            "hidden_act": "gelu",
            "hidden_dropout": 0.0,
            "hidden_size": sizes.width,
            "intermediate_size": sizes.ffn,
            "layer_norm_eps": NORM_EPSILON,
            "max_position_embeddings": MAX_POSITIONS,
            "model_type": "gpt_neox",
            "num_attention_heads": sizes.heads,
            "num_hidden_layers": sizes.layers,
            "rope_scaling": None,
            "rotary_emb_base": int(ROPE_THETA),
            "rotary_pct": ROTATED_SHARE,
            "use_parallel_residual": True,
        }

    def summary(self):
        return f"{self.sizes.heads} heads of {HEAD_WIDTH}, a quarter of each rotated, parallel residual, GELU of {self.sizes.ffn}"
