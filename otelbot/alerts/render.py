"""The two files that the rules become: Grafana's provisioning, and a Prometheus rule file that promtool can test."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from otelbot.alerts.promql import select
from otelbot.alerts.stack_rules import TELEMETRY_MISSING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otelbot.alerts.rule import Rule

RUNBOOKS = "otelbot-runbooks"  #: uid of the dashboard that shows them
_PROMETHEUS = "prometheus"  #: uid of the datasource

#: How a value reads, with functions that Grafana's and Prometheus' templates share.
_READABLE = {
    "bytes": "{{ humanize1024 %s }}B",
    "seconds": "{{ humanizeDuration %s }}",
    "ratio": "{{ humanizePercentage %s }}",
    "count": '{{ printf "%%.0f" %s }}',
    "times": '{{ printf "%%.1f" %s }}',
}


class Place(NamedTuple):
    """A panel of a dashboard."""

    dashboard: str
    panel: int


def grafana(rules: Iterable[Rule], places: Mapping[str, Place], runbooks: Mapping[str, int]) -> dict[str, Any]:
    """Return a file for grafana/provisioning/alerting.

    https://grafana.com/docs/grafana/latest/alerting/set-up/provision-alerting-resources/file-provisioning/

    :param places: by the rule's uid, the panel that shows what it looks at.
    :param runbooks: by the rule's uid, the panel with its runbook.
    """
    groups: dict[int, list[dict[str, Any]]] = {}
    for rule in rules:
        groups.setdefault(rule.every, []).append(_grafana_rule(rule, places[rule.uid], runbooks[rule.uid]))
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": f"otelbot every {every} s",
                "folder": "otelbot",
                "interval": f"{every}s",
                "rules": ours,
            }
            for every, ours in sorted(groups.items())
        ],
    }


def _grafana_rule(rule: Rule, place: Place, runbook: int) -> dict[str, Any]:
    value = "$values.A.Value"
    return {
        "uid": rule.uid,
        "title": rule.title.en,
        "condition": "B",
        "data": [
            {
                "refId": "A",
                "relativeTimeRange": {"from": 600, "to": 0},
                "datasourceUid": _PROMETHEUS,
                "model": {"refId": "A", "expr": select(rule.expr), "instant": True, "range": False},
            },
            {
                "refId": "B",
                "datasourceUid": "__expr__",
                "model": {
                    "refId": "B",
                    "type": "threshold",
                    "expression": "A",
                    "datasource": {"type": "__expr__", "uid": "__expr__"},
                    "conditions": [
                        {
                            "evaluator": {"type": "gt" if rule.above else "lt", "params": [rule.threshold]},
                            "operator": {"type": "and"},
                            "query": {"params": ["B"]},
                            "reducer": {"type": "last", "params": []},
                            "type": "query",
                        }
                    ],
                },
            },
        ],
        # What is not there is not beyond its limit; that nothing is there at all is a rule of its own. So is, by the
        # same rule, a Prometheus that does not answer: one alert for it is enough.
        "noDataState": "OK",
        "execErrState": "Error" if rule is TELEMETRY_MISSING else "OK",
        "for": f"{rule.wait}s",
        "keepFiringFor": f"{rule.keep}s",
        "annotations": {
            **_texts(rule, value),
            "runbook_url": f"/d/{RUNBOOKS}?viewPanel={runbook}",
            "__dashboardUid__": place.dashboard,
            "__panelId__": str(place.panel),
        },
        "labels": {"severity": rule.severity},
        "isPaused": False,
    }


def prometheus(rules: Iterable[Rule]) -> dict[str, Any]:
    """Return a Prometheus rule file."""
    groups: dict[int, list[dict[str, Any]]] = {}
    for rule in rules:
        groups.setdefault(rule.every, []).append(
            {
                "alert": rule.title.en,
                "expr": f"({select(rule.expr)}) {'>' if rule.above else '<'} {rule.threshold:.10g}",
                "for": f"{rule.wait}s",
                "keep_firing_for": f"{rule.keep}s",
                "labels": {"severity": rule.severity},
                "annotations": {**_texts(rule, "$value"), "runbook": f"docs/runbooks/{rule.runbook}"},
            }
        )
    return {
        "groups": [
            {"name": f"otelbot every {every} s", "interval": f"{every}s", "rules": ours}
            for every, ours in sorted(groups.items())
        ]
    }


def _texts(rule: Rule, value: str) -> dict[str, str]:
    texts = {
        "title_fa": rule.title.fa,
        "summary": rule.summary.en,
        "description": rule.description.en,
        "summary_fa": rule.summary.fa,
        "description_fa": rule.description.fa,
    }
    return {key: _fill(text, value, rule.unit) for key, text in texts.items()}


def _fill(text: str, value: str, unit: str) -> str:
    """Put template expressions in place of `{value}` and `{label}`."""

    def filled(match: re.Match[str]) -> str:
        word = match[1]
        return _READABLE[unit] % value if word == "value" else f"{{{{ $labels.{word} }}}}"

    return re.sub(r"\{(\w+)\}", filled, text)
