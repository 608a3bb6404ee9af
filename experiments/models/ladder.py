"""The ladder of small Llama-type models: their sizes and recipes, and a lean PyTorch model to train them with."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

VOCABULARY = 1024
HEAD_WIDTH = 32
MAX_POSITIONS = 512
ROPE_THETA = 10000.0
NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class Rung:
    """One model of the ladder: its sizes, its peak learning rate, and the tokens of its shipped export."""

    name: str
    width: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int
    tied: bool
    learning_rate: float
    tokens: int


LADDER = {
    rung.name: rung
    for rung in (
        Rung("ink-64", 64, 4, 2, 2, 192, True, 4e-3, 60_000_000),
        Rung("ink-128", 128, 6, 4, 2, 384, False, 3e-3, 25_000_000),
        Rung("ink-192", 192, 8, 6, 6, 512, True, 2.5e-3, 12_000_000),
    )
}


class Block(nn.Module):
    """One pre-norm layer; q, k and v, and the two halves of SwiGLU, share a matrix each, for fewer and larger products."""

    def __init__(self, rung: Rung):
        super().__init__()
        self.heads, self.kv_heads = rung.heads, rung.kv_heads
        self.attention_norm = nn.Parameter(torch.ones(rung.width))
        self.ffn_norm = nn.Parameter(torch.ones(rung.width))
        self.qkv = nn.Linear(rung.width, (rung.heads + 2 * rung.kv_heads) * HEAD_WIDTH, bias=False)
        self.out = nn.Linear(rung.heads * HEAD_WIDTH, rung.width, bias=False)
        self.gate_up = nn.Linear(rung.width, 2 * rung.ffn, bias=False)
        self.down = nn.Linear(rung.ffn, rung.width, bias=False)
        for matrix, shrink in ((self.qkv, 1.0), (self.gate_up, 1.0), (self.out, 2 * rung.layers), (self.down, 2 * rung.layers)):
            nn.init.normal_(matrix.weight, std=(matrix.in_features * shrink) ** -0.5)

    def forward(self, x_btd, cos, sin):
        batch, length, width = x_btd.shape
        normed = F.rms_norm(x_btd, (width,), self.attention_norm, NORM_EPSILON)
        qkv = self.qkv(normed).view(batch, length, self.heads + 2 * self.kv_heads, HEAD_WIDTH)
        qk, v = qkv.split([self.heads + self.kv_heads, self.kv_heads], 2)
        first, second = qk.chunk(2, -1)
        qk = qk * cos + torch.cat([-second, first], -1) * sin
        q, k = qk.split([self.heads, self.kv_heads], 2)
        mixed = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        x_btd = x_btd + self.out(mixed.transpose(1, 2).reshape(batch, length, -1))
        gate, up = self.gate_up(F.rms_norm(x_btd, (width,), self.ffn_norm, NORM_EPSILON)).chunk(2, -1)
        return x_btd + self.down(F.silu(gate) * up)


def attend(q, k, v):
    """Causal attention over [batch, heads, length, HEAD_WIDTH]; written out for the CPU compiler, whose fused loops are faster."""
    share = q.shape[1] // k.shape[1]
    if share > 1:
        k, v = k.repeat_interleave(share, 1), v.repeat_interleave(share, 1)
    if q.is_cuda or not torch.compiler.is_compiling():
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    length = q.shape[2]
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    scores = (q @ k.transpose(-1, -2)) * HEAD_WIDTH**-0.5
    return torch.softmax(scores.float().masked_fill(future, float("-inf")), -1).to(v.dtype) @ v


class InkModel(nn.Module):
    """A Llama-type language model of one rung."""

    def __init__(self, rung: Rung):
        super().__init__()
        self.rung = rung
        self.embedding = nn.Embedding(VOCABULARY, rung.width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(rung) for _ in range(rung.layers))
        self.final_norm = nn.Parameter(torch.ones(rung.width))
        self.head = None
        if not rung.tied:
            self.head = nn.Linear(rung.width, VOCABULARY, bias=False)
            nn.init.normal_(self.head.weight, std=0.02)
        frequencies = ROPE_THETA ** (-torch.arange(0, HEAD_WIDTH, 2) / HEAD_WIDTH)
        angles = torch.arange(MAX_POSITIONS)[:, None] * frequencies
        angles = torch.cat([angles, angles], -1)[:, None]
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def logits(self, ids_bt):
        """Logits [batch, length, VOCABULARY] of token ids [batch, length]."""
        length = ids_bt.shape[1]
        x = self.embedding(ids_bt)
        for block in self.blocks:
            x = block(x, self.cos[:length], self.sin[:length])
        x = F.rms_norm(x, (x.shape[-1],), self.final_norm, NORM_EPSILON)
        return F.linear(x, self.embedding.weight if self.head is None else self.head.weight)

    def forward(self, ids_bt, targets_bt):
        """Mean cross-entropy in nats of the targets."""
        return F.cross_entropy(self.logits(ids_bt).float().view(-1, VOCABULARY), targets_bt.reshape(-1))

    def hidden_matrices(self):
        """The matrices inside the layers: those that Muon updates and weight decay shrinks."""
        return [matrix.weight for block in self.blocks for matrix in (block.qkv, block.out, block.gate_up, block.down)]
