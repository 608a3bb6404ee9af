"""Damaged model folders are told apart before the start: status 2, what, where and what to do, and no run folder."""

import unittest

import model_folders as damage
from support import USAGE, EndToEnd, essays, mpirun, plain, table

Q_PROJ = "model.layers.1.self_attn.q_proj.weight"
NORM = "model.norm.weight"
INFINITE, NOT_A_NUMBER = 0x7F80, 0x7FC1


def without_config(model):
    (model / "config.json").unlink()


def with_broken_config(model):
    (model / "config.json").write_text('{"architectures": ["LlamaForCausalLM"', encoding="utf-8")


def with_pickled_weights_only(model):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def without_tokenizer(model):
    (model / "tokenizer.json").unlink()
    (model / "tokenizer_config.json").unlink()


def with_pointers_of_git_lfs(*names):
    """What a clone has in place of large files that it did not fetch."""
    def replace(model):
        for name in names:
            (model / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4665\nsize 562176\n", encoding="ascii")
    return replace


def with_a_dangling_link(model):
    """A folder of a hub cache that was copied without its blobs."""
    (model / "model.safetensors").unlink()
    (model / "model.safetensors").symlink_to("../../blobs/4665")


def with_bytes_behind_the_last_tensor(model):
    with open(model / "model.safetensors", "ab") as file:
        file.write(b"x" * 100)


def truncated(bytes_left):
    """A download that was cut off."""
    def cut(model):
        file = model / "model.safetensors"
        file.write_bytes(file.read_bytes()[:bytes_left])
    return cut


def header(change):
    """model.safetensors with a changed header."""
    return lambda model: damage.change_header(model, change)


def offsets(tensor, begin, end):
    """A tensor that claims another part of the data."""
    return header(lambda entries: entries[tensor].update(data_offsets=[begin, end]))


def config(**changes):
    """config.json with changed keys."""
    return lambda model: damage.change_config(model, **changes)


# What is done to the folder, and what the message must name.
DAMAGES = {
    "no config.json": (without_config, ["config.json"]),
    "a config.json cut short": (with_broken_config, ["config.json"]),
    "no architecture": (config(architectures=None, model_type=None), ["config.json", "architectures"]),
    "an unknown architecture": (config(architectures=["OrchidForCausalLM"], model_type="orchid"), ["OrchidForCausalLM"]),
    "an unknown rope scaling": (config(rope_scaling={"rope_type": "spiral", "factor": 2.0}), ["spiral"]),
    "two features that memcap lacks": (config(quantization_config={"bits": 4}, is_causal=False),
                                       ["2 keys", "'quantization_config'", "'is_causal'"]),
    "a size of the wrong type": (config(hidden_size="wide"), ["config.json", "hidden_size"]),
    "heads that do not divide": (config(num_attention_heads=3, num_key_value_heads=2), ["config.json"]),
    "pickled weights only": (with_pickled_weights_only, ["pytorch_model.bin", "safetensors"]),
    "a pointer as weights": (with_pointers_of_git_lfs("model.safetensors"), ["model.safetensors", "git lfs pull"]),
    "a pointer as config.json": (with_pointers_of_git_lfs("config.json"), ["config.json", "git lfs pull"]),
    "a pointer as tokenizer": (with_pointers_of_git_lfs("tokenizer.json"), ["tokenizer.json", "git lfs pull"]),
    "a link that leads nowhere": (with_a_dangling_link, ["model.safetensors", "leads nowhere", "blobs/4665"]),
    "bytes of no tensor": (with_bytes_behind_the_last_tensor, ["model.safetensors", "100 bytes"]),
    "no tokenizer": (without_tokenizer, ["tokenizer"]),
    "weights cut off in the data": (truncated(100_000), ["model.safetensors"]),
    "weights cut off in the header": (truncated(300), ["model.safetensors"]),
    "weights cut off before the header": (truncated(5), ["model.safetensors"]),
    "no weights in the file": (truncated(0), ["model.safetensors"]),
    "overlapping tensors": (offsets(Q_PROJ, 131072, 131072 + 8192), ["model.safetensors", "overlap"]),
    "a tensor beyond the data": (offsets(NORM, 558208, 558208 + 128), ["model.safetensors", NORM]),
    "offsets that overflow": (offsets(NORM, 2**64 - 128, 2**64), ["model.safetensors"]),
    "offsets that run backwards": (offsets(NORM, 256, 128), ["model.safetensors", NORM]),
    "a shape whose size overflows": (header(lambda entries: entries[NORM].update(shape=[2**33, 2**33])), [NORM]),
    "a tensor of another shape": (header(lambda entries: entries[Q_PROJ].update(shape=[32, 128])), [Q_PROJ, "shape"]),
    "a tensor missing": (header(lambda entries: entries.update(another=entries.pop(Q_PROJ))), [Q_PROJ]),
    "an unknown type of numbers": (header(lambda entries: entries[NORM].update(dtype="F8_E9")), [NORM, "F8_E9"]),
    "an infinite weight": (lambda model: damage.set_first_value(model, Q_PROJ, INFINITE), [Q_PROJ, "finite"]),
    "a weight that is no number": (lambda model: damage.set_first_value(model, NORM, NOT_A_NUMBER), [NORM, "finite"]),
    "a vocabulary of another size": (config(vocab_size=512), ["embed_tokens", "[512, 64]"]),
    "a vocabulary smaller than the tokenizer's": (lambda model: damage.shrink_vocabulary(model, 300), ["tokenizer", "300"]),
}


class DamagedModelFolders(EndToEnd):
    def test_end_the_run_before_its_start(self):
        for name, (do, expected) in DAMAGES.items():
            with self.subTest(name):
                model = damage.copy_model(self.folder)
                do(model)
                self.refused(model, expected)

    def test_end_every_rank(self):
        for name in ("weights cut off in the data", "an infinite weight"):
            with self.subTest(name):
                do, expected = DAMAGES[name]
                model = damage.copy_model(self.folder)
                do(model)
                self.refused(model, expected, launcher=mpirun(2))

    def test_are_all_named_at_once(self):
        folders = {name: damage.copy_model(self.folder / name) for name in ("one", "another")}
        without_config(folders["one"])
        truncated(300)(folders["another"])
        file = self.write(plain(models={name: {"path": str(path)} for name, path in folders.items()}))
        said = self.memcap("run", file, "--out", self.folder / "run", status=USAGE).stderr
        for path in folders.values():
            self.assertIn(str(path), said)
        self.assertFalse((self.folder / "run").exists(), "a run folder was made")

    def refused(self, model, expected, launcher=()):
        file = self.write(plain(models={"ink-64": {"path": str(model)}}))
        said = self.memcap("run", file, "--out", self.folder / "run", launcher=launcher, status=USAGE).stderr
        for phrase in [*expected, str(model)]:
            self.assertIn(phrase, said)
        self.assertNotIn("terminate called", said)
        self.assertFalse((self.folder / "run").exists(), "a run folder was made")

    def test_that_are_whole_pass(self):
        file = self.write(plain(models={"ink-64": {"path": str(damage.copy_model(self.folder))}}, max_steps=12, samples=1))
        self.run_experiment(file)

    def test_with_notes_of_their_publisher_pass_and_the_notes_are_recorded(self):
        model = damage.copy_model(self.folder)
        damage.change_config(model, unsloth_fixed=True, internal_version="7", use_bfloat16=True, pruned_heads={})
        self.assertIn("ignored keys      internal_version, unsloth_fixed", self.memcap("describe", model).stdout)
        file = self.write(plain(models={"ink-64": {"path": str(model)}}, max_steps=12, samples=1))
        said = self.memcap("run", file, "--out", self.folder / "run").stderr
        warnings = [line for line in said.splitlines() if "unsloth_fixed" in line]
        self.assertEqual(len(warnings), 1, warnings)
        self.assertIn("model 'ink-64'", warnings[0])
        keys = table(self.folder / "run", "models")["ignored_config_keys"]
        self.assertEqual(list(keys), ["internal_version, unsloth_fixed"])

    def test_with_tensors_that_no_layer_reads_pass_and_these_are_recorded(self):
        model = damage.copy_model(self.folder)
        names = ["model.layers.0.self_attn.q_proj.bias", "model.layers.0.self_attn.q_proj.lora_A.weight"]
        damage.add_tensors(model, *names, "model.layers.0.self_attn.rotary_emb.inv_freq")
        expected = f"2: {names[0]}, {names[1]}"
        self.assertIn(f"unread weights    {expected}: no layer reads them", self.memcap("describe", model).stdout)
        file = self.write(plain(models={"ink-64": {"path": str(model)}}, max_steps=12, samples=1))
        said = self.memcap("run", file, "--out", self.folder / "run").stderr
        warnings = [line for line in said.splitlines() if names[0] in line]
        self.assertEqual(len(warnings), 1, warnings)
        self.assertIn("warning: model 'ink-64'", warnings[0])
        self.assertIn(expected, warnings[0])
        self.assertEqual(list(table(self.folder / "run", "models")["unread_weights"]), [expected])
        self.assertNotIn(names[0], self.memcap("plan", file).stderr, "a plan needs no weights")

    def test_whose_tokenizer_has_more_tokens_than_the_model_pass_for_texts_that_do_without(self):
        model = damage.copy_model(self.folder)
        damage.shrink_vocabulary(model, 1020)
        described = self.memcap("describe", model).stdout
        self.assertRegex(described, r"tokenizer .*; its largest token is 1023 \('.+'\), which the vocabulary of 1020 lacks: texts")
        self.assertTrue(described.endswith("verdict           can be loaded\n"), described)
        self.assertNotIn("its largest token", self.memcap("describe", damage.copy_model(self.folder, "whole")).stdout)
        file = self.write(plain(models={"ink-64": {"path": str(model)}}, max_steps=12, corpora={"essays": essays(4, part="all")}, lengths=[32],
                                memory_vectors=[1]))
        why = "03-the-stolen-bicycle.txt: the tokenizer gives token 1023, the model's vocabulary has 1020 entries"
        for command in (["plan", file], ["run", file, "--out", self.folder / "run"]):
            self.assertIn(f"1 of 4 texts cannot be encoded and are skipped: {why}", self.memcap(*command).stderr)
        self.assertEqual(list(table(self.folder / "run", "skipped")["sample"]), [2])


if __name__ == "__main__":
    unittest.main()
