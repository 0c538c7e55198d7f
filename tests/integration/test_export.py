"""What the endpoint does never reaches the bot: telemetry is retried or dropped, counted, and that is said once."""

from __future__ import annotations

import asyncio

import pytest

from otelbot.demo.otlp import OtlpReceiver
from otelbot.demo.telegram import message_update
from tests.support import TOKEN

BOT = """
    @dp.message()
    async def echo(message):
        await message.answer("hello")

    main()
"""


def updates(spans):
    return [span for span in spans if span.kind == "CONSUMER"]


def warnings(bot):
    return [line for line in bot.stderr.splitlines() if line.startswith("otelbot:")]


def dropped(otlp, signal):
    points = otlp.metrics["otelbot.export.dropped"].points
    return {attributes["reason"]: value for attributes, value, *_ in points if attributes["signal"] == signal}


async def test_without_a_collector_the_bot_works_and_says_so_once(api, run):
    bot = await run(BOT, env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    for _ in range(3):
        api.push(TOKEN, message_update("hi"))
    await api.wait_for_call("sendMessage", count=3)
    await asyncio.sleep(1)  # several batches of each signal
    assert await bot.stop() == 0
    assert len(warnings(bot)) == 1
    assert "http://127.0.0.1:1 does not take telemetry (connection refused)" in bot.stderr
    assert "Traceback" not in bot.stderr


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_busy_endpoint_is_asked_again_and_nothing_is_lost(api, otlp, run, status):
    otlp.answer_with(status, times=2, headers={"retry-after": "0"}, signal="traces")
    bot = await run(BOT)
    api.push(TOKEN, message_update("hi"))
    await otlp.wait_for_spans(updates)
    assert await bot.stop() == 0
    assert len(updates(otlp.spans)) == 1
    assert len({span.span_id for span in otlp.spans}) == len(otlp.spans)
    assert len(warnings(bot)) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 413, 500])
async def test_what_is_refused_is_dropped_counted_and_said_once(api, otlp, run, status):
    otlp.answer_with(status, times=None, signal="traces")
    bot = await run(BOT)
    for _ in range(3):
        api.push(TOKEN, message_update("hi"))
        await api.wait_until_drained(TOKEN)
    await otlp.wait_for(lambda: "otelbot.export.dropped" in otlp.metrics and dropped(otlp, "traces").get("refused"))
    assert await bot.stop() == 0
    assert dropped(otlp, "traces")["refused"] > 0
    (line,) = warnings(bot)
    assert f"refuses traces ({status}" in line
    assert "telegram.bot.update.duration" in otlp.metrics  # the other signals go on


async def test_a_reset_connection_is_retried(api, otlp, run):
    otlp.reset(times=2)
    bot = await run(BOT)
    api.push(TOKEN, message_update("hi"))
    await otlp.wait_for_spans(updates)
    assert await bot.stop() == 0
    assert len({span.span_id for span in otlp.spans}) == len(otlp.spans)


async def test_an_endpoint_that_hangs_holds_up_neither_the_bot_nor_its_end(api, otlp, run):
    otlp.hang(60, times=None)
    bot = await run(BOT, env={"OTELBOT_FLUSH_TIMEOUT": "0.5"})
    for count in range(1, 4):
        api.push(TOKEN, message_update("hi"))
        await api.wait_for_call("sendMessage", count=count)
    assert await bot.stop() == 0
    assert "Traceback" not in bot.stderr


async def test_what_ended_while_the_endpoint_was_away_arrives_when_it_is_back(api, run):
    async with OtlpReceiver() as first:
        port = int(first.url.rpartition(":")[2])
    bot = await run(BOT, env={"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"})
    for _ in range(3):
        api.push(TOKEN, message_update("hi"))
    await api.wait_for_call("sendMessage", count=3)
    await asyncio.sleep(1)
    async with OtlpReceiver(port=port) as second:
        await second.wait_for_spans(lambda spans: len(updates(spans)) == 3)
        assert await bot.stop() == 0
        assert len({span.span_id for span in second.spans}) == len(second.spans)


async def test_the_last_spans_reach_an_endpoint_that_comes_back_at_the_end(api, run):
    """The pause after a failure is given up when the program ends."""
    async with OtlpReceiver() as first:
        port = int(first.url.rpartition(":")[2])
    bot = await run(BOT, env={"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"})
    api.push(TOKEN, message_update("hi"))
    await api.wait_for_call("sendMessage")
    await asyncio.sleep(2)  # by now it pauses for seconds
    async with OtlpReceiver(port=port) as second:
        assert await bot.stop() == 0
        assert len(updates(second.spans)) == 1


async def test_the_queue_is_bounded_and_what_it_drops_is_counted(api, run):
    async with OtlpReceiver() as first:
        port = int(first.url.rpartition(":")[2])
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTELBOT_EXPORT_QUEUE_BYTES": "4000"}
    bot = await run(BOT, env=env)
    for count in range(1, 31):
        api.push(TOKEN, message_update("hi"))
        await api.wait_for_call("sendMessage", count=count)
        await asyncio.sleep(0.05)
    async with OtlpReceiver(port=port) as second:
        await second.wait_for(lambda: "otelbot.export.dropped" in second.metrics and dropped(second, "traces"))
        assert await bot.stop() == 0
        assert dropped(second, "traces")["queue_full"] > 0
        assert updates(second.spans)  # the newest


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
async def test_standard_variables_shape_the_requests(api, otlp, run, compression):
    env = {
        "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=shop%20one",
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }
    bot = await run(BOT, env=env)
    api.push(TOKEN, message_update("hi"))
    await otlp.wait_for_spans(updates)
    assert await bot.stop() == 0
    headers = {key.lower(): value for key, value in otlp.requests[0].headers.items()}
    assert (headers["content-encoding"], headers["x-tenant"]) == (compression, "shop one")
    resource = otlp.spans[0].resource
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("shop", "test")


