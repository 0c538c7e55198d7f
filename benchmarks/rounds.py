"""Interleaved rounds of every variant, their medians, and what each adds in comparison with the reference."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.run import Figures, measure
from benchmarks.variants import BARE, REFERENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.run import Services
    from benchmarks.variants import Variant


@dataclass
class Results:
    """The runs of each variant under one load, in the order of the rounds."""

    load: str
    updates: int
    runs: dict[str, list[Figures]] = field(default_factory=dict)

    def medians(self, variant: str) -> Figures:
        """Return the median of each figure over the rounds."""
        runs = [asdict(run) for run in self.runs[variant]]
        merged: dict[str, Any] = {name: median(run[name] for run in runs) for name in runs[0] if name != "collections"}
        merged["collections"] = tuple(median(run["collections"][i] for run in runs) for i in range(3))
        return Figures(**merged)

    def adds(self, variant: str) -> float | None:
        """Return how many µs of CPU an update costs more than without telemetry, where both were measured."""
        if variant == BARE.name or not {variant, BARE.name} <= self.runs.keys():
            return None
        return self.medians(variant).cpu_us - self.medians(BARE.name).cpu_us

    def ratio(self, variant: str) -> float | None:
        """Return what the variant adds, divided by what opentelemetry-instrument with one update span adds."""
        added, reference = self.adds(variant), self.adds(REFERENCE.name)
        return added / reference if added is not None and reference and reference > 0 else None

    def as_json(self) -> dict[str, Any]:
        return {
            "load": self.load,
            "updates": self.updates,
            "variants": {
                name: {
                    "adds_cpu_us": self.adds(name),
                    "ratio": self.ratio(name),
                    "medians": asdict(self.medians(name)),
                    "rounds": [asdict(run) for run in runs],
                }
                for name, runs in self.runs.items()
            },
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Results:
        """Return what `as_json` was made of."""
        results = cls(content["load"], content["updates"])
        for name, variant in content["variants"].items():
            results.runs[name] = [Figures(**run) for run in variant["rounds"]]
        return results


async def compare(
    variants: Sequence[Variant],
    load: str,
    updates: int,
    rounds: int,
    where: Services,
    say: Callable[[str], None],
    *,
    warm_up: int = 600,
) -> Results:
    """Run every variant once in each round; each round begins with another, so that none always has the quiet moment.

    :param warm_up: updates before those that are measured. With 600, queues of 512 spans have been exported once.
    :raises RunError: when a bot does not do what it was to.
    """
    results = Results(load, updates)
    for number in range(rounds):
        first = number * len(variants) // rounds
        for variant in (*variants[first:], *variants[:first]):
            figures = await measure(variant, load, updates, warm_up, where)
            results.runs.setdefault(variant.name, []).append(figures)
            say(
                f"{load}, round {number + 1} of {rounds}, {variant.name}: {figures.cpu_us:.0f} µs of CPU an update,"
                f" p99 {figures.p99_ms:.1f} ms, longest stall {figures.stall_ms:.0f} ms"
            )
    return results
