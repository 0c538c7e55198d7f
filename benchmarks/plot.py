"""The plots of docs/performance.md: SVG, readable on light and on dark pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl  # type: ignore[import-not-found]
from matplotlib import pyplot as plt

from benchmarks.run import LOADS
from benchmarks.variants import BARE, BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.rounds import Results

# Of middle lightness, so that they stand out from white as well as from black.
_TEXT, _BARE, _OTHERS, _OURS = "#7d8590", "#8c959f", "#d2691e", "#2c9a4b"
_STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "otelbot",  # the same figures, the same file
    "font.size": 9,
    "text.color": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.edgecolor": _TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
}


def plot_cpu(every: Sequence[Results], path: Path) -> None:
    """Draw the CPU time of an update: that of the bare bot, and what is added or saved."""

    def draw(axes: Any, results: Results) -> None:
        names = list(results.runs)
        cpu = [results.medians(name).cpu_us for name in names]
        bare = cpu[names.index(BARE.name)] if BARE.name in names else 0
        axes.barh(names, [min(bare, one) for one in cpu], color=_BARE, alpha=0.5)
        rest = [max(one - bare, 0) for one in cpu]
        axes.barh(names, rest, left=bare, color=[_colour(name) for name in names])
        for row, one in enumerate(cpu):
            axes.annotate(f"{one:,.0f}", (one, row), (4, 0), textcoords="offset points", va="center", fontsize=8)
        axes.margins(x=0.12)
        axes.set_xlabel("µs of CPU an update")

    _panels(every, path, draw)


def plot_times(every: Sequence[Results], path: Path) -> None:
    """Draw how long updates take, the middle one and the slowest hundredth, and the longest stall of the loop."""

    def draw(axes: Any, results: Results) -> None:
        for row, name in enumerate(results.runs):
            figures, colour = results.medians(name), _colour(name)
            times = (figures.p50_ms, figures.p99_ms, max(figures.stall_ms, figures.p50_ms))
            axes.plot([min(times), max(times)], [row, row], color=colour, linewidth=1, alpha=0.5)
            for time, marker in zip(times, "|o^", strict=True):
                axes.plot(time, row, marker, color=colour)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_yticks(range(len(results.runs)), list(results.runs))
        axes.set_xlabel("ms, logarithmic:  |  p50   ●  p99   ▲  longest stall")

    _panels(every, path, draw)


def _panels(every: Sequence[Results], path: Path, draw: Callable[[Any, Results], None]) -> None:
    with mpl.rc_context(_STYLE):
        rows = (len(every) + 1) // 2
        figure, panels = plt.subplots(rows, 2, figsize=(11, 3.4 * rows), squeeze=False, layout="constrained")
        for axes, results in zip(panels.flat, every, strict=False):
            draw(axes, results)
            axes.invert_yaxis()
            axes.set_title(LOADS[results.load][0], fontsize=10)
        for axes in panels.flat[len(every) :]:
            axes.set_visible(False)
        figure.savefig(path, transparent=True, metadata={"Date": None})
        plt.close(figure)


def _colour(name: str) -> str:
    if BY_NAME[name].environment == BARE.environment:
        return _BARE
    return _OURS if BY_NAME[name].ours else _OTHERS
