"""The paper's experiment files against the paper: names, numbers of trials, lengths, published values, model descriptions."""

import csv
import itertools
import json
import os
import re
import unittest

import yaml
from support import ROOT

os.environ.update({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1"})
from transformers import AutoConfig  # noqa: E402

PAPER = ROOT / "experiments" / "paper"
PUBLISHED = ROOT / "analysis" / "memcap_analysis" / "paper"
FILES = {path.name: path for path in sorted(PAPER.glob("*.yaml"))}
CONFIGS = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(PAPER.glob("models/*/config.json"))}
AXES = {"models", "corpora", "memory_vectors", "lengths", "seeds", "protocols", "precision", "prefix"}
# The longest random text by model (the paper's scripts); 1280 for all others.
RANDOM_MAXIMUM = {"pythia-160m": 256, "mamba-130m-hf": 256, "mamba-370m-hf": 512, "pythia-410m": 768,
                  "Meta-Llama-3.1-8B": 1024, "Sheared-LLaMA-1.3B": 1024}
# Computed by autocast in the paper; all others in float32.
BFLOAT16 = ("Llama-", "Meta-Llama-", "Sheared-LLaMA-", "OLMo-")
# Keys of 2023 that transformers has under other names today.
RENAMED = {"torch_dtype", "rope_theta", "rope_scaling", "rotary_pct", "rotary_emb_base"}
# Parameters beside the two embedding matrices, as the cards of the models state them.
PYTHIA_CARDS = {"pythia-160m": 85_056_000, "pythia-410m": 302_311_424, "pythia-1.4b": 1_208_602_624, "pythia-2.8b": 2_517_652_480}


def load(name):
    return yaml.safe_load(FILES[name].read_text(encoding="utf-8"))


def values(sweep, axis, default=None):
    value = sweep.get(axis, default)
    return value if isinstance(value, list) else [value]


def lengths_of(sweep):
    """The grid; one drawn length a sample counts as one."""
    return ["drawn"] if isinstance(sweep["lengths"], dict) else values(sweep, "lengths")


def trials(experiment):
    """The distinct rows that the sweeps lead to, less those with more vectors than tokens."""
    rows = set()
    for sweep in experiment["sweeps"]:
        axes = (values(sweep, "models"), values(sweep, "corpora"), values(sweep, "memory_vectors"), lengths_of(sweep), values(sweep, "seeds", 0),
                values(sweep, "protocols", "paper"), values(sweep, "precision", "float32"), values(sweep, "prefix", 0))
        for row in itertools.product(*axes):
            if row[3] == "drawn" or row[2] <= row[3]:
                rows.update((*row, sample) for sample in range(experiment["corpora"][row[1]]["samples"]))
    return rows


def bare(name):
    return name.rsplit("/", 1)[-1]


def published(table):
    with open(PUBLISHED / table, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def parameters(c):
    """Parameters of a model, from its description; shared matrices once."""
    kind, vocabulary, width, layers = c["architectures"][0], c["vocab_size"], c["hidden_size"], c["num_hidden_layers"]
    if kind == "MambaForCausalLM":
        inner, state, rank = c["intermediate_size"], c["state_size"], c["time_step_rank"]
        mixer = (2 * width * inner + inner * c["conv_kernel"] + inner + inner * (rank + 2 * state) + rank * inner + inner
                 + inner * state + inner + inner * width)
        return vocabulary * width + layers * (width + mixer) + width
    if kind == "OPTForCausalLM":
        embedded, inner = c["word_embed_proj_dim"], c["ffn_dim"]
        layer = 4 * width * (width + 1) + 2 * width * inner + inner + width + 4 * width
        projections = 2 * embedded * width if embedded != width else 0
        final_norm = 2 * width if c["do_layer_norm_before"] else 0
        return vocabulary * embedded + (c["max_position_embeddings"] + 2) * width + layers * layer + projections + final_norm
    inner = c["intermediate_size"]
    if kind == "GPTNeoXForCausalLM":
        return 2 * vocabulary * width + layers * (4 * width * (width + 1) + 2 * width * inner + inner + width + 4 * width) + 2 * width
    head = c.get("head_dim", width // c["num_attention_heads"])
    queries, keys = head * c["num_attention_heads"], head * c["num_key_value_heads"]
    norm = 0 if kind == "OlmoForCausalLM" else width
    return (1 if c["tie_word_embeddings"] else 2) * vocabulary * width + layers * (2 * width * (queries + keys) + 3 * width * inner + 2 * norm) + norm


class Files(unittest.TestCase):
    def test_names_only_what_is_declared_and_declare_only_what_is_used(self):
        for name in FILES:
            experiment = load(name)
            self.assertEqual(experiment["experiment"], f"paper-{name.removesuffix('.yaml')}")
            used = {"models": set(), "corpora": set(), "protocols": {"paper"}}
            for sweep in experiment["sweeps"]:
                self.assertLessEqual(set(sweep), AXES, name)
                for section, names in used.items():
                    names.update(values(sweep, section, "paper"))
            self.assertEqual(used["models"], set(experiment["models"]), name)
            self.assertEqual(used["corpora"], set(experiment["corpora"]), name)
            self.assertEqual(used["protocols"], {"paper", *experiment.get("protocols", {})}, name)

    def test_each_model_has_a_folder_of_its_name_and_a_description(self):
        described = set()
        for name in FILES:
            for model, entry in load(name)["models"].items():
                self.assertEqual(entry["path"], f"${{MODELS}}/{model}", name)
                self.assertIn(model, CONFIGS, name)
                described.add(model)
        self.assertEqual(described, set(CONFIGS))

    def test_texts_are_the_papers(self):
        for name in FILES:
            for corpus, entry in load(name)["corpora"].items():
                self.assertTrue(entry.get("path", entry.get("vocabulary", "")).startswith("${CORPORA}/"), name)
                if corpus in ("pg19", "fanfics"):
                    self.assertEqual((entry["kind"], entry["part"], entry["joined"], entry["sentences"], entry["samples"]),
                                     ("csv", "second_half", "space", "punkt", 50))

    def test_precision_is_the_papers(self):
        for name in FILES:
            for sweep in load(name)["sweeps"]:
                for model in values(sweep, "models"):
                    self.assertEqual(sweep["precision"], "bfloat16" if model.startswith(BFLOAT16) else "float32", f"{name}: {model}")

    def test_inputs_fit_the_models(self):
        for name in FILES:
            for sweep in load(name)["sweeps"]:
                longest = max(sweep["lengths"]["uniform"] if isinstance(sweep["lengths"], dict) else values(sweep, "lengths"))
                positions = max(values(sweep, "memory_vectors")) + max(values(sweep, "prefix", 0)) + longest - 1
                for model in values(sweep, "models"):
                    self.assertLessEqual(positions, CONFIGS[model].get("max_position_embeddings", positions), f"{name}: {model}")

    def test_the_readme_lists_each_file_with_its_models_and_trials(self):
        lines = re.findall(r"^\| \[([\w.-]+)\]\(\1\) \|.*\| ([\d,]+) \| ([\d,]+) \|[^|]*\|$", (PAPER / "README.md").read_text(encoding="utf-8"), re.M)
        listed = {name: (int(models), int(count.replace(",", ""))) for name, models, count in lines}
        counted = {name: (len(load(name)["models"]), len(trials(load(name)))) for name in FILES}
        self.assertEqual(listed, counted)

    def test_lists_of_lengths_rise(self):
        for name in FILES:
            for sweep in load(name)["sweeps"]:
                self.assertEqual(lengths_of(sweep), sorted(set(lengths_of(sweep))), name)


class PublishedNumbers(unittest.TestCase):
    def sweep_of(self, name, model, vectors):
        found = [sweep for sweep in load(name)["sweeps"] if model in values(sweep, "models") and vectors in values(sweep, "memory_vectors")]
        self.assertEqual(len(found), 1, f"{name}: {model}, {vectors}")
        return found[0]

    def assert_brackets(self, sweep, capacity, what):
        lengths = lengths_of(sweep)
        self.assertIn(capacity, lengths, what)
        self.assertLess(lengths[0], capacity, what)
        self.assertLess(capacity, lengths[-1], what)

    def test_table_1_is_quoted_and_bracketed_for_each_model(self):
        for row in published("table1.csv"):
            name, model = f"table1-{row['corpus']}.yaml", bare(row["model"])
            quote = (f"{row['max_length_tokens']}; {row['token_gain_mean']} +- {row['token_gain_std']}; "
                     f"{row['information_gain_nats_mean']} +- {row['information_gain_nats_std']}")
            self.assertIn(quote, FILES[name].read_text(encoding="utf-8"), f"{name}: {model}")
            sweep = self.sweep_of(name, model, 1)
            if row["corpus"] == "random":
                self.assertEqual(sweep["lengths"], {"uniform": [2, RANDOM_MAXIMUM.get(model, 1280)]}, model)
            else:
                self.assert_brackets(sweep, int(row["max_length_tokens"]), f"{name}: {model}")

    def test_table_1_covers_all_models_on_each_corpus(self):
        for corpus in ("pg19", "fanfics", "random"):
            self.assertEqual(set(load(f"table1-{corpus}.yaml")["models"]), set(CONFIGS))

    def test_figure_4_is_quoted_and_bracketed_for_each_number_of_vectors(self):
        text = FILES["figure4-vectors.yaml"].read_text(encoding="utf-8")
        for row in published("multivector.csv"):
            model, vectors, capacity = bare(row["model"]), int(row["memory_vectors"]), int(row["max_length_tokens"])
            sweep = self.sweep_of("figure4-vectors.yaml", model, vectors)
            if not row["token_gain_mean"]:
                self.assertEqual(lengths_of(sweep)[-1], capacity)
                self.assertEqual(vectors + capacity, CONFIGS[model]["max_position_embeddings"])
                continue
            self.assertIn(f"{capacity}; {row['token_gain_mean']} +- {row['token_gain_std']}; {row['information_gain_nats_mean']} +- "
                          f"{row['information_gain_nats_std']}", text)
            self.assert_brackets(sweep, capacity, f"{model}, {vectors}")

    def test_golden_numbers_are_of_what_golden_yaml_measures(self):
        readme = (PAPER / "README.md").read_text(encoding="utf-8")
        lines = re.findall(r"^\| ([\w.-]+) \| (\d+: [\d., :]+) \|$", readme, re.M)
        listed = {(model, int(length)) for model, numbers in lines for length in re.findall(r"(\d+): \d\.\d{4}\b", numbers)}
        measured = {(row[0], row[3]) for row in trials(load("golden.yaml"))}
        self.assertEqual(measured - listed, {("Sheared-LLaMA-1.3B", 64)})  # single texts only
        self.assertEqual(listed - measured, set())


class Descriptions(unittest.TestCase):
    def test_widths_and_vocabularies_are_those_of_table_1(self):
        for row in published("table1.csv"):
            config = CONFIGS[bare(row["model"])]
            self.assertEqual((config["hidden_size"], config["vocab_size"]), (int(row["hidden_size"]), int(row["vocab_size"])), row["model"])

    def test_parameters_are_those_of_the_model_cards(self):
        for model, count in PYTHIA_CARDS.items():
            config = CONFIGS[model]
            self.assertEqual(parameters(config) - 2 * config["vocab_size"] * config["hidden_size"], count, model)
        for model, billions in {"Llama-3.2-1B": 1.24, "Llama-3.2-3B": 3.21, "Meta-Llama-3.1-8B": 8.03}.items():
            self.assertAlmostEqual(parameters(CONFIGS[model]) / 1e9, billions, delta=.005)

    def test_the_readme_states_parameters_widths_contexts_and_types(self):
        lines = re.findall(r"^\| \[([\w.-]+)\]\(\1/config.json\) \| \S+/(\S+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+|any) \| (\w+) \|$",
                           (PAPER / "models" / "README.md").read_text(encoding="utf-8"), re.M)
        listed = {model: tuple(entry.replace(",", "") for entry in entries) for model, *entries in lines}
        expected = {model: (model, str(parameters(config)), str(config.get("word_embed_proj_dim", config["hidden_size"])),
                            str(config.get("max_position_embeddings", "any")), config["torch_dtype"])
                    for model, config in CONFIGS.items()}
        self.assertEqual(listed, expected)

    def test_transformers_knows_each_key_and_understands_the_rotary_ones(self):
        for model, config in CONFIGS.items():
            read = AutoConfig.from_pretrained(PAPER / "models" / model)
            self.assertEqual(set(config) - set(type(read)().to_dict()) - RENAMED, set(), model)
            rotary = getattr(read, "rope_parameters", None) or {}
            for ours, theirs in (("rope_theta", "rope_theta"), ("rotary_emb_base", "rope_theta"), ("rotary_pct", "partial_rotary_factor")):
                if ours in config:
                    self.assertEqual(rotary[theirs], config[ours], f"{model}: {ours}")
            self.assertLessEqual((config.get("rope_scaling") or {}).items(), rotary.items(), model)


if __name__ == "__main__":
    unittest.main()
