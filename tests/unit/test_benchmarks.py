"""How the benchmarks judge what they have measured. The measuring itself is CI's `python -m benchmarks --check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks import report
from benchmarks.check import verdict
from benchmarks.rounds import Results
from benchmarks.run import Figures

if TYPE_CHECKING:
    from pathlib import Path


def figures(cpu_us: float) -> Figures:
    return Figures(cpu_us, 1.0, 2.0, 4.0, (40.0, 3.0, 0.0), 170.0, 180.0, 2.5, 500.0)


def results(**cpu: list[float]) -> Results:
    """Make the runs of variants, `_` in their names standing for `-`, from the CPU times of their rounds."""
    runs = {name.replace("_", "-"): [figures(one) for one in rounds] for name, rounds in cpu.items()}
    return Results("api", 1000, runs)


def test_share_is_what_otelbot_adds_of_what_the_reference_adds_with_medians_against_outliers() -> None:
    measured = results(bare=[600, 610, 2000], opentelemetry_span=[1210, 1200, 1300], otelbot=[760, 9000, 750])
    assert measured.adds("otelbot") == 150
    assert measured.ratio("otelbot") == 0.25


def test_check_passes_below_the_limit_and_names_the_share_above_it() -> None:
    assert verdict(results(bare=[600], opentelemetry_span=[1200], otelbot=[750])) is None
    assert "0.50 times" in str(verdict(results(bare=[600], opentelemetry_span=[1200], otelbot=[900])))


def test_check_takes_the_fastest_round_of_each() -> None:
    noisy = results(bare=[600, 900], opentelemetry_span=[1200, 1210], otelbot=[1300, 750])
    assert verdict(noisy) is None


def test_check_fails_where_the_reference_costs_nothing_and_so_proves_nothing() -> None:
    assert "nothing to compare" in str(verdict(results(bare=[600], opentelemetry_span=[590], otelbot=[600])))


def test_results_survive_their_file(tmp_path: Path) -> None:
    measured = report.Measured([results(bare=[600], otelbot=[700, 720])], "a machine", 2)
    report.write(measured, tmp_path / "performance.json")
    read = report.read(tmp_path / "performance.json")
    assert report.markdown(read) == report.markdown(measured)


@pytest.mark.parametrize(("cpu", "word"), [(700, "kept"), (900, "missed")])
def test_goals_say_what_was_kept_and_what_was_missed(cpu: float, word: str) -> None:
    table = report.goals([results(bare=[600], opentelemetry_span=[1200], otelbot=[cpu])])
    share = next(line for line in table.splitlines() if "of what the reference adds" in line)
    assert share.endswith(f"| {word} |")


def test_variants_that_were_not_compared_have_no_share() -> None:
    table = report.table(results(otelbot=[700]))
    assert "| **otelbot** | 700 |  |  |" in table
