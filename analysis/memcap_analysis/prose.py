"""The words of the report that state results: every number in them is read from the data."""

from __future__ import annotations

import json

import pandas as pd

from memcap_analysis import tables
from memcap_analysis.results import Results
from memcap_analysis.statistics import SOLVED_ACCURACY, drawn_corpora


def headline(results: Results, statistics: pd.DataFrame, setting: tables.Setting) -> list[str]:
    """Sentences that say what one setting shows: the best capacity, one vector's capacity, the information gain."""
    mine = setting.of(statistics)
    if mine["trials"].sum() == mine["failed"].sum():
        return ["No trial has a result."]
    drawn = setting.corpus in drawn_corpora(results.corpora)
    best = _best(mine)
    if best["capacity_tokens"] == 0:
        return [f"No model reached an accuracy of {SOLVED_ACCURACY} at any length that was tried "
                f"({_lengths(results, setting)})."] + _gain_sentence(mine)
    sentences = [f"{_keeps(best)}{'' if drawn else _exactness(best)}."]
    few = mine[mine["memory_vectors"] == mine["memory_vectors"].min()]
    if few["memory_vectors"].iloc[0] != best["memory_vectors"]:
        other = _best(few)
        sentences.append(f"{_keeps(other)}." if other["capacity_tokens"] else
                         f"With {_vectors(other)} no model keeps a text of any length that was tried.")
    cut = int((mine["capacity_cut"].astype(int) == 1).sum())
    if cut and not drawn:
        sentences.append(f"In {cut} of {len(mine)} combinations of model and number of vectors the longest texts tried are "
                         f"still kept: those capacities are lower bounds (≥).")
    return sentences + _gain_sentence(mine)


def criterion(results: Results, setting: tables.Setting) -> str:
    """What was asked for to count a length as kept, and over how many trials."""
    trials = setting.of(results.trials)
    if setting.corpus in drawn_corpora(results.corpora):
        return (f"Lengths were drawn for each text ({_lengths(results, setting)}): the capacity is the longest single "
                f"text decoded with an accuracy of at least {SOLVED_ACCURACY}. {_trial_count(trials)}")
    cells = trials.groupby(["model", "memory_vectors", "length"]).size()
    each = f"{cells.min()}" if cells.min() == cells.max() else f"{cells.min()} to {cells.max()}"
    return (f"The capacity is the longest length tried ({_lengths(results, setting)}) at which the mean accuracy over its "
            f"{each} trials is at least {SOLVED_ACCURACY}. {_trial_count(trials)}")


def run_facts(results: Results) -> list[tuple[str, str]]:
    """(what, value) pairs on the run itself: when, where, with which versions."""
    launches, trials = results.launches, results.trials
    facts = [("Experiment", results.experiment), ("Trials", _status_counts(results))]
    if not launches.empty:
        facts += [("Launches", _launches(launches))]
        facts += [(title, value) for title, column in (("Machines", "hosts"), ("Devices", "devices"), ("Job", "job_id"),
                                                       ("memcap", "memcap_version"), ("Source revision", "git_revision"))
                  if (value := _distinct(launches, column))]
        facts += [("Ranks", _distinct(launches, "ranks"))] if "ranks" in launches else []
    elif {"host", "device"} <= set(trials.columns):
        facts += [("Machines", _distinct(trials, "host")), ("Devices", _distinct(trials, "device"))]
    duration = run_seconds(results)
    facts += [("Duration", tables.duration(duration))] if duration is not None else []
    if "elapsed_s" in trials:
        facts.append(("Time in trials", tables.duration(results.done()["elapsed_s"].sum())))
    written = [str(a.get("created_utc", "")) for a in results.attributes if a.get("created_utc")]
    facts += [("Created", ", ".join(dict.fromkeys(written)))] if written else []
    return [(what, value) for what, value in facts if value]


def run_seconds(results: Results) -> float | None:
    """Wall-clock seconds of all launches; one that did not end cleanly counts up to the last trial it finished."""
    launches = results.launches
    if launches.empty or not {"started_utc", "ended_utc"} <= set(launches.columns):
        return None
    starts = pd.to_datetime(launches["started_utc"], utc=True, errors="coerce", format="ISO8601")
    ends = pd.to_datetime(launches["ended_utc"].replace("", None), utc=True, errors="coerce", format="ISO8601")
    finished = pd.to_datetime(results.trials.get("finished_utc", pd.Series(dtype=str)).replace("", None), utc=True,
                              errors="coerce", format="ISO8601").dropna()
    seconds = 0.0
    for start, end in zip(starts, ends):
        if pd.isna(end):
            later = starts[starts > start].min()
            inside = finished[(finished >= start) & (finished < later)] if pd.notna(later) else finished[finished >= start]
            end = inside.max() if len(inside) else start
        seconds += 0.0 if pd.isna(start) else (end - start).total_seconds()
    return seconds


