"""Tables for people: capacity, gains, endings, failures, and the paper's published numbers beside one's own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from memcap_analysis.results import Results
from memcap_analysis.statistics import capacity_known, drawn_corpora, unsolved

BITS_PER_NAT = 1 / np.log(2)
NOTHING = "–"
SINGLE = "(n = 1)"
SETTING = ["corpus", "prefix", "protocol", "precision"]
PAPER_FOLDER = Path(__file__).parent / "paper"


@dataclasses.dataclass(frozen=True)
class Setting:
    """One combination of corpus, prefix, protocol and precision, with a label that names only what varies in the run."""

    corpus: str
    prefix: int
    protocol: str
    precision: str
    label: str

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of a trials or statistics frame that belong to this setting."""
        keep = np.ones(len(frame), dtype=bool)
        for column in SETTING:
            keep &= (frame[column] == getattr(self, column)).to_numpy()
        return frame[keep]


def settings(trials: pd.DataFrame, statistics: pd.DataFrame | None = None) -> list[Setting]:
    """The settings of a run in order of their first trial, then those that only the statistics have: all of them is open."""
    known = [frame[SETTING] for frame in (trials, statistics) if frame is not None and not frame.empty]
    keys = pd.concat(known, ignore_index=True).drop_duplicates()
    varies = {column: keys[column].nunique() > 1 for column in SETTING}

    def label(key) -> str:
        parts = [key.corpus]
        if varies["prefix"]:
            parts.append(f"prefix of {key.prefix} tokens" if key.prefix else "no prefix")
        parts += [f"protocol {key.protocol}"] if varies["protocol"] else []
        parts += [key.precision] if varies["precision"] else []
        return ", ".join(parts)

    return [Setting(key.corpus, int(key.prefix), key.protocol, key.precision, label(key)) for key in keys.itertuples()]


def model_order(results: Results, statistics: pd.DataFrame | None = None) -> list[str]:
    """Names of the models that have trials, or open ones by the statistics, by parameters, then by name."""
    names = list(dict.fromkeys([*results.trials["model"], *(() if statistics is None or statistics.empty else statistics["model"])]))
    if {"name", "parameters"} <= set(results.models.columns):
        size = dict(zip(results.models["name"], results.models["parameters"].astype(float)))
    else:
        size = {}
    return sorted(names, key=lambda name: (size.get(name, np.inf), name))


def number(value, digits: int = 1) -> str:
    """A number with thousands separated; a dash where there is none."""
    return NOTHING if pd.isna(value) else f"{value:,.{digits}f}"


def plus_minus(mean, std, digits: int = 1) -> str:
    """Mean and standard deviation; a single trial has none, which is marked."""
    if pd.isna(mean):
        return NOTHING
    return f"{number(mean, digits)} {SINGLE}" if pd.isna(std) else f"{number(mean, digits)} ± {number(std, digits)}"


def duration(seconds) -> str:
    """Seconds as a person says them: 8 s, 3 min 20 s, 5 h 12 min."""
    if pd.isna(seconds):
        return NOTHING
    minutes, rest = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else (f"{rest} s" if seconds >= 1 else f"{seconds:.2f} s")


def capacity_text(row) -> str:
    """A capacity in tokens; at least (≥) where the grid of lengths ends before the model fails; a dash if not known."""
    tokens = int(row["capacity_tokens"])
    if not _known(row):
        return NOTHING
    return f"≥ {tokens:,}" if int(row["capacity_cut"]) and tokens else f"{tokens:,}"


def _known(row) -> bool:
    return bool(capacity_known(pd.DataFrame([row])).iloc[0])


