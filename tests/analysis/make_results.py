"""Writes synthetic result files that keep the contract of results.h5: invented physics, real layout."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
from pathlib import Path

import h5py
import numpy as np

STRING = h5py.string_dtype("utf-8")


@dataclasses.dataclass
class Model:
    name: str
    family: str
    parameters: int
    memory_width: int
    vocabulary_size: int
    nats_a_vector: float


SMALL_MODELS = [Model("ink-64", "llama", 300_000, 64, 1024, 14.0), Model("ink-128", "llama", 1_500_000, 128, 1024, 28.0),
                Model("ink-192", "llama", 4_000_000, 192, 1024, 45.0)]


@dataclasses.dataclass
class Plan:
    """What to invent: axes of the sweep, how many trials fail, whether curves and vectors are kept."""

    experiment: str = "quickstart"
    models: list[Model] = dataclasses.field(default_factory=lambda: list(SMALL_MODELS))
    texts: list[str] = dataclasses.field(default_factory=lambda: ["essays"])
    random_words: bool = True
    memory_vectors: tuple[int, ...] = (1, 4, 16)
    lengths: tuple[int, ...] = (2, 4, 8, 16, 32)
    protocols: tuple[str, ...] = ("paper",)
    precisions: tuple[str, ...] = ("float32",)
    samples: int = 8
    seed: int = 0
    failed_share: float = 0.02
    curves: bool = True
    vectors: bool = True
    seconds_a_trial: float = 1.5


def write(folder: Path, plan: Plan) -> Path:
    """Writes results.h5 (and segments beside it) for a plan; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(plan.seed)
    rows, skipped = _trials(plan, generator)
    path = folder / "results.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update({"schema_version": 1, "Conventions": "memcap-1", "memcap_version": "0.1.0",
                           "experiment": plan.experiment, "created_utc": "2025-01-02T03:04:05Z"})
        _write_table(file, "trials", rows, scale="trial")
        _write_table(file, "skipped", skipped)
        _write_descriptions(file, plan)
        _write_provenance(file, plan, len(rows))
        if plan.curves:
            _write_curves(file, folder, rows)
        if plan.vectors:
            _write_vectors(file, rows, {model.name: model.memory_width for model in plan.models}, generator)
        _write_statistics(file, rows, plan)
    return path


def _trials(plan: Plan, generator) -> tuple[list[dict], list[dict]]:
    rows, skipped = [], []
    corpora = [(name, False) for name in plan.texts] + ([("random", True)] if plan.random_words else [])
    for model in plan.models:
        for corpus, drawn in corpora:
            for protocol in plan.protocols:
                for precision in plan.precisions:
                    for k in plan.memory_vectors:
                        for sample in range(plan.samples):
                            lengths = [_drawn_length(plan, sample)] if drawn else plan.lengths
                            for length in lengths:
                                axes = {"model": model.name, "corpus": corpus, "sample": sample, "seed": 0,
                                        "memory_vectors": k, "length": int(length), "prefix": 0, "protocol": protocol,
                                        "precision": precision}
                                if k > length:
                                    skipped.append(axes | {"reason": "more memory vectors than tokens"})
                                else:
                                    rows.append(_trial(axes, model, drawn, plan, generator, len(rows)))
    return rows, skipped


def _drawn_length(plan: Plan, sample: int) -> int:
    return int(np.random.default_rng([plan.seed, sample]).integers(2, max(plan.lengths) + 1))


