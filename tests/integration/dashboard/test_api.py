"""The JSON API over telemetry as a bot sends it."""

from __future__ import annotations

import asyncio
import json
import math
import time
from contextlib import suppress

import aiohttp
import pytest

from otelbot import __version__, signals
from otelbot.alerts.embedded_rules import RULES_OF_THE_EMBEDDED
from otelbot.dashboard.api import live
from otelbot.demo.waiting import PATIENCE
from tests.integration.dashboard.pages import BOT, counter, gauge, histogram, page
from tests.unit.dashboard.reading import telemetry

HANDLED = {signals.UPDATE_TYPE: "message", signals.UPDATE_OUTCOME: "handled"}


@pytest.fixture
async def web(tmp_path):
    async with page(tmp_path) as found:
        yield found


async def send_metrics(web, ago=0.0):
    await web.fed.send(
        "metrics",
        histogram(signals.UPDATE_DURATION, 0, 5, 9, ago=ago, **HANDLED),
        histogram(signals.HANDLER_DURATION, 9, ago=ago, **{signals.HANDLER: "start", signals.UPDATE_TYPE: "message"}),
        gauge(signals.PROCESS_UPTIME, 1, 16, 31, ago=ago),
        gauge(signals.PROCESS_MEMORY, 50e6, 60e6, 70e6, ago=ago),
        gauge(signals.USERS_ACTIVE, 3, ago=ago, window="1h"),
        gauge(signals.POLLING_AGE, 2.5, ago=ago, **{signals.BOT_ID: "42"}),
        counter(signals.FSM_TRANSITIONS, 4, ago=ago, **{"from": "none", "to": "Order:item"}),
        resource=BOT,
    )


async def test_cards_move_with_the_first_telemetry_of_a_bot(web):
    assert (await web.get("/api/metrics"))["cards"]["messages_processed"]["value"] == 0
    await send_metrics(web)

    async def moved():
        while (answer := await web.get("/api/metrics", range="1h"))["cards"]["messages_processed"]["value"] != 9:
            await asyncio.sleep(0.1)
        return answer

    answer = await asyncio.wait_for(moved(), PATIENCE)
    assert answer["services"] == ["shop"]
    cards = answer["cards"]
    assert cards["average_response_time"]["value"] == pytest.approx(0.1)
    assert cards["memory"]["value"] == 70e6
    assert cards["active_users"]["value"] == 3
    assert cards["error_rate"]["value"] == 0
    assert cards["polling"]["value"] >= 2.5
    assert cards["polling"]["status"] == "ok"


async def test_metrics_have_prometheus_names_and_those_of_the_guides(web):
    await send_metrics(web)
    metrics = (await web.get("/api/metrics"))["metrics"]
    (processed,) = metrics["messages_processed_total"]
    assert (processed["labels"]["type"], processed["labels"]["status"], processed["value"]) == ("message", "handled", 9)
    assert {
        "message_processing_duration_seconds_count",
        "message_processing_duration_seconds_sum",
        "active_users",
        "bot_uptime_seconds",
        "memory_usage_bytes",
        "telegram_bot_update_duration_seconds_count",
        "telegram_bot_users_active",
        "process_memory_usage_bytes",
    } <= metrics.keys()
    assert (await web.get("/api/metrics", service="other"))["metrics"] == {}


@pytest.mark.parametrize("name", ["overview", "updates", "telegram", "conversations", "databases", "runtime"])
async def test_every_page_has_panels(web, name):
    await send_metrics(web)
    answer = await web.get(f"/api/panels/{name}", range="15m", service="shop")
    assert (answer["page"], answer["range"], answer["end"] - answer["start"]) == (name, "15m", 900_000)
    shown = [panel["id"] for panel in answer["panels"] if panel.get("series") or panel.get("rows")]
    assert bool(shown) == (name not in {"telegram", "databases"}) or shown == ["polling_age"]
    for panel in answer["panels"]:
        assert panel["title"]["en"]
        assert panel["title"]["fa"]