def capacity_matrix(statistics: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    """Capacity in tokens, a row a model, a column a number of memory vectors; for the rows of one setting."""
    vectors = sorted(statistics["memory_vectors"].unique())
    cells = {(row["model"], row["memory_vectors"]): capacity_text(row) for _, row in statistics.iterrows()}
    present = [name for name in order if name in set(statistics["model"])]
    return pd.DataFrame([[name, *(cells.get((name, k), NOTHING) for k in vectors)] for name in present],
                        columns=["Model", *(f"K = {k}" for k in vectors)])


def capacity_table(statistics: pd.DataFrame, order: list[str], trials: pd.DataFrame | None = None) -> pd.DataFrame:
    """Everything /statistics says about one setting, ready to be shown; a row a model and number of memory vectors.

    With the setting's trials, fits through a single one are marked.
    """
    single = _single_fits(trials)
    place = {name: index for index, name in enumerate(order)}
    rows = statistics.assign(_place=statistics["model"].map(place)).sort_values(["_place", "memory_vectors"])
    shown = []
    for _, row in rows.iterrows():
        exact, mean, std = (row["capacity_exact_tokens"], row["information_gain_nats_mean"],
                            row["information_gain_nats_std"])
        counts = [f"{int(row[name])} {name}" for name in ("failed", "open") if name in row and row[name]]
        fit = f" {SINGLE}" if (row["model"], row["memory_vectors"]) in single else ""
        shown.append({
            "Model": row["model"], "K": f"{int(row['memory_vectors'])}", "Trials": f"{int(row['trials']):,}" + (f" ({', '.join(counts)})" if counts else ""),
            "Capacity, tokens": capacity_text(row), "All exact, tokens": f"{int(exact):,}" if _known(row) else NOTHING,
            "Token gain": plus_minus(row["token_gain_mean"], row["token_gain_std"]),
            "Information gain, nats": plus_minus(mean, std),
            "in bits": plus_minus(mean * BITS_PER_NAT, std * BITS_PER_NAT),
            "Solved up to, nats": number(row["ce_threshold_nats"]),
            "Slope-1 offset, nats": number(row["ce_offset_nats"]) + fit,
            "Theoretical, tokens": number(row["theoretical_capacity_tokens"], 0),
            "Utilisation": NOTHING if pd.isna(row["utilisation"]) else f"{100 * row['utilisation']:.1f} %",
        })
    return pd.DataFrame(shown)


def _single_fits(trials: pd.DataFrame | None) -> set[tuple[str, int]]:
    """(model, memory vectors) of which one trial alone is not solved."""
    if trials is None:
        return set()
    counts = trials[(trials["status"] == "done") & unsolved(trials["accuracy"])].groupby(["model", "memory_vectors"]).size()
    return set(counts[counts == 1].index)


def endings_table(trials: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    """How the trials of each model ended."""
    rows = []
    for name in order:
        mine = trials[trials["model"] == name]
        done = mine[mine["status"] == "done"]
        reasons = done["stop_reason"].value_counts()
        rows.append({"Model": name, "Trials": f"{len(mine):,}", "Solved": f"{reasons.get('solved', 0):,}",
                     "Out of patience": f"{reasons.get('patience', 0):,}",
                     "At the step limit": f"{reasons.get('max_steps', 0):,}",
                     "Failed": f"{len(mine) - len(done):,}", "Evaluations a trial": number(done["evaluations"].mean(), 0)})
    return pd.DataFrame(rows)


def failures_table(failed: pd.DataFrame) -> pd.DataFrame:
    """Failed trials by model and message, the most frequent first, each with the first trial that shows it."""
    if failed.empty:
        return pd.DataFrame()
    groups = failed.groupby(["model", "failure"], sort=False)
    rows = [{"Model": model, "Failure": message or "no message", "Trials": len(group), "Corpora": _names(group["corpus"]),
             "K": _numbers(group["memory_vectors"]), "Lengths": _numbers(group["length"]),
             "First trial": group["trial_id"].iloc[0]} for (model, message), group in groups]
    table = pd.DataFrame(rows).sort_values("Trials", ascending=False, kind="stable", ignore_index=True)
    return table.assign(Trials=table["Trials"].map("{:,}".format))


def skipped_table(skipped: pd.DataFrame) -> pd.DataFrame:
    """Trials that the plan left out, by model, corpus and reason."""
    if skipped.empty or "reason" not in skipped:
        return pd.DataFrame()
    by = [column for column in ("model", "corpus", "reason") if column in skipped]
    rows = []
    for key, group in skipped.groupby(by, sort=False):
        row = dict(zip((name.capitalize() for name in by), key)) | {"Trials": f"{len(group):,}"}
        row |= {title: _numbers(group[column]) for column, title in (("memory_vectors", "K"), ("length", "Lengths"))
                if column in group}
        rows.append(row)
    return pd.DataFrame(rows)


def texts_table(trials: pd.DataFrame) -> pd.DataFrame:
    """Where each sample came from, with its lengths, the first ones; empty for files that do not say."""
    most = 500  # on a page
    if "text_source" not in trials:
        return pd.DataFrame()
    known = trials[trials["text_source"] != ""]
    rows = [{"Corpus": corpus, "Sample": sample, "Source": source, "Lengths": _numbers(group["length"])}
            for (corpus, sample, source), group in known.groupby(["corpus", "sample", "text_source"], sort=True)]
    more = [{"Corpus": f"and {len(rows) - most:,} more", "Sample": "", "Source": "", "Lengths": ""}]
    return pd.DataFrame(rows if len(rows) <= most else rows[:most] + more)


def models_table(models: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    """What each model is."""
    titles = {"name": "Model", "family": "Family", "parameters": "Parameters", "layers": "Layers",
              "memory_width": "Memory width", "vocabulary_size": "Vocabulary", "context_tokens": "Context, tokens"}
    columns = [column for column in titles if column in models]
    if "name" not in columns:
        return pd.DataFrame()
    shown = models.set_index("name", drop=False).reindex([name for name in order if name in set(models["name"])])[columns]
    for column in columns:
        if pd.api.types.is_numeric_dtype(shown[column]):
            shown[column] = shown[column].map(lambda value: number(value, 0))
    if "context_tokens" in columns:
        shown["context_tokens"] = shown["context_tokens"].replace("0", "no limit")
    return shown.rename(columns=titles).reset_index(drop=True)


def paper_comparison(results: Results, statistics: pd.DataFrame) -> pd.DataFrame:
    """Own numbers beside the paper's, for the paper's models under its protocol; empty if there are none.

    A model is the paper's when the last part of its Hugging Face name and its memory width are; a corpus when it
    bears the paper's name or has drawn lengths of random words. Whether the texts are the same cannot be known here.
    """
    published = pd.concat([pd.read_csv(PAPER_FOLDER / "table1.csv").assign(memory_vectors=1),
                           pd.read_csv(PAPER_FOLDER / "multivector.csv").query("memory_vectors > 1")])
    known = {(_bare(row["model"]), row["corpus"], row["memory_vectors"]): row for _, row in published.iterrows()}
    widths = dict(zip(results.models.get("name", []), results.models.get("memory_width", [])))
    paper_widths = published.dropna(subset="hidden_size").groupby("model")["hidden_size"].first()
    paper_widths = {_bare(name): width for name, width in paper_widths.items()}
    drawn, rows = drawn_corpora(results.corpora), []
    for _, row in statistics[(statistics["protocol"] == "paper") & (statistics["prefix"] == 0)].iterrows():
        model = _bare(row["model"])
        found = known.get((model, _paper_corpus(row["corpus"], drawn), row["memory_vectors"]))
        if found is None or int(widths.get(row["model"], -1)) != int(paper_widths[model]):
            continue
        rows.append({"Model": row["model"], "Corpus": row["corpus"], "K": f"{int(row['memory_vectors'])}",
                     "Capacity": capacity_text(row), "paper's": f"{int(found['max_length_tokens']):,}",
                     "Token gain": plus_minus(row["token_gain_mean"], row["token_gain_std"]),
                     "paper's ": plus_minus(found["token_gain_mean"], found["token_gain_std"]),
                     "Information gain, nats": plus_minus(row["information_gain_nats_mean"],
                                                          row["information_gain_nats_std"], 0),
                     "paper's  ": plus_minus(found["information_gain_nats_mean"], found["information_gain_nats_std"], 0)})
    return pd.DataFrame(rows)


def _bare(model: str) -> str:
    name = model.rsplit("/", 1)[-1].lower()
    return name.removeprefix("meta-").removesuffix("-hf")


def _paper_corpus(corpus: str, drawn: set[str]) -> str:
    name = corpus.lower().replace("-", "").replace("_", "")
    if corpus in drawn:
        return "random"
    return next((known for known in ("pg19", "fanfics") if known in name), "")


def _names(values: pd.Series) -> str:
    return ", ".join(dict.fromkeys(values))


def _numbers(values: pd.Series) -> str:
    found = sorted(set(int(value) for value in values))
    return ", ".join(map(str, found)) if len(found) <= 8 else f"{len(found)} values, {found[0]} to {found[-1]}"
