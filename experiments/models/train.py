"""Trains the ladder of small models that ship with memcap, from any text file: python train.py TEXT [options]."""

import argparse
import contextlib
import logging
import os
import shutil
import time
from pathlib import Path

import torch

from corpus import Corpus
from export import export_model
from ladder import LADDER, Rung
from language_model import MAX_POSITIONS

WINDOWS_PER_STEP = 12
TOKENS_PER_STEP = WINDOWS_PER_STEP * MAX_POSITIONS
LONG_CONTEXT_EVERY = 4
WARMUP_STEPS = 100
DECAY_SHARE = 0.2
WEIGHT_DECAY = 0.1
CLIP_NORM = 1.0
ROOT = Path(__file__).resolve().parents[2]
log = logging.getLogger("train")


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bf16 in hardware; without it bf16 is many times slower than float32."""
    with contextlib.suppress(OSError):
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return "avx512_bf16" in flags or "amx_bf16" in flags
    return False


class Trainer:
    """One model on its way: weights, optimisers, step; warm-up, a constant phase, and a decay branched off it for an export."""

    def __init__(self, rung: Rung, corpus: Corpus, args):
        self.rung, self.corpus, self.args = rung, corpus, args
        self.folder = args.work / rung.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(args.seed)
        self.model = rung.build().to(self.device)
        hidden = self.model.hidden_matrices()
        inside = {id(matrix) for matrix in hidden}
        others = [parameter for parameter in self.model.parameters() if id(parameter) not in inside]
        adamw = {"betas": (0.9, 0.95), "fused": True, "weight_decay": 0.0}
        if args.optimizer == "muon":
            self.optimizers = [
                torch.optim.Muon(hidden, lr=1.0, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"),
                torch.optim.AdamW(others, **adamw),
            ]
        else:
            groups = [{"params": hidden, "weight_decay": WEIGHT_DECAY}, {"params": others}]
            self.optimizers = [torch.optim.AdamW(groups, **adamw)]
        self.step, self.seconds = 0, 0.0
        self.decay_from = self.decay_to = 0
        self.loss_of = torch.compile(self._loss, dynamic=False) if args.compile else self._loss

    def _loss(self, ids, targets):
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.args.bf16):
            return self.model(ids, targets)

    def train_to(self, tokens: int) -> None:
        """Trains until `tokens` have been seen, the last DECAY_SHARE of them with a falling rate, and exports the model."""
        if (self.folder / "decay.pt").exists():
            self.load("decay.pt")
        else:
            if (self.folder / "constant.pt").exists():
                self.load("constant.pt")
            last = max(1, round(tokens / TOKENS_PER_STEP))
            branch = max(self.step, round(last * (1 - DECAY_SHARE)))
            self._run(branch, "constant.pt")
            self.decay_from, self.decay_to = branch, max(last, branch + 1)
        self._run(self.decay_to, "decay.pt")
        export_model(self.model, self.corpus, self.facts(), self.args.dev, self.args.out / self.rung.name)
        # The next export goes on from the constant phase, as if this branch had not been.
        os.replace(self.folder / "decay.pt", self.folder / "exported.pt")

    def facts(self) -> dict:
        """What the model card says of the training."""
        return {
            "rung": self.rung,
            "seed": self.args.seed,
            "optimizer": self.args.optimizer,
            "tokens": self.step * TOKENS_PER_STEP,
            "steps": self.step,
            "decay_steps": self.decay_to - self.decay_from,
            "seconds": self.seconds,
            "precision": "bf16 autocast" if self.args.bf16 else "float32",
            "hardware": self.args.hardware,
        }

    def _run(self, last: int, checkpoint: str) -> None:
        began = shown = saved = time.monotonic()
        seconds_before, shown_step, losses = self.seconds, self.step, []
        while self.step < last:
            losses.append(self._one_step())
            now = time.monotonic()
            self.seconds = seconds_before + now - began
            if now - shown > self.args.log_s or self.step == last:
                speed = (self.step - shown_step) * TOKENS_PER_STEP / max(now - shown, 1e-9)
                mean = torch.stack(losses).mean().item()
                log.info("%s step %d tokens %.2fM loss %.4f rate %.2e %.0f tokens/s %s", self.rung.name, self.step,
                         self.step * TOKENS_PER_STEP / 1e6, mean, self.rate(), speed, checkpoint.removesuffix(".pt"))
                shown, shown_step, losses = now, self.step, []
            due = self.args.checkpoint_steps and self.step % self.args.checkpoint_steps == 0
            if now - saved > self.args.checkpoint_s or due:
                self.save(checkpoint)
                saved = time.monotonic()
        self.save(checkpoint)

    def rate(self) -> float:
        """The learning rate of the present step."""
        if self.decay_to and self.step >= self.decay_from:
            share = (self.decay_to - self.step) / (self.decay_to - self.decay_from)
        else:
            share = min(1.0, (self.step + 1) / WARMUP_STEPS)
        return self.rung.learning_rate * share

    def _one_step(self) -> torch.Tensor:
        windows = self.corpus.batch(self.step, WINDOWS_PER_STEP).to(self.device)
        # Short contexts are cheaper; every few steps the full one teaches the positions up to the end.
        context = MAX_POSITIONS if self.step % LONG_CONTEXT_EVERY == 0 else MAX_POSITIONS // 2
        ids, targets = windows[:, :-1].reshape(-1, context), windows[:, 1:].reshape(-1, context)
        loss = self.loss_of(ids, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.rate()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return loss.detach()

    def save(self, name: str) -> None:
        """Writes the whole state; a reader sees the old file or the new one, never a part."""
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "counters": (self.step, self.seconds, self.decay_from, self.decay_to),
            "text_sha256": self.corpus.text_sha256,
        }
        torch.save(state, self.folder / "partial.pt")
        os.replace(self.folder / "partial.pt", self.folder / name)

    def load(self, name: str) -> None:
        """Continues from a checkpoint of the same text."""
        state = torch.load(self.folder / name, map_location=self.device, weights_only=True)
        if state["text_sha256"] != self.corpus.text_sha256:
            raise SystemExit(f"{self.folder / name} was trained on another text: choose another --work folder or remove it")
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.seconds, self.decay_from, self.decay_to = state["counters"]
        log.info("%s continues from %s at step %d", self.rung.name, name, self.step)


def parse(arguments=None) -> argparse.Namespace:
    """The command line; precision and compilation are chosen for this machine where it does not say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path, help="UTF-8 text to train on, plain or .xz; a blank line ends a document")
    parser.add_argument("--dev", type=Path, help="CSV file with a column `text` for the loss on held-out text")
    parser.add_argument("--models", nargs="+", default=list(LADDER), choices=list(LADDER), help="which models, in which order")
    parser.add_argument("--tokens", nargs="+", type=float, help="tokens to see, one figure a model; more than before goes on")
    parser.add_argument("--out", type=Path, default=ROOT / "experiments" / "models", help="where the model folders go")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "models-training", help="checkpoints, token cache, log")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--precision", choices=("auto", "float32", "bf16"), default="auto")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=shutil.which("g++") is not None)
    parser.add_argument("--hardware", default="", help="a line for the model card: the machine it is trained on")
    parser.add_argument("--log-s", type=float, default=20.0)
    parser.add_argument("--checkpoint-s", type=float, default=120.0)
    parser.add_argument("--checkpoint-steps", type=int, default=0, help="also save a checkpoint every so many steps")
    args = parser.parse_args(arguments)
    if args.tokens and len(args.tokens) != len(args.models):
        parser.error(f"--tokens has {len(args.tokens)} figures for {len(args.models)} models: give one a model")
    args.bf16 = args.precision == "bf16" or (args.precision == "auto" and (torch.cuda.is_available() or cpu_has_bf16()))
    return args


def main(arguments=None) -> None:
    """Trains and exports the models one after the other."""
    args = parse(arguments)
    args.work.mkdir(parents=True, exist_ok=True)
    # Compiled loops hold the number of threads, but the cache of the compiler takes no notice of it.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str((args.work / f"compiled-{args.threads}").resolve()))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s",
                        handlers=[logging.StreamHandler(), logging.FileHandler(args.work / "train.log")])
    # Second moments of rare tokens become denormal numbers, which made the optimiser seventy times slower.
    torch.set_flush_denormal(True)
    torch.set_num_threads(args.threads)
    corpus = Corpus(args.text, args.work, args.seed)
    log.info("%s: %.1fM tokens", args.text.name, len(corpus.tokens) / 1e6)
    for index, name in enumerate(args.models):
        rung = LADDER[name]
        Trainer(rung, corpus, args).train_to(int(args.tokens[index]) if args.tokens else rung.tokens)


if __name__ == "__main__":
    main()
