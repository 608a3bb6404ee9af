"""The figures: pure functions of a data frame, each a matplotlib Figure that is one small panel (or a grid of panels)."""

from __future__ import annotations

import math

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memcap_analysis.statistics import SOLVED_ACCURACY, solved, unsolved

# A panel is drawn for a column of 350 to 420 pixels: its 8-point text is then 11 to 13 pixels high.
PANEL_INCHES = (3.6, 2.7)
INK, MUTED, GRID, LIMIT = "#1c2430", "#5b6675", "#d5dbe3", "#b4430c"
MARKERS = "osD^vPX*"
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 8, "axes.labelsize": 8, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5, "axes.titlesize": 8.5, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK, "ytick.labelcolor": INK, "grid.color": GRID,
    "grid.linewidth": 0.6, "axes.grid": True, "axes.axisbelow": True, "axes.spines.top": False,
    "axes.spines.right": False, "axes.linewidth": 0.7, "lines.linewidth": 1.4, "lines.markersize": 4,
    "legend.frameon": False, "svg.fonttype": "none", "figure.facecolor": "none", "axes.facecolor": "none",
}
# Part of viridis (ordered and safe for colour-blind readers) that stands out from a light and from a dark page.
LIGHT_RANGE, DARK_RANGE = (0.08, 0.80), (0.38, 1.0)


def vector_colours(vectors, shades: tuple[float, float] = LIGHT_RANGE) -> dict[int, str]:
    """A colour for each number of memory vectors, dark for few, light for many."""
    vectors = sorted(set(int(k) for k in vectors))
    places = np.linspace(*shades, len(vectors)) if len(vectors) > 1 else [shades[0] + 0.4 * (shades[1] - shades[0])]
    return {k: matplotlib.colors.to_hex(matplotlib.colormaps["viridis"](place)) for k, place in zip(vectors, places)}


def slope_one_fit(trials: pd.DataFrame) -> tuple[float, int]:
    """Offset of the line ce_after = ce_nomem - offset through the unsolved trials, and how many they are.

    Least squares with the slope held at 1 is the mean difference. Nats; positive is what memory removed.
    """
    below = trials[unsolved(trials["accuracy"])]
    return float((below["ce_nomem_nats"] - residual_nats(below)).mean()), len(below)


def residual_nats(trials: pd.DataFrame) -> pd.Series:
    """Cross-entropy of the scored tokens with memory, at its smallest over the evaluations."""
    return trials["loss_min_nats"] * trials["scored_tokens"]


def accuracy_by_length(trials: pd.DataFrame, colours: dict | None = None, title: str = "") -> Figure:
    """Mean decoding accuracy against text length, a line a number of memory vectors, shaded by one standard deviation."""
    return _panel(_draw_accuracy, trials, colours, title)


def accuracy_by_drawn_length(trials: pd.DataFrame, colours: dict | None = None, title: str = "",
                             max_points: int = 600) -> Figure:
    """Accuracy of single trials whose lengths were drawn, with their mean in each doubling of length."""
    return _panel(_draw_drawn_accuracy, trials, colours, title, max_points=max_points)


def gain_by_length(trials: pd.DataFrame, colours: dict | None = None, title: str = "") -> Figure:
    """Information gain against text length, a line a number of memory vectors; grey: all there was to gain."""
    return _panel(_draw_gain, trials, colours, title)


def cross_entropy(trials: pd.DataFrame, colours: dict | None = None, title: str = "", max_points: int = 600) -> Figure:
    """Cross-entropy with memory against without, a point a trial, with the slope-1 fit and the solved threshold."""
    return _panel(_draw_cross_entropy, trials, colours, title, max_points=max_points)


def learning_curves(curves: pd.DataFrame, colours: dict | None = None, title: str = "") -> Figure:
    """Mean accuracy against evaluations made; columns memory_vectors, evaluation, accuracy (a row a trial and evaluation)."""
    return _panel(_draw_learning, curves, colours, title)


def capacity_by_model(statistics: pd.DataFrame, order: list[str], colours: dict | None = None, title: str = "") -> Figure:
    """Decoding capacity, a row a model, a mark a number of memory vectors."""
    return _panel(_draw_capacity, statistics, colours, title, size=_rows_size(statistics), order=order)


def gain_by_model(statistics: pd.DataFrame, order: list[str], colours: dict | None = None, title: str = "") -> Figure:
    """Information gain with its standard deviation, a row a model, a mark a number of memory vectors."""
    return _panel(_draw_model_gain, statistics, colours, title, size=_rows_size(statistics), order=order)


