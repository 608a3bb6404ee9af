"""Checks of the training script, to be run by hand where torch and transformers are: python -m unittest test_train."""

import contextlib
import csv
import json
import logging
import math
import random
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import train
from corpus import Corpus, encode_text, sha256_of
from export import config_of, export_model, rounded_tensors
from ladder import LADDER, Rung
from language_model import MAX_POSITIONS
from llama import LlamaModel, LlamaSizes
from mamba import MambaModel, MambaSizes
from neox import NeoxModel, NeoxSizes
from scan import plain_scan, scan

HERE = Path(__file__).resolve().parent
TOY = Rung("toy", LlamaModel, LlamaSizes(32, 2, 2, 1, 48, False), 2e-2, 0)
TOKENS = 50 * train.TOKENS_PER_STEP
COMMON = ["--precision", "float32", "--no-compile", "--threads", "1", "--log-s", "0"]


def write_text(path: Path) -> str:
    """A text with structure enough to learn from: 60,000 words of made-up syllables, in two documents."""
    draw = random.Random(7)
    words = ["".join(draw.choices(["ba", "tel", "ori", "shu", "mn", "kéa", "vor", "ill"], k=draw.randint(1, 4))) for _ in range(3000)]
    lines = [" ".join(draw.choices(words, k=12)) + "." for _ in range(5000)]
    text = "\n".join(lines[:3000]) + "\n\n" + "\n".join(lines[3000:])
    path.write_text(text, encoding="utf-8")
    return text


def arguments(folder: Path, *more: str) -> list[str]:
    return [str(folder / "text.txt"), "--models", "toy", "--tokens", str(TOKENS), *COMMON, *more]


class TrainingTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls._temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls._temporary.name)
        cls.text = write_text(cls.folder / "text.txt")
        with open(cls.folder / "dev.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text"])
            writer.writerow([cls.text[1000:12000]])
        LADDER["toy"] = TOY
        torch.set_num_threads(1)
        train.main(arguments(cls.folder, "--work", str(cls.folder / "w"), "--out", str(cls.folder / "whole"),
                             "--dev", str(cls.folder / "dev.csv")))
        cls.exported = cls.folder / "whole" / "toy"

    @classmethod
    def tearDownClass(cls):
        del LADDER["toy"]
        for handler in logging.getLogger().handlers[:]:
            handler.close()
            logging.getLogger().removeHandler(handler)
        cls._temporary.cleanup()

    def kill_at(self, checkpoint: str, work: Path) -> None:
        """Starts the toy in a process of its own and kills it once the checkpoint exists."""
        start = ("import sys; sys.path.insert(0, sys.argv.pop(1)); import test_train, train; "
                 "train.LADDER['toy'] = test_train.TOY; train.main()")
        out = self.folder / "killed"
        command = [sys.executable, "-c", start, str(HERE),
                   *arguments(self.folder, "--work", str(work), "--out", str(out), "--checkpoint-steps", "1")]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            end = time.monotonic() + 120
            while not (work / "toy" / checkpoint).exists() and process.poll() is None and time.monotonic() < end:
                time.sleep(0.005)
            process.kill()
        self.assertFalse((out / "toy").exists(), "the run ended before it could be killed")

    def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(self):
        for checkpoint in ("constant.pt", "decay.pt"):
            with self.subTest(killed_at=checkpoint):
                work = self.folder / f"work-{checkpoint}"
                self.kill_at(checkpoint, work)
                train.main(arguments(self.folder, "--work", str(work), "--out", str(self.folder / checkpoint)))
                again = self.folder / checkpoint / "toy"
                self.assertEqual(sha256_of(again / "model.safetensors"), sha256_of(self.exported / "model.safetensors"))

    def test_a_later_export_is_that_of_a_run_without_the_earlier_one(self):
        longer = arguments(self.folder, "--work", str(self.folder / "w"), "--out", str(self.folder / "later"))
        longer[longer.index(str(TOKENS))] = str(2 * TOKENS)
        train.main(longer)
        longer[longer.index(str(self.folder / "w"))] = str(self.folder / "fresh")
        longer[longer.index(str(self.folder / "later"))] = str(self.folder / "direct")
        train.main(longer)
        hashes = [sha256_of(self.folder / name / "toy" / "model.safetensors") for name in ("later", "direct")]
        self.assertEqual(hashes[0], hashes[1])

    def test_transformers_reads_the_export_and_gives_the_same_logits(self):
        tied = Rung("tied", LlamaModel, LlamaSizes(64, 2, 2, 2, 96, True), 1e-3, 0)
        neox = Rung("neox", NeoxModel, NeoxSizes(64, 2, 2, 96), 1e-3, 0)
        mamba = Rung("mamba", MambaModel, MambaSizes(48, 2, 16, 4), 1e-3, 0)
        for rung in (TOY, tied, neox, mamba):
            with self.subTest(rung=rung.name):
                torch.manual_seed(3)
                model = rung.build()
                with torch.no_grad():
                    for parameter in model.parameters():
                        parameter.copy_((torch.randn_like(parameter) * 0.2 + (parameter.dim() == 1)).bfloat16())
                folder = self.folder / rung.name
                export_model(model, self.corpus(), self.facts(rung), None, folder)
                theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
                ids = torch.randint(0, 1024, (2, MAX_POSITIONS))
                with torch.no_grad():
                    ours, other = model.logits(ids), theirs(ids).logits
                self.assertLess(((ours - other).abs().max() / other.abs().max()).item(), 1e-5)

    def test_the_compiled_scan_and_its_gradients_are_those_of_the_plain_form(self):
        for batch, length, channels in ((2, 37, 32), (1, 64, 16), (3, 5, 48)):
            with self.subTest(batch=batch, length=length, channels=channels):
                torch.manual_seed(length)
                inputs = [torch.randn(batch, length, channels), torch.rand(batch, length, channels), -4 * torch.rand(16, channels),
                          torch.randn(batch, length, 16), torch.randn(batch, length, 16)]
                inputs = [part.requires_grad_() for part in inputs]
                weights = torch.randn(batch, length, channels)
                for ours, plain in zip(*([y, *torch.autograd.grad(y, inputs, weights)] for y in (scan(*inputs), plain_scan(*inputs))),
                                       strict=True):
                    self.assertLess(((ours - plain).abs().max() / plain.abs().max()).item(), 2e-6)

    def corpus(self) -> Corpus:
        return Corpus(self.folder / "text.txt", self.folder / "w", 0)

    @staticmethod
    def facts(rung: Rung) -> dict:
        return {"rung": rung, "seed": 0, "optimizer": "adamw", "tokens": 0, "steps": 0, "decay_steps": 0, "seconds": 0.0,
                "precision": "float32", "hardware": ""}

    def test_the_tokenizer_gives_back_the_text_and_adds_nothing(self):
        tokenizer = AutoTokenizer.from_pretrained(self.exported)
        line = self.text.split("\n")[17] + " Ünïcode – 東京"
        ids = tokenizer(line)["input_ids"]
        self.assertEqual(tokenizer.decode(ids), line)
        self.assertEqual(ids, tokenizer(line, add_special_tokens=False)["input_ids"])
        self.assertEqual(tokenizer("")["input_ids"], [])

    def test_a_blank_line_ends_a_document(self):
        corpus = self.corpus()
        end = corpus.tokenizer.token_to_id("<|endoftext|>")
        self.assertEqual(int((corpus.tokens == end).sum()), 2)
        ids = encode_text(corpus.tokenizer, "ba tel\nori\n\nshu").tolist()
        pieces = "".join(corpus.tokenizer.decode([i], skip_special_tokens=False) for i in ids)
        self.assertEqual(pieces, "ba tel\nori<|endoftext|>shu<|endoftext|>")

    def test_each_pass_reads_every_window_once(self):
        corpus = self.corpus()
        windows = [corpus._window(position) for position in range(corpus._windows)]
        self.assertEqual(len({bytes(window) for window in windows}), corpus._windows)
        first, again = corpus.batch(0, 4), self.corpus().batch(0, 4)
        self.assertTrue(torch.equal(first, again))
        self.assertFalse(torch.equal(first, corpus.batch(1, 4)))

    def test_the_card_states_hashes_and_a_loss_below_the_unigram(self):
        card = (self.exported / "README.md").read_text(encoding="utf-8")
        for name in ("config.json", "model.safetensors"):
            self.assertIn(sha256_of(self.exported / name), card)
        nats = float(card.split("**")[1].split(" ")[0])
        unigram = float(card.split("unigram model there | ")[1].split(" ")[0])
        self.assertLess(nats, unigram)
        self.assertLess(unigram, math.log(1024))

    def test_the_stated_loss_is_that_of_transformers(self):
        corpus = self.corpus()
        with open(self.folder / "dev.csv", encoding="utf-8", newline="") as file:
            ids = corpus.tokenizer.encode(next(csv.DictReader(file))["text"]).ids
        windows = [ids[at : at + 513] for at in range(0, 8 * 512, 512) if at + 512 < len(ids)]
        model = AutoModelForCausalLM.from_pretrained(self.exported, dtype=torch.float32)
        with torch.no_grad():
            losses = [model(torch.tensor([window]), labels=torch.tensor([window])).loss.item() for window in windows]
        stated = float((self.exported / "README.md").read_text(encoding="utf-8").split("**")[1].split(" ")[0])
        self.assertAlmostEqual(sum(losses) / len(losses), stated, delta=1e-4)

    def test_shipped_folders_have_the_sizes_of_the_ladder(self):
        total_bytes = 0
        for name, rung in LADDER.items():
            if name == "toy" or not (HERE / name).exists():
                continue
            with self.subTest(model=name):
                model = rung.build()
                tensors = load_file(HERE / name / "model.safetensors")
                expected = {key: tuple(tensor.shape) for key, tensor in rounded_tensors(model).items()}
                self.assertEqual({key: tuple(tensor.shape) for key, tensor in tensors.items()}, expected)
                self.assertTrue(all(tensor.dtype == torch.bfloat16 and tensor.isfinite().all() for tensor in tensors.values()))
                config = json.loads((HERE / name / "config.json").read_text(encoding="utf-8"))
                self.assertEqual(config, config_of(model, config["eos_token_id"]))
                self.assertIn(sha256_of(HERE / name / "model.safetensors"), (HERE / name / "README.md").read_text(encoding="utf-8"))
                total_bytes += (HERE / name / "model.safetensors").stat().st_size
        self.assertLess(total_bytes, 17e6)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        unittest.main()
