"""Alerts and their history as JSON, for the page and the command; times in milliseconds since the epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from otelbot.alerts.promql import select
from otelbot.alerts.readable import filled, readable
from otelbot.alerts.state import EVERY_LABEL, Alert

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otelbot.alerts.rule import Rule, Text
    from otelbot.alerts.state import State
    from otelbot.alerts.transitions import Active


def of_rule(rule: Rule, state: State, cooldown: str, now: float) -> dict[str, Any]:
    """Return a rule and what is active of it."""
    active = state.active.get(rule.uid, {})
    states = {each.state for each in active.values()}
    return {
        "uid": rule.uid,
        "title": rule.title._asdict(),
        "severity": rule.severity,
        "state": "firing" if "firing" in states else "pending" if states else "inactive",
        "expr": select(rule.expr),
        "threshold": rule.threshold,
        "above": rule.above,
        "unit": rule.unit,
        "wait": rule.wait,
        "cooldown": cooldown,
        "runbook": rule.runbook,
        "silenced_until": _ms(state.silenced_until(Alert(rule.uid, EVERY_LABEL), now)),
        "active": [
            _of_active(rule, each) | {"silenced_until": _ms(state.silenced_until(Alert(rule.uid, key), now))}
            for key, each in active.items()
        ],
    }


def _of_active(rule: Rule, active: Active) -> dict[str, Any]:
    return {
        "labels": dict(active.labels),
        "state": active.state,
        "value": active.value if math.isfinite(active.value) else None,  # JSON has no word for infinity
        "since": _ms(active.since),
        "summary": _texts(rule.summary, active.labels, active.value, rule),
        "description": _texts(rule.description, active.labels, active.value, rule),
    }


def history(entries: Iterable[dict[str, Any]], rules: Mapping[str, Rule]) -> list[dict[str, Any]]:
    """Return what `read_history` read with its rules' words; what has no rule any more is left out."""
    return [_of_entry(entry, rules[entry["uid"]]) for entry in entries if entry["uid"] in rules]


def _of_entry(entry: dict[str, Any], rule: Rule) -> dict[str, Any]:
    value = entry["value"]
    summary = rule.title._asdict()
    if entry["change"] != "silenced":
        summary = _texts(rule.summary, entry["labels"], math.inf if value is None else value, rule)
    return {
        "time": _ms(entry["time"]),
        "uid": rule.uid,
        "title": rule.title._asdict(),
        "severity": rule.severity,
        "change": entry["change"],
        "labels": entry["labels"],
        "value": value,
        "unit": rule.unit,
        "since": _ms(entry["since"]),
        "summary": summary,
        "notified": [said | {"at": _ms(said["at"])} for said in entry["notified"]],
    }


def _texts(text: Text, labels: Mapping[str, str], value: float, rule: Rule) -> dict[str, str]:
    number = readable(value, rule.unit)
    return {language: filled(words, labels, number) for language, words in text._asdict().items()}


def _ms(seconds: float) -> int | None:
    return round(seconds * 1000) if seconds else None
