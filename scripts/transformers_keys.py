"""Writes the table in src/hub/transformers_keys.cpp: the keys of config.json that transformers knows, by model type.

    python3 scripts/transformers_keys.py REFERENCE OLDER...     # writes it anew
    python3 scripts/transformers_keys.py --check REFERENCE      # says what it lacks of this version

Each argument is a folder `transformers` of sources, as an installed package or an unpacked wheel has it; nothing of
them runs. What the forward pass reads is taken from REFERENCE, the version of the golden values. What configurations
hold besides is taken from all of them, since the files that older versions wrote hold it.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import textwrap
from pathlib import Path

TABLE = Path(__file__).resolve().parent.parent / "src/hub/transformers_keys.cpp"
WIDTH = 110
BEGIN = "constexpr std::array kRows{\n"
END = "};\n// clang-format on\n"

# Model type: its folder and its configuration class.
MODEL_TYPES = {
    "gemma2": ("gemma2", "Gemma2Config"),
    "gemma3": ("gemma3", "Gemma3Config"),
    "gemma3_text": ("gemma3", "Gemma3TextConfig"),
    "gpt2": ("gpt2", "GPT2Config"),
    "gpt_neox": ("gpt_neox", "GPTNeoXConfig"),
    "granitemoehybrid": ("granitemoehybrid", "GraniteMoeHybridConfig"),
    "llama": ("llama", "LlamaConfig"),
    "mamba": ("mamba", "MambaConfig"),
    "mamba2": ("mamba2", "Mamba2Config"),
    "mistral": ("mistral", "MistralConfig"),
    "olmo": ("olmo", "OlmoConfig"),
    "olmo2": ("olmo2", "Olmo2Config"),
    "olmo3": ("olmo3", "Olmo3Config"),
    "opt": ("opt", "OPTConfig"),
    "phi3": ("phi3", "Phi3Config"),
    "qwen2": ("qwen2", "Qwen2Config"),
    "qwen3": ("qwen3", "Qwen3Config"),
    "qwen3_moe": ("qwen3_moe", "Qwen3MoeConfig"),
    "smollm3": ("smollm3", "SmolLM3Config"),
}

# Read for every model by what loads it or makes its masks, or once read there, so that weights were saved by it.
COMMON_READ = {
    "add_cross_attention",  # of version 4
    "compression_config",  # of version 4, now quantization_config
    "fusion_config",
    "is_causal",
    "per_layer_config",
    "pruned_heads",  # of version 4
    "quantization_config",
    "tie_word_embeddings",
    "transformers_weights",
}

# Read by models, and no number of a frozen decoder in float32 depends on them.
TRAINING = re.compile(r"dropout|_pdrop$|layerdrop|^init|^time_step_(min|max|floor|scale|init_scheme)$|^rescale_prenorm")
NEUTRAL = {
    "chunk_size",  # how Mamba-2 cuts its scan
    "chunk_size_feed_forward",
    "is_decoder",  # of a decoder alone: whether generation keeps a cache
    "num_labels",  # of classifiers
    "output_hidden_states",
    "output_attentions",
    "output_router_logits",  # adds to the loss of training
    "pad_token_id",  # the embedding's row without a gradient
    "problem_type",
    "reorder_and_upcast_attn",  # order of rounding
    "residual_in_fp32",
    "return_dict",
    "router_aux_loss_coef",
    "use_associative_scan",  # which kernel
    "use_cache",
    "use_mambapy",
}
NO_DECODER = re.compile(
    "ForSequenceClassification|ForTokenClassification|ForQuestionAnswering|DoubleHeads|SequenceSummary|Projector"
)
CONFIG_NAMES = {"config", "text_config"}

# Set by older versions than those given, by other parts of transformers or for other types of models.
ALWAYS_IDLE = {
    "_attn_implementation_autoset",  # set by from_pretrained of 4.4x
    "_name_or_path",
    "architectures",
    "attention_probs_dropout_prob",
    "attn_implementation",
    "auto_map",  # code of the publisher, which transformers leaves alone where it has its own
    "dtype",
    "gradient_checkpointing",  # training
    "hidden_dropout_prob",
    "model_type",
    "n_special",  # of 2.x, for GPT
    "_num_labels",
    "output_past",  # of 2.x, now use_cache
    "predict_special_tokens",
    "torch_dtype",
    "transformers_version",
    "xla_device",
}
# Attributes of objects in memory, never written.
INTERNAL = re.compile("^(_.*_tensor|_mask_length|_post_init_done|_from_model_config|_original_object_hash)$")


def is_config(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return node.id in CONFIG_NAMES
    return isinstance(node, ast.Attribute) and node.attr in CONFIG_NAMES


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def strings(nodes: list[ast.expr]) -> list[str]:
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def attributes_read(tree: ast.AST, is_object) -> set[str]:
    """Names read as object.name or getattr(object, "name")."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and is_object(node.value):
            found.add(node.attr)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            if is_object(node.args[0]):
                found.update(strings(node.args[1:2]))
    return found


