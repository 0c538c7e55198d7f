"""Metrics for a Prometheus that scrapes the bot itself, without a Collector."""

from __future__ import annotations

import socket

import aiohttp

from otelbot.demo.telegram import message_update
from tests.integration.test_webhook import SERVERS, Web, free_port
from tests.support import KEY, TOKEN

BOT = """
    from opentelemetry import metrics
    metrics.get_meter("shop").create_counter("leak").add(1, {"url": f"https://api.telegram.org/bot{bot.token}/getMe"})

    @dp.message()
    async def echo(message):
        await message.answer("hello")

    main()
"""


async def test_a_page_of_metrics(api, otlp, run):
    port = free_port()
    env = {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": str(port)}
    bot = await run(BOT, env=env)
    api.push(TOKEN, message_update("hi"))
    await otlp.wait_for_spans(lambda spans: any(span.kind == "CONSUMER" for span in spans))
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as response:
        page = await response.text()
    assert await bot.stop() == 0
    (count,) = (line for line in page.splitlines() if line.startswith("telegram_bot_update_duration_seconds_count"))
    assert 'telegram_update_outcome="handled"' in count
    assert count.endswith(" 1.0")
    assert "telegram_bot_users_active" in page
    assert "/bot***/getMe" in page
    assert KEY not in page
    assert "otelbot:" not in bot.stderr
    assert not otlp.metrics


async def test_the_page_is_the_workers_and_not_their_masters(api, otlp, run):
    source, path, command = SERVERS["gunicorn"]
    web_port, port = free_port(), free_port()
    words = [word.format(port=web_port) for word in command]
    words[words.index("2")] = "1"
    env = {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": str(port)}
    server = await run(source, name="app.py", command=tuple(words), env=env)
    web = await Web(server, web_port).started()
    await web.update(path, "hello")
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as response:
        page = await response.text()
    await server.stop()
    (count,) = (line for line in page.splitlines() if line.startswith("telegram_bot_update_duration_seconds_count"))
    assert count.endswith(" 1.0")


async def test_a_port_in_use_is_one_sentence_and_the_bot_runs(api, otlp, run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        env = {
            "OTEL_METRICS_EXPORTER": "prometheus",
            "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
        }
        bot = await run(BOT, env=env)
        api.push(TOKEN, message_update("hi"))
        await api.wait_for_call("sendMessage")
        await otlp.wait_for_spans(lambda spans: any(span.kind == "CONSUMER" for span in spans))
        assert await bot.stop() == 0
    (line,) = (line for line in bot.stderr.splitlines() if "otelbot:" in line)
    assert f"127.0.0.1:{port} can't be served: Address already in use" in line
    assert "set OTEL_EXPORTER_PROMETHEUS_PORT to a free port" in line