async def test_a_sampler_leaves_metrics_alone(api, otlp, run):
    bot = await run(BOT, env={"OTEL_TRACES_SAMPLER": "always_off"})
    api.push(TOKEN, message_update("hi"))
    await api.wait_until_drained(TOKEN)
    await otlp.wait_for(lambda: "telegram.bot.update.duration" in otlp.metrics)
    assert await bot.stop() == 0
    assert otlp.spans == []


async def test_the_console_exporter_is_scrubbed_too(api, otlp, run):
    source = BOT.replace(
        "main()", 'from opentelemetry import trace; trace.get_tracer("x").start_span(bot.token).end(); main()'
    )
    env = {"OTEL_TRACES_EXPORTER": "otlp,console", "OTEL_LOGS_EXPORTER": "none"}
    bot = await run(source, env=env)
    api.push(TOKEN, message_update("hi"))
    await otlp.wait_for_spans(updates)
    assert await bot.stop() == 0
    assert '"name": "***"' in bot.stdout
    assert TOKEN not in bot.stdout
    assert otlp.logs == []


async def test_a_logging_handler_that_raises_does_not_end_the_export(api, run):
    """Handlers that send errors to the admins' chat need a running loop, which the export's threads have not."""
    async with OtlpReceiver() as first:
        port = int(first.url.rpartition(":")[2])
    source = """
    class ToAdmins(logging.Handler):
        def emit(self, record):
            asyncio.get_running_loop()
    logging.getLogger().addHandler(ToAdmins(level=logging.WARNING))
    """
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    bot = await run(source + BOT, env=env)
    api.push(TOKEN, message_update("hi"))
    await api.wait_for_call("sendMessage")
    await asyncio.sleep(1)
    async with OtlpReceiver(port=port) as second:
        await second.wait_for_spans(updates)
        assert await bot.stop() == 0


@pytest.mark.parametrize("proxy", ["127.0.0.1:1", "socks5://127.0.0.1:1", "http://[bad"])
async def test_a_proxy_that_can_not_be_used_breaks_nothing(api, run, proxy):
    env = {"HTTP_PROXY": proxy, "http_proxy": proxy, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.invalid:4318"}
    bot = await run(BOT, env=env | {"NO_PROXY": "127.0.0.1", "OTELBOT_FLUSH_TIMEOUT": "1"})
    api.push(TOKEN, message_update("hi"))
    await api.wait_for_call("sendMessage")
    assert await bot.stop() == 0
    assert "Traceback" not in bot.stderr
    assert "Exception in thread" not in bot.stderr
    assert bot.stderr.count("HTTP_PROXY names can't be used") == (proxy != "127.0.0.1:1")


async def test_a_bot_that_seeds_random_has_traces_of_its_own_and_its_own_draws(api, otlp, run):
    source = """
    import random
    @dp.message()
    async def draw(message):
        random.seed(42)
        await message.answer("hello")
        print([random.randint(0, 99) for _ in range(3)], flush=True)
    main()
    """
    bot = await run(source)
    for count in range(1, 4):
        api.push(TOKEN, message_update("hi"))
        await api.wait_for_call("sendMessage", count=count)
    await otlp.wait_for_spans(lambda spans: len(updates(spans)) == 3)
    assert await bot.stop() == 0
    assert len({span.trace_id for span in updates(otlp.spans)}) == 3
    assert bot.stdout == "[81, 14, 3]\n" * 3


async def test_odd_log_records_arrive_and_leave_the_console_alone(otlp, run):
    source = """
    import datetime, decimal, logging, uuid
    class Silent:
        def __str__(self):
            raise ValueError
    cyclic = {}
    cyclic["self"] = cyclic
    extra = {
        "when": datetime.date(2026, 1, 2), "price": decimal.Decimal("1.5"), "id": uuid.UUID(int=7), "set": {1},
        "bytes": b"x", "none": None, "big": 2**70, "silent": Silent(), "cyclic": cyclic, "nested": {"a": [1, {"b": 2}]},
    }
    log = logging.getLogger("shop")
    log.warning("odd", extra=extra)
    log.warning("cut emoji \\ud83d")
    log.warning("digits %s", "7" * 100_000)
    log.warning("after")
    """
    plain = await run(source, prelude=False, instrumented=False, env={"PYTHONIOENCODING": "utf-8:replace"})
    assert await plain.wait() == 0
    expected = plain.stderr
    program = await run(source, prelude=False, env={"PYTHONIOENCODING": "utf-8:replace"})
    assert await program.wait() == 0
    assert program.stderr == expected
    bodies = [record.body for record in otlp.logs]
    assert {"odd", "cut emoji ?", "after"} <= set(bodies)
    odd = next(record for record in otlp.logs if record.body == "odd").attributes
    assert (odd["when"], odd["price"], odd["bytes"], odd["nested"]) == ("2026-01-02", "1.5", "x", {"a": [1, {"b": 2}]})


async def test_credentials_in_the_endpoint_are_sent_as_a_header(otlp, run):
    host = otlp.url.removeprefix("http://")
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://me:p%40ss@{host}"}
    program = await run("import logging; logging.warning('hello')", prelude=False, env=env)
    assert await program.wait() == 0
    headers = {key.lower(): value for key, value in otlp.requests[0].headers.items()}
    assert headers["authorization"] == "Basic bWU6cEBzcw=="
