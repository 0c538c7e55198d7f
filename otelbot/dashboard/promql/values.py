"""What expressions evaluate to, for all steps of a query at once."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otelbot.dashboard.promql.model import NAME, QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: A value for each step, None where there is none.
Values = list[float | None]
#: What a range selects at one step: the samples from one index until before another, of the time from … to … (ms).
Window = tuple[int, int, int, int]
_STALE = struct.pack("<Q", 0x7FF0000000000002)  #: the NaN with which Prometheus ends a series


@dataclass(slots=True)
class Line:
    """One element of an instant vector, over the steps."""

    labels: dict[str, str]
    values: Values


@dataclass(slots=True)
class Scalar:
    """A number for each step."""

    values: list[float]


@dataclass(slots=True)
class RangeLine:
    """One element of a range vector: its samples of all steps, and a window for each step."""

    labels: dict[str, str]
    times: Sequence[float]
    values: Sequence[float]
    windows: list[Window]

    @property
    def has_nan(self) -> bool:
        """Whether there may be a NaN among the values."""
        return math.isnan(sum(self.values))


def is_stale(value: float) -> bool:
    return value != value and struct.pack("<d", value) == _STALE  # noqa: PLR0124 - quicker than isnan


def without_name(labels: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name != NAME}


def key(labels: dict[str, str]) -> frozenset[tuple[str, str]]:
    """Return what two equal sets of labels have in common."""
    return frozenset(labels.items())


def merged(lines: Iterable[Line]) -> list[Line]:
    """Put lines of the same labels together, and leave those out that have no value.

    :raises QueryError: when two have a value at the same step.
    """
    found: dict[frozenset[tuple[str, str]], Line] = {}
    for line in lines:
        if line.values.count(None) == len(line.values):
            continue
        other = found.setdefault(key(line.labels), line)
        if other is line:
            continue
        if any(a is not None and b is not None for a, b in zip(other.values, line.values, strict=True)):
            raise QueryError(
                f"Two series would have the same labels, {shown(line.labels)}: keep a label that tells them apart."
            )
        other.values = [b if a is None else a for a, b in zip(other.values, line.values, strict=True)]
    return list(found.values())


def apply(function: Callable[[float], float], lines: Iterable[Line]) -> list[Line]:
    """Return what `function` makes of each value, under the same labels without the name."""
    return merged(
        Line(without_name(line.labels), [None if v is None else function(v) for v in line.values]) for line in lines
    )


def shown(labels: dict[str, str]) -> str:
    """Return labels as PromQL writes them, for messages."""
    inside = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != NAME)
    return f"{labels.get(NAME, '')}{{{inside}}}"[:300]
