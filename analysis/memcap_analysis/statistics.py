"""The statistics table computed again from the trials: an independent check of /statistics, and its stand-in for joined files."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from memcap_analysis import results as result_files

KEYS = result_files.CELL
COUNTS = ["trials", "failed", "capacity_tokens", "capacity_exact_tokens", "capacity_cut"]
MEASURES = ["token_gain_mean", "token_gain_std", "information_gain_nats_mean", "information_gain_nats_std",
            "ce_threshold_nats", "ce_residual_threshold_nats", "ce_offset_nats", "theoretical_capacity_tokens",
            "utilisation"]
SOLVED_ACCURACY = 0.99
# A mean of decimal fractions may miss .99 by its last bits. Accuracies are multiples of 1 / (tokens scored in all
# trials of a cell), so nothing real lies this close to the limit without being equal to it.
ACCURACY_TOLERANCE = 1e-7
BITS_PER_VALUE = 16
RELATIVE_TOLERANCE = 1e-6


def solved(accuracy):
    """Whether an accuracy (or a mean of them) reaches the limit of the paper's decoding capacity."""
    return accuracy >= SOLVED_ACCURACY - ACCURACY_TOLERANCE


def unsolved(accuracy):
    """Whether an accuracy lies below the limit."""
    return accuracy < SOLVED_ACCURACY - ACCURACY_TOLERANCE


def information_limited(accuracy):
    """Whether a trial counts towards the gains: accuracy at most the limit (the paper leaves out those above it)."""
    return accuracy <= SOLVED_ACCURACY + ACCURACY_TOLERANCE


def recompute_statistics(trials: pd.DataFrame, models: pd.DataFrame, corpora: pd.DataFrame | None = None,
                         open_trials: pd.DataFrame | None = None) -> pd.DataFrame:
    """The statistics table from trials alone: a row a (model, corpus, memory vectors, prefix, protocol, precision).

    `models` gives memory_width and vocabulary_size; `corpora`, if given, which corpora have drawn lengths (without
    it none has); `open_trials`, a frame of KEYS and `open`, how many trials of a cell are still to run (without it
    none is, and cells that have nothing else get a row too). Columns: KEYS, COUNTS, `open`, MEASURES; NaN where a measure has no trials; capacities of -1 where trials
    are open.
    """
    drawn = drawn_corpora(corpora)
    sizes = _model_sizes(models)
    rows = [dict(zip(KEYS, key)) | _statistics_of(cell, key[1] in drawn) | _theory(key[0], key[2], sizes)
            for key, cell in trials.groupby(KEYS, sort=False)]
    table = pd.DataFrame(rows, columns=[*KEYS, *COUNTS, *MEASURES])
    table["utilisation"] = table["token_gain_mean"] / table["theoretical_capacity_tokens"]
    table = pd.concat([table, _unstarted(table, open_trials, sizes)], ignore_index=True)
    table["open"] = _open_of(table, open_trials)
    table.loc[table["open"] > 0, ["capacity_tokens", "capacity_exact_tokens", "capacity_cut"]] = [-1, -1, 0]
    return table.sort_values(KEYS, kind="stable", ignore_index=True)


def capacity_known(statistics: pd.DataFrame) -> pd.Series:
    """Which rows have a capacity to show: no trial is open, and not all have failed."""
    return (statistics["capacity_tokens"] >= 0) & (statistics["trials"] > statistics["failed"])


def open_trials_of(results: result_files.Results) -> pd.DataFrame:
    """KEYS and `open` as the result files say."""
    return results.open_cells if results.statistics.empty else results.statistics


def _open_of(table: pd.DataFrame, open_trials: pd.DataFrame | None) -> np.ndarray:
    if open_trials is None or not {*KEYS, "open"} <= set(open_trials.columns) or table.empty:
        return np.zeros(len(table), dtype=int)
    counts = open_trials.set_index(KEYS)["open"].astype(int)
    return counts.reindex(pd.MultiIndex.from_frame(table[KEYS]), fill_value=0).to_numpy()


def _unstarted(table: pd.DataFrame, open_trials: pd.DataFrame | None, sizes: dict) -> pd.DataFrame:
    """Rows of cells of which nothing has ended yet; none where the files do not tell (earlier versions)."""
    if open_trials is None or not {*KEYS, "open"} <= set(open_trials.columns):
        return table.iloc[:0]
    ended = set(table[KEYS].itertuples(index=False, name=None))
    keys = [key for key in open_trials.loc[open_trials["open"] > 0, KEYS].itertuples(index=False, name=None) if key not in ended]
    rows = [dict(zip(KEYS, key)) | dict.fromkeys(COUNTS, 0) | _theory(key[0], key[2], sizes) for key in keys]
    return pd.DataFrame(rows, columns=table.columns).astype(table.dtypes) if rows else table.iloc[:0]


def drawn_corpora(corpora: pd.DataFrame | None) -> set[str]:
    """Names of the corpora whose samples each have a drawn length of their own."""
    if corpora is None or "drawn_lengths" not in corpora:
        return set()
    return set(corpora.loc[corpora["drawn_lengths"].astype(int) == 1, "name"])


def compare(path, relative_tolerance: float = RELATIVE_TOLERANCE) -> pd.DataFrame:
    """Cells in which /statistics of a result file and the recomputation differ; empty if all agree.

    Columns: KEYS, `column`, `stored`, `recomputed`. A row that only one side has differs in column `row`.
    """
    return compare_tables(result_files.load(path), relative_tolerance)


