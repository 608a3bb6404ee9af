"""The commands around a run: plan, status, describe, report, rebuild, merge, help and version."""

import json
import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

import h5py
import model_folders as damage

from rich_run import ESSAY_TRIALS, ESSAYS_SKIPPED, RANDOM_TRIALS, RichRun
from support import DEFECT, MODELS, ROOT, TEXTS, USAGE, EndToEnd, essays, ragged, random_words, table, trials

REFERENCE = ROOT / ".venv" / "reference" / "bin" / "python"
# Makes pickles of a folder's model.safetensors, as many as the second argument says.
PICKLE = """
import json, sys, torch
from pathlib import Path
from safetensors.torch import load_file
folder, count = Path(sys.argv[1]), int(sys.argv[2])
for old in folder.glob("pytorch_model*"):
    old.unlink()
tensors = load_file(folder / "model.safetensors")
(folder / "model.safetensors").unlink()
names = [f"pytorch_model-{i}.bin" for i in range(count)] if count > 1 else ["pytorch_model.bin"]
weight_map = {tensor: names[i % count] for i, tensor in enumerate(tensors)}
for name in names:
    torch.save({tensor: tensors[tensor] for tensor, file in weight_map.items() if file == name}, folder / name)
if count > 1:
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
"""
COMMANDS = ("run", "plan", "status", "rebuild", "merge", "verify", "decode", "describe", "report", "bench")
OPTIONS = {"run": ["--out", "--set", "--limit", "--retry-failed"], "plan": ["--json", "--bench"], "status": ["--json"],
           "merge": ["--self-contained"], "verify": ["--limit"], "decode": ["--trial"], "report": ["--out"],
           "bench": ["--shape", "--length", "--memory-vectors", "--precision", "--slots", "--threads", "--device", "--seconds", "--json"]}
ALL = ESSAY_TRIALS + RANDOM_TRIALS