def _trial(axes: dict, model: Model, drawn: bool, plan: Plan, generator, index: int) -> dict:
    length, scored = axes["length"], axes["length"] - 1
    loss_nomem = (6.2 if drawn else 4.6) + generator.normal(0, 0.25) + 0.8 / length
    correct_nomem = int(generator.binomial(scored, 0.06 if drawn else 0.18))
    budget = model.nats_a_vector * axes["memory_vectors"] ** 0.92 * generator.normal(1, 0.08)
    loss_min = max(0.03 * generator.random(), loss_nomem - budget / length)
    share = min(1.0, budget / (loss_nomem * length) * 1.25)
    correct = max(correct_nomem, min(scored, int(round(scored * share + generator.normal(0, 0.4)))))
    evaluations = int(generator.integers(20, 400)) if correct == scored else int(generator.integers(500, 1200))
    best = evaluations if correct == scored else int(generator.integers(200, evaluations))
    loss = loss_min * (1 + 0.02 * generator.random())
    row = axes | {
        "trial_id": hashlib.sha256(json.dumps(axes).encode()).hexdigest()[:32], "family": model.family,
        "scored_tokens": scored, "status": "done", "failure": "", "evaluations": evaluations, "best_evaluation": best,
        "stop_reason": "solved" if correct == scored else ("patience" if generator.random() < 0.5 else "max_steps"),
        "loss_nomem_nats": loss_nomem, "accuracy_nomem": correct_nomem / scored, "loss_nats": loss,
        "accuracy": correct / scored, "correct_tokens": correct, "exact": int(correct == scored),
        "loss_min_nats": loss_min, "ce_nomem_nats": loss_nomem * (length - 1), "ce_nats": loss * scored,
        "information_gain_nats": (loss_nomem - loss_min) * length,
        "token_gain": (correct - correct_nomem) / scored * length,
        "elapsed_s": plan.seconds_a_trial * generator.uniform(0.5, 1.5), "rank": index % 2, "host": f"node{index % 2}",
        "device": "cpu", "attempt": 1, "finished_utc": f"2025-01-02T03:{(index // 60) % 60:02d}:{index % 60:02d}Z"}
    return _failed(row, generator) if generator.random() < plan.failed_share else row


def _failed(row: dict, generator) -> dict:
    message = ["permanent: loss is not a number at evaluation 17", "device lost: CUDA error 719 on node1"]
    missing = {name: np.nan for name, value in row.items() if isinstance(value, float) and name != "elapsed_s"}
    return row | missing | {"status": "failed", "failure": message[int(generator.integers(2))], "evaluations": -1,
                            "best_evaluation": -1, "stop_reason": "", "correct_tokens": -1, "exact": 0}


TYPES = {"trial_id": STRING, "exact": "u1", "sample": "i4", "seed": "i8", "memory_vectors": "i4", "length": "i4",
         "prefix": "i4", "capacity_cut": "u1"}


def _write_table(file, name: str, rows: list[dict], scale: str = "") -> None:
    group = file.create_group(name)
    if scale:
        group[scale] = np.arange(len(rows))
        group[scale].make_scale(scale)
    for column in rows[0] if rows else []:
        values = [row[column] for row in rows]
        kind = TYPES.get(column, STRING if isinstance(values[0], str) else "f8" if isinstance(values[0], float) else "i4")
        group.create_dataset(column, data=np.array(values, dtype=object if kind is STRING else kind), dtype=kind)
        if scale:
            group[column].dims[0].attach_scale(group[scale])


def _write_descriptions(file, plan: Plan) -> None:
    _write_table(file, "models", [
        {"name": m.name, "family": m.family, "path": f"models/{m.name}",
         "config_sha256": hashlib.sha256(f"{m}".encode()).hexdigest(),
         "weights_sha256": hashlib.sha256(m.name.encode()).hexdigest(), "parameters": m.parameters,
         "memory_width": m.memory_width, "vocabulary_size": m.vocabulary_size, "context_tokens": 512, "layers": 5}
        for m in plan.models])
    corpora = [(name, "text", 0) for name in plan.texts] + ([("random", "random_words", 1)] if plan.random_words else [])
    _write_table(file, "corpora", [
        {"name": name, "kind": kind, "path": f"texts/{name}", "part": "second_half" if kind == "text" else "",
         "samples": plan.samples, "sentences": "rule", "hash": hashlib.sha256(name.encode()).hexdigest()[:32],
         "drawn_lengths": drawn} for name, kind, drawn in corpora])
    _write_table(file, "protocols", [
        {"name": name, "optimiser": "adamw", "learning_rate": 0.01 if name == "paper" else 0.3, "weight_decay": 0.01,
         "max_steps": 5000, "patience": 2000, "stop_accuracy": 1.0, "schedule": "constant", "target": "after_first"}
        for name in plan.protocols])
    file["protocols"]["betas"] = np.tile([0.9, 0.9], (len(plan.protocols), 1))


