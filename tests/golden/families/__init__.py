"""The cases of all families, one file a family."""

from __future__ import annotations

from families import gemma, gpt2, gpt_neox, granite, llama, mamba, mistral, olmo, opt, phi3, qwen, smollm
from variants import Variant

FAMILIES = (llama, gpt_neox, opt, olmo, mistral, qwen, smollm, phi3, gpt2, gemma, mamba, granite)


def all_variants() -> list[Variant]:
    return [variant for family in FAMILIES for variant in family.variants()]