async def test_a_panel_shows_what_the_bot_sent(web):
    await send_metrics(web)
    panels = {panel["id"]: panel for panel in (await web.get("/api/panels/updates"))["panels"]}
    ((handler, calls, failed, *quantiles),) = panels["handlers"]["rows"]
    assert (handler, calls, failed) == ("start", 9, 0)
    assert all(0.05 <= value <= 0.1 for value in quantiles)
    (line,) = panels["rate"]["series"]
    assert line["name"] == "message"
    assert line["points"][-1][1] == 9


async def test_health_is_of_the_bots_and_of_the_dashboard(web):
    answer = await web.get("/api/health")
    assert (answer["status"], answer["services"]) == ("unknown", [])
    assert answer["dashboard"]["status"] == "healthy"
    assert answer["dashboard"]["version"] == __version__
    await send_metrics(web)
    await web.fed.send("metrics", gauge(signals.HEALTH_STATUS, 0.5, check="memory"), resource=BOT)

    async def told():
        while not (answer := await web.get("/api/health"))["services"]:
            await asyncio.sleep(0.1)
        return answer

    answer = await asyncio.wait_for(told(), PATIENCE)
    assert answer["status"] == "degraded"
    (bot,) = answer["services"]
    assert bot["checks"]["memory"] == {"status": "degraded"}
    assert answer["dashboard"]["received"]["metrics"] > 0
    assert 0 < answer["dashboard"]["database_bytes"] < answer["dashboard"]["max_bytes"]


async def test_health_fails_for_probes_where_a_bot_is_unhealthy(web):
    await web.fed.send("metrics", gauge(signals.HEALTH_STATUS, 0, check="database"), resource=BOT)
    assert (await web.get("/api/health", status=503))["status"] == "unhealthy"
    assert (await web.get("/api/health", ok="200"))["status"] == "unhealthy"


async def test_a_trace_is_found_and_opened(web):
    await web.fed.send("traces", telemetry.update(1, "buy"), telemetry.update(2, "start", outcome="error", error="no"))
    await web.fed.send("logs", telemetry.log("sold", trace=1))
    found = await web.get("/api/traces", handler="buy", range="15m")
    (trace,) = found["traces"]
    opened = await web.get(f"/api/traces/{trace['trace_id']}")
    assert opened["trace"]["handler"] == "buy"
    assert [log["body"] for log in opened["logs"]] == ["sold"]
    assert len((await web.get("/api/traces", errors="1"))["traces"]) == 1
    assert await web.get("/api/traces", min_ms="5000") == {"traces": [], "next": None}
    assert (await web.get("/api/facets"))["handlers"] == ["buy", "start"]
    error = (await web.get(f"/api/traces/{'0' * 31}9", status=404))["error"]
    assert error.endswith(".")


async def test_logs_are_searched_and_followed(web):
    await web.fed.send("logs", telemetry.log("one"), telemetry.log("two", severity=17, severity_text="ERROR"))
    found = await web.get("/api/logs", severity="error")
    assert [log["body"] for log in found["logs"]] == ["two"]
    last = found["last"]
    assert (await web.get("/api/logs", after=str(last)))["logs"] == []
    await web.fed.send("logs", telemetry.log("three"))
    assert [log["body"] for log in (await web.get("/api/logs", after=str(last)))["logs"]] == ["three"]


