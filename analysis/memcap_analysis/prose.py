"""The words of the report that state results: every number in them is read from the data."""

from __future__ import annotations

import json

import pandas as pd

from memcap_analysis import tables
from memcap_analysis.results import Results
from memcap_analysis.statistics import SOLVED_ACCURACY, capacity_known, drawn_corpora


def headline(results: Results, statistics: pd.DataFrame, setting: tables.Setting) -> list[str]:
    """Sentences that say what one setting shows: the best capacity, one vector's capacity, the information gain."""
    sentences = _findings(results, statistics, setting)
    if setting.of(results.done())["sample"].nunique() == 1:
        sentences[0] = sentences[0].removesuffix(".") + "; one text alone was tried."
    return sentences


def _findings(results: Results, statistics: pd.DataFrame, setting: tables.Setting) -> list[str]:
    mine = setting.of(statistics)
    known = mine[capacity_known(mine)]
    still_open = _open_sentence(mine)
    if mine["trials"].sum() == mine["failed"].sum():
        return still_open + ["No trial has a result."]
    if known.empty:
        return still_open + _gain_sentence(mine)
    drawn = setting.corpus in drawn_corpora(results.corpora)
    best = _best(known)
    if best["capacity_tokens"].iloc[0] == 0:
        who = "None of the finished combinations of model and number of vectors" if still_open else "No model"
        return still_open + [f"{who} reached an accuracy of {SOLVED_ACCURACY} at any length that was tried "
                             f"({_lengths(results, setting)})."] + _gain_sentence(mine)
    sentences = [f"{_keeps(best)}{'' if drawn else _exactness(best)}."] + still_open
    few = known[known["memory_vectors"] == known["memory_vectors"].min()]
    if few["memory_vectors"].iloc[0] != best["memory_vectors"].iloc[0]:
        other = _best(few)
        unfinished = len(few) < (mine["memory_vectors"] == few["memory_vectors"].iloc[0]).sum()
        sentences.append(f"{_keeps(other)}." if other["capacity_tokens"].iloc[0] else
                         f"With {_vectors(other.iloc[0])} no model{' that has finished' if unfinished else ''} reached a mean "
                         f"accuracy of {SOLVED_ACCURACY} at any length that was tried.")
    cut = int((known["capacity_cut"].astype(int) == 1).sum())
    if cut and not drawn:
        which = f"In {cut} of {len(known)} combinations of model and number of vectors the" if len(known) > 1 else "The"
        sentences.append(f"{which} longest texts tried are still kept: "
                         f"{'that capacity is a lower bound' if cut == 1 else 'those capacities are lower bounds'} (≥).")
    return sentences + _gain_sentence(mine)


def criterion(results: Results, setting: tables.Setting) -> str:
    """What was asked for to count a length as kept, and over how many trials."""
    trials = setting.of(results.trials)
    if trials.empty:
        return "No trial has ended yet."
    if setting.corpus in drawn_corpora(results.corpora):
        return (f"Lengths were drawn for each text ({_lengths(results, setting)}): the capacity is the longest single "
                f"text decoded with an accuracy of at least {SOLVED_ACCURACY}. {_trial_count(trials)}")
    cells = trials.groupby(["model", "memory_vectors", "length"]).size()
    each = count(cells.min(), "trial") if cells.min() == cells.max() else f"{cells.min()} to {count(cells.max(), 'trial')}"
    return (f"The capacity is the longest length tried ({_lengths(results, setting)}) at which the mean accuracy over its "
            f"{each} is at least {SOLVED_ACCURACY}. {_trial_count(trials)}")


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
    seconds = _launch_seconds(results)
    if seconds is not None:
        facts.append(("Duration", tables.duration(seconds.sum())))
        # Trials run side by side in slots: their own times overlap, those of ranks do not.
        facts += [("Time of all ranks", tables.duration((seconds * launches["ranks"]).sum()))] if "ranks" in launches else []
    written = [str(a.get("created_utc", "")) for a in results.attributes if a.get("created_utc")]
    facts += [("Created", ", ".join(dict.fromkeys(written)))] if written else []
    return [(what, value) for what, value in facts if value]


