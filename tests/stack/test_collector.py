"""A bot's telemetry as the real Collector writes it down."""

from __future__ import annotations

import pytest

from otelbot.demo.telegram import message_update, photo_update
from tests.support import KEY, TOKEN

pytestmark = pytest.mark.needs("stack")

BOT = """
    log = logging.getLogger("shop")

    @dp.message(CommandStart())
    async def start(message):
        log.warning("order taken")
        await message.answer("hello")

    @dp.message(Command("boom"))
    async def boom(message):
        raise ValueError("broken")

    main()
"""


def updates(collector):
    return [span for span in collector.spans if span.kind == "CONSUMER"]


async def test_whole_traces_metrics_and_logs_arrive_compressed(api, collector, run):
    await collector.stop()
    collector.take_nothing_but_gzip()
    await collector.start()
    assert await collector.post("traces", {"resourceSpans": []}) == 400, "this Collector takes nothing but gzip"

    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_SERVICE_NAME": "tea-shop",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }
    bot = await run(BOT, env=environ)
    ids = [api.push(TOKEN, message_update(text)) for text in ("/start", "/boom", "hello")]
    await collector.wait_for(lambda it: len(updates(it)) == 3, "three updates")
    assert await bot.stop() == 0
    await collector.stop()  # so that all it took is in the files

    by_outcome = {span.attributes["telegram.update.outcome"]: span for span in updates(collector)}
    assert {name: span.name for name, span in by_outcome.items()} == {
        "handled": "message start",
        "error": "message boom",
        "unhandled": "process message",
    }
    update = by_outcome["handled"]
    assert str(update.attributes["messaging.message.id"]) == str(ids[0])
    trace = {span.name: span for span in collector.spans if span.trace_id == update.trace_id}
    assert set(trace) == {"message start", "start", "sendMessage"}
    handler, call = trace["start"], trace["sendMessage"]
    assert (update.parent_span_id, handler.parent_span_id, call.parent_span_id) == (
        "",
        update.span_id,
        handler.span_id,
    )
    assert (handler.kind, call.kind) == ("INTERNAL", "CLIENT")
    assert call.attributes["http.response.status_code"] == 200
    assert update.start <= handler.start <= call.start <= call.end <= handler.end <= update.end
    assert (by_outcome["error"].status, by_outcome["error"].attributes["error.type"]) == ("ERROR", "ValueError")

    metrics = collector.metrics
    units = {
        "telegram.bot.update.duration": "s",
        "telegram.bot.update.active": "{update}",
        "telegram.bot.handler.duration": "s",
        "telegram.bot.commands": "{command}",
        "telegram.bot.errors": "{error}",
        "telegram.bot.api.request.duration": "s",
    }
    assert {name: metrics[name].unit for name in units} == units
    durations = metrics["telegram.bot.update.duration"]
    assert durations.kind == "histogram"
    counts = {attributes["telegram.update.outcome"]: value[0] for attributes, value, _ in durations.points}
    assert counts == {"handled": 1, "error": 1, "unhandled": 1}
    # Buckets in seconds, not the SDK's, which begin at 5.
    assert all(value[2][0] < 0.01 for _, value, _ in durations.points)

    (record,) = (record for record in collector.logs if record.body == "order taken")
    assert (record.trace_id, record.span_id) == (update.trace_id, handler.span_id)
    assert (record.severity_text, record.scope) == ("WARN", "shop")

    for resource in (update.resource, record.resource, durations.points[0][2]):
        assert resource["service.name"] == "tea-shop"
        assert resource["deployment.environment.name"] == "test"
        assert resource["telemetry.distro.name"] == "otelbot"
        assert resource["telegram.bot.id"] == TOKEN.partition(":")[0]
        assert {"service.instance.id", "host.name", "process.pid", "telemetry.sdk.version"} <= resource.keys()
    # Which makes the three signals of one process find each other.
    assert len({resource["service.instance.id"] for resource in (update.resource, record.resource)}) == 1
    assert KEY.encode() not in collector.raw
    assert "otelbot:" not in bot.stderr


async def test_the_bot_itself_keeps_the_token_back(api, collector, run):
    await collector.stop()
    collector.mask_nothing()
    await collector.start()
    source = """
        log = logging.getLogger("shop")

        @dp.message(F.photo)
        async def photo(message):
            await bot.download(message.photo[-1])

        @dp.message()
        async def tell(message):
            log.error("I am %s", bot.token)
            await message.answer(bot.token)
            raise ValueError(f"no luck with {bot.token}")

        main()
    """
    bot = await run(source, env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    api.cut("sendMessage")
    api.push(TOKEN, message_update("one"))
    api.push(TOKEN, message_update("two"))
    api.push(TOKEN, photo_update("nowhere"))
    await collector.wait_for(lambda it: len(updates(it)) == 3, "three updates")
    assert await bot.stop() == 0
    await collector.stop()

    assert {span.status for span in updates(collector)} == {"ERROR"}
    assert "I am ***" in [record.body for record in collector.logs]
    assert KEY.encode() not in collector.raw
