"""The layout of results.h5: opening, checking, reading and joining result files. Nothing else in the package opens HDF5."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

# What a result file refers to lies where the file says; this variable would have HDF5 look elsewhere first.
os.environ.pop("HDF5_VDS_PREFIX", None)

import h5py  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

SCHEMA_VERSION = 1
FILE_NAME = "results.h5"

CELL = ["model", "corpus", "memory_vectors", "prefix", "protocol", "precision"]  # a row of /statistics
AXES = ["model", "corpus", "sample", "seed", "memory_vectors", "length", "prefix", "protocol", "precision"]
REQUIRED_TRIAL_COLUMNS = ["trial_id", *AXES, "scored_tokens", "status", "failure", "evaluations", "stop_reason",
                          "loss_nomem_nats", "accuracy_nomem", "accuracy", "exact", "loss_min_nats", "ce_nomem_nats",
                          "information_gain_nats", "token_gain"]
# A join of several files qualifies a name when these columns say that it stands for two different things.
IDENTITY = {"models": ["config_sha256", "weights_sha256"], "corpora": ["hash", "sha256", "drawn_lengths"], "protocols": None}
NAME_COLUMN = {"models": "model", "corpora": "corpus", "protocols": "protocol"}
MAX_CURVE_ELEMENTS = 40_000_000


class ResultFileError(Exception):
    """A result file that cannot be used: says which one, why, and what to do."""


@dataclasses.dataclass
class Results:
    """What one result file holds, or several of them joined.

    `trials` has the columns of the file and two more: `source` (index into `paths`) and `source_row` (row in that
    file). Tables that a file lacks are empty frames. `notes` says what a reader of the numbers should know about
    the reading itself (names that were qualified, trials found twice).
    """

    paths: list[Path]
    attributes: list[dict]
    trials: pd.DataFrame
    skipped: pd.DataFrame
    statistics: pd.DataFrame
    models: pd.DataFrame
    corpora: pd.DataFrame
    protocols: pd.DataFrame
    launches: pd.DataFrame
    experiment_yaml: list[str]
    notes: list[str] = dataclasses.field(default_factory=list)
    names: list[str] = dataclasses.field(default_factory=list)  # of the files, as people know them
    open_cells: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)  # of a join: CELL and `open`

    @property
    def experiment(self) -> str:
        """The experiment's name; the names, if files of several experiments were joined."""
        return ", ".join(dict.fromkeys(str(attributes.get("experiment", "")) for attributes in self.attributes))

    def planned(self) -> int | None:
        """Trials that were to run when the files were written; None for files of versions that did not say."""
        return self._count("planned_trials")

    def open(self) -> int:
        """Of those the ones that had neither a result nor failed for good."""
        return self._count("open_trials") or 0

    def _count(self, name: str) -> int | None:
        counts = [attributes.get(name) for attributes in self.attributes]
        return None if None in counts or not counts else sum(map(int, counts))

    def done(self) -> pd.DataFrame:
        """The trials that have a result."""
        return self.trials[self.trials["status"] == "done"]

    def failed(self) -> pd.DataFrame:
        """The trials that ended without one."""
        return self.trials[self.trials["status"] != "done"]


def locate(path: str | Path) -> Path:
    """The result file that a folder or a file name stands for."""
    path = Path(path)
    if path.is_dir():
        path = path / FILE_NAME
        if not path.exists():
            advice = (f"`memcap report {path.parent}` shows the run at any moment, and `memcap rebuild {path.parent}` writes "
                      f"the file when no run is going on there." if (path.parent / "journal").is_dir() else
                      "Name the folder of a run, as runs/NAME, or a result file.")
            raise ResultFileError(f"{path.parent}: no {FILE_NAME} in this folder. {advice}")
    elif not path.exists():
        raise ResultFileError(f"{path}: no such file or folder. Name the folder of a run, as runs/NAME, or a result file.")
    return path


