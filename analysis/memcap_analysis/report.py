"""The command behind `memcap report`: reads result folders and writes one HTML page that needs nothing else."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path

import jinja2
import matplotlib
import numpy as np
import pandas as pd
from markupsafe import Markup

from memcap_analysis import figures, prose, tables
from memcap_analysis.results import ResultFileError, Results, accuracy_curves, load_all, locate
from memcap_analysis.statistics import (COUNTS, MEASURES, capacity_known, check_trials, compare_tables, drawn_corpora, open_trials_of,
                                        recompute_statistics)
from memcap_analysis.svg import Palette

MAX_PANELS = 48        # a kind of figure; more would make the page too long to read and to load
OPEN_PANELS = 24       # beyond these, groups are folded
POINTS_A_PAGE = 14_000  # of the scatter plots, about 70 bytes each
TEMPLATES = Path(__file__).parent / "templates"


@dataclasses.dataclass
class Panel:
    title: str
    note: str
    picture: Markup


@dataclasses.dataclass
class Group:
    """Panels of one setting; folded ones open on a click."""

    label: str
    panels: list[Panel]
    folded: bool = False


@dataclasses.dataclass
class Section:
    """One kind of figure: how to read it, and its panels by setting."""

    title: str
    caption: str
    groups: list[Group]
    left_out: int = 0


def build_page(results: Results) -> str:
    """The whole report as HTML text."""
    if results.trials.empty:
        planned = results.planned()
        raise ResultFileError(f"{', '.join(results.names)}: no finished trial yet"
                              f"{f' of {planned:,} planned' if planned else ''}, so there is nothing to report.")
    statistics, check = _statistics(results)
    order, settings = tables.model_order(results, statistics), tables.settings(results.trials, statistics)
    palette = Palette(results.trials["memory_vectors"])
    sections = _sections(results, statistics, order, settings, palette)
    return _environment().get_template("report.html.j2").render(
        results=results, facts=prose.run_facts(results), versions=prose.versions(results), check=check,
        models=tables.models_table(results.models, order), endings=tables.endings_table(results.trials, order),
        settings=[(s, prose.headline(results, statistics, s), prose.criterion(results, s),
                   tables.capacity_matrix(s.of(statistics), order),
                   tables.capacity_table(s.of(statistics), order, s.of(results.trials)))
                  for s in settings],
        paper=tables.paper_comparison(results, statistics), sections=sections,
        failures=tables.failures_table(results.failed()), skipped=tables.skipped_table(results.skipped),
        texts=tables.texts_table(results.trials),
        light=palette.css(dark=False), dark=palette.css(dark=True), notes=results.notes, banner=prose.banner(results),
        files=results.names)


def _environment() -> jinja2.Environment:
    return jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)


def _statistics(results: Results) -> tuple[pd.DataFrame, str]:
    """The statistics to show and a sentence on how far they were checked."""
    expected = recompute_statistics(results.trials, results.models, results.corpora, open_trials_of(results))
    if results.statistics.empty:
        reason = "several files were joined" if len(results.paths) > 1 else "the file has no statistics"
        return expected, f"The statistics were computed here from the trials, since {reason}."
    wrong, derived = compare_tables(results), check_trials(results.trials)
    if wrong.empty and derived.empty:
        cells = len(expected) * len([*COUNTS, *MEASURES])
        return results.statistics, f"All {cells:,} statistics of the file agree with a recomputation from its trials."
    parts = [f"{len(wrong)} statistics" if len(wrong) else "", f"{len(derived)} derived trial values" if len(derived) else ""]
    columns = ", ".join(sorted(set(wrong["column"]) | set(derived["column"])))
    return expected, (f"Warning: {' and '.join(filter(None, parts))} of the file differ from a recomputation from its trials "
                      f"({columns}). The page shows the recomputed statistics.")


def _sections(results, statistics, order, settings, palette) -> list[Section]:
    done, drawn = results.done(), drawn_corpora(results.corpora)
    grid = [s for s in settings if s.corpus not in drawn]
    free = [s for s in settings if s.corpus in drawn]
    pieces = max(1, len(done.groupby(["model", *tables.SETTING])))
    points = max(60, min(600, POINTS_A_PAGE // min(pieces, MAX_PANELS)))
    by_model = dict(frame=done, order=order, palette=palette)
    overview = dict(frame=statistics, order=order, palette=palette)
    sections = [
        _by_setting("Capacity by model", CAPTIONS["capacity"], settings, figures.capacity_by_model,
                    **overview | {"frame": statistics[capacity_known(statistics)]}),
        _by_model("Decoding accuracy by length", CAPTIONS["accuracy"], grid, figures.accuracy_by_length, **by_model),
        _by_model("Decoding accuracy at drawn lengths", CAPTIONS["drawn"], free, figures.accuracy_by_drawn_length,
                  max_points=points, **by_model),
        _by_model("Cross-entropy before and after", CAPTIONS["cross_entropy"], settings, figures.cross_entropy,
                  max_points=points, **by_model),
        _by_model("Information gain by length", CAPTIONS["gain"], grid, figures.gain_by_length, **by_model),
        _by_setting("Information gain by model", CAPTIONS["model_gain"], settings, figures.gain_by_model,
                    **overview | {"frame": statistics.dropna(subset="information_gain_nats_mean")}),
    ]
    curves = _curves(results)
    if not curves.empty:
        sections.append(_by_model("Learning curves", CAPTIONS["learning"], settings, figures.learning_curves,
                                  **by_model | {"frame": curves}))
    return [section for section in sections if section.groups]


CAPTIONS = {
    "capacity": "How many tokens of text K memory vectors hold, on a logarithmic scale: one row a model, smallest first, one mark "
                "a number of vectors. 0 (no length was kept) has no place on such a scale and stands left of the dotted line; "
                "numbers of vectors with open trials have no mark yet. A small arrow means at least: the longest texts tried were still kept.",
    "accuracy": "Share of the text's tokens that the frozen model predicts rightly, given K trained memory vectors and the "
                "true tokens before (teacher-forced). A line is the mean over the trials of one length, the shade one "
                "standard deviation over trials (the spread between texts, not the error of the mean). The dashed line at "
                "0.99 is the limit from which a length counts as kept. Logarithmic scale of lengths.",
    "drawn": "Each text has its own drawn length, so each faint mark is one trial; the line joins their means within each "
             "doubling of length. The dashed line at 0.99 is the limit from which a text counts as kept.",
    "cross_entropy": "One mark a trial: total cross-entropy of the scored tokens with memory (the smallest reached) against "
                     "without, in nats. On the dotted diagonal memory changes nothing. Solid lines: y = x + b fitted to the "
                     "trials of accuracy below 0.99, slope held at 1: how far a line lies below the diagonal is what K vectors "
                     "remove on average (all trials count, also where only some are drawn). Where marks leave their line, that amount depends on the text. Dashed lines: the largest remainder among the trials that reach "
                     "0.99.",
    "gain": "Cross-entropy without memory less that with memory (the smallest reached), times the length; the mean over trials, "
            "shaded by one standard deviation over trials. It follows the dotted line (all there is to gain) while texts are "
            "short enough to be kept, then levels off at what the vectors can hold. 1 nat = 1.4427 bits.",
    "model_gain": "Mean over the trials of accuracy at most 0.99, all lengths pooled; the bar is one standard deviation over "
                  "trials. Models whose every trial was solved have no mark: their limit was not met. Logarithmic scale; "
                  "1 nat = 1.4427 bits.",
    "learning": "Accuracy against evaluations (forward passes) made, mean over all lengths that were tried with that K (K is "
                "never above the length, so lines of large K lack the short texts). A trial that has stopped keeps its last "
                "value. Logarithmic scale of evaluations.",
}


def _by_model(title, caption, settings, draw, frame, order, palette: Palette, **options) -> Section:
    def panels(setting):
        mine = setting.of(frame)
        for model in order:
            trials = mine[mine["model"] == model]
            if not trials.empty:
                yield model, _panel_note(trials, options.get("max_points")), draw(trials, palette.vectors, **options)
    return _section(title, caption, settings, panels, palette)


def _by_setting(title, caption, settings, draw, frame, order, palette: Palette) -> Section:
    def panels(setting):
        mine = setting.of(frame)
        if not mine.empty:
            yield setting.label, "", draw(mine, order, palette.vectors)
    section = _section(title, caption, settings, panels, palette)
    # One panel a setting: side by side in one group, each under its own name.
    together = [panel for group in section.groups for panel in group.panels]
    return dataclasses.replace(section, groups=[Group("", together)] if together else [])


def _section(title, caption, settings, panels_of, palette: Palette) -> Section:
    section, drawn = Section(title, caption, []), 0
    for setting in settings:
        group = Group(setting.label, [], folded=drawn >= OPEN_PANELS)
        for name, note, figure in panels_of(setting):
            if drawn >= MAX_PANELS:
                section.left_out += 1
                continue
            description = f"{title}: {name}, {setting.label}"
            group.panels.append(Panel(name, note, Markup(palette.inline(figure, description, description))))
            drawn += 1
        if group.panels:
            section.groups.append(group)
    return section


def _panel_note(trials: pd.DataFrame, max_points: int | None) -> str:
    """How many trials a panel stands for, and how many of them have a mark where not all do."""
    if "trial" in trials:
        return prose.count(trials["trial"].nunique(), "trial")
    marks = len(trials) if max_points is None else figures.marks_drawn(trials, max_points)
    return prose.count(len(trials), "trial") + (f", {marks:,} of them drawn" if marks < len(trials) else "")


def _curves(results: Results) -> pd.DataFrame:
    """Learning curves of the finished trials at doubling evaluations, a row a trial and evaluation."""
    done = (results.trials["status"] == "done").to_numpy()
    if not done.any():
        return pd.DataFrame()
    last = int(results.trials.loc[done, "evaluations"].max())
    steps = np.unique(np.append(np.geomspace(1, max(1, last), 24).round().astype(int), last))
    table = accuracy_curves(results, steps)
    kept = np.flatnonzero(done & ~np.isnan(table).all(axis=1))
    columns = ["model", *tables.SETTING, "memory_vectors"]
    frame = results.trials.iloc[kept][columns]
    frame = frame.loc[frame.index.repeat(len(steps))].assign(
        trial=np.repeat(kept, len(steps)), evaluation=np.tile(steps, len(kept)), accuracy=table[kept].reshape(-1))
    return frame.dropna(subset="accuracy")


def capacity_text(results: Results) -> str:
    """The capacity of each setting as plain text, for a terminal."""
    statistics, _ = _statistics(results)
    order = tables.model_order(results, statistics)
    blocks = []
    for setting in tables.settings(results.trials, statistics):
        matrix = tables.capacity_matrix(setting.of(statistics), order)
        blocks.append(f"Capacity in tokens, {setting.label}\n{matrix.to_string(index=False)}")
    return "\n\n".join(blocks)


def export(results: Results, folder: Path) -> list[Path]:
    """Writes statistics.csv, trials.csv and each setting's figures as PNG and SVG grids; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    statistics, _ = _statistics(results)
    order, drawn, done = tables.model_order(results), drawn_corpora(results.corpora), results.done()
    statistics.to_csv(folder / "statistics.csv", index=False)
    results.trials.drop(columns=["source", "source_row"]).to_csv(folder / "trials.csv", index=False)
    written = [folder / "statistics.csv", folder / "trials.csv"]
    for setting in tables.settings(results.trials):
        mine = setting.of(done)
        panels = [(model, mine[mine["model"] == model]) for model in order if (mine["model"] == model).any()]
        if not panels:
            continue
        accuracy = figures.accuracy_by_drawn_length if setting.corpus in drawn else figures.accuracy_by_length
        stem = "".join(c if c.isalnum() else "-" for c in setting.label)
        known = setting.of(statistics[capacity_known(statistics)])
        pages = {"accuracy": figures.grid(accuracy, panels), "cross-entropy": figures.grid(figures.cross_entropy, panels),
                 "gain": figures.grid(figures.gain_by_length, panels)}
        if not known.empty:
            pages["capacity"] = figures.grid(figures.capacity_by_model, [(setting.label, known)], order=order)
        for name, figure in pages.items():
            for suffix in ("png", "svg"):
                written.append(folder / f"{name}-{stem}.{suffix}")
                # Figures have a clear background for the page's sake; a file of its own needs paper.
                with matplotlib.rc_context(figures.STYLE):
                    figure.savefig(written[-1], dpi=200, facecolor="white")
    return written


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status (0 written, 2 unusable input)."""
    parser = argparse.ArgumentParser(prog="memcap report", description="Writes tables and figures of results as one HTML page.")
    parser.add_argument("runs", nargs="+", metavar="DIR", help="run folder or result file; several are joined")
    parser.add_argument("--out", type=Path, metavar="F.html", help="page to write; for one DIR by default DIR/report.html")
    parser.add_argument("--export", type=Path, metavar="FOLDER", help="also write tables as CSV and figures as PNG and SVG")
    parser.add_argument("--snapshot", nargs=2, action="append", default=[], metavar=("DIR", "FILE"),
                        help="read the results of the run folder DIR from FILE")
    options = parser.parse_args(arguments)
    if options.out is None and len(options.runs) > 1:
        print("memcap: several runs were named: say with --out FILE.html where their page goes", file=sys.stderr)
        return 2
    if options.out and options.out.is_dir():
        print(f"memcap: --out {options.out} is a folder, a page is a file: --out {options.out / 'report.html'}", file=sys.stderr)
        return 2
    if options.export and options.export.exists() and not options.export.is_dir():
        print(f"memcap: --export {options.export} is there already and is no folder: choose another name", file=sys.stderr)
        return 2
    if options.out and options.out.is_file() and not _is_page(options.out):
        print(f"memcap: {options.out} is there already and is no page: choose another name for --out", file=sys.stderr)
        return 2
    try:
        snapshots = dict(options.snapshot)
        results = load_all(options.runs, snapshots)
        first = options.runs[0]
        out = options.out or (Path(first) if first in snapshots else locate(first).parent) / "report.html"
        page = build_page(results)
        _replace(out, page)
        if options.export:
            export(results, options.export)
    except ResultFileError as error:
        print(f"memcap: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"memcap: the report cannot be written: {error}", file=sys.stderr)
        return 2
    for note in results.notes:
        print(f"memcap: {note}", file=sys.stderr)
    partial = prose.banner(results)
    return _say(f"{capacity_text(results)}\n\n{partial}{partial and chr(10)}report: {out}")


def _replace(out: Path, page: str) -> None:
    """Writes the page whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".memcap-tmp")
    try:
        part.write_text(page, encoding="utf-8")
        part.replace(out)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _is_page(path: Path) -> bool:
    """Whether a file may be replaced by a page: it is one, or empty."""
    with path.open("rb") as file:
        start = file.read(512)
    return not start or start.lstrip().lower().startswith(b"<!doctype html")


def _say(text: str) -> int:
    """Prints the last words; returns the exit status, 1 where stdout took not all of them."""
    try:
        print(text, flush=True)
        return 0
    except OSError as error:
        # A reader that has gone, as head does, is no news.
        if not isinstance(error, BrokenPipeError):
            print(f"memcap: the results cannot be written to stdout: {error.strerror}", file=sys.stderr)
        # Python would try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
