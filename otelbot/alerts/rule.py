"""What an alert rule is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Severity = Literal["info", "warning", "error", "critical"]
Unit = Literal["bytes", "seconds", "ratio", "count", "times"]


class Text(NamedTuple):
    en: str
    fa: str


@dataclass(frozen=True)
class Rule:
    """One alert rule: it is pending when `expr` is beyond `threshold`, and fires after `wait` seconds of that."""

    uid: str
    title: Text
    severity: Severity
    expr: str  #: with `$select` of promql.py
    above: bool  #: whether it fires above the threshold, or below
    threshold: float
    unit: Unit
    wait: int  #: seconds
    keep: int  #: seconds that it goes on firing after the last breach, so that it does not flap
    summary: Text
    description: Text
    every: Literal[10, 30, 60] = 10  #: seconds between evaluations: what looks at more series or hours costs more

    @property
    def runbook(self) -> str:
        """The file in docs/runbooks/."""
        return f"{self.uid.removeprefix('otelbot-')}.md"
