"""The Mamba of the ladder: in each layer a causal convolution and a selective scan between two projections, RMS norms."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from language_model import NORM_EPSILON, LanguageModel, scaled_normal
from scan import scan

EXPAND = 2
KERNEL = 4
DT_LOWEST, DT_HIGHEST = 1e-3, 1e-1


@dataclass(frozen=True)
class MambaSizes:
    """Width of the residual stream, layers, states a channel, rank of the step size; the output matrix is the embedding."""

    width: int
    layers: int
    states: int
    dt_rank: int


class Block(nn.Module):
    """One layer; the gate and the scanned half share the input matrix, as in the files of transformers."""

    def __init__(self, sizes: MambaSizes):
        super().__init__()
        inner = EXPAND * sizes.width
        self.split = [sizes.dt_rank, sizes.states, sizes.states]
        self.norm = nn.Parameter(torch.ones(sizes.width))
        self.into = nn.Linear(sizes.width, 2 * inner, bias=False)
        self.conv = nn.Parameter(torch.empty(inner, 1, KERNEL).uniform_(-(KERNEL**-0.5), KERNEL**-0.5))
        self.conv_bias = nn.Parameter(torch.zeros(inner))
        self.select = nn.Linear(inner, sum(self.split), bias=False)
        self.dt = nn.Linear(sizes.dt_rank, inner)
        self.a_log = nn.Parameter(torch.arange(1.0, sizes.states + 1).log().repeat(inner, 1))
        self.skip = nn.Parameter(torch.ones(inner))
        self.out = nn.Linear(inner, sizes.width, bias=False)
        for matrix, shrink in ((self.into, 1), (self.select, 1), (self.out, 2 * sizes.layers)):
            scaled_normal(matrix, shrink)
        with torch.no_grad():
            self.dt.weight.uniform_(-(sizes.dt_rank**-0.5), sizes.dt_rank**-0.5)
            # The bias is the inverse of softplus at step sizes drawn evenly on a logarithmic scale (Gu and Dao 2023, section 3.6).
            step = torch.empty(inner).uniform_(math.log(DT_LOWEST), math.log(DT_HIGHEST)).exp()
            self.dt.bias.copy_(step + torch.log(-torch.expm1(-step)))

    def matrices(self):
        return (self.into, self.out)

    def forward(self, x_btd):
        length = x_btd.shape[1]
        x, gate = self.into(F.rms_norm(x_btd, (x_btd.shape[-1],), self.norm, NORM_EPSILON)).chunk(2, -1)
        padded = F.pad(x, (0, 0, KERNEL - 1, 0))
        x = F.silu(sum(padded[:, k : k + length] * self.conv[:, 0, k] for k in range(KERNEL)) + self.conv_bias)
        dt, b, c = self.select(x).split(self.split, -1)
        # Step sizes and states stay in float32, where bf16 would lose the slow ones.
        dt = F.softplus((dt @ self.dt.weight.to(dt.dtype).t()).float() + self.dt.bias)
        y = scan(x.float(), dt, -self.a_log.exp().t(), b.float(), c.float()) + x * self.skip
        return x_btd + self.out(y * F.silu(gate))


class MambaModel(LanguageModel):
    """A Mamba language model."""

    FAMILY = "Mamba"

    def __init__(self, sizes: MambaSizes):
        super().__init__(sizes.width, (Block(sizes) for _ in range(sizes.layers)), tied=True)
        self.sizes = sizes

    def tensors(self):
        tensors = {"backbone.embeddings.weight": self.embedding.weight, "backbone.norm_f.weight": self.final_norm}
        for index, block in enumerate(self.blocks):
            at = f"backbone.layers.{index}."
            tensors |= {
                at + "norm.weight": block.norm,
                at + "mixer.in_proj.weight": block.into.weight,
                at + "mixer.conv1d.weight": block.conv,
                at + "mixer.conv1d.bias": block.conv_bias,
                at + "mixer.x_proj.weight": block.select.weight,
                at + "mixer.dt_proj.weight": block.dt.weight,
                at + "mixer.dt_proj.bias": block.dt.bias,
                at + "mixer.A_log": block.a_log,
                at + "mixer.D": block.skip,
                at + "mixer.out_proj.weight": block.out.weight,
            }
        return tensors

    def config(self):
        sizes = self.sizes
        return {
            "architectures": ["MambaForCausalLM"],
            "conv_kernel": KERNEL,
            "expand": EXPAND,
            "hidden_act": "silu",
            "hidden_size": sizes.width,
            "intermediate_size": EXPAND * sizes.width,
            "layer_norm_epsilon": NORM_EPSILON,
            "model_type": "mamba",
            "num_hidden_layers": sizes.layers,
            "residual_in_fp32": True,
            "state_size": sizes.states,
            "time_step_rank": sizes.dt_rank,
            "use_bias": False,
            "use_conv_bias": True,
        }

    def summary(self):
        sizes = self.sizes
        return f"{EXPAND * sizes.width} channels of {sizes.states} states, convolution of {KERNEL}, step sizes of rank {sizes.dt_rank}"