async def test_errors_are_grouped(web):
    attributes = {"exception.type": "ValueError", "exception.message": "no", "exception.fingerprint": "f1"}
    record = {"severity": 17, "severity_text": "ERROR", "attributes": attributes}
    await web.fed.send("logs", telemetry.log("failed", **record), telemetry.log("failed", **record))
    (error,) = (await web.get("/api/errors", range="1h"))["errors"]
    assert (error["type"], error["count"]) == ("ValueError", 2)
    assert (await web.get("/api/errors", service="other"))["errors"] == []


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/api/metrics", {"range": "2h"}),
        ("/api/panels/overview", {"range": "1h "}),
        ("/api/metrics", {"service": "x" * 2000}),
        ("/api/metrics", {"service": "a\0b"}),
        ("/api/traces", {"min_ms": "much"}),
        ("/api/traces", {"min_ms": "nan"}),
        ("/api/traces", {"max_ms": "-1"}),
        ("/api/traces", {"since": "1e400"}),
        ("/api/traces", {"limit": "0"}),
        ("/api/traces", {"limit": "201"}),
        ("/api/traces", {"before": "9" * 5000}),
        ("/api/traces", {"before": "१२"}),
        ("/api/traces", {"errors": "perhaps"}),
        ("/api/traces/xyz", {}),
        ("/api/traces/" + "0" * 31 + "'", {}),
        ("/api/logs", {"severity": "25"}),
        ("/api/logs", {"severity": "loud"}),
        ("/api/logs", {"trace_id": "1' OR 1=1"}),
        ("/api/logs", {"after": "-1"}),
        ("/api/errors", {"range": "week"}),
        ("/api/errors", {"limit": "1000000"}),
        ("/api/alerts/history", {"limit": "no"}),
        ("/api/v1/query", {}),
        ("/api/v1/query", {"query": "sum("}),
        ("/api/v1/query", {"query": "up", "time": "yesterday"}),
        ("/api/v1/query_range", {"query": "up", "start": "0", "end": "100"}),
        ("/api/v1/query_range", {"query": "up", "start": "0", "end": "1e9", "step": "1s"}),
        ("/api/v1/query_range", {"query": "up", "start": "0", "end": "100", "step": "0"}),
        ("/api/v1/query_range", {"query": "up", "start": "100", "end": "0", "step": "5"}),
        ("/api/v1/query_range", {"query": "up", "start": "0", "end": "100", "step": "5 parsecs"}),
    ],
)
async def test_a_wrong_request_is_refused_with_one_sentence(web, path, params):
    sentence = (await web.get(path, status=400, **params))["error"]
    assert len(sentence.splitlines()) == 1
    assert sentence.endswith((".", "…"))


@pytest.mark.parametrize(
    "service",
    ["'; DROP TABLE spans; --", '"} or vector(1) #', "<script>alert(1)</script>", "%", "\\", "\U0001f600", "به"],
)
async def test_a_hostile_name_is_a_name_and_nothing_else(web, service):
    await send_metrics(web)
    for path in ("/api/metrics", "/api/panels/overview", "/api/traces", "/api/logs", "/api/errors"):
        await web.get(path, service=service)
    cards = (await web.get("/api/metrics", service=service))["cards"]
    assert cards["messages_processed"]["value"] == 0
    assert (await web.get("/api/traces", text=service))["traces"] == []


async def test_html_in_telemetry_stays_text(web):
    script = "<script>alert(1)</script>"
    await web.fed.send("traces", telemetry.update(1, script))
    async with web.client.get("/api/traces") as response:
        assert response.content_type == "application/json"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert (await response.json())["traces"][0]["handler"] == script


