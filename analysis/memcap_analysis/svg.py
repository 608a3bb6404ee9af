"""Figures as inline SVG that follows the page: its colours become CSS variables, one set for light and one for dark pages."""

from __future__ import annotations

import html
import io
import re

import matplotlib
from matplotlib.figure import Figure

from memcap_analysis.figures import DARK_RANGE, GRID, INK, LIMIT, MUTED, STYLE, vector_colours

DARK_ROLES = {INK: "#e8ecf2", MUTED: "#9aa5b4", GRID: "#39424e", LIMIT: "#ff9a62"}


class Palette:
    """The colours that the page's figures use, light and dark, by number of memory vectors and by role."""

    def __init__(self, vectors):
        self.vectors = vector_colours(vectors)
        dark = vector_colours(vectors, DARK_RANGE)
        self._dark = DARK_ROLES | {light: dark[k] for k, light in self.vectors.items()}

    def css(self, dark: bool) -> str:
        """Declarations of the variables."""
        return " ".join(f"{_variable(light)}: {other if dark else light};" for light, other in self._dark.items())

    def inline(self, figure: Figure, name: str, description: str) -> str:
        """The figure as an <svg> element whose ids are unique to `name`, scaled to the width of its box."""
        buffer = io.StringIO()
        # The salt makes ids differ between figures of one page, and equal from run to run.
        with matplotlib.rc_context(STYLE | {"svg.hashsalt": name}):
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        text = buffer.getvalue()
        text = text[text.index("<svg"):]
        text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
        text = re.sub(r"\s*\n\s*", "\n", text)
        text = re.sub(r"#[0-9a-f]{6}\b", lambda match: self._as_variable(match.group()), text)
        text = re.sub(r"\d+\.\d{3,}", lambda match: f"{float(match.group()):.2f}".rstrip("0").rstrip("."), text)
        text = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", text)
        text = re.sub(r'id="([^"]+)"', lambda match: _unique_id(match.group(1), text, name), text)
        view_box = re.search(r'viewBox="([^"]+)"', text).group(1)
        opening = (f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{view_box}" role="img" '
                   f'aria-label="{html.escape(description)}">')
        return re.sub(r"<svg[^>]*>", lambda _: opening, text, count=1)

    def _as_variable(self, colour: str) -> str:
        return f"var({_variable(colour)})" if colour in self._dark else colour


def _variable(colour: str) -> str:
    return f"--fig-{colour[1:]}"


def _unique_id(identifier: str, text: str, name: str) -> str:
    # Groups that nothing refers to (axes_1, patch_2) would repeat from figure to figure: they go.
    return f'id="{identifier}"' if f"#{identifier}" in text else ""