DRAWERS = {}


def grid(figure_kind, panels: list[tuple[str, pd.DataFrame]], columns: int = 3, **options) -> Figure:
    """Several panels of one kind of figure as one Figure, for a document; `panels` are (title, frame)."""
    draw = DRAWERS[figure_kind]
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    colours = vector_colours(pd.concat([frame["memory_vectors"] for _, frame in panels]))
    sizes = [_rows_size(frame) if "order" in options else PANEL_INCHES for _, frame in panels]
    with matplotlib.rc_context(STYLE):
        figure = Figure((PANEL_INCHES[0] * columns, max(height for _, height in sizes) * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flatten()
        for place, (title, frame) in zip(axes, panels):
            draw(place, frame, colours, **options)
            place.set_title(title, loc="left")
        for place in axes[len(panels):]:
            place.remove()
        _legend(figure, axes[:len(panels)], columns * 6)
    return figure


def _panel(draw, frame: pd.DataFrame, colours: dict | None, title: str, size=PANEL_INCHES, **options) -> Figure:
    with matplotlib.rc_context(STYLE):
        figure = Figure(size, layout="constrained")
        axes = figure.subplots()
        draw(axes, frame, colours or vector_colours(frame["memory_vectors"]), **options)
        if title:
            axes.set_title(title, loc="left")
        _legend(figure, [axes], 6)
    return figure


def _legend(figure: Figure, axes, columns: int) -> None:
    known = {}
    for place in axes:
        for handle, label in zip(*place.get_legend_handles_labels()):
            known.setdefault(label, handle)
    if known:
        columns = min(columns, len(known))
        # matplotlib fills a legend column by column; people read rows.
        labels = [label for column in range(columns) for label in list(known)[column::columns]]
        figure.legend([known[label] for label in labels], labels, loc="outside upper left", ncols=columns,
                      handlelength=1.3, columnspacing=0.7, handletextpad=0.4, borderaxespad=0.2)


def _by_vectors(frame: pd.DataFrame):
    """(number of memory vectors, its rows, its marker) in order."""
    for place, k in enumerate(sorted(frame["memory_vectors"].unique())):
        yield int(k), frame[frame["memory_vectors"] == k], MARKERS[place % len(MARKERS)]


def _log2_axis(axis, values) -> None:
    values = sorted(set(float(value) for value in values if value > 0))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(ticker.NullLocator())
    if not values:
        return
    ticks = _log2_ticks(values[0], values[-1])
    axis.set_major_locator(ticker.FixedLocator(ticks[::max(1, math.ceil(len(ticks) / 8))]))


def _log2_ticks(low: float, high: float) -> list[float]:
    """Powers of two over a range, with what lies between them where fewer than two fall into it: one tick is no scale."""
    powers = [2.0**power for power in range(math.floor(math.log2(low)), math.ceil(math.log2(high)) + 1)]
    for parts in ((1.0,), (1.0, 1.5), (1.0, 1.25, 1.5, 1.75)):
        inside = [power * part for power in powers for part in parts if low <= power * part <= high]
        if len(inside) > 1:
            return powers if parts == (1.0,) else inside
    return sorted({*powers, low, high})


def _spread_by(trials: pd.DataFrame, by: str, column) -> pd.DataFrame:
    groups = (trials[column] if isinstance(column, str) else column).groupby(trials[by])
    return pd.DataFrame({"mean": groups.mean(), "std": groups.std(ddof=1).fillna(0.0)})


def _accuracy_axes(axes: Axes) -> None:
    axes.set_ylim(0, 1.04)
    axes.yaxis.set_major_locator(ticker.FixedLocator([0, 0.25, 0.5, 0.75, 1.0]))
    axes.axhline(SOLVED_ACCURACY, color=LIMIT, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    axes.set_ylabel("accuracy")


def _draw_accuracy(axes: Axes, trials: pd.DataFrame, colours: dict) -> None:
    _accuracy_axes(axes)
    for k, mine, marker in _by_vectors(trials):
        spread = _spread_by(mine, "length", "accuracy")
        axes.fill_between(spread.index, (spread["mean"] - spread["std"]).clip(0, 1),
                          (spread["mean"] + spread["std"]).clip(0, 1), color=colours[k], alpha=0.14, linewidth=0)
        axes.plot(spread.index, spread["mean"], color=colours[k], marker=marker, label=f"K = {k}")
    axes.set_xscale("log", base=2)
    _log2_axis(axes.xaxis, trials["length"])
    axes.set_xlabel("length N, tokens")


def _draw_drawn_accuracy(axes: Axes, trials: pd.DataFrame, colours: dict, max_points: int = 600) -> None:
    _accuracy_axes(axes)
    share = _share(trials, max_points)
    for k, mine, marker in _by_vectors(trials):
        some = thinned(mine, share)
        axes.scatter(some["length"], some["accuracy"], s=12, color=colours[k], alpha=0.5, linewidths=0, marker=marker)
        doubling = np.floor(np.log2(mine["length"])).rename("doubling")
        means = mine.assign(doubling=doubling).groupby("doubling")[["length", "accuracy"]].mean()
        axes.plot(means["length"], means["accuracy"], color=colours[k], marker=marker, label=f"K = {k}")
    axes.set_xscale("log", base=2)
    _log2_axis(axes.xaxis, trials["length"])
    axes.set_xlabel("drawn length N, tokens")


def _draw_gain(axes: Axes, trials: pd.DataFrame, colours: dict) -> None:
    whole = _spread_by(trials, "length", trials["loss_nomem_nats"] * trials["length"])["mean"]
    axes.plot(whole.index, whole, color=MUTED, linewidth=1.0, linestyle=(0, (1, 1.5)), label="all there is")
    top = 0.0
    for k, mine, marker in _by_vectors(trials):
        spread = _spread_by(mine, "length", "information_gain_nats")
        axes.fill_between(spread.index, (spread["mean"] - spread["std"]).clip(lower=0), spread["mean"] + spread["std"],
                          color=colours[k], alpha=0.14, linewidth=0)
        axes.plot(spread.index, spread["mean"], color=colours[k], marker=marker, label=f"K = {k}")
        top = max(top, (spread["mean"] + spread["std"]).max())
    # What there is to gain grows without end with the length: the gains decide the scale, not it.
    axes.set_ylim(0, top * 1.12 if top > 0 else 1)
    axes.set_xscale("log", base=2)
    _log2_axis(axes.xaxis, trials["length"])
    axes.set_xlabel("length N, tokens")
    axes.set_ylabel("information gain, nats")
    axes.yaxis.set_major_locator(ticker.MaxNLocator(5))


def _draw_cross_entropy(axes: Axes, trials: pd.DataFrame, colours: dict, max_points: int = 600) -> None:
    share = _share(trials, max_points)
    far = float(trials["ce_nomem_nats"].max()) if len(trials) else 1.0
    axes.plot([0, far], [0, far], color=MUTED, linewidth=1.0, linestyle=(0, (1, 1.5)), label="no change")
    for k, mine, marker in _by_vectors(trials):
        some = thinned(mine, share)
        axes.scatter(some["ce_nomem_nats"], residual_nats(some), s=13, color=colours[k], alpha=0.6, linewidths=0,
                     marker=marker)
        offset, count = slope_one_fit(mine)
        axes.plot([], [], color=colours[k], marker=marker, label=f"K = {k}" + (" (line of 1 trial)" if count == 1 else ""))
        if count:
            axes.plot([max(0.0, offset), far], [max(0.0, -offset), far - offset], color=colours[k], linewidth=1.2,
                      linestyle="-" if count > 1 else (0, (1, 1)))
        good = mine[solved(mine["accuracy"])]
        if len(good):
            axes.axhline((good["loss_min_nats"] * good["length"]).max(), color=colours[k], linewidth=0.8,
                         linestyle=(0, (4, 2)))
    axes.set_xlim(0, far * 1.03)
    axes.set_ylim(0, None)
    axes.set_xlabel("without memory, nats")
    axes.set_ylabel("with memory, nats")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(ticker.MaxNLocator(5))


def _draw_learning(axes: Axes, curves: pd.DataFrame, colours: dict) -> None:
    _accuracy_axes(axes)
    for k, mine, _ in _by_vectors(curves):
        mean = mine.groupby("evaluation")["accuracy"].mean()
        axes.plot(mean.index, mean, color=colours[k], label=f"K = {k}")
    axes.set_xscale("log", base=2)
    _log2_axis(axes.xaxis, curves["evaluation"])
    axes.set_xlabel("evaluations")


def _rows_size(statistics: pd.DataFrame) -> tuple[float, float]:
    lanes = max(2, statistics["memory_vectors"].nunique())
    return PANEL_INCHES[0], 0.9 + statistics["model"].nunique() * min(0.62, 0.16 + 0.075 * lanes)


def _model_rows(axes: Axes, statistics: pd.DataFrame, order: list[str]) -> dict[str, int]:
    names = [name for name in order if name in set(statistics["model"])]
    axes.set_yticks(range(len(names)), [name if len(name) <= 20 else name[:18] + "…" for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    for place in range(1, len(names)):
        axes.axhline(place - 0.5, color=GRID, linewidth=0.6)
    return {name: place for place, name in enumerate(names)}


def _lanes(statistics: pd.DataFrame) -> dict[int, float]:
    vectors = sorted(int(k) for k in statistics["memory_vectors"].unique())
    return dict(zip(vectors, np.linspace(-0.32, 0.32, len(vectors)) if len(vectors) > 1 else [0.0]))


def _draw_capacity(axes: Axes, statistics: pd.DataFrame, colours: dict, order: list[str]) -> None:
    rows, lanes = _model_rows(axes, statistics, order), _lanes(statistics)
    positive = statistics.loc[statistics["capacity_tokens"] > 0, "capacity_tokens"]
    # A logarithm has no place for 0: it stands one doubling left of the smallest capacity, with its own tick.
    nothing = 2.0 ** (math.floor(math.log2(positive.min())) - 1) if len(positive) else 0.5
    for k, mine, marker in _by_vectors(statistics):
        tokens = mine["capacity_tokens"].where(mine["capacity_tokens"] > 0, nothing).astype(float)
        places = mine["model"].map(rows) + lanes[k]
        axes.hlines(places, nothing, tokens, color=colours[k], linewidth=1.0, alpha=0.45)
        axes.plot(tokens, places, color=colours[k], marker=marker, linestyle="none", label=f"K = {k}")
        cut = (mine["capacity_cut"].astype(int) == 1) & (mine["capacity_tokens"] > 0)
        axes.plot(tokens[cut] * 1.16, places[cut], color=colours[k], marker=">", markersize=3, linestyle="none")
    axes.set_xscale("log", base=2)
    if len(positive):
        axes.axvline(nothing * 2**0.5, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    _log2_axis(axes.xaxis, [nothing, *positive])
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: "0" if value <= nothing else f"{value:g}"))
    axes.set_xlim(nothing * 0.85, (positive.max() if len(positive) else 1) * 1.5)
    axes.set_xlabel("decoding capacity, tokens")


def _draw_model_gain(axes: Axes, statistics: pd.DataFrame, colours: dict, order: list[str]) -> None:
    rows, lanes = _model_rows(axes, statistics, order), _lanes(statistics)
    for k, mine, marker in _by_vectors(statistics):
        mean, std = mine["information_gain_nats_mean"], mine["information_gain_nats_std"].fillna(0.0)
        places = mine["model"].map(rows) + lanes[k]
        # On a logarithmic axis a bar cannot reach 0: one that would is cut where the mark's value has fallen to a tenth.
        axes.errorbar(mean, places, xerr=[np.minimum(std, 0.9 * mean.clip(lower=0)), std], color=colours[k], marker=marker,
                      linestyle="none", elinewidth=1.0, label=f"K = {k}")
    values = statistics["information_gain_nats_mean"]
    axes.set_xscale("log", base=2)
    reach = (values + statistics["information_gain_nats_std"].fillna(0.0))[values > 0]
    _log2_axis(axes.xaxis, [*values[values > 0], *reach])
    axes.set_xlabel("information gain, nats")


def marks_drawn(trials: pd.DataFrame, max_points: int) -> int:
    """How many trials have a mark of their own in a figure of at most `max_points`."""
    return int(trials.groupby("memory_vectors").size().clip(upper=_share(trials, max_points)).sum())


def _share(trials: pd.DataFrame, max_points: int) -> int:
    return max(1, max_points // max(1, trials["memory_vectors"].nunique()))


def thinned(frame: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most `count` rows, spread evenly over the lengths."""
    if len(frame) <= count:
        return frame
    ordered = frame.sort_values("length", kind="stable")
    return ordered.iloc[np.linspace(0, len(ordered) - 1, count).round().astype(int)]


DRAWERS |= {accuracy_by_length: _draw_accuracy, accuracy_by_drawn_length: _draw_drawn_accuracy,
            gain_by_length: _draw_gain, cross_entropy: _draw_cross_entropy, learning_curves: _draw_learning,
            capacity_by_model: _draw_capacity, gain_by_model: _draw_model_gain}
