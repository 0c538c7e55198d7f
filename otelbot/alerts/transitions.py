"""How an alert goes from pending to firing to resolved, as Prometheus and Grafana have it (`for`, `keep_firing_for`).

https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otelbot.alerts.rule import Rule

#: What is kept of a label's value: telemetry may hold anything.
_LONGEST = 1000
#: Label sets of one rule that may be active at once; more are one fault of many, or somebody's made-up names.
MOST = 200


@dataclass(frozen=True)
class Active:
    """A rule that is beyond its threshold for one set of labels, or was until shortly."""

    labels: Mapping[str, str]
    state: Literal["pending", "firing"]
    since: float  #: of its first breach, in seconds since the epoch as all times here
    value: float
    calm: float | None = None  #: firing, but since then no longer beyond the threshold
    event: int = 0  #: firing: of the history


class Change(NamedTuple):
    key: str
    state: Literal["pending", "firing", "resolved"]
    active: Active


class Step(NamedTuple):
    """What an evaluation leads to."""

    active: dict[str, Active]
    changes: list[Change]
    left_out: int  #: label sets beyond `MOST`


def key_of(labels: Mapping[str, str]) -> str:
    """Return the same text for the same labels."""
    return json.dumps(sorted(labels.items()), ensure_ascii=False, separators=(",", ":"))


def clean(text: str) -> str:
    """Return a label's text so that it can be stored and sent: no lone surrogate, no NUL, no endless length."""
    return text[:_LONGEST].replace("\0", "").encode("utf-8", "replace").decode()


def beyond(rule: Rule, value: float) -> bool:
    """Whether a value is beyond the rule's threshold; what is no number never is."""
    if math.isnan(value):
        return False
    return value > rule.threshold if rule.above else value < rule.threshold


def _breaches(
    rule: Rule, samples: Iterable[tuple[Mapping[str, str], float]]
) -> dict[str, tuple[dict[str, str], float]]:
    """Return by key the labels and values that are beyond the threshold."""
    found = {}
    for labels, value in samples:
        if beyond(rule, value):
            cleaned = {clean(name): clean(text) for name, text in labels.items() if name != "__name__"}
            found[key_of(cleaned)] = cleaned, value
    return found


def step(
    rule: Rule, before: Mapping[str, Active], samples: Iterable[tuple[Mapping[str, str], float]], at: float
) -> Step:
    """Return what becomes of a rule's alerts when its expression has these samples at `at`."""
    breaches = _breaches(rule, samples)
    now: dict[str, Active] = {}
    changes: list[Change] = []
    for key, was in before.items():
        if was.since > at:  # the clock was set back
            was = replace(was, since=at, calm=None)  # noqa: PLW2901
        if key in breaches:
            now[key] = replace(was, value=breaches[key][1], calm=None)
        elif was.state == "firing":
            calm = at if was.calm is None else was.calm
            if at - calm < rule.keep:
                now[key] = replace(was, calm=calm)
            else:
                changes.append(Change(key, "resolved", was))
    left_out = 0
    for key, (labels, value) in breaches.items():
        if key in now:
            continue
        if len(now) >= MOST:
            left_out += 1
            continue
        now[key] = Active(labels, "pending", at, value)
        if rule.wait:
            changes.append(Change(key, "pending", now[key]))
    for key, active in now.items():
        if active.state == "pending" and at - active.since >= rule.wait:
            now[key] = replace(active, state="firing")
            changes.append(Change(key, "firing", now[key]))
    return Step(now, changes, left_out)