def load(path: str | Path, name: str = "") -> Results:
    """Reads one result file (or the one in a run folder); raises ResultFileError where it cannot be trusted.

    `name`: what to call the file, if its path means nothing to people.
    """
    path = locate(path)
    with _open(path) as file:
        attributes = {name: _plain(value) for name, value in file.attrs.items()}
        _check_schema(path, attributes)
        try:
            trials = _read_trials(path, file)
            optional = {name: _read_table(file, name)
                        for name in ("skipped", "statistics", "models", "corpora", "protocols")}
            launches = _read_table(file, "provenance/launches")
            experiment_yaml = _read_text(file, "provenance/experiment_yaml")
        except (OSError, RuntimeError) as error:
            raise _damaged(path, error) from error
    trials["source"] = 0
    trials["source_row"] = np.arange(len(trials))
    _complete_statistics(optional["statistics"])
    notes = _dropped_note(attributes)
    return Results([path], [attributes], trials, launches=launches, experiment_yaml=[experiment_yaml], notes=notes,
                   names=[name or str(path)], **optional)


def load_all(paths: list[str | Path], snapshots: dict[str, str] | None = None) -> Results:
    """Reads result files and joins them; with more than one, `statistics` is empty, since seeds and samples pool anew.

    `snapshots`: for some of the folders, a result file to read instead of their own.
    """
    places = {}
    for path in paths:
        snapshot = (snapshots or {}).get(str(path))
        places.setdefault(Path(snapshot) if snapshot else locate(path), str(Path(path) / FILE_NAME) if snapshot else "")
    parts = [load(path, name) for path, name in places.items()]
    if not parts:
        raise ResultFileError("no result file was named.")
    return parts[0] if len(parts) == 1 else _join(parts)


def accuracy_curves(results: Results, evaluations: np.ndarray) -> np.ndarray:
    """Accuracy of each trial at the given evaluations, [trials, evaluations]; NaN rows for trials without a curve.

    Each value is the last one recorded up to that evaluation; a trial that has stopped keeps its last value.
    """
    table = np.full((len(results.trials), len(evaluations)), np.nan)
    for source, path in enumerate(results.paths):
        places = np.flatnonzero(results.trials["source"].to_numpy() == source)
        rows = results.trials["source_row"].to_numpy()[places]
        with _open(path) as file:
            curves = _read_curves(path, file, results.notes)
        if curves is None:
            continue
        start, count, steps, accuracy = curves
        for place, row in zip(places, rows):
            if row < len(count) and count[row] > 0:
                span = slice(int(start[row]), int(start[row] + count[row]))
                index = np.searchsorted(steps[span], evaluations, side="right") - 1
                table[place] = np.where(index >= 0, accuracy[span][np.maximum(index, 0)], np.nan)
    return table


def _open(path: Path) -> h5py.File:
    # Without locks: results.h5 is replaced whole, never written in place, and some cluster file systems refuse locks.
    try:
        # A link is followed first, since the file refers to others by their place relative to its own.
        return h5py.File(path.resolve(), "r", locking=False)
    except OSError as error:
        if path.is_file() and path.read_bytes()[:8] != b"\x89HDF\r\n\x1a\n":
            raise ResultFileError(f"{path}: not an HDF5 file. Name a run folder or its {FILE_NAME}.") from error
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ResultFileError:
    return ResultFileError(f"{path}: truncated or damaged ({error}). "
                           f"`memcap rebuild {path.parent}` writes it anew from the journal.")


def _check_schema(path: Path, attributes: dict) -> None:
    if "schema_version" not in attributes:
        raise ResultFileError(f"{path}: not a memcap result file (the root attribute schema_version is missing). "
                              f"Name a run folder or its {FILE_NAME}.")
    try:
        version = int(attributes["schema_version"])
    except (TypeError, ValueError):
        raise ResultFileError(f"{path}: not a memcap result file (schema_version is "
                              f"{attributes['schema_version']!r}, not a whole number).") from None
    if version > SCHEMA_VERSION:
        raise ResultFileError(f"{path}: written in schema {version} by memcap {attributes.get('memcap_version', '?')}; "
                              f"this memcap reads up to schema {SCHEMA_VERSION}. Use a newer memcap.")
    if version < 1:
        raise ResultFileError(f"{path}: schema_version {version} does not exist.")


def _complete_statistics(statistics: pd.DataFrame) -> None:
    """Gives the statistics of earlier versions, which did not say what was open, the column they lack."""
    if not statistics.empty and "open" not in statistics:
        statistics["open"] = 0


def _dropped_note(attributes: dict) -> list[str]:
    count = int(attributes.get("dropped_trials", 0))
    if not count:
        return []
    what = "1 trial of the run folder is" if count == 1 else f"{count:,} trials of the run folder are"
    return [f"{what} not shown: {attributes.get('dropped_reasons', '')}. The journal keeps them; a run with what was "
            f"there before shows them again."]


