"""The demo's telemetry through the real Collector into the real Prometheus: no panel, no rule and no name is empty."""

from __future__ import annotations

import asyncio
import json
import math
import re
from pathlib import Path

import aiohttp
import pytest

from otelbot.alerts.promql import select
from otelbot.alerts.rules import RULES
from otelbot.demo import run, users
from tests.stack.services import Collector, Prometheus

pytestmark = [pytest.mark.needs("stack"), pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
PATIENCE = 150  # seconds until everything has happened in the shop, and twice a minute has passed on a slow machine
#: The names and labels that the guides know.
GUIDES = {
    "messages_processed_total": {"type", "status"},
    "message_processing_duration_seconds_bucket": {"type", "le"},
    "commands_executed_total": {"command", "status"},
    "user_activities_total": {"action"},
    "active_users": set(),
    "errors_total": {"type", "component"},
    "database_operations_total": {"operation", "status"},
    "database_operation_duration_seconds_bucket": {"operation", "le"},
    "api_calls_total": {"endpoint", "status_code"},
    "api_call_duration_seconds_bucket": {"endpoint", "le"},
    "bot_uptime_seconds": set(),
    "memory_usage_bytes": set(),
    "database_connections_active": set(),
}
#: What Grafana's service map and the links from a trace to its metrics ask for.
DERIVED = (
    "traces_service_graph_request_total",
    "traces_service_graph_request_server_seconds_sum",
    "traces_spanmetrics_calls_total{service_name='tea-shop'}",
    "traces_spanmetrics_duration_seconds_bucket{service_name='tea-shop'}",
)
FUNCTIONS = {"clamp_min", "histogram_quantile", "label_replace", "last_over_time", "max_over_time", "sort_desc"}
#: Series that a Collector has only once it lost something.
LOSSES = {f"otelcol_exporter_send_failed_{kind}" for kind in ("spans", "metric_points", "log_records")}
_RESOURCE = {
    "__name__",
    "job",
    "instance",
    "service_name",
    "service_instance_id",
    "telegram_bot_id",
    "deployment_environment_name",
}


def panel_queries():
    """Every PromQL query of every panel that is shipped, by dashboard and panel."""
    for file in sorted((ROOT / "grafana" / "dashboards").glob("*.json")):
        board = json.loads(file.read_text(encoding="utf-8"))
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                if panel["datasource"]["type"] == "prometheus":
                    yield f"{board['title']} / {panel['title']} {target['refId']}", target["expr"]


def filled(expr: str) -> str:
    """What Grafana asks: everything is selected, an hour is shown."""
    values = {"$service": ".*", "$bot": ".*", "$instance": ".*", "$interval": "1m", "$__range": "5m"}
    for variable, value in values.items():
        expr = expr.replace(variable, value)
    assert "$" not in expr
    return expr


async def happenings(api, token) -> None:
    """Let everything happen that panels show: orders, refusals, failures, photos. It repeats, as time passes."""
    people = [users.User(api, token, number, seed=7) for number in range(4)]
    crowd = [asyncio.ensure_future(person.live()) for person in people]
    odd = users.User(api, token, 5, seed=7)
    try:
        while True:
            for habit in (odd.order, odd.change_mind, odd.send_photo, odd.crash_it, odd.be_limited, odd.wonder):
                await odd.try_to(habit)
            api.fail("sendMessage", 403, "Forbidden: bot was blocked by the user", token=token)
            await odd.try_to(odd.wonder)
            api.fail("file", 404, "Not Found", token=token)
            await odd.try_to(odd.send_photo)
    finally:
        for person in crowd:
            person.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)


async def test_demo_traffic_fills_every_panel_every_rule_and_every_name(tmp_path):
    async with Prometheus(tmp_path / "prometheus") as prometheus:
        collector = Collector(tmp_path / "collector", prometheus.url)
        collector.environ["COLLECTOR_QUEUE_MOUNT"] = "/"  # there is no volume here; every machine has a root
        await prometheus.stop()
        away = dict.fromkeys(("tempo", "loki", "grafana"), 9)  # nobody listens on the port of discard
        prometheus.targets = {"otel-collector": collector.metrics_port, "prometheus": prometheus.ready_port, **away}
        await prometheus.start()
        async with collector, run.shop(collector.url, tmp_path / "bot.log") as (_, api, token):
            await api.wait_for_call("getMe")
            busy = asyncio.ensure_future(happenings(api, token))
            try:
                wanted = dict(panel_queries())
                wanted = {name: filled(expr) for name, expr in wanted.items()}
                wanted |= {f"rule {rule.title.en}": select(rule.expr) for rule in RULES}
                wanted |= {f"name {name}": name for name in (*GUIDES, *DERIVED)}
                empty = await until_full(prometheus, wanted, busy)
                assert empty == {}
                for name, labels in GUIDES.items():
                    found = {label for series, _ in await prometheus.query(name) for label in series}
                    assert found - _RESOURCE == labels, name
                assert await unknown_names(prometheus, wanted.values()) == set()
                await exemplars_lead_to_traces(prometheus, collector)
            finally:
                busy.cancel()
                await asyncio.gather(busy, return_exceptions=True)


async def until_full(prometheus, wanted, busy):
    """Return the queries that stay empty, and where they belong."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    empty = dict(wanted)
    while empty and loop.time() < deadline and not busy.done():
        await asyncio.sleep(2)
        for name, expr in list(empty.items()):
            if any(not math.isnan(value) for _, value in await prometheus.query(expr)):
                del empty[name]
    return empty


async def unknown_names(prometheus, queries):
    """Return what the queries name and Prometheus has never heard of: one side of an `or` hides the other's mistake."""
    async with aiohttp.ClientSession() as session:
        known = set()
        for path in ("label/__name__/values", "labels"):
            async with session.get(f"{prometheus.url}/api/v1/{path}") as response:
                known |= set((await response.json())["data"])
    words = {word for query in queries for word in re.findall(r"\b[a-z]+_\w+", re.sub(r'"[^"]*"', "", query))}
    return words - known - FUNCTIONS - LOSSES


async def exemplars_lead_to_traces(prometheus, collector):
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"{prometheus.url}/api/v1/query_exemplars",
            params={"query": "telegram_bot_update_duration_seconds_bucket", "start": "0", "end": "9999999999"},
        ) as response,
    ):
        answer = await response.json()
    found = {exemplar["labels"]["trace_id"] for series in answer["data"] for exemplar in series["exemplars"]}
    assert found
    assert found & {span.trace_id for span in collector.spans}