def model_reads(file: Path) -> set[str]:
    """What the modelling code of a decoder takes from its configuration, initial weights aside."""
    tree = ast.parse(file.read_text())
    found = set()
    for part in tree.body:
        if isinstance(part, ast.ClassDef):
            if NO_DECODER.search(part.name):
                continue
            part.body = [item for item in part.body if getattr(item, "name", "") != "_init_weights"]
        found |= attributes_read(part, is_config)
    return found


def class_in(file: Path, name: str) -> ast.ClassDef | None:
    if not file.exists():
        return None
    tree = ast.parse(file.read_text())
    return next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)


def taken_from_arguments(function: ast.FunctionDef) -> set[str]:
    """kwargs.pop("name"), kwargs.get("name") and kwargs["name"]."""
    found = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("pop", "get"):
            if isinstance(node.func.value, ast.Name) and node.func.value.id == "kwargs":
                found.update(strings(node.args[:1]))
    return found


def set_in(function: ast.FunctionDef) -> set[str]:
    """Attributes of self that a function assigns."""
    return {
        node.attr
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value)
    }


def fields(definition: ast.ClassDef) -> set[str]:
    """Keys that a configuration class takes or writes."""
    found = set()
    for item in definition.body:
        if isinstance(item, ast.AnnAssign) and "ClassVar" not in ast.unparse(item.annotation):
            found.add(ast.unparse(item.target))
        elif isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == "attribute_map":
            found.update(strings(item.value.keys) + strings(item.value.values))
        elif isinstance(item, ast.FunctionDef):
            # Other functions' arguments are those of saving and downloading.
            if item.name in ("__init__", "__post_init__", "convert_rope_params_to_dict"):
                arguments = item.args.args + item.args.kwonlyargs
                found |= {argument.arg for argument in arguments} | taken_from_arguments(item) | set_in(item)
            elif any(ast.unparse(decorator).endswith(".setter") for decorator in item.decorator_list):
                found |= {item.name} | set_in(item)
            elif "generation" in item.name:
                found |= {key for node in ast.walk(item) if isinstance(node, ast.Dict) for key in strings(node.keys)}
    return found - {"self", "kwargs"}


def generation_fields(root: Path) -> set[str]:
    definition = class_in(root / "generation/configuration_utils.py", "GenerationConfig")
    return fields(definition) if definition else set()


def base_fields(root: Path) -> set[str]:
    file = root / "configuration_utils.py"
    definition = class_in(file, "PreTrainedConfig") or class_in(file, "PretrainedConfig")
    return fields(definition)


def rotary_keys(root: Path) -> set[str]:
    """Keys of rope_scaling or rope_parameters that the rotary code looks up or lists."""
    found = set()
    for node in ast.walk(ast.parse((root / "modeling_rope_utils.py").read_text())):
        if isinstance(node, ast.Subscript):
            found.update(strings([node.slice]))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("get", "pop", "setdefault"):
                found.update(strings(node.args[:1]))
        elif isinstance(node, ast.Set):
            found.update(strings(node.elts))
    return {name for name in found if re.fullmatch(r"[a-z_]+", name)}


def is_idle(name: str) -> bool:
    return bool(TRAINING.search(name)) or name in NEUTRAL or name.startswith("_attn_implementation")


def attribute_map(definition: ast.ClassDef) -> dict[str, str]:
    """Other names of keys."""
    for item in definition.body:
        if isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == "attribute_map":
            return ast.literal_eval(item.value)
    return {}


