"""docs/dashboard-api.md says what there is, and the answers are as it shows them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from otelbot import signals
from otelbot.alerts.channels import settings as channels
from otelbot.alerts.evaluator import Alerts
from otelbot.dashboard import promql
from otelbot.dashboard.api.server import PageOptions, page_app
from otelbot.dashboard.store.series import StoreSource
from tests.integration.dashboard.pages import BOT, counter, gauge, histogram, page
from tests.unit.dashboard.reading import telemetry

DOCUMENT = (Path(__file__).parents[3] / "docs" / "dashboard-api.md").read_text(encoding="utf-8")
EXAMPLES = {
    heading: json.loads(example)
    for heading, example in re.findall(
        r"^### `GET[^`/]*(/[^`]*)`(?:(?!\n###).)*?```json\n(.*?)```", DOCUMENT, re.DOTALL | re.MULTILINE
    )
}
PATHS = {
    "/api/panels/{page}": "/api/panels/updates",
    "/api/traces/{trace_id}": f"/api/traces/{telemetry.trace_id(1)}",
    "/api/runbooks/{uid}": "/api/runbooks/otelbot-memory-high",
    "/api/v1/query": "/api/v1/query?query=process_memory_usage_bytes",
}


@pytest.fixture
async def web(tmp_path):
    async with page(tmp_path) as found:
        await found.fed.send(
            "metrics",
            histogram(
                signals.UPDATE_DURATION, 0, 9, **{signals.UPDATE_TYPE: "message", signals.UPDATE_OUTCOME: "handled"}
            ),
            gauge(signals.PROCESS_UPTIME, 1, 16),
            gauge(signals.PROCESS_MEMORY, 70e6, 70e6),
            gauge(signals.HEALTH_STATUS, 1, check="database"),
            *(gauge(signals.USERS_ACTIVE, 3, window=window) for window in ("5m", "1h", "24h")),
            counter(signals.ERRORS, 1, **{signals.ERROR_TYPE: "ValueError", signals.COMPONENT: "handler"}),
            resource=BOT,
        )
        await found.fed.send("traces", telemetry.update(1, "start"))
        attributes = {"exception.type": "ValueError", "exception.message": "no", "exception.fingerprint": "f1"}
        await found.fed.send("logs", telemetry.log("failed", severity=17, trace=1, attributes=attributes))
        yield found


def differences(example, answer, where=""):
    """Yield where an answer is not as the example shows it; of an object with keys of its own only what it has."""
    if isinstance(example, dict) and isinstance(answer, dict):
        free = where.endswith(("labels", "metric", "attributes", "resource", "metrics", "checks", "windows"))
        if not free and not example.keys() <= answer.keys():
            yield f"{where} has no {', '.join(example.keys() - answer.keys())}"
        if not free and where != "/trace" and not answer.keys() <= example.keys():
            yield f"{where} has {', '.join(answer.keys() - example.keys())} as well"
        for key in example.keys() & answer.keys():
            yield from differences(example[key], answer[key], f"{where}/{key}")
    elif isinstance(example, list) and isinstance(answer, list):
        if example and answer:
            yield from differences(example[0], answer[0], f"{where}/0")
    elif example is not None and answer is not None and json_type(example) != json_type(answer):
        yield f"{where} is {answer!r}"


def json_type(value):
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def test_there_are_examples():
    assert len(EXAMPLES) >= 11


@pytest.mark.parametrize("heading", [heading for heading in EXAMPLES if not heading.startswith("/api/alerts")])
async def test_an_answer_is_as_documented(web, heading):
    answer = await web.get(PATHS.get(heading, heading))
    assert not list(differences(EXAMPLES[heading], answer))


async def test_alerts_are_as_documented(tmp_path):
    async def seen():
        return True

    async with page(tmp_path) as web:
        store = web.fed.store
        await web.fed.send("metrics", gauge(signals.PROCESS_MEMORY, *[9e9] * 20), resource=BOT)

        async def query(expr, at):
            return await store.read(lambda db: promql.instant(expr, StoreSource(db), at))

        alerts = Alerts(query, tmp_path, channels.read({}), page_url="http://127.0.0.1:8080", seen=seen)
        try:
            await alerts.evaluate()
            told = next(alert for alert in alerts.overview()["alerts"] if alert["uid"] == "otelbot-memory-high")
            assert not list(differences(EXAMPLES["/api/alerts"]["alerts"][0], told))
            assert told["active"]
            assert alerts.overview().keys() == EXAMPLES["/api/alerts"].keys()
            entries = alerts.history(10)
            assert entries["history"]
            assert not list(differences(EXAMPLES["/api/alerts/history"], entries))
        finally:
            await alerts.close()


async def test_every_path_is_documented(web):
    app = page_app(web.fed.store, web.alerts, PageOptions("127.0.0.1"))
    paths = {resource.canonical for resource in app.router.resources()}
    asked = {path for path in paths if path.startswith(("/api", "/metrics"))}
    assert len(asked) > 15
    assert [path for path in asked if f"`{path}`" not in DOCUMENT and f" {path}`" not in DOCUMENT] == []