def everything(file_path):
    """Path -> contents of each dataset of an HDF5 file."""
    found = {}
    with h5py.File(file_path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


class Help(EndToEnd):
    def test_tells_of_each_command_and_its_options(self):
        general = self.memcap("--help").stdout
        for command in COMMANDS:
            with self.subTest(command):
                self.assertRegex(general, rf"(?m)^  {command} ")
                said = self.memcap(command, "--help").stdout
                self.assertIn(f"usage: memcap {command} ", said)
                for option in OPTIONS.get(command, []):
                    self.assertIn(option, said)

    def test_tells_the_version_and_how_it_was_built(self):
        self.assertRegex(self.memcap("--version").stdout, r"^memcap \d+\.\d+\.\d+ .*\n.*libtorch \d")


class Plan(RichRun):
    def test_foresees_what_the_run_did(self):
        plan = json.loads(self.memcap("plan", self.file, "--json").stdout)
        self.assertEqual((plan["trials"], plan["rows"], plan["skipped"]), (ALL, ALL, ESSAYS_SKIPPED))
        self.assertEqual({pair["corpus"]: pair["trials"] for pair in plan["pairs"]},
                         {"essays": ESSAY_TRIALS, "random": RANDOM_TRIALS})
        self.assertEqual(sum(skip["count"] for skip in plan["skips"]), ESSAYS_SKIPPED)
        steps = int(table(self.run_folder)["evaluations"].sum())
        self.assertLessEqual(steps, plan["max_steps"])
        self.assertEqual(plan["max_steps"], ALL * 40)
        self.assertGreater(plan["max_hours"], 0)
        self.assertLess(plan["max_hours"], 1)
        self.assertGreater(plan["footprints"][0]["weights_bytes"], 279104 * 2)
        parts = [self.run_folder / "results.h5", *(self.run_folder / "journal").iterdir(), *(self.run_folder / "vectors").iterdir(),
                 *(self.run_folder / "tokens").iterdir()]
        written = sum(part.stat().st_size for part in parts)
        self.assertTrue(written <= plan["disk"]["bytes"] <= 4 * written, (written, plan["disk"]))

    def test_needs_neither_weights_nor_corpora_to_plan_the_papers_experiments(self):
        folder = ROOT / "experiments" / "paper"
        environment = {"MODELS": str(folder / "models"), "CORPORA": str(self.folder / "nowhere")}
        trials = {}
        for file in sorted(folder.glob("*.yaml")):
            with self.subTest(file.name):
                answer = self.memcap("plan", file, "--json", environment=environment)
                plan = json.loads(answer.stdout)
                trials[file.name] = plan["trials"]
                self.assertEqual((plan["rows"], plan["skipped"]), (plan["trials"], 0))
                self.assertIn("H200", plan["device"])
                self.assertGreater(plan["max_hours"], 0)
                self.assertTrue(all(footprint["slots"] > 0 for footprint in plan["footprints"]))
                self.assertIn("is not here", answer.stderr)
        # experiments/paper/README.md has the same counts.
        self.assertEqual((trials["table1-pg19.yaml"], trials["table1-random.yaml"], trials["repeat.yaml"]), (8850, 1500, 150))

    def test_counts_the_texts_that_are_there_without_a_tokenizer(self):
        model = self.folder / "model"
        shutil.copytree(MODELS / "ink-64", model, ignore=shutil.ignore_patterns("tokenizer*"))
        file = self.write(models={"ink-64": {"path": str(model)}}, corpora={"essays": essays("all")})
        done = self.memcap("plan", file, "--json", "--bench", "none")
        texts = len(list((TEXTS / "essays").glob("*.txt")))
        self.assertGreater(texts, 1)
        self.assertEqual(json.loads(done.stdout)["trials"], 4 * texts)
        self.assertIn("no tokenizer", done.stderr)

    def test_says_what_a_run_folder_has_done(self):
        done = f"{self.run_folder} has {ALL} of these trials done: nothing is left to run"
        self.assertIn(done, self.memcap("plan", self.file, "--out", self.run_folder, "--bench", "none").stdout)
        plan = json.loads(self.memcap("plan", self.file, "--out", self.run_folder, "--json", "--bench", "none", "--set",
                                      "sweeps.0.seeds=[0,7,9]").stdout)
        record = plan["record"]
        self.assertEqual((record["done"], record["failed"]), (ALL, 0))
        self.assertEqual(record["open"], plan["trials"] - ALL)
        self.assertGreater(record["open"], 0)
        self.assertLess(record["max_flops"], plan["max_flops"])
        self.assertEqual(record["max_steps"], record["open"] * 40)
        # Without --out it is the folder that a run would take, where there is nothing.
        self.assertIsNone(json.loads(self.memcap("plan", self.file, "--json", "--bench", "none").stdout)["record"])
        # Of a model that the folder does not know nothing is hashed, and no trial has an id.
        copy = self.folder / "copy"
        shutil.copytree(self.run_folder, copy)
        (copy / "hashes.json").unlink()
        said = self.memcap("plan", self.file, "--out", copy, "--bench", "none").stdout
        self.assertIn(f"{copy} has {ALL} trials done; which of these they are", said)

    def test_is_readable_and_leaves_nothing_behind(self):
        said = self.memcap("plan", self.file).stdout
        for expected in (f"{ALL} trials", f"{ESSAYS_SKIPPED} skipped", "K > N", "ink-64", "essays", "random"):
            self.assertIn(expected, said)
        self.assertEqual(list(self.folder.iterdir()), [])


class Status(EndToEnd):
    def test_follows_a_run_from_beginning_to_end(self):
        run = self.folder / "run"
        running = self.start(self.write(samples=6, max_steps=150, run={"threads": 1, "slots": 2}))
        seen = [self.wait_for_results(run, 2, running)]
        while running.poll() is None:
            status = self.status(run)
            self.assertEqual((status["planned"], status["failed"]), (24, 0))
            self.assertEqual(status["done"] + status["open"], 24)
            if status["running"] and status["open"]:
                self.assertGreater(status["trials_per_s"], 0)
                self.assertGreater(status["left_s"], 0)
            seen.append(status["done"])
        self.assertGreater(len(set(seen)), 2, "it moved while the run went on")
        self.assertEqual(seen, sorted(seen))
        status = self.status(run)
        self.assertEqual((status["done"], status["open"], status["running"]), (24, 0, False))
        self.assertIn("24 of 24 trials done", self.memcap("status", run).stdout)


class Describe(EndToEnd):
    def described(self, model, status=0, **values):
        """The lines of describe by their names; each value must be in the line of its name (_ for a blank)."""
        said = self.memcap("describe", model, status=status).stdout
        lines = {line[:18].strip(): line[18:] for line in said.splitlines()}
        self.assertEqual(list(lines)[-1], "verdict", said)
        self.assertEqual(lines["verdict"].startswith("can be loaded"), status == 0, said)
        for name, value in values.items():
            self.assertIn(value, lines[name.replace("_", " ")], said)
        return lines

    def amounts(self, text, unit):
        """The amounts of a unit in a line, without their prefixes."""
        prefixes = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
        return [float(number) * prefixes[prefix] for number, prefix in re.findall(rf"([\d.]+) ([kMGT]?){unit}\b", text)]

    def test_says_what_the_model_is(self):
        file = MODELS / "ink-64" / "model.safetensors"
        lines = self.described(
            MODELS / "ink-64", family="llama (LlamaForCausalLM)", parameters="0.279 million (embedding 0.066, blocks 0.214, head tied",
            memory_width="64", context="512 tokens", vocabulary="1024", tokenizer="tokenizer.json, tokenizers ",
            weights="38 tensors of bfloat16 in 1 file", checked="all tensors", verdict="can be loaded")
        self.assertNotIn("unread weights", lines)
        self.assertAlmostEqual(self.amounts(lines["to load"], "B")[0] / file.stat().st_size, 1, delta=0.005)

    def test_says_what_a_trial_costs(self):
        lines = self.described(MODELS / "ink-64", example_trial="K = 1, N = 128: 128 positions")
        # By the formulas of include/memcap/plan/cost.hpp: 4 layers 64 wide, 1024 tokens, 213 568 parameters in the blocks.
        step = 4 * 213_568 * 128 + 7 * 128**2 * 64 * 4 + 4 * 1024 * 64 * 127
        # Kept of a row and layer: two sums with their norms' factors, queries, keys and values, a number a head, gate and up.
        layer = 2 * (64 + 1) + 3 * 64 + 2 + 2 * 192
        slot = [4 * ((4 * layer + 1 + 2 * layer + 4 * 64) * 128 + 6 * 64)]
        for name, unit, expected in (("a step", "FLOP", [step]), ("the trial", "FLOP", [step * 5000]), ("its slot", "B", slot),
                                     ("in memory", "B", [(213_568 + 2 * 65_536) * width for width in (4, 2)])):
            found = self.amounts(lines[name], unit)
            self.assertEqual(len(found), len(expected), lines[name])
            for one, other in zip(found, expected):
                self.assertAlmostEqual(one / other, 1, delta=0.005, msg=lines[name])
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split()
        wide = "float16" if "avx512_bf16" in flags else "bfloat16 and float16"
        self.assertIn(f"in float32 (on this CPU also in {wide}), ", lines["in memory"])

    def test_makes_do_with_config_json_alone(self):
        lines = self.described(ROOT / "experiments" / "paper" / "models" / "opt-350m", USAGE, memory_width="512", context="2048 tokens",
                               tokenizer="missing", weights="missing: model.safetensors", to_load="about 662 MB of float16",
                               example_trial="N = 128", verdict="cannot be loaded: the tokenizer is missing; the weights are missing")
        self.assertNotIn("checked", lines)

    def test_says_what_is_missing(self):
        model = damage.copy_model(self.folder)
        (model / "tokenizer.json").unlink()
        (model / "model.safetensors").rename(model / "pytorch_model.bin")
        self.described(model, USAGE, tokenizer="missing", weights="missing: no safetensors file in the model folder (it has only pytorch_model.bin")

    def test_says_that_no_run_can_do_without_a_tokenizer(self):
        model = damage.copy_model(self.folder)
        file = model / "tokenizer.json"
        content = file.read_text(encoding="utf-8")
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4665\nsize 562176\n"
        for name, change, line, verdict in (
                ("broken", lambda: file.write_text(content[:1000], encoding="utf-8"), "cannot be loaded: ", "the tokenizer cannot be read"),
                ("a pointer", lambda: file.write_text(pointer, encoding="ascii"), "git lfs pull", "this is a Git LFS pointer"),
                ("missing", file.unlink, "missing", "the tokenizer is missing")):
            with self.subTest(name):
                change()
                self.described(model, USAGE, tokenizer=line, weights="38 tensors", example_trial="N = 128", checked="all tensors",
                               verdict=f"cannot be loaded: {verdict}")

    @unittest.skipUnless(REFERENCE.exists(), "torch and transformers are not in .venv/reference")
    def test_converts_pickled_weights_by_the_command_that_it_prints(self):
        model = damage.copy_model(self.folder, "it's pickled")
        for name, pickles in (("one file", 1), ("two files with an index", 2)):
            with self.subTest(name):
                shutil.copy(MODELS / "ink-64" / "model.safetensors", model)
                subprocess.run([REFERENCE, "-c", PICKLE, str(model), str(pickles)], check=True, capture_output=True)
                line = self.described(model, USAGE, weights="pytorch_model.bin")["weights"]
                command = line[line.index("python -c"):]
                subprocess.run(["sh", "-c", command], check=True, capture_output=True, cwd=self.folder,
                               env={**os.environ, "PATH": f"{REFERENCE.parent}:{os.environ['PATH']}"})
                self.described(model, weights="38 tensors of bfloat16 in 1 file", checked="all tensors")
                (model / "model.safetensors").unlink()

    def test_says_what_is_wrong(self):
        model = damage.copy_model(self.folder)
        damage.change_header(model, lambda entries: entries.update(other=entries.pop("model.norm.weight")))
        self.assertIn("model.norm.weight", self.memcap("describe", model, status=USAGE).stderr)
        self.described(model, USAGE, weights="38 tensors", example_trial="N = 128",
                       verdict="cannot be loaded: tensor 'model.norm.weight' is missing")

    def test_says_all_that_is_wrong_with_config_json(self):
        model = damage.copy_model(self.folder)
        damage.change_config(model, hidden_act="foo", rope_scaling={"rope_type": "banana"}, rms_norm_eps="small")
        said = self.memcap("describe", model, status=USAGE)
        self.assertEqual(said.stdout, "verdict           cannot be loaded: 3 keys are not usable\n")
        for phrase in ("'foo' is not supported", "'banana' is not supported", '"small" is not a number',
                       "For 'rms_norm_eps': use the config.json that belongs to the weights",
                       "For 'hidden_act', 'rope_scaling.rope_type': if this is the config.json of the weights"):
            self.assertIn(phrase, said.stderr)


class AroundAFinishedRun(RichRun):
    def test_report_makes_a_page_that_opens_offline(self):
        copy = self.copy_of_run()
        self.memcap("report", copy)
        page = (copy / "report.html").read_text(encoding="utf-8")
        for expected in ("ink-64", "essays", "random"):
            self.assertIn(expected, page)
        self.assertRegex(page, "<svg|data:image/")
        outside = {url for url in re.findall(r"https?://[^\"'\s)<]+", page) if not url.startswith("http://www.w3.org/")}
        self.assertEqual(outside, set())

    def test_report_is_a_file_and_leaves_nothing_else_behind(self):
        self.assertIn(f"Name the page: --out {self.folder}/report.html",
                      self.memcap("report", self.run_folder, "--out", self.folder, status=USAGE).stderr)
        # A home that takes no files, where matplotlib would want to keep its lists of fonts.
        nowhere = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null", "XDG_CONFIG_HOME": "/dev/null",
                   "TMPDIR": str(self.folder)}
        done = self.memcap("report", self.run_folder, "--out", self.folder / "page.html", environment=nowhere)
        self.assertEqual(done.stderr, "")
        self.assertEqual([path.name for path in self.folder.iterdir()], ["page.html"])

    def test_report_of_two_runs_goes_where_it_is_told(self):
        page = self.folder / "both.html"
        self.memcap("report", self.run_folder, self.copy_of_run(), "--out", page)
        self.assertGreater(page.stat().st_size, 10_000)

    def test_rebuild_gives_equal_tables(self):
        copy = self.copy_of_run()
        before = everything(copy / "results.h5")
        (copy / "results.h5").unlink()
        self.assertIn(f"{ALL} rows written", self.memcap("rebuild", copy).stdout)
        self.assert_equal_tables(everything(copy / "results.h5"), before)

    def test_rebuild_replaces_a_results_file_that_was_changed(self):
        copy = self.copy_of_run()
        before = everything(copy / "results.h5")
        with h5py.File(copy / "results.h5", "r+") as file:
            file["trials/accuracy"][0] = 0.5
        self.memcap("rebuild", copy)
        self.assert_equal_tables(everything(copy / "results.h5"), before)


