"""The models that ship with memcap: three Llama-type sizes, and a GPT-NeoX and a Mamba of about the size of the middle one."""

from dataclasses import dataclass

from language_model import LanguageModel
from llama import LlamaModel, LlamaSizes
from mamba import MambaModel, MambaSizes
from neox import NeoxModel, NeoxSizes


@dataclass(frozen=True)
class Rung:
    """One model: its family, its sizes, its peak learning rate, and the tokens of its shipped export."""

    name: str
    family: type[LanguageModel]
    sizes: LlamaSizes | NeoxSizes | MambaSizes
    learning_rate: float
    tokens: int

    def build(self) -> LanguageModel:
        """A fresh model, drawn from torch's global generator."""
        return self.family(self.sizes)


LADDER = {
    rung.name: rung
    for rung in (
        Rung("ink-64", LlamaModel, LlamaSizes(64, 4, 2, 2, 192, True), 4e-3, 60_000_000),
        Rung("ink-128", LlamaModel, LlamaSizes(128, 6, 4, 2, 384, False), 3e-3, 25_000_000),
        Rung("ink-192", LlamaModel, LlamaSizes(192, 8, 6, 6, 512, True), 2.5e-3, 12_000_000),
        Rung("ink-128-neox", NeoxModel, NeoxSizes(128, 6, 4, 512), 3e-3, 25_000_000),
        Rung("ink-128-mamba", MambaModel, MambaSizes(128, 11, 16, 8), 3e-3, 12_000_000),
    )
}