async def test_odd_numbers_and_texts_become_json(web):
    await web.fed.send("metrics", gauge(signals.LOOP_UTILIZATION, "NaN"), resource=BOT)
    await web.fed.send("metrics", gauge(signals.USERS_ACTIVE, "Infinity", window="1h"), resource=BOT)
    await web.fed.send("traces", telemetry.span(1, 1, "a\0b", attributes={"x": math.nan, "y": 2**63 - 1}))
    for path in ("/api/metrics", "/api/panels/runtime", f"/api/traces/{1:032x}"):
        async with web.client.get(path) as response:
            assert response.status == 200
            json.loads(await response.text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


async def test_what_is_not_there_is_said(web):
    assert "docs" in (await web.get("/api/nothing", status=404))["error"]
    assert "overview" in (await web.get("/api/panels/nothing", status=404))["error"]
    async with web.client.post("/api/metrics", json={}) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET, HEAD"
        assert (await response.json())["error"].endswith(".")
    async with web.client.get("/nothing") as response:
        assert (response.status, response.content_type) == (404, "text/plain")


async def test_a_fault_of_ours_is_one_sentence_and_in_the_log(web, monkeypatch, caplog):
    monkeypatch.setattr(web.alerts, "overview", lambda: 1 / 0)
    sentence = (await web.get("/api/alerts", status=500))["error"]
    assert "ZeroDivisionError" not in sentence
    assert "ZeroDivisionError" in caplog.text


async def test_clearing_leaves_nothing(web):
    await send_metrics(web)
    await web.fed.send("traces", telemetry.update(1))
    assert (await web.get("/api/metrics"))["cards"]["messages_processed"]["value"] == 9
    assert (await web.get("/api/panels/overview"))["panels"][0]["series"]
    async with web.client.post("/api/clear", json={}) as response:
        assert response.status == 200
    assert (await web.get("/api/metrics"))["cards"]["messages_processed"]["value"] == 0
    assert all(not panel["series"] for panel in (await web.get("/api/panels/overview"))["panels"])
    assert (await web.get("/api/traces"))["traces"] == []


async def test_alerts_are_listed_silenced_and_no_longer(web):
    assert (await web.get("/api/alerts"))["channels"] == ["telegram"]
    assert (await web.get("/api/alerts/history", limit="7"))["limit"] == 7
    silenced = {"uid": "otelbot-memory-high", "labels": {"service_name": "shop"}, "seconds": 600}
    async with web.client.post("/api/alerts/silence", json=silenced) as response:
        assert response.status == 200
    async with web.client.delete("/api/alerts/silence", json={"uid": "otelbot-memory-high"}) as response:
        assert response.status == 200
    assert web.alerts.asked == [
        ("otelbot-memory-high", {"service_name": "shop"}, 600.0),
        ("otelbot-memory-high", None),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"uid": 1}',
        b'{"uid": "nothing", "seconds": 5}',
        b'{"uid": "otelbot-memory-high"}',
        b'{"uid": "otelbot-memory-high", "seconds": true}',
        b'{"uid": "otelbot-memory-high", "seconds": "5"}',
        b'{"uid": "otelbot-memory-high", "seconds": 5, "labels": []}',
        b'{"uid": "otelbot-memory-high", "seconds": ' + b"9" * 400 + b"}",
        b"[" * 30_000,
    ],
)
async def test_a_wrong_silence_is_refused_with_one_sentence(web, body):
    async with web.client.post(
        "/api/alerts/silence", data=body, headers={"Content-Type": "application/json"}
    ) as response:
        assert response.status == 400
        assert (await response.json())["error"].endswith(".")
    assert web.alerts.asked == []


async def test_a_large_body_is_refused(web):
    async with web.client.post(
        "/api/clear", data=b" " * 100_000, headers={"Content-Type": "application/json"}
    ) as response:
        assert response.status in {200, 413}  # what clears needs no body, and does not read it
    async with web.client.post("/api/alerts/silence", json={"uid": "x" * 100_000}) as response:
        assert response.status == 413


