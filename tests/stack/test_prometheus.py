"""A bot's metrics in a real Prometheus, through the real Collector: what dashboards and alert rules ask."""

from __future__ import annotations

import math
import time

import pytest

from otelbot.demo.telegram import message_update
from tests.stack.services import eventually
from tests.support import TOKEN

pytestmark = pytest.mark.needs("stack")

BOT = """
    @dp.message(CommandStart())
    async def start(message):
        await message.answer("hello")

    @dp.message(Command("boom"))
    async def boom(message):
        raise ValueError("broken")

    main()
"""
UPDATES = "telegram_bot_update_duration_seconds"


async def test_promql_answers_for_a_bot(api, prometheus, collector_for_prometheus, run):
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector_for_prometheus.url,
        "OTEL_SERVICE_NAME": "tea-shop",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,service.version=1.2",
    }
    bot = await run(BOT, env=environ)
    for text in ("/start", "/boom", "/start", "hello", "/start", "/nosuch"):
        api.push(TOKEN, message_update(text))
    await api.wait_until_drained(TOKEN)

    async def counted() -> bool:
        return await prometheus.by(
            "telegram_update_outcome", f"sum by (telegram_update_outcome) ({UPDATES}_count)"
        ) == {
            "handled": 3,
            "error": 1,
            "unhandled": 2,
        }

    await eventually(counted, "six updates in Prometheus")
    # One series for each outcome, all of them the service's: a rate over them never counts twice.
    labelled = await prometheus.query(f'{UPDATES}_count{{service_name="tea-shop", deployment_environment_name="test"}}')
    assert len(labelled) == 3
    assert {labels["telegram_update_type"] for labels, _ in labelled} == {"message"}
    assert {labels["telegram_bot_id"] for labels, _ in labelled} == {TOKEN.partition(":")[0]}
    assert {labels["service_version"] for labels, _ in labelled} == {"1.2"}

    ((_, seconds),) = await prometheus.query(f"histogram_quantile(0.95, sum by (le) ({UPDATES}_bucket))")
    assert 0 < seconds < math.inf
    handled = 'telegram_update_outcome="handled"'
    ((_, boundaries),) = await prometheus.query(f"count({UPDATES}_bucket{{{handled}}})")
    assert boundaries == 16  # with +Inf

    commands = "sum by (telegram_command) (telegram_bot_commands_total)"
    assert await prometheus.by("telegram_command", commands) == {"start": 3, "boom": 1, "other": 1}
    calls = "sum by (telegram_method) (telegram_bot_api_request_duration_seconds_count)"
    assert (await prometheus.by("telegram_method", calls))["sendMessage"] == 3
    slow = 'histogram_quantile(0.5, telegram_bot_api_request_duration_seconds_bucket{telegram_method="sendMessage"})'
    ((labels, seconds),) = await prometheus.query(slow)
    assert labels["http_response_status_code"] == "200"
    assert seconds > 0
    errors = await prometheus.query("telegram_bot_errors_total")
    assert [(labels["error_type"], labels["component"], count) for labels, count in errors] == [
        ("ValueError", "handler", 1)
    ]
    assert await prometheus.by("service_name", "telegram_bot_update_active") == {"tea-shop": 0}
    assert "tea-shop" in await prometheus.by("service_name", "target_info")
    assert await bot.stop() == 0


async def test_what_prometheus_missed_is_there_after_it_is_back(api, prometheus, collector_for_prometheus, run):
    """The Collector keeps what Prometheus cannot take."""
    await prometheus.stop()
    bot = await run(BOT, env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector_for_prometheus.url})
    api.push(TOKEN, message_update("/start"))
    await collector_for_prometheus.wait_for(lambda it: "telegram.bot.commands" in it.metrics, "the metrics")
    assert await bot.stop() == 0
    await prometheus.start()

    async def counted() -> bool:
        return await prometheus.by("telegram_command", "telegram_bot_commands_total") == {"start": 1}

    await eventually(counted, "the command in Prometheus")
    assert "otelbot: " not in bot.stderr


async def test_a_second_bot_at_run_time_counts_nothing_twice(api, prometheus, collector_for_prometheus, run):
    source = """
        @dp.message(CommandStart())
        async def start(message):
            await message.answer("hello")

        @dp.message(Command("clone"))
        async def clone(message):
            async with make_bot("987654321:" + "B" * 35).context() as other:
                await other.send_message(message.chat.id, "I am another one")

        main()
    """
    bot = await run(source, env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector_for_prometheus.url})
    start = 'telegram_bot_commands_total{telegram_command="start"}'
    clone = 'telegram_bot_commands_total{telegram_command="clone"}'
    for text, query in (("/start", start), ("/clone", clone)):
        api.push(TOKEN, message_update(text))

        async def counted(query=query) -> bool:
            return bool(await prometheus.query(query))

        await eventually(counted, f"{text} in Prometheus")
    assert await bot.stop() == 0
    assert [count for _, count in await prometheus.query(f"sum({start})")] == [1]


async def test_native_histograms_of_other_programs_are_taken(prometheus, collector_for_prometheus):
    """Programs with OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION=base2_exponential_bucket_histogram."""
    now = time.time_ns()
    point = {
        "startTimeUnixNano": str(now - 10**9),
        "timeUnixNano": str(now),
        "count": "4",
        "sum": 6.0,
        "scale": 0,
        "zeroCount": "0",
        "positive": {"offset": 0, "bucketCounts": ["4"]},  # four values between 1 and 2
    }
    metric = {"name": "work", "unit": "s", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [point]}}
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}
    assert await collector_for_prometheus.post("metrics", body) == 200

    async def median() -> list:
        return await prometheus.query("histogram_quantile(0.5, work_seconds)")

    ((_, seconds),) = await eventually(median, "the histogram")
    assert 1 < seconds < 2