def versions(results: Results) -> list[tuple[str, str]]:
    """Library versions of the launches, those that changed with all their values."""
    known: dict[str, list[str]] = {}
    for text in results.launches.get("versions", []):
        try:
            parsed = json.loads(text)
        except (TypeError, ValueError):
            continue
        for name, value in (parsed.items() if isinstance(parsed, dict) else []):
            value = value if isinstance(value, str) else json.dumps(value)
            if value not in known.setdefault(name, []):
                known[name].append(value)
    return [(name, ", ".join(values)) for name, values in known.items()]


def _best(statistics: pd.DataFrame) -> pd.Series:
    """The row of largest capacity; of equal ones that with the fewest vectors, then the smallest theoretical capacity."""
    order = statistics.sort_values(["capacity_tokens", "memory_vectors", "theoretical_capacity_tokens"],
                                   ascending=[False, True, True], kind="stable")
    return order.iloc[0]


def _keeps(row: pd.Series) -> str:
    bound = "at least" if int(row["capacity_cut"]) else "up to"
    return f"{row['model']} keeps {bound} {count(row['capacity_tokens'], 'token')} in {_vectors(row)}"


def _exactness(row: pd.Series) -> str:
    exact, tokens = int(row["capacity_exact_tokens"]), int(row["capacity_tokens"])
    if exact == tokens:
        return ", all of them right in every text"
    return f" ({count(exact, 'token')} without a single error in any text)" if exact else " (no length without any error)"


def _gain_sentence(statistics: pd.DataFrame) -> list[str]:
    """The information gain with the fewest vectors, where trials that were not solved give one."""
    measured = statistics.dropna(subset="information_gain_nats_mean")
    if measured.empty:
        return []
    few = measured[measured["memory_vectors"] == measured["memory_vectors"].min()]
    low, high = (few.loc[few["information_gain_nats_mean"].idxmin()], few.loc[few["information_gain_nats_mean"].idxmax()])

    def gain(row) -> str:
        mean = row["information_gain_nats_mean"]
        spread = "" if pd.isna(row["information_gain_nats_std"]) else f" ± {tables.number(row['information_gain_nats_std'])}"
        return f"{tables.number(mean)}{spread} nats ({tables.number(mean * tables.BITS_PER_NAT)} bits)"

    if low["information_gain_nats_mean"] == high["information_gain_nats_mean"]:
        return [f"Where the text is too long to be kept, {_vectors(high)} of {high['model']} still "
                f"remove{'s' if high['memory_vectors'] == 1 else ''} {gain(high)} of its cross-entropy (mean ± standard deviation over trials)."]
    return [f"Where the text is too long to be kept, {_vectors(high)} remove{'s' if high['memory_vectors'] == 1 else ''} "
            f"{gain(low)} of its cross-entropy in {low['model']} and {gain(high)} in {high['model']} (mean ± standard "
            f"deviation over trials)."]


def count(value, noun: str) -> str:
    """A whole number with its noun, singular or plural."""
    return f"{int(value):,} {noun}{'' if int(value) == 1 else 's'}"


def _vectors(row: pd.Series) -> str:
    return "one vector" if int(row["memory_vectors"]) == 1 else f"{int(row['memory_vectors'])} vectors"


def _lengths(results: Results, setting: tables.Setting) -> str:
    lengths = sorted(set(setting.of(results.trials)["length"]))
    if setting.corpus in drawn_corpora(results.corpora) or len(lengths) > 16:
        return f"{lengths[0]} to {lengths[-1]:,} tokens"
    return f"{', '.join(f'{n:,}' for n in lengths)} tokens"


def _trial_count(trials: pd.DataFrame) -> str:
    failed = int((trials["status"] != "done").sum())
    return f"{count(len(trials), 'trial')}, " + (f"{failed:,} of them failed and left out." if failed else "none failed.")


def _status_counts(results: Results) -> str:
    text = f"{len(results.done()):,} done"
    text += f", {len(results.failed()):,} failed" if len(results.failed()) else ""
    return text + (f", {len(results.skipped):,} skipped by the plan" if len(results.skipped) else "")


def _launches(launches: pd.DataFrame) -> str:
    starts = sorted(text for text in launches.get("started_utc", []) if text)
    if len(launches) == 1:
        return f"one, {starts[0]}" if starts else "one"
    return f"{len(launches)}, the first {starts[0]}, the last {starts[-1]}" if starts else f"{len(launches)}"


def _distinct(frame: pd.DataFrame, column: str) -> str:
    """Distinct entries of a column of comma-separated lists; a long list is cut to its length and first entries."""
    if column not in frame:
        return ""
    entries = [entry.strip() for text in frame[column] for entry in str(text).split(",") if entry.strip()]
    entries = list(dict.fromkeys(entries))
    return ", ".join(entries) if len(entries) <= 8 else f"{len(entries)}: {', '.join(entries[:4])}, …"
