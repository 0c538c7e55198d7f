"""What each variant's user writes into the bot: nothing for otelbot and opentelemetry-instrument, a few lines else."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiogram import Bot, Dispatcher
    from aiogram.types import TelegramObject

    from benchmarks.bot.gauge import Gauge

    Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]


def none(_dispatcher: Dispatcher, _bot: Bot, _gauge: Gauge) -> None:
    """Nothing: bare, or instrumented from outside."""


def tuned(dispatcher: Dispatcher, _bot: Bot, _gauge: Gauge) -> None:
    """What otelbot's tuning does, by hand and for the methods of this bot."""
    from aiogram.methods import DeleteWebhook, GetMe, GetUpdates, Response, SendMessage

    methods = (DeleteWebhook, GetMe, GetUpdates, SendMessage)
    dispatcher["kept"] = [Response[method.__returning__] for method in methods]  # type: ignore[name-defined]

    async def freeze() -> None:
        gc.collect()
        gc.freeze()

    dispatcher.startup.register(freeze)


def update_span(dispatcher: Dispatcher, _bot: Bot, _gauge: Gauge) -> None:
    """One span around each update, as opentelemetry-instrument makes none."""
    from opentelemetry import trace

    tracer = trace.get_tracer("bot")

    async def middleware(handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        with tracer.start_as_current_span("process update", kind=trace.SpanKind.CONSUMER):
            return await handler(event, data)

    dispatcher.update.outer_middleware(middleware)


def sentry(dispatcher: Dispatcher, _bot: Bot, _gauge: Gauge) -> None:
    """Every update is a transaction; aiohttp, asyncpg and redis are instrumented by default."""
    import sentry_sdk  # type: ignore[import-not-found]

    sentry_sdk.init(dsn=os.environ["SENTRY_DSN"], traces_sample_rate=1.0)

    async def middleware(handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        with (
            sentry_sdk.isolation_scope(),
            sentry_sdk.start_transaction(op="queue.process", name="process update"),
        ):
            return await handler(event, data)

    dispatcher.update.outer_middleware(middleware)


def logfire(dispatcher: Dispatcher, _bot: Bot, _gauge: Gauge) -> None:
    """A span for each update and its clients' spans, sent to OTEL_EXPORTER_OTLP_ENDPOINT only."""
    import logfire as sdk  # type: ignore[import-not-found]

    sdk.configure(send_to_logfire=False, console=False)
    sdk.instrument_aiohttp_client()
    sdk.instrument_asyncpg()
    sdk.instrument_redis()

    async def middleware(handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        with sdk.span("process update"):
            return await handler(event, data)

    dispatcher.update.outer_middleware(middleware)


def prometheus(dispatcher: Dispatcher, bot: Bot, gauge: Gauge) -> None:
    """aiogram-prometheus' metrics of messages and requests, served for scraping."""
    import aiogram_prometheus  # type: ignore[import-not-found]
    import prometheus_client

    dispatcher.message.middleware(aiogram_prometheus.PrometheusMetricMessageMiddleware())
    bot.session.middleware(aiogram_prometheus.PrometheusMetricRequestMiddleware())
    server, _ = prometheus_client.start_http_server(0, "127.0.0.1")
    gauge.metrics_port = server.server_port


KINDS: dict[str, Callable[[Dispatcher, Bot, Gauge], None]] = {
    kind.__name__: kind for kind in (none, tuned, update_span, sentry, logfire, prometheus)
}
