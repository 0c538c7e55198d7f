"""What each variant's user writes into the bot: nothing for otelbot and opentelemetry-instrument, a few lines else."""

from __future__ import annotations

import gc
import os
import sys
from functools import partial
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
    """What otelbot's tuning does, by hand: for the methods and models of this bot, as this aiogram has them."""
    from aiogram.methods import DeleteWebhook, GetMe, GetUpdates, Response, SendMessage

    methods = (DeleteWebhook, GetMe, GetUpdates, SendMessage)
    dispatcher["kept"] = [Response[method.__returning__] for method in methods]  # type: ignore[name-defined]
    _tune_models()
    _tune_calls()
    sys.setswitchinterval(0.001)

    async def freeze() -> None:
        gc.collect()
        gc.freeze()

    dispatcher.startup.register(freeze)


def _tune_models() -> None:
    """Note the bot once for each model, and look for unset values at once."""
    from aiogram.client.context_controller import BotContextController
    from aiogram.methods.base import TelegramMethod
    from aiogram.types.base import TelegramObject
    from pydantic import BaseModel

    private: Any = vars(BaseModel)["__pydantic_private__"]

    def post_init(model: Any, context: Any) -> None:
        private.__set__(model, {"_bot": context.get("bot") if context else None})

    models: list[Any] = [BotContextController]
    for model in models:
        models.extend(model.__subclasses__())
        if model is not BotContextController:
            model.model_post_init = post_init

    def remove_unset(_cls: Any, values: Any) -> Any:
        if type(values) is not dict:  # where several types are tried
            return values
        unset = {UNSET_TYPE}  # type: ignore[name-defined]  # noqa: F821 - aiogram's, where it runs
        if unset.isdisjoint(map(type, values.values())):
            return values.copy()
        return {key: value for key, value in values.items() if type(value) not in unset}

    for base in (TelegramObject, TelegramMethod):
        base.remove_unset.__func__.__code__ = remove_unset.__code__


def _tune_calls() -> None:
    """Wrap handlers without their names, and build forms of values that are there."""
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.dispatcher.middlewares.manager import MiddlewareManager
    from aiohttp import FormData

    def wrap_middlewares(middlewares: Any, handler: Any) -> Any:
        def wrapper(event: Any, data: dict[str, Any]) -> Any:
            return handler(event, **data)

        wrapped: Any = wrapper
        for middleware in reversed(list(middlewares)):
            wrapped = partial(middleware, wrapped)
        return wrapped

    def build_form_data(session: Any, bot: Any, method: Any) -> FormData:
        form = FormData.__new__(FormData)
        form._fields, form._is_multipart, form._quote_fields, form._charset = [], False, False, None  # noqa: SLF001
        for key, value in method.model_dump(warnings=False).items():
            # This bot sends no files.
            if value is not None and (prepared := session.prepare_value(value, bot=bot, files={})):
                form.add_field(key, prepared)
        return form

    MiddlewareManager.wrap_middlewares = staticmethod(wrap_middlewares)  # type: ignore[method-assign]
    AiohttpSession.build_form_data = build_form_data  # type: ignore[assignment, method-assign]


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
