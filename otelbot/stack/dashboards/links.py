"""Links from a panel to the traces or logs that explain it, in Grafana's Explore."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple
from urllib.parse import quote

#: The variables of a dashboard, in the languages of the three databases.
SELECT = 'service_name=~"$service",telegram_bot_id=~"$bot",service_instance_id=~"$instance"'
TRACES = 'resource.service.name =~ "${service:pipe}"'
LOGS = 'service_name=~"${service:pipe}"'

_VARIABLE = re.compile(r"\$\{[\w.:]+\}")


class Link(NamedTuple):
    title: str
    url: str


def traces(condition: str = "", title: str = "Traces") -> Link:
    """Return a link to a search by TraceQL; `condition` is about the spans, e.g. `status = error`."""
    return Link(title, _explore("tempo", {"queryType": "traceql", "query": traceql(condition)}))


def logs(pipeline: str = "", title: str = "Logs") -> Link:
    """Return a link to a search by LogQL; `pipeline` follows the selector, e.g. `| severity_text = "ERROR"`."""
    return Link(title, _explore("loki", {"expr": logql(pipeline)}))


def traceql(condition: str = "") -> str:
    return f"{{ {TRACES}{' && ' if condition else ''}{condition} }}"


def logql(pipeline: str = "") -> str:
    return f"{{{LOGS}}} {pipeline}".strip()


def _explore(source: str, query: dict[str, Any]) -> str:
    """Return a relative URL; Grafana fills the variables in.

    The form with `left` is understood by old and new versions alike.
    """
    datasource = f"${{{source}}}"
    left = json.dumps(
        {
            "datasource": datasource,
            "queries": [{"refId": "A", "datasource": {"type": source, "uid": datasource}, **query}],
            "range": {"from": "${__from}", "to": "${__to}"},
        },
        separators=(",", ":"),
    )
    texts = _VARIABLE.split(left)
    variables = [*_VARIABLE.findall(left), ""]
    return "/explore?left=" + "".join(
        quote(text, safe="") + variable for text, variable in zip(texts, variables, strict=True)
    )
