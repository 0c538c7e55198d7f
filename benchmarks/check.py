"""The check of CI: whether otelbot still costs a fraction of what the alternative costs, both measured just now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.rounds import compare
from benchmarks.run import databases
from benchmarks.variants import BARE, OTELBOT, REFERENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.rounds import Results

CHECKED = (BARE, REFERENCE, OTELBOT)
#: The promise is 0.25. The rest is for machines that do something else at the same time.
LIMIT = 0.4
_UPDATES, _ROUNDS, _TRIES = 1500, 4, 2


def share(results: Results) -> float | None:
    """Return what otelbot adds, divided by what the reference adds, or None where that is nothing.

    Of each the fastest round counts: what else a machine does makes a round slower, and never faster.
    """
    bare, reference, ours = (min(run.cpu_us for run in results.runs[each.name]) for each in CHECKED)
    return (ours - bare) / (reference - bare) if reference > bare else None


def verdict(results: Results) -> str | None:
    """Return what is wrong, in a sentence, or None."""
    ratio = share(results)
    if ratio is None:
        return f"{REFERENCE.title} added nothing, so there is nothing to compare otelbot with"
    if ratio > LIMIT:
        return f"otelbot adds {ratio:.2f} times the CPU time that {REFERENCE.title} adds; the limit is {LIMIT}"
    return None


async def check(say: Callable[[str], None]) -> str | None:
    """Measure, once more where the first time was too slow; return what is wrong, in a sentence, or None."""
    async with databases() as where:
        for remaining in reversed(range(_TRIES)):
            results = await compare(CHECKED, "api", _UPDATES, _ROUNDS, where, say)
            problem = verdict(results)
            if problem is None:
                say(f"otelbot adds {share(results):.2f} times what {REFERENCE.title} adds: fine")
            if problem is None or not remaining:
                break
            say(f"{problem}: measuring once more")
    return problem