def reads(root: Path, folder: str, class_name: str) -> set[str]:
    """What the forward pass of a model type reads, by all its names."""
    file = root / f"models/{folder}/configuration_{folder}.py"
    definition = class_in(file, class_name)
    own = fields(definition)
    found = model_reads(root / f"models/{folder}/modeling_{folder}.py")
    # Two classes share a modelling file.
    if class_name == "Gemma3Config":
        found &= own
    elif class_name == "Gemma3TextConfig":
        found -= fields(class_in(file, "Gemma3Config")) - own
    # A class derives keys from others.
    found |= attributes_read(definition, is_self) & own
    functions = [item for item in definition.body if isinstance(item, ast.FunctionDef)]
    for function in functions:
        found |= taken_from_arguments(function)
    if "rope_parameters" in own:
        found |= {"rope_scaling", "rope_theta", "partial_rotary_factor", "original_max_position_embeddings"}
    for alias, name in attribute_map(definition).items():
        if alias in found or name in found:
            found |= {alias, name}
    methods = {function.name for function in functions} | {"get_text_config"}
    return {name for name in found if not is_idle(name)} - methods - COMMON_READ


def written(root: Path, folder: str, class_name: str) -> set[str]:
    definition = class_in(root / f"models/{folder}/configuration_{folder}.py", class_name)
    return fields(definition) - {"default_theta", "ignore_keys"} if definition else set()


def table(roots: list[Path]) -> dict[str, tuple[set[str], set[str]]]:
    """Model type: what is read, and what else its configuration knows; "" for what all models share."""
    common = ALWAYS_IDLE | NEUTRAL
    for root in roots:
        common |= base_fields(root) | generation_fields(root)
    common = {name for name in common if not INTERNAL.match(name) and not name.startswith("rope_")} - COMMON_READ
    rows = {"": (COMMON_READ, common), "rope_parameters": (rotary_keys(roots[0]), set())}
    for model_type, (folder, class_name) in MODEL_TYPES.items():
        read = reads(roots[0], folder, class_name)
        known = set().union(*(written(root, folder, class_name) for root in roots))
        rows[model_type] = (read, known - read - common - COMMON_READ)
    return rows


def literal(names: set[str], indent: str) -> str:
    """Names as one C++ string, in lines of the usual width."""
    lines = textwrap.wrap(" ".join(sorted(names)), WIDTH - len(indent) - 3) or [""]
    return f"\n{indent}".join(f'"{line} "' if line is not lines[-1] else f'"{line}"' for line in lines)


def render(rows: dict[str, tuple[set[str], set[str]]]) -> str:
    indent = " " * 9
    entries = [
        f'    Row{{"{model_type}",\n{indent}{literal(read, indent)},\n{indent}{literal(idle, indent)}}},'
        for model_type, (read, idle) in rows.items()
    ]
    return "\n".join(entries) + "\n"


def replaced(source: str, rows: str) -> str:
    """The C++ file with other rows."""
    begin = source.index(BEGIN) + len(BEGIN)
    return source[:begin] + rows + source[source.index(END) :]


def rows_in(source: str) -> dict[str, tuple[set[str], set[str]]]:
    """The table in the C++ file."""
    found = {}
    for row in re.findall(r"Row\{(.*?)\}", source, re.DOTALL):
        parts = ["".join(re.findall(r'"([^"]*)"', part)) for part in row.split(",")]
        found[parts[0]] = (set(parts[1].split()), set(parts[2].split()))
    return found


def lacks(rows: dict[str, tuple[set[str], set[str]]], source: str) -> list[str]:
    """How the C++ file differs from the first tree's reading, and what of its configurations it does not know."""
    held = rows_in(source)
    found = []
    for model_type, (read, idle) in rows.items():
        held_read, held_idle = held.get(model_type, (set(), set()))
        known = held_read | held_idle | held[""][0] | held[""][1]
        found += [f"{model_type}: {name} is {'read' if name in read else 'not read'} by transformers"
                  for name in sorted(read ^ held_read)]
        found += [f"{model_type}: {name} is not in the table" for name in sorted(idle - known)]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trees", nargs="+", type=Path, metavar="TREE")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    rows = table(options.trees)
    if not options.check:
        TABLE.write_text(replaced(TABLE.read_text(), render(rows)))
        return 0
    found = lacks(rows, TABLE.read_text())
    print("\n".join(found) if found else f"{TABLE.name} agrees")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