def compare_tables(results: result_files.Results, relative_tolerance: float = RELATIVE_TOLERANCE) -> pd.DataFrame:
    """As `compare`, for results already read."""
    expected = recompute_statistics(results.trials, results.models, results.corpora, open_trials_of(results))
    stored = results.statistics if not results.statistics.empty else pd.DataFrame(columns=expected.columns)
    left, right = (frame.set_index(KEYS) for frame in (stored, expected))
    found = [(*key, "row", key in left.index, key in right.index) for key in left.index.symmetric_difference(right.index)]
    for key in right.index.intersection(left.index):
        for column in [*COUNTS, *MEASURES]:
            old = float(left.at[key, column]) if column in left.columns else np.nan
            new = float(right.at[key, column])
            if not np.isclose(old, new, rtol=relative_tolerance, atol=1e-9, equal_nan=True):
                found.append((*key, column, old, new))
    return pd.DataFrame(found, columns=[*KEYS, "column", "stored", "recomputed"])


def _statistics_of(cell: pd.DataFrame, drawn: bool) -> dict:
    done = cell[cell["status"] == "done"]
    reached = solved(done["accuracy"])
    capacity = _capacity(done["length"], done["accuracy"], drawn)
    exact = _capacity(done["length"], (done["exact"].astype(int) == 1).astype(float), drawn, limit_is_all=True)
    done = done.assign(**_gains(done))
    limited = done[information_limited(done["accuracy"])]
    below = done[unsolved(done["accuracy"])]
    offset = below["ce_nomem_nats"] - below["loss_min_nats"] * below["scored_tokens"]
    return {
        "trials": len(cell), "failed": len(cell) - len(done), "capacity_tokens": capacity,
        "capacity_exact_tokens": exact, "capacity_cut": int(capacity > 0 and capacity == done["length"].max()),
        "token_gain_mean": limited["token_gain"].mean(), "token_gain_std": limited["token_gain"].std(ddof=1),
        "information_gain_nats_mean": limited["information_gain_nats"].mean(),
        "information_gain_nats_std": limited["information_gain_nats"].std(ddof=1),
        "ce_threshold_nats": done.loc[reached, "ce_nomem_nats"].max(),
        "ce_residual_threshold_nats": (done.loc[reached, "loss_min_nats"] * done.loc[reached, "length"]).max(),
        "ce_offset_nats": offset.mean(),
    }


def _gains(trials: pd.DataFrame) -> dict[str, pd.Series]:
    """The paper's gains from the measured columns (not from the stored gains: those are checked against these)."""
    return {"token_gain": (trials["accuracy"] - trials["accuracy_nomem"]) * trials["length"],
            "information_gain_nats": (trials["loss_nomem_nats"] - trials["loss_min_nats"]) * trials["length"]}


def check_trials(trials: pd.DataFrame, relative_tolerance: float = RELATIVE_TOLERANCE) -> pd.DataFrame:
    """Derived columns of finished trials that do not follow from the measured ones; empty if all do.

    Columns: trial_id, `column`, `stored`, `recomputed`.
    """
    done = trials[trials["status"] == "done"]
    derived = _gains(done) | {"ce_nomem_nats": done["loss_nomem_nats"] * (done["length"] - 1)}
    if {"loss_nats", "ce_nats", "correct_tokens"} <= set(done.columns):
        derived |= {"ce_nats": done["loss_nats"] * done["scored_tokens"],
                    "accuracy": done["correct_tokens"] / done["scored_tokens"],
                    "exact": (done["correct_tokens"] == done["scored_tokens"]).astype(float)}
    frames = [pd.DataFrame({"trial_id": done["trial_id"], "column": column, "stored": done[column].astype(float),
                            "recomputed": values}) for column, values in derived.items()]
    table = pd.concat(frames, ignore_index=True)
    return table[~np.isclose(table["stored"], table["recomputed"], rtol=relative_tolerance, atol=1e-6, equal_nan=True)]


def _capacity(length: pd.Series, score: pd.Series, drawn: bool, limit_is_all: bool = False) -> int:
    passes = score.groupby(length).max() if drawn else score.groupby(length).mean()
    good = passes[passes >= 1.0] if limit_is_all else passes[solved(passes)]
    return int(good.index.max()) if len(good) else 0


def _model_sizes(models: pd.DataFrame) -> dict[str, tuple[float, float]]:
    if not {"name", "memory_width", "vocabulary_size"} <= set(models.columns):
        return {}
    return {row["name"]: (float(row["memory_width"]), float(row["vocabulary_size"])) for _, row in models.iterrows()}


def _theory(model: str, memory_vectors: int, sizes: dict) -> dict:
    width, vocabulary = sizes.get(model, (np.nan, np.nan))
    return {"theoretical_capacity_tokens": memory_vectors * width * BITS_PER_VALUE / np.log2(vocabulary)}


def main(arguments: list[str]) -> int:
    """`python -m memcap_analysis.statistics FILE...`: compares, prints what differs; returns 1 if anything does, 2 for a bad file."""
    wrong = 0
    for path in arguments:
        try:
            found = result_files.load(path)
        except result_files.ResultFileError as error:
            print(f"memcap: {error}", file=sys.stderr)
            return 2
        for what, differences in (("/statistics", compare_tables(found)), ("/trials", check_trials(found.trials))):
            wrong += len(differences)
            print(f"{path}: {what} " + (f"differs in {len(differences)} places\n{differences.to_string(index=False)}"
                                        if len(differences) else "agrees with the recomputation"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
