"""Series by hand, in the notation of promtool's unit tests.

https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/
"""

from __future__ import annotations

import re
import struct
from itertools import accumulate
from typing import TYPE_CHECKING

from otelbot.dashboard.promql import Series

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otelbot.dashboard.promql import Matcher

STALE: float = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
_UNITS = {"s": 1, "m": 60, "h": 3600}
_NUMBER = r"[-+]?(?:[\d.]+(?:e[-+]?\d+)?|Inf|NaN)"


class Memory:
    """A source of the series that it is made with; `asked` counts what was fetched."""

    def __init__(self, series: Sequence[Series]) -> None:
        self.series = series
        self.asked = 0

    def select(self, matchers: Sequence[Matcher], start: float, end: float) -> list[Series]:
        self.asked += 1
        found = []
        for one in self.series:
            if all(matcher.matches(one.labels.get(matcher.name, "")) for matcher in matchers):
                kept = [(at, value) for at, value in zip(one.times, one.values, strict=True) if start < at <= end]
                if kept:
                    found.append(Series(dict(one.labels), [at for at, _ in kept], [value for _, value in kept]))
        return found


def memory(series: Mapping[str, str], step: str = "15s", start: float = 0.0) -> Memory:
    """Return a source of series by selector, e.g. `{'errors{job="bot"}': "0+1x10 _x4 stale"}`.

    :param step: from one sample to the next.
    :param start: seconds since the epoch of the first one.
    """
    return Memory([_series(selector, values, seconds(step), start) for selector, values in series.items()])


def seconds(duration: str) -> int:
    """Return the seconds of e.g. `1m30s`."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([smh])", duration))


def _series(selector: str, values: str, step: int, start: float) -> Series:
    name, _, inside = selector.partition("{")
    labels = dict(re.findall(r'(\w+)="([^"]*)"', inside))
    samples = [
        (start + step * index, value)
        for index, value in enumerate(value for word in values.split() for value in _values(word))
        if value is not None
    ]
    return Series({"__name__": name, **labels}, [at for at, _ in samples], [value for _, value in samples])


def _values(word: str) -> list[float | None]:
    """Return the values of `5`, `_`, `_x3`, `stale`, `5x3` (four times 5) or `5+1x3` (5, 6, 7 and 8)."""
    if word == "stale":
        return [STALE]
    if word == "_":
        return [None]
    if gap := re.fullmatch(r"_x(\d+)", word):
        return [None] * int(gap[1])
    match = re.fullmatch(rf"({_NUMBER}?)([-+][\d.]+(?:e[-+]?\d+)?)?(?:x(\d+))?", word)
    assert match, word
    first, more, times = float(match[1]), float(match[2] or 0), int(match[3] or 0)
    return list(accumulate([first] + [more] * times))
