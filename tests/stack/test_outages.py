"""The Collector goes away, or refuses because its memory is full, while the bot works on."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from otelbot.demo.telegram import message_update
from tests.stack.services import Collector, eventually
from tests.support import TOKEN

pytestmark = pytest.mark.needs("stack")

BOT = """
    log = logging.getLogger("shop")

    @dp.message(CommandStart())
    async def start(message):
        log.error("order taken")
        await message.answer("hello")

    main()
    raise SystemExit(7)
"""


def updates(collector):
    return [span for span in collector.spans if span.kind == "CONSUMER"]


def warnings_of_otelbot(bot):
    return [line for line in bot.stderr.splitlines() if line.startswith("otelbot: ")]


async def go_away(collector: Collector) -> None:
    await collector.stop()


async def refuse(collector: Collector) -> None:
    """Restart with so little memory that everything is refused, as the real limit does under load."""
    await collector.stop()
    collector.limit_memory({"check_interval": "10ms", "limit_mib": 1, "spike_limit_mib": 0})
    await collector.start()
    now = str(time.time_ns())
    span = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "probe", "startTimeUnixNano": now, "endTimeUnixNano": now}

    async def refuses() -> bool:
        return await collector.post("traces", {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}) == 503

    await eventually(refuses, "the memory limiter to refuse")


@pytest.mark.parametrize("fail", [go_away, refuse])
async def test_what_ended_during_an_outage_arrives_after_it(api, collector, run, fail):
    bot = await run(BOT, env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    ids = [api.push(TOKEN, message_update("/start"))]
    await collector.wait_for(lambda it: len(updates(it)) == 1, "the first update")

    await fail(collector)
    ids += [api.push(TOKEN, message_update("/start")) for _ in range(5)]
    await api.wait_for_call("sendMessage", count=6)
    await eventually(lambda: said(bot), "the bot to notice")
    assert len(updates(collector)) == 1
    await collector.stop()
    collector.limit_memory(None)
    await collector.start()
    ids.append(api.push(TOKEN, message_update("/start")))

    def all_of_it(it):
        taken = it.metrics.get("telegram.bot.update.duration")
        counts = [value[0] for _, value, _ in taken.points] if taken else []
        return len(updates(it)) >= 7 and len(orders(it)) >= 7 and counts == [7]

    await collector.wait_for(all_of_it, "what the bot had kept")
    assert await bot.stop() == 7
    await collector.stop()

    assert sorted(str(span.attributes["messaging.message.id"]) for span in updates(collector)) == sorted(map(str, ids))
    spans = [span for span in collector.spans if span.name != "probe"]
    assert max(Counter(span.span_id for span in spans).values()) == 1
    traces = {update.trace_id: update for update in updates(collector)}
    for trace_id, update in traces.items():
        whole = {span.name: span for span in spans if span.trace_id == trace_id}
        assert set(whole) == {"message start", "start", "sendMessage"}
        assert whole["start"].parent_span_id == update.span_id
        assert whole["sendMessage"].parent_span_id == whole["start"].span_id
    assert sorted(record.trace_id for record in orders(collector)) == sorted(traces)
    assert len(warnings_of_otelbot(bot)) == 1


def orders(collector):
    return [record for record in collector.logs if record.body == "order taken"]


async def said(bot) -> bool:
    return "does not take telemetry" in bot.stderr


@pytest.mark.parametrize("fail", [go_away, refuse])
async def test_a_bot_stops_as_ever_when_the_collector_never_comes_back(api, collector, run, fail):
    bot = await run(BOT, env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    api.push(TOKEN, message_update("/start"))
    await collector.wait_for(updates, "the first update")
    await fail(collector)
    for _ in range(5):
        api.push(TOKEN, message_update("/start"))
    await api.wait_for_call("sendMessage", count=6)
    await eventually(lambda: said(bot), "the bot to notice")

    assert await bot.stop() == 7
    (warning,) = warnings_of_otelbot(bot)
    assert collector.url in warning
    assert "Traceback" not in bot.stderr
    assert TOKEN not in bot.stderr
