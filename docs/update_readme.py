"""Fills an experiment's result into README.md: the table between its two marks, and the picture where README.md shows it.

usage: PYTHONPATH=analysis .venv/python/bin/python docs/update_readme.py runs/quickstart

The marks of experiment NAME are <!-- NAME-table --> and <!-- /NAME-table -->, its picture is docs/NAME-accuracy.png.
"""

import argparse
import io
import re
import sys
from pathlib import Path

import matplotlib
import pandas as pd
from PIL import Image

from memcap_analysis import figures, prose, tables
from memcap_analysis.results import ResultFileError, load
from memcap_analysis.statistics import drawn_corpora

ROOT = Path(__file__).resolve().parents[1]
MAX_PICTURE_BYTES = 150_000
DOTS_PER_INCH = 150


def markdown(table):
    """A data frame as a Markdown table; numbers stand to the right, what is first to the left."""
    lines = [list(table.columns), ["---", *["---:"] * (table.shape[1] - 1)], *table.astype(str).values.tolist()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def result_table(results):
    """A row a model and K; for each corpus its capacity and information gain."""
    order, settings = tables.model_order(results), tables.settings(results.trials)
    size = dict(zip(results.models["name"], results.models["parameters"]))
    keys = results.statistics[["model", "memory_vectors"]].drop_duplicates()
    keys = keys.sort_values("memory_vectors", kind="stable")
    keys = keys.sort_values("model", key=lambda names: names.map(order.index), kind="stable")
    rows = [{"model": model, "parameters": f"{int(size[model]):,}", "K": int(k)} for model, k in keys.itertuples(index=False)]
    for setting in settings:
        mine = setting.of(results.statistics).set_index(["model", "memory_vectors"])
        for row, key in zip(rows, keys.itertuples(index=False, name=None)):
            found = mine.loc[key]
            row[f"{setting.label}: capacity, tokens"] = tables.capacity_text(found)
            row[f"{setting.label}: information gain, nats"] = tables.plus_minus(found["information_gain_nats_mean"],
                                                                                found["information_gain_nats_std"])
    return pd.DataFrame(rows)


def origin(results):
    """One sentence on what the numbers come from."""
    facts = dict(prose.run_facts(results))
    trials, lengths = results.trials, sorted(set(results.trials["length"]))
    launch = results.launches.iloc[-1]
    return (f"{len(trials):,} trials (N = {', '.join(map(str, lengths))}; {facts['Trials']}) by {launch['ranks']} ranks in "
            f"{facts['Duration']} on: {facts['Devices']}; memcap {launch['memcap_version']}, {launch['started_utc'][:10]}.")


def picture(results):
    """The PNG of accuracy by length on the first corpus with a grid of lengths, a panel a model."""
    drawn = drawn_corpora(results.corpora)
    setting = next(s for s in tables.settings(results.trials) if s.corpus not in drawn)
    mine = setting.of(results.done())
    panels = [(model, mine[mine["model"] == model]) for model in tables.model_order(results)]
    figure = figures.grid(figures.accuracy_by_length, [(name, frame) for name, frame in panels if len(frame)])
    raw, small = io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context(figures.STYLE):
        figure.savefig(raw, format="png", dpi=DOTS_PER_INCH, facecolor="white")
    Image.open(raw).convert("RGB").quantize(128).save(small, format="png", optimize=True)
    if len(small.getvalue()) > MAX_PICTURE_BYTES:
        raise ValueError(f"the picture has {len(small.getvalue()):,} bytes, more than {MAX_PICTURE_BYTES:,}")
    return small.getvalue()


def filled(text, results):
    """README.md's text with the result between its marks."""
    first, last = f"<!-- {results.experiment}-table -->", f"<!-- /{results.experiment}-table -->"
    marked = re.compile(f"({re.escape(first)}\n).*?({re.escape(last)})", re.DOTALL)
    if not marked.search(text):
        raise ValueError(f"README.md has no {first} ... {last}")
    block = f"{markdown(result_table(results))}\n\n{origin(results)}\n"
    return marked.sub(lambda marks: marks[1] + block + marks[2], text)


def main():
    parser = argparse.ArgumentParser(description="Fills an experiment's result into README.md.")
    parser.add_argument("run", type=Path, help="run folder, for instance runs/quickstart")
    parser.add_argument("--root", type=Path, default=ROOT, help="folder of README.md (default: the checkout)")
    options = parser.parse_args()
    readme = options.root / "README.md"
    try:
        results = load(options.run)
        text = filled(readme.read_text(encoding="utf-8"), results)
        shown = Path("docs") / f"{results.experiment}-accuracy.png"
        image = picture(results) if f"]({shown})" in text else None
    except (OSError, ValueError, ResultFileError) as error:
        print(f"update_readme: {error}", file=sys.stderr)
        return 2
    if image is not None:
        (options.root / shown).parent.mkdir(exist_ok=True)
        (options.root / shown).write_bytes(image)
    readme.write_text(text, encoding="utf-8")
    print(f"filled {readme}" + (f" and {options.root / shown} ({len(image):,} bytes)" if image is not None else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
