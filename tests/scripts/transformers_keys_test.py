"""scripts/transformers_keys.py finds what a model reads, and the table in the sources is what it finds."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "scripts/transformers_keys.py"
sys.path.insert(0, str(SCRIPT.parent))
import transformers_keys  # noqa: E402

INSTALLED = sorted((ROOT / ".venv").glob("*/lib/python3*/site-packages/transformers"))

CONFIGURATION = """
class LlamaConfig(PreTrainedConfig):
    model_type = "llama"
    attribute_map = {"width": "hidden_size"}
    hidden_size: int = 8
    hidden_dropout: float = 0.0
    note: str = ""
    pattern: int = 3

    def __post_init__(self, **kwargs):
        self.taken = kwargs.pop("old_name", 1)
        self.layers = [self.pattern]
"""
MODELLING = """
class LlamaModel:
    def __init__(self, config):
        self.config = config
        self.size = config.hidden_size
        self.drop = config.hidden_dropout

    def forward(self, x):
        return x * self.config.scale + getattr(self.config, "shift", 0) + self.config.use_cache

    def _init_weights(self, module):
        self.config.spread


class LlamaForTokenClassification:
    def __init__(self, config):
        self.head = config.head_kind
"""


def tree(folder):
    """The parts of a transformers package that matter for one model type."""
    model = folder / "models/llama"
    model.mkdir(parents=True)
    (model / "configuration_llama.py").write_text(CONFIGURATION)
    (model / "modeling_llama.py").write_text(MODELLING)
    return folder


class KeysOfAModel(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = tree(Path(temporary.name))

    def test_are_those_of_the_forward_pass_by_all_their_names(self):
        self.assertEqual(transformers_keys.reads(self.root, "llama", "LlamaConfig"),
                         {"hidden_size", "width", "scale", "shift", "old_name", "pattern"})

    def test_leave_the_others_of_the_class(self):
        written = transformers_keys.written(self.root, "llama", "LlamaConfig")
        self.assertLessEqual({"note", "hidden_dropout", "taken"}, written)


class TheTable(unittest.TestCase):
    def test_comes_back_as_it_was_written(self):
        rows = {"": ({"one"}, {f"key_{n}" for n in range(40)}), "llama": ({"hidden_size"}, set())}
        self.assertEqual(transformers_keys.rows_in(transformers_keys.render(rows)), rows)

    def test_is_replaced_where_it_stands(self):
        source = transformers_keys.TABLE.read_text()
        changed = transformers_keys.replaced(source, "    new\n")
        self.assertIn(transformers_keys.BEGIN + "    new\n" + transformers_keys.END, changed)
        rows = source[source.index(transformers_keys.BEGIN) + len(transformers_keys.BEGIN):
                      source.index(transformers_keys.END)]
        self.assertEqual(transformers_keys.replaced(changed, rows), source)

    def test_tells_what_it_lacks(self):
        rows = {"": (set(), set()), "llama": ({"hidden_size", "added"}, {"note"})}
        source = transformers_keys.render({"": (set(), set()), "llama": ({"hidden_size", "gone"}, set())})
        self.assertEqual(transformers_keys.lacks(rows, source),
                         ["llama: added is read by transformers", "llama: gone is not read by transformers",
                          "llama: note is not in the table"])

    @unittest.skipUnless(INSTALLED, "no transformers in .venv")
    def test_agrees_with_the_installed_version(self):
        done = subprocess.run([sys.executable, "-B", SCRIPT, "--check", INSTALLED[-1]], capture_output=True, text=True,
                              check=False)
        self.assertEqual((done.returncode, done.stdout), (0, "transformers_keys.cpp agrees\n"), done.stderr)


if __name__ == "__main__":
    unittest.main()
