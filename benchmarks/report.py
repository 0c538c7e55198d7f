"""What was measured, as JSON, as tables and in docs/performance.md, between the marks that the page has for it."""

from __future__ import annotations

import json
import os
import platform
import re
from datetime import datetime, timezone
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.rounds import Results
from benchmarks.run import LOADS
from benchmarks.variants import BARE, BY_NAME, OTELBOT, REFERENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"
#: Of what the reference adds, by load.
_SHARES = {"api": 0.25, "db": 0.4}
_COLUMNS = (
    "",
    "CPU, µs an update",
    "added",
    "÷ reference",
    "p50, ms",
    "p99, ms",
    "longest stall, ms",
    "collections per 1,000, by generation",
    "RSS, MiB",
    "start-up, s of CPU",
    "sent, bytes an update",
)


class Measured(NamedTuple):
    loads: list[Results]
    machine: str
    rounds: int


def machine() -> str:
    """Say on what was measured, without its name."""
    model = platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - where there is one
            model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiogram", "aiohttp", "pydantic", "opentelemetry-sdk"))
    today = datetime.now(timezone.utc).date()
    python = f"Python {platform.python_version()}"
    return f"{today}, {os.cpu_count()} cores ({model}), {platform.system()}, {python}; {packages}"


def write(measured: Measured, path: Path) -> None:
    """Write every run, the medians and what they mean, as JSON."""
    loads = [one.as_json() for one in measured.loads]
    content = {"machine": measured.machine, "rounds": measured.rounds, "loads": loads}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path: Path) -> Measured:
    """Return what `write` wrote."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Measured([Results.from_json(one) for one in content["loads"]], content["machine"], content["rounds"])


def markdown(measured: Measured) -> str:
    """Return everything that was measured, for the documentation."""
    parts = [f"Measured on {measured.machine}. Rounds: {measured.rounds}.", goals(measured.loads)]
    for results in measured.loads:
        title = LOADS[results.load][0]
        parts.append(f"### {title[0].upper()}{title[1:]}\n\n{results.updates:,} updates a run.\n\n{table(results)}")
    return "\n\n".join(filter(None, parts))


def table(results: Results) -> str:
    """Return the table of a load in Markdown."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---|" + "---:|" * (len(_COLUMNS) - 1)]
    for name in results.runs:
        figures = results.medians(name)
        ratio, adds = results.ratio(name), results.adds(name)
        cells = (
            BY_NAME[name].title,
            f"{figures.cpu_us:,.0f}",
            "" if adds is None else f"{adds:+,.0f}",
            "" if ratio is None else f"{ratio:.2f}",
            f"{figures.p50_ms:.2f}",
            f"{figures.p99_ms:.1f}",
            f"{figures.stall_ms:.0f}",
            " / ".join(f"{count:.0f}" for count in figures.collections),
            f"{figures.rss_mib:.0f}",
            f"{figures.startup_cpu_s:.2f}",
            f"{figures.bytes_per_update:,.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def goals(every: Sequence[Results]) -> str:
    """Return a table of what otelbot wants to keep to, and what it did; nothing without those to compare it with."""
    lines = []
    for results in every:
        if {BARE.name, REFERENCE.name, OTELBOT.name} <= results.runs.keys():
            for goal, measured, limit, unit in _goals(results):
                kept = "kept" if measured <= limit else "missed"
                lines.append(f"| {LOADS[results.load][0]} | {goal} | {measured:.2f} {unit} | {kept} |")
    return "\n".join(["| load | goal | measured | |", "|---|---|---:|---|", *lines]) if lines else ""


def _goals(results: Results) -> Iterator[tuple[str, float, float, str]]:
    """Yield what is wanted, in words; what was measured; the limit; the unit."""
    bare, ours = results.medians(BARE.name), results.medians(OTELBOT.name)
    if results.load == "page":
        yield "less CPU than bare", ours.cpu_us / bare.cpu_us, 1, "of bare's"
        yield "a lower p99 than bare", ours.p99_ms / bare.p99_ms, 1, "of bare's"
    elif results.load in _SHARES and (ratio := results.ratio(OTELBOT.name)) is not None:
        share = _SHARES[results.load]
        yield f"adds at most {share} of what the reference adds", ratio, share, "of it"
        yield "p99 at most 1.5 times bare's", ours.p99_ms / bare.p99_ms, 1.5, "of bare's"
    yield "longest stall at most bare's + 5 ms", ours.stall_ms - bare.stall_ms, 5, "ms more"
    yield "memory at most bare's + 15 MiB", ours.rss_mib - bare.rss_mib, 15, "MiB more"
    yield "start-up at most bare's + 0.3 s of CPU", ours.startup_cpu_s - bare.startup_cpu_s, 0.3, "s more"
    if results.load == "api" and (added := results.adds("otelbot-ratio-0")) is not None:
        yield "without sampled traces at most + 60 µs", added, 60, "µs more"


def write_docs(measured: Measured, folder: Path) -> None:
    """Put tables and plots into the documentation.

    :raises ImportError: without matplotlib.
    """
    from benchmarks.plot import plot_cpu, plot_times

    plot_cpu(measured.loads, folder / "performance.svg")
    plot_times(measured.loads, folder / "performance-times.svg")
    page = folder / "performance.md"
    written = f"{_BEGIN}\n\n{markdown(measured)}\n\n{_END}"
    text = re.sub(f"{_BEGIN}.*{_END}", lambda _: written, page.read_text(encoding="utf-8"), flags=re.DOTALL)
    page.write_text(text, encoding="utf-8")