def _write_provenance(file, plan: Plan, trials: int) -> None:
    group = file.create_group("provenance")
    yaml = f"experiment: {plan.experiment}\nmodels:\n" + "".join(f"  {m.name}: {{path: models/{m.name}}}\n"
                                                                for m in plan.models)
    group.create_dataset("experiment_yaml", data=yaml, dtype=STRING)
    versions = json.dumps({"torch": "2.11.0", "hdf5": "1.10.8", "mpi": "Open MPI 4.1.4", "<tag>": "a & b"})
    _write_table(file, "provenance/launches", [
        {"started_utc": "2025-01-02T03:00:00Z", "ended_utc": "2025-01-02T03:02:30Z", "argv": "memcap run x.yaml",
         "memcap_version": "0.1.0", "git_revision": "0123abcd", "hosts": "node0,node1", "devices": "2 x cpu", "ranks": 2,
         "job_id": "", "restart_count": 0, "versions": versions},
        {"started_utc": "2025-01-02T03:10:00Z", "ended_utc": "", "argv": "memcap run x.yaml", "memcap_version": "0.1.0",
         "git_revision": "0123abcd", "hosts": "node0,node1", "devices": "2 x cpu", "ranks": 2, "job_id": "",
         "restart_count": 1, "versions": versions}])


def _write_curves(file, folder: Path, rows: list[dict], every: int = 10) -> None:
    evaluations, losses, accuracies, counts = [], [], [], []
    for row in rows:
        last = row["evaluations"]
        steps = np.unique(np.append(np.arange(1, last + 1, every), last)) if last > 0 else np.array([], dtype=int)
        growth = np.minimum(1.0, (steps - 1) / max(1, last - 1)) ** 0.5
        evaluations.append(steps)
        losses.append(row["loss_nomem_nats"] + (row["loss_min_nats"] - row["loss_nomem_nats"]) * growth)
        accuracies.append(row["accuracy_nomem"] + (row["accuracy"] - row["accuracy_nomem"]) * growth)
        counts.append(len(steps))
    (folder / "vectors").mkdir(exist_ok=True)
    segment_name = "vectors/curves-0.h5"
    quantities = {"evaluation": (evaluations, "i4"), "loss_nats": (losses, "f4"), "accuracy": (accuracies, "f4")}
    group = file.create_group("curves")
    with h5py.File(folder / segment_name, "w") as segment:
        for name, (values, kind) in quantities.items():
            flat = np.concatenate(values).astype(kind)
            segment[name] = flat
            layout = h5py.VirtualLayout(shape=flat.shape, dtype=kind)
            layout[:] = h5py.VirtualSource(segment_name, name, shape=flat.shape, dtype=kind)
            group.create_virtual_dataset(f"values/{name}", layout)
    group["count"] = np.array(counts)
    group["start"] = np.concatenate([[0], np.cumsum(counts)[:-1]])


def _write_vectors(file, rows: list[dict], widths: dict[str, int], generator) -> None:
    for name, counts, kind in (
            ("vectors", [r["memory_vectors"] * widths[r["model"]] if r["status"] == "done" else 0 for r in rows], "f4"),
            ("tokens", [r["length"] for r in rows], "i4")):
        group = file.create_group(name)
        group["values"] = (generator.normal(size=sum(counts)) * 100).astype(kind)
        group["count"], group["start"] = np.array(counts), np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(int)