class Merge(EndToEnd):
    def setUp(self):
        super().setUp()
        self.essays = self.run_experiment(self.write(samples=2), "essays")
        # The second run shares the essays of length 6 with the first, and has words of its own.
        both = self.write(samples=2, lengths=[6])
        experiment = json.loads(both.read_text(encoding="utf-8"))
        experiment["corpora"]["random"] = random_words(2)
        experiment["sweeps"][0]["corpora"].append("random")
        self.words = self.run_experiment(self.write(experiment, "words.yaml"), "words")

    def test_joins_runs_and_counts_what_both_have(self):
        out = self.folder / "merged.h5"
        said = self.memcap("merge", out, self.essays, self.words).stdout
        self.assertIn("4 trials were in more than one folder", said)
        self.assertIn("12 rows written", said)
        self.assertIn(f"results: {out}", said)
        self.assertIn(f"replaced: {out}", self.memcap("merge", out, self.essays, self.words).stdout)
        first, second, merged = trials(self.essays), trials(self.words), trials(out)
        self.assertEqual(set(merged), set(first) | set(second))
        for trial_id, row in (second | first).items():
            self.assert_equal_tables(merged[trial_id], row)

    def test_of_one_folder_says_nothing_of_several(self):
        said = self.memcap("merge", self.folder / "merged.h5", self.essays).stdout
        self.assertNotIn("more than one folder", said)

    def test_makes_a_file_that_stands_alone(self):
        referring, alone = self.folder / "referring.h5", self.folder / "alone.h5"
        self.memcap("merge", referring, self.essays, self.words)
        self.memcap("merge", alone, self.essays, self.words, "--self-contained")
        parts = (("vectors", "values"), ("curves", "loss_nats"), ("tokens", "values"))
        before = [ragged(referring, *part) for part in parts]
        self.essays.rename(self.folder / "elsewhere")
        self.words.rename(self.folder / "far-away")
        for part, expected in zip(parts, before):
            self.assert_equal_tables(ragged(alone, *part), expected)

    def test_spares_what_is_no_merged_file(self):
        own = (self.essays / "results.h5").read_bytes()
        for out in (self.essays / "results.h5", self.essays, self.folder / "e2e.yaml"):
            said = self.memcap("merge", out, self.essays, self.words, status=USAGE).stderr
            self.assertIn("cannot merge into this", said)
        self.assertEqual((self.essays / "results.h5").read_bytes(), own)
        said = self.memcap("merge", self.folder / "none" / "merged.h5", self.essays, status=DEFECT).stderr
        self.assertIn("No such file or directory", said)
        self.assertNotIn("no room", said)

    def test_of_a_folder_without_a_run_makes_no_file(self):
        self.memcap("merge", self.folder / "merged.h5", self.essays, self.folder / "nowhere", status=USAGE)
        self.assertFalse((self.folder / "merged.h5").exists())


if __name__ == "__main__":
    unittest.main()
