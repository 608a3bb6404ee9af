"""The Llama-type models of the ladder: grouped attention with rotary positions, SwiGLU, RMS norms."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from language_model import HEAD_WIDTH, MAX_POSITIONS, NORM_EPSILON, ROPE_THETA, LanguageModel, Rotary, attend, scaled_normal


@dataclass(frozen=True)
class LlamaSizes:
    """Width of the residual stream, layers, heads of HEAD_WIDTH, width of SwiGLU, and whether the output matrix is the embedding."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int
    tied: bool


class Block(nn.Module):
    """One pre-norm layer; q, k and v, and the two halves of SwiGLU, share a matrix each, for fewer and larger products."""

    def __init__(self, sizes: LlamaSizes, rotary: Rotary):
        super().__init__()
        self.heads, self.kv_heads = sizes.heads, sizes.kv_heads
        self.attention_norm = nn.Parameter(torch.ones(sizes.width))
        self.ffn_norm = nn.Parameter(torch.ones(sizes.width))
        self.qkv = nn.Linear(sizes.width, (sizes.heads + 2 * sizes.kv_heads) * HEAD_WIDTH, bias=False)
        self.out = nn.Linear(sizes.heads * HEAD_WIDTH, sizes.width, bias=False)
        self.gate_up = nn.Linear(sizes.width, 2 * sizes.ffn, bias=False)
        self.down = nn.Linear(sizes.ffn, sizes.width, bias=False)
        self.rotary = rotary
        for matrix, shrink in ((self.qkv, 1), (self.gate_up, 1), (self.out, 2 * sizes.layers), (self.down, 2 * sizes.layers)):
            scaled_normal(matrix, shrink)

    def matrices(self):
        return (self.qkv, self.out, self.gate_up, self.down)

    def forward(self, x_btd):
        batch, length, width = x_btd.shape
        normed = F.rms_norm(x_btd, (width,), self.attention_norm, NORM_EPSILON)
        qkv = self.qkv(normed).view(batch, length, self.heads + 2 * self.kv_heads, HEAD_WIDTH)
        qk, v = qkv.split([self.heads + self.kv_heads, self.kv_heads], 2)
        q, k = self.rotary(qk).split([self.heads, self.kv_heads], 2)
        x_btd = x_btd + self.out(attend(q, k, v))
        gate, up = self.gate_up(F.rms_norm(x_btd, (width,), self.ffn_norm, NORM_EPSILON)).chunk(2, -1)
        return x_btd + self.down(F.silu(gate) * up)


class LlamaModel(LanguageModel):
    """A Llama-type language model."""

    FAMILY = "Llama"

    def __init__(self, sizes: LlamaSizes):
        rotary = Rotary(HEAD_WIDTH)
        super().__init__(sizes.width, (Block(sizes, rotary) for _ in range(sizes.layers)), sizes.tied)
        self.sizes = sizes

    def tensors(self):
        rows = [self.sizes.heads * HEAD_WIDTH, self.sizes.kv_heads * HEAD_WIDTH, self.sizes.kv_heads * HEAD_WIDTH]
        tensors = {"model.embed_tokens.weight": self.embedding.weight, "model.norm.weight": self.final_norm}
        if self.head is not None:
            tensors["lm_head.weight"] = self.head.weight
        for index, block in enumerate(self.blocks):
            at = f"model.layers.{index}."
            q, k, v = block.qkv.weight.split(rows)
            gate, up = block.gate_up.weight.chunk(2)
            tensors |= {
                at + "input_layernorm.weight": block.attention_norm,
                at + "post_attention_layernorm.weight": block.ffn_norm,
                at + "self_attn.q_proj.weight": q,
                at + "self_attn.k_proj.weight": k,
                at + "self_attn.v_proj.weight": v,
                at + "self_attn.o_proj.weight": block.out.weight,
                at + "mlp.gate_proj.weight": gate,
                at + "mlp.up_proj.weight": up,
                at + "mlp.down_proj.weight": block.down.weight,
            }
        return tensors

    def config(self):
        sizes = self.sizes
        return {
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "head_dim": HEAD_WIDTH,
            "hidden_act": "silu",
            "hidden_size": sizes.width,
            "intermediate_size": sizes.ffn,
            "max_position_embeddings": MAX_POSITIONS,
            "mlp_bias": False,
            "model_type": "llama",
            "num_attention_heads": sizes.heads,
            "num_hidden_layers": sizes.layers,
            "num_key_value_heads": sizes.kv_heads,
            "rms_norm_eps": NORM_EPSILON,
            "rope_scaling": None,
            "rope_theta": ROPE_THETA,
        }

    def summary(self):
        sizes = self.sizes
        shared = f" with {sizes.kv_heads} key-value heads" if sizes.kv_heads < sizes.heads else ""
        return f"{sizes.heads} heads of {HEAD_WIDTH}{shared}, SwiGLU of {sizes.ffn}"