def _write_statistics(file, rows: list[dict], plan: Plan) -> None:
    """Plain loops over dictionaries, on purpose unlike the package's data frames."""
    keys = ("model", "corpus", "memory_vectors", "prefix", "protocol", "precision")
    cells: dict[tuple, list[dict]] = {}
    for row in rows:
        cells.setdefault(tuple(row[key] for key in keys), []).append(row)
    sizes = {model.name: model for model in plan.models}
    _write_table(file, "statistics", [dict(zip(keys, key)) | _statistics(cell, key[1] == "random", key[2], sizes[key[0]])
                                      for key, cell in cells.items()])


def _statistics(cell: list[dict], drawn: bool, k: int, model: Model) -> dict:
    done = [row for row in cell if row["status"] == "done"]
    lengths = sorted({row["length"] for row in done})
    capacity = exact = 0
    for length in lengths:
        here = [row for row in done if row["length"] == length]
        right, all_tokens = sum(row["correct_tokens"] for row in here), sum(row["scored_tokens"] for row in here)
        # Equal lengths: the mean accuracy is the share of all tokens, which whole numbers compare exactly.
        if any(row["accuracy"] >= 0.99 for row in here) if drawn else 100 * right >= 99 * all_tokens:
            capacity = length
        if (any if drawn else all)(row["exact"] == 1 for row in here):
            exact = length
    gains = [row for row in done if row["accuracy"] <= 0.99]
    good = [row for row in done if row["accuracy"] >= 0.99]
    offsets = [row["ce_nomem_nats"] - row["loss_min_nats"] * row["scored_tokens"] for row in done if row["accuracy"] < 0.99]
    theory = k * model.memory_width * 16 / float(np.log2(model.vocabulary_size))
    token_gain, information = [r["token_gain"] for r in gains], [r["information_gain_nats"] for r in gains]
    return {"trials": len(cell), "failed": len(cell) - len(done), "capacity_tokens": capacity,
            "capacity_exact_tokens": exact, "capacity_cut": int(bool(lengths) and capacity == lengths[-1]),
            "token_gain_mean": _mean(token_gain), "token_gain_std": _std(token_gain),
            "information_gain_nats_mean": _mean(information), "information_gain_nats_std": _std(information),
            "ce_threshold_nats": float(max((r["ce_nomem_nats"] for r in good), default=np.nan)),
            "ce_residual_threshold_nats": float(max((r["loss_min_nats"] * r["length"] for r in good), default=np.nan)),
            "ce_offset_nats": _mean(offsets), "theoretical_capacity_tokens": theory,
            "utilisation": _mean(token_gain) / theory}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def _std(values: list[float]) -> float:
    mean = _mean(values)
    return (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5 if len(values) > 1 else float("nan")


def large_plan() -> Plan:
    """Fifteen models, the paper's lengths, three corpora: what a page must survive."""
    names = ["pythia-160m", "pythia-410m", "pythia-1.4b", "pythia-2.8b", "opt-1.3b", "OLMo-1B-0724-hf",
             "Sheared-LLaMA-1.3B", "Llama-3.2-1B", "Llama-3.2-3B", "Meta-Llama-3.1-8B", "mamba-130m-hf", "mamba-370m-hf",
             "mamba-790m-hf", "mamba-1.4b-hf", "gemma-3-a-name-of-some-length-4b"]
    widths = [768, 1024, 2048, 2560, 2048, 2048, 2048, 2048, 3072, 4096, 768, 1024, 1536, 2048, 2560]
    models = [Model(name, "various", int(2e5 * width), width, 50304, 0.5 * width) for name, width in zip(names, widths)]
    return Plan("grand", models, ["pg19", "fanfics"], True, (1, 2, 4, 8, 16, 32),
                (64, 80, 96, 128, 160, 192, 256, 384, 512, 768, 1024, 1280, 1568, 2048, 2560, 3072), samples=10,
                curves=False, vectors=False, seconds_a_trial=400.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    print(write(options.folder, large_plan() if options.large else Plan()))