async def test_prometheus_own_api_answers_as_prometheus_does(web):
    await send_metrics(web)
    now = time.time()
    answer = await web.get("/api/v1/query", query="sum(process_memory_usage_bytes)", time=str(now))
    assert answer["status"] == "success"
    assert answer["data"]["resultType"] == "vector"
    ((at, value),) = [one["value"] for one in answer["data"]["result"]]
    assert (at, value) == (pytest.approx(now), "70000000")
    assert (await web.get("/api/v1/query", query="1 + 1"))["data"]["result"][1] == "2"
    form = {"query": "process_memory_usage_bytes", "start": str(now - 60), "end": str(now), "step": "15s"}
    async with web.client.post("/api/v1/query_range", data=form) as response:
        answer = await response.json()
    (series,) = answer["data"]["result"]
    assert answer["data"]["resultType"] == "matrix"
    assert series["metric"]["__name__"] == "process_memory_usage_bytes"
    assert series["values"][-1][1] == "70000000"
    wrong = await web.get("/api/v1/query", status=400, query="up{")
    assert (wrong["status"], wrong["errorType"]) == ("error", "bad_data")


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("multipart/form-data; boundary=x", b"--x\r\nbad", 415),
        ("multipart/form-data", b"", 415),
        ("application/x-www-form-urlencoded; charset=nonsense", b"query=1", 400),
        ("application/x-www-form-urlencoded", b"query=%ff&time=\xff", 400),
    ],
)
async def test_a_form_that_is_none_is_refused_with_one_sentence(web, kind, body, status):
    async with web.client.post("/api/v1/query", data=body, headers={"Content-Type": kind}) as response:
        answer = await response.json()
        assert (response.status, answer["status"]) == (status, "error"), answer
        assert answer["error"].endswith(".")


async def events(response):
    """Yield what a browser's EventSource would."""
    async for line in response.content:
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


async def test_a_page_is_told_at_once_and_when_something_is_new(web):
    async with web.client.get("/api/live") as response:
        assert response.content_type == "text/event-stream"
        told = events(response)
        first = await asyncio.wait_for(anext_(told), PATIENCE)
        assert first["versions"] == {"traces": 0, "metrics": 0, "logs": 0, "alerts": 0}
        assert (first["troubles"], first["firing"]) == (0, 0)
        await web.fed.send("traces", telemetry.update(1))
        web.alerts.firing = 1
        while (state := await asyncio.wait_for(anext_(told), PATIENCE))["versions"]["traces"] == 0:
            pass
        assert state["time"] >= first["time"]
        assert state["firing"] == 1


async def test_a_page_is_told_now_and_then_that_nothing_is_new(web, monkeypatch):
    monkeypatch.setattr(live, "_LEAST", 0.01)
    monkeypatch.setattr(live, "_MOST", 0.05)
    async with web.client.get("/api/live") as response:
        told = events(response)
        first, second = [await asyncio.wait_for(anext_(told), PATIENCE) for _ in range(2)]
    assert first["versions"] == second["versions"]


async def test_too_many_listeners_are_refused_and_room_is_made_when_they_go(web, monkeypatch):
    monkeypatch.setattr(live, "MOST_CLIENTS", 2)
    monkeypatch.setattr(live, "_LEAST", 0.01)
    monkeypatch.setattr(live, "_MOST", 0.01)
    first = await web.client.get("/api/live")
    async with web.client.get("/api/live"):
        async with web.client.get("/api/live") as refused:
            assert refused.status == 503
            assert refused.headers["Retry-After"]
        first.close()

        async def room():
            while True:
                async with web.client.get("/api/live") as response:
                    if response.status == 200:
                        return
                await asyncio.sleep(0.02)

        await asyncio.wait_for(room(), PATIENCE)


async def test_listeners_do_not_hold_the_server_open(tmp_path):
    async with page(tmp_path) as web:
        response = await web.client.get("/api/live")
        await asyncio.wait_for(anext_(events(response)), PATIENCE)
        await asyncio.wait_for(web.client.server.close(), PATIENCE)
        # The connection ends, whichever way.
        with suppress(aiohttp.ClientError):
            await asyncio.wait_for(response.read(), PATIENCE)


async def anext_(iterator):
    return await iterator.__anext__()


async def test_every_alert_has_its_runbook(web):
    for rule in RULES_OF_THE_EMBEDDED:
        assert (await web.get(f"/api/runbooks/{rule.uid}"))["text"].startswith("# ")
    await web.get("/api/runbooks/..%2FREADME", status=404)