def run_seconds(results: Results) -> float | None:
    """Wall-clock seconds of all launches; one that did not end cleanly counts up to the last trial it finished."""
    seconds = _launch_seconds(results)
    return None if seconds is None else float(seconds.sum())


def _launch_seconds(results: Results) -> pd.Series | None:
    """The same for each launch."""
    launches = results.launches
    if launches.empty or not {"started_utc", "ended_utc"} <= set(launches.columns):
        return None
    starts = pd.to_datetime(launches["started_utc"], utc=True, errors="coerce", format="ISO8601")
    ends = pd.to_datetime(launches["ended_utc"].replace("", None), utc=True, errors="coerce", format="ISO8601")
    finished = pd.to_datetime(results.trials.get("finished_utc", pd.Series(dtype=str)).replace("", None), utc=True,
                              errors="coerce", format="ISO8601").dropna()
    seconds = []
    for start, end in zip(starts, ends):
        if pd.isna(end):
            later = starts[starts > start].min()
            inside = finished[(finished >= start) & (finished < later)] if pd.notna(later) else finished[finished >= start]
            end = inside.max() if len(inside) else start
        seconds.append(0.0 if pd.isna(start) else (end - start).total_seconds())
    return pd.Series(seconds, index=launches.index)


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


def banner(results: Results) -> str:
    """Says that a run is not finished, and how far it is; empty if it is."""
    planned, still_open = results.planned(), results.open()
    if not planned or not still_open:
        return ""
    return (f"Not finished: {planned - still_open:,} of {count(planned, 'planned trial')} have ended, {still_open:,} "
            f"{'is' if still_open == 1 else 'are'} open. No capacity is given where trials are open, and every mean may move.")


def _open_sentence(statistics: pd.DataFrame) -> list[str]:
    cells = statistics[statistics["open"] > 0] if "open" in statistics else statistics.iloc[:0]
    if cells.empty:
        return []
    if len(cells) == len(statistics):
        return [f"No capacity is known yet: {count(cells['open'].sum(), 'trial')} of these combinations of model and "
                f"number of vectors {'is' if cells['open'].sum() == 1 else 'are'} still open."]
    return [f"In {len(cells)} of {len(statistics)} combinations of model and number of vectors trials are still open: "
            f"their capacities are not known yet."]


def _best(statistics: pd.DataFrame) -> pd.DataFrame:
    """The rows of largest capacity; of equal ones those with the fewest vectors, all models that share them."""
    best = statistics[statistics["capacity_tokens"] == statistics["capacity_tokens"].max()]
    return best[best["memory_vectors"] == best["memory_vectors"].min()]


def _keeps(rows: pd.DataFrame) -> str:
    row, names = rows.iloc[0], list(dict.fromkeys(rows["model"]))
    bound = "at least" if (rows["capacity_cut"].astype(int) == 1).all() else "up to"
    who = f"{', '.join(names[:-1])} and {names[-1]} each keep" if len(names) > 1 else f"{names[0]} keeps"
    return f"{who} {bound} {count(row['capacity_tokens'], 'token')} in {_vectors(row)}"


def _exactness(rows: pd.DataFrame) -> str:
    # Of several winners the one with the most errors speaks for all.
    row = rows.loc[rows["capacity_exact_tokens"].astype(int).idxmin()]
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
        single = pd.isna(row["information_gain_nats_std"])
        spread = "" if single else f" ± {tables.number(row['information_gain_nats_std'])}"
        return (f"{tables.number(mean)}{spread} nats ({tables.number(mean * tables.BITS_PER_NAT)} bits"
                f"{', a single trial' if single else ''}) in {row['model']}")

    named = [low] if low["information_gain_nats_mean"] == high["information_gain_nats_mean"] else [low, high]
    spreads = any(pd.notna(row["information_gain_nats_std"]) for row in named)
    return [f"Where texts are too long to be kept, the information gain of {_vectors(high)} is {' and '.join(map(gain, named))}"
            f"{' (mean ± standard deviation over trials)' if spreads else ''}."]


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
    text += f", {results.open():,} open" if results.open() else ""
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
