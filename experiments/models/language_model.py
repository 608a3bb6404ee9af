"""What every model of the ladder shares: vocabulary, positions, the loss, and how its weights become a file and come back."""

import torch
import torch.nn.functional as F
from torch import nn

VOCABULARY = 1024
HEAD_WIDTH = 32
MAX_POSITIONS = 512
ROPE_THETA = 10000.0
NORM_EPSILON = 1e-5


class LanguageModel(nn.Module):
    """Embedding, layers, final norm and output matrix; a family gives the layers and the names of its tensors."""

    def __init__(self, width: int, blocks, tied: bool):
        super().__init__()
        self.width, self.tied = width, tied
        self.embedding = nn.Embedding(VOCABULARY, width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.blocks = nn.ModuleList(blocks)
        self.final_norm = nn.Parameter(torch.ones(width))
        self.head = None
        if not tied:
            self.head = nn.Linear(width, VOCABULARY, bias=False)
            nn.init.normal_(self.head.weight, std=0.02)

    def logits(self, ids_bt):
        """Logits [batch, length, VOCABULARY] of token ids [batch, length]."""
        x_btd = self.final(self.hidden(self.embedding(ids_bt)))
        return F.linear(x_btd, self.embedding.weight if self.head is None else self.head.weight)

    def hidden(self, x_btd):
        """The layers, one after the other."""
        for block in self.blocks:
            x_btd = block(x_btd)
        return x_btd

    def final(self, x_btd):
        """The norm before the output matrix: RMS, unless the family has another."""
        return F.rms_norm(x_btd, (self.width,), self.final_norm, NORM_EPSILON)

    def forward(self, ids_bt, targets_bt):
        """Mean cross-entropy in nats of the targets."""
        return F.cross_entropy(self.logits(ids_bt).float().view(-1, VOCABULARY), targets_bt.reshape(-1))

    def hidden_matrices(self):
        """The matrices inside the layers: those that Muon updates and weight decay shrinks."""
        return [matrix.weight for block in self.blocks for matrix in block.matrices()]

    def tensors(self) -> dict[str, torch.Tensor]:
        """Views of the weights under the names that transformers gives them; a tied head is left out, as in files of the hub."""
        raise NotImplementedError

    def config(self) -> dict:
        """The family's own keys of config.json, with those that both old and new releases of transformers read."""
        raise NotImplementedError

    def summary(self) -> str:
        """The layers in a line for the model card."""
        raise NotImplementedError

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Puts exported weights back, so that the loss is that of the file."""
        with torch.no_grad():
            for name, view in self.tensors().items():
                view.copy_(tensors[name])


def scaled_normal(matrix: nn.Linear, shrink: float = 1.0) -> None:
    """Draws a matrix so that its products keep the variance of their inputs, divided by `shrink`."""
    nn.init.normal_(matrix.weight, std=(matrix.in_features * shrink) ** -0.5)


class Rotary(nn.Module):
    """Rotary positions for the first `width` entries of every head, halves paired."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width
        frequencies = ROPE_THETA ** (-torch.arange(0, width, 2) / width)
        angles = torch.arange(MAX_POSITIONS)[:, None] * frequencies
        angles = torch.cat([angles, angles], -1)[:, None]
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x_bthd):
        """Turned queries or keys [batch, length, heads, HEAD_WIDTH]."""
        length = x_bthd.shape[1]
        turned, rest = x_bthd.split([self.width, HEAD_WIDTH - self.width], -1)
        first, second = turned.chunk(2, -1)
        turned = turned * self.cos[:length] + torch.cat([-second, first], -1) * self.sin[:length]
        return torch.cat([turned, rest], -1) if rest.shape[-1] else turned


def attend(q_bthd, k_bthd, v_bthd):
    """Causal attention [batch, length, heads * HEAD_WIDTH]; written out for the CPU compiler, whose fused loops are faster."""
    q, k, v = (part.transpose(1, 2) for part in (q_bthd, k_bthd, v_bthd))
    share = q.shape[1] // k.shape[1]
    if share > 1:
        k, v = k.repeat_interleave(share, 1), v.repeat_interleave(share, 1)
    length = q.shape[2]
    if q.is_cuda or not torch.compiler.is_compiling():
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    else:
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        scores = (q @ k.transpose(-1, -2)) * HEAD_WIDTH**-0.5
        mixed = torch.softmax(scores.float().masked_fill(future, float("-inf")), -1).to(v.dtype) @ v
    return mixed.transpose(1, 2).reshape(q.shape[0], length, -1)
