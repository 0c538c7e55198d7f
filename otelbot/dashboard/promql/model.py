"""What goes into a query and what comes out of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "__name__"


class QueryError(ValueError):
    """Why a query has no answer, in one sentence."""


@dataclass(slots=True)
class Series:
    """Samples of one set of labels: `times` in seconds since the epoch, ascending, with the value of each."""

    labels: dict[str, str]
    times: Sequence[float]
    values: Sequence[float]


@dataclass(slots=True)
class Sample:
    """A value of one set of labels at the time that was asked for."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Matcher:
    """A condition for a label; one that a series lacks is "". `op` is `=`, `!=`, `=~` or `!~`."""

    name: str
    op: str
    value: str

    def matches(self, value: str) -> bool:
        if self.op == "=":
            return value == self.value
        if self.op == "!=":
            return value != self.value
        return (pattern(self.value).fullmatch(value) is not None) == (self.op == "=~")


class Source(Protocol):
    """Where series come from."""

    def select(self, matchers: Sequence[Matcher], start: float, end: float) -> list[Series]:
        """Return the series that all matchers match, with their samples of `start < time <= end` (s since the epoch).

        A series' labels have its name as `__name__`. One without such a sample may be left out.
        """


@lru_cache(maxsize=256)
def pattern(regex: str) -> re.Pattern[str]:
    """Return a compiled regular expression of PromQL, which has `(?<name>…)` for Python's `(?P<name>…)`.

    :raises QueryError: for one that is none.
    """
    try:
        return re.compile(re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", regex), re.DOTALL)
    except (re.error, OverflowError, RecursionError) as error:
        raise QueryError(f"{regex!r} is no regular expression: {error}.") from error