def _plain(value):
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    return _plain(value) if isinstance(value, bytes) else value.item() if isinstance(value, np.generic) else value


def _column(dataset: h5py.Dataset):
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return dataset.asstr("utf-8", errors="replace")[...]
    values = dataset[...]
    return values if values.ndim == 1 else [tuple(row.tolist()) for row in values]


def _read_table(file: h5py.File, name: str) -> pd.DataFrame:
    group = file.get(name)
    if not isinstance(group, h5py.Group):
        return pd.DataFrame()
    # Scalars and dimension scales beside the columns are no columns.
    datasets = {key: item for key, item in group.items() if isinstance(item, h5py.Dataset) and item.ndim >= 1}
    columns = {key: _column(item) for key, item in datasets.items() if not item.is_scale}
    lengths = {key: len(column) for key, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ResultFileError(f"{file.filename}: the columns of /{name} differ in length ({_shortest(lengths)}). "
                              f"`memcap rebuild {Path(file.filename).parent}` writes it anew from the journal.")
    # HDF5 lists columns by alphabet; people look for the name first.
    return pd.DataFrame({key: columns[key] for key in sorted(columns, key=lambda key: key != "name")})


def _shortest(lengths: dict[str, int]) -> str:
    low, high = min(lengths, key=lengths.get), max(lengths, key=lengths.get)
    return f"{low} has {lengths[low]} rows, {high} has {lengths[high]}"


def _read_trials(path: Path, file: h5py.File) -> pd.DataFrame:
    if "trials" not in file:
        raise ResultFileError(f"{path}: no /trials in this file: not a memcap result file, or a damaged one.")
    trials = _read_table(file, "trials")
    missing = [name for name in REQUIRED_TRIAL_COLUMNS if name not in trials.columns]
    if missing:
        raise ResultFileError(f"{path}: /trials lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}, "
                              f"which schema {SCHEMA_VERSION} has. `memcap rebuild {path.parent}` writes the file anew.")
    return trials


def _read_text(file: h5py.File, name: str) -> str:
    item = file.get(name)
    if item is None and "/" in name:
        group, attribute = name.rsplit("/", 1)
        return str(_plain(file[group].attrs.get(attribute, ""))) if group in file else ""
    if not isinstance(item, h5py.Dataset):
        return ""
    return str(np.asarray(item.asstr("utf-8", errors="replace")[...]).reshape(-1)[0]) if item.size else ""


def _read_curves(path: Path, file: h5py.File, notes: list[str]):
    group = file.get("curves")
    if not isinstance(group, h5py.Group) or "start" not in group:
        return None
    quantities = group["values"] if isinstance(group.get("values"), h5py.Group) else group
    if "evaluation" not in quantities or "accuracy" not in quantities:
        return None
    evaluation, accuracy = quantities["evaluation"], quantities["accuracy"]
    lost = dict(problem for item in (evaluation, accuracy) for problem in _unreadable_segments(path, item).items())
    if lost:
        # HDF5 answers with fill values where a segment is gone: numbers that were never measured.
        reasons = "; ".join(f"{name}: {why}" for name, why in sorted(lost.items()))
        notes.append(f"Learning curves of {path} are left out, since files beside it cannot be read ({reasons}). Put them back from "
                     f"a copy, or have those curves that are left: `memcap rebuild {path.parent}`.")
        return None
    if evaluation.size > MAX_CURVE_ELEMENTS:
        notes.append(f"Learning curves of {path} are left out: {evaluation.size:,} values are too many to read at once.")
        return None
    try:
        start, count, steps, shares = group["start"][...], group["count"][...], evaluation[...], accuracy[...]
    except OSError as error:
        notes.append(f"Learning curves of {path} are left out: one of {', '.join(_segments(evaluation))} is damaged ({error}). "
                     f"`memcap rebuild {path.parent}` finds out which, and leaves out its curves alone.")
        return None
    # Where curves begin and end; fill values between curves belong to no trial.
    edges = np.zeros(len(steps) + 1, dtype=np.int64)
    np.add.at(edges, start[count > 0], 1)
    np.add.at(edges, (start + count)[count > 0], -1)
    if np.any((np.cumsum(edges)[:-1] > 0) & ((steps < 1) | np.isnan(shares))):
        raise ResultFileError(f"{path}: learning curves without numbers: one of {', '.join(_segments(evaluation))} is damaged. "
                              f"`memcap rebuild {path.parent}` leaves these curves out.")
    return start, count, steps, shares


def _segments(dataset: h5py.Dataset) -> list[str]:
    """The files behind a virtual dataset, relative to its own."""
    names = {source.file_name for source in dataset.virtual_sources()} if dataset.is_virtual else set()
    return sorted(name for name in names if name != ".")


def _unreadable_segments(path: Path, dataset: h5py.Dataset) -> dict[str, str]:
    """Those of them that are gone or no HDF5 files, with the reason."""
    lost = {}
    for name in _segments(dataset):
        file = path.resolve().parent / name
        try:
            h5py.File(file, "r", locking=False).close()
        except OSError as error:
            lost[name] = str(error) if file.exists() else "missing"
    return lost


def _join(parts: list[Results]) -> Results:
    notes = [note for part in parts for note in part.notes]
    for table in NAME_COLUMN:
        notes += _qualify_names(parts, table)
    for source, part in enumerate(parts):
        part.trials["source"] = source
    trials, twice = _without_duplicates(pd.concat([part.trials for part in parts], ignore_index=True))
    if twice:
        notes.append(f"{twice} trials stand in more than one of the files and count once.")

    def stacked(name: str) -> pd.DataFrame:
        frames = [getattr(part, name) for part in parts if not getattr(part, name).empty]
        frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
        return frame.drop_duplicates("name", ignore_index=True) if "name" in frame else frame

    return Results([path for part in parts for path in part.paths], [a for part in parts for a in part.attributes],
                   trials, stacked("skipped"), pd.DataFrame(), stacked("models"), stacked("corpora"),
                   stacked("protocols"), stacked("launches"), [text for part in parts for text in part.experiment_yaml],
                   notes, [name for part in parts for name in part.names], _open_cells(parts))


def _open_cells(parts: list[Results]) -> pd.DataFrame:
    """How many trials of each cell are open in any of the files. One that another file has counts as open all the same:
    only `memcap merge` knows which they are."""
    frames = [part.statistics[[*CELL, "open"]] for part in parts if {*CELL, "open"} <= set(part.statistics.columns)]
    return pd.concat(frames).groupby(CELL, as_index=False)["open"].sum() if frames else pd.DataFrame()


def _without_duplicates(trials: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """One row a trial: a result goes before a failure, a later one before an earlier one."""
    order = trials.assign(_done=(trials["status"] == "done"), _time=trials.get("finished_utc", ""))
    kept = order.sort_values(["_done", "_time"], kind="stable").drop_duplicates(["trial_id", *AXES], keep="last")
    return trials.loc[kept.index.sort_values()].reset_index(drop=True), len(trials) - len(kept)


def _qualify_names(parts: list[Results], table: str) -> list[str]:
    """Appends the experiment's name to each name that stands for different things in different files."""
    meanings: dict[str, set] = {}
    for part in parts:
        for name, meaning in _meanings(getattr(part, table), IDENTITY[table]).items():
            meanings.setdefault(name, set()).add(meaning)
    clashes = sorted(name for name, known in meanings.items() if len(known) > 1)
    for number, part in enumerate(parts, 1):
        if clashes:
            label = part.experiment if len({p.experiment for p in parts}) == len(parts) else f"file {number}"
            names = {name: f"{name} ({label})" for name in clashes}
            frame = getattr(part, table)
            frame["name"] = frame["name"].replace(names)
            for holder in (part.trials, part.skipped, part.statistics):
                if NAME_COLUMN[table] in holder:
                    holder[NAME_COLUMN[table]] = holder[NAME_COLUMN[table]].replace(names)
    what = {"models": "model", "corpora": "corpus", "protocols": "protocol"}[table]
    return [f"The {what} name {name} stands for different things in these files, so each is shown with its experiment."
            for name in clashes]


def _meanings(frame: pd.DataFrame, columns: list[str] | None) -> dict[str, tuple]:
    if "name" not in frame:
        return {}
    columns = [c for c in (columns or frame.columns) if c in frame and c != "name"]
    return {row["name"]: tuple((c, str(row[c])) for c in sorted(columns)) for _, row in frame.iterrows()}
