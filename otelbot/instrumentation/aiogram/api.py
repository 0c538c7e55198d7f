"""Bot API calls: a CLIENT span for each attempt, made at aiogram's session layer, without the URL and its token."""

from __future__ import annotations

import asyncio
import sys
import time
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry import context as context_api
from opentelemetry.trace import Span, SpanKind, StatusCode

from otelbot import resource, signals
from otelbot.instrumentation.aiogram.rejections import reason
from otelbot.instrumentation.aiogram.telemetry import without_http_span
from otelbot.instrumentation.patching import Patches, never_raises
from otelbot.privacy import error_type, exception_message, register_secret, register_secret_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otelbot.instrumentation.aiogram.telemetry import Telemetry

GET_UPDATES = "getUpdates"
DOWNLOAD = "downloadFile"

#: Refusals that are part of a bot's day: a user blocked it, Telegram slows it down, a group became a supergroup.
_NOT_ERRORS = frozenset({"TelegramForbiddenError", "TelegramRetryAfter", "TelegramMigrateToChat"})
#: Status by exception, where a session of the bot's own does not go through `check_response`.
_STATUS = {
    "TelegramBadRequest": 400,
    "TelegramMigrateToChat": 400,
    "TelegramUnauthorizedError": 401,
    "TelegramForbiddenError": 403,
    "TelegramNotFound": 404,
    "TelegramConflictError": 409,
    "TelegramEntityTooLarge": 413,
    "TelegramRetryAfter": 429,
}

_current: ContextVar[Attempt | None] = ContextVar("otelbot_attempt", default=None)


@lru_cache(maxsize=64)
def _server(base: str) -> Mapping[str, str | int]:
    """Return `server.address` and `server.port` of a Bot API server's URL pattern."""
    parts = urlsplit(base.partition("{")[0])
    if not parts.hostname:
        return {}
    return {
        signals.SERVER_ADDRESS: parts.hostname,
        signals.SERVER_PORT: parts.port or (443 if parts.scheme == "https" else 80),
    }


class Attempt:
    """One request to the Bot API. `getUpdates` becomes a span only when it fails: idle long polls are noise."""

    def __init__(self, telemetry: Telemetry, session: Any, bot_id: str, method: str, http_method: str = "POST") -> None:
        self._telemetry = telemetry
        self._session = session
        self.method = method
        self.status: int | None = None
        api = getattr(session, "api", None)
        download = method == DOWNLOAD
        base = getattr(api, "file" if download else "base", "") or ""
        self._attributes: dict[str, str | int] = {
            signals.METHOD: method,
            signals.HTTP_METHOD: http_method,
            signals.URL_TEMPLATE: "/file/bot{token}/{file_path}" if download else f"/bot{{token}}/{method}",
            signals.BOT_ID: bot_id,
            **_server(base),
        }
        self._started_ns = time.time_ns()
        self._span: Span | None = None if method == GET_UPDATES else self._make_span()
        self._context = without_http_span(self._span)
        self._token: Any = None
        self._started = time.perf_counter()
        self._bot_id = bot_id
        if method == GET_UPDATES:
            telemetry.polling(bot_id)
        else:
            telemetry.api_active.add(1)
        telemetry.began(self)

    def cut_off(self) -> None:
        self.end(GeneratorExit())

    def _make_span(self) -> Span:
        return self._telemetry.tracer.start_span(
            self.method, None, SpanKind.CLIENT, self._attributes, start_time=self._started_ns
        )

    def enter(self) -> None:
        self._token = context_api.attach(self._context)
        self._current = _current.set(self)

    def end(self, error: BaseException | None) -> None:
        # In a context of its own, a coroutine that is thrown away has nothing to leave.
        if self._token is not None and _current.get() is self:
            _current.reset(self._current)
            context_api.detach(self._token)
        if not self._telemetry.ended(self):
            return
        elapsed = time.perf_counter() - self._started
        if self.method != GET_UPDATES:
            self._telemetry.api_active.add(-1)
        cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit | KeyboardInterrupt) or (
            error is not None and self.method == GET_UPDATES and self._bot_is_stopping()
        )
        # A download may fail on this machine's disk, which is not Telegram's doing.
        on_disk = isinstance(error, OSError) and error.filename is not None
        if error is None:
            self.status = self.status or 200
        elif on_disk and self._span is not None:
            self._mark(self._span, error)
        elif not cancelled:
            self._failed(error)
        elif self.method == GET_UPDATES:
            self._telemetry.polls.pop(self._bot_id, None)  # nobody polls for this bot any more
        span = self._span
        if span is not None:
            if self.status is not None:
                span.set_attribute(signals.HTTP_STATUS, self.status)
            if cancelled:
                span.add_event("cancelled")
            span.end()
        if span is not None and not cancelled and not on_disk:
            self._measure(elapsed, error)

    def _bot_is_stopping(self) -> bool:
        """Whether aiogram has closed the session under its own poll, as it does at a stop by Ctrl-C."""
        session = getattr(self._session, "_session", None)
        return session is not None and bool(getattr(session, "closed", False))

    def _failed(self, error: BaseException) -> None:
        name = error_type(error)
        self.status = self.status or _STATUS.get(name) or getattr(error, "status", None)
        span = self._span = self._span or self._make_span()
        self._mark(span, error)
        retry_after = getattr(error, "retry_after", None)
        if isinstance(retry_after, int | float):
            span.set_attribute(signals.RETRY_AFTER, retry_after)
            method = self._telemetry.cap_method(self.method)
            self._telemetry.api_retry_after.add(retry_after, {signals.METHOD: method})
        if self.method == GET_UPDATES:
            self._telemetry.polling_failures.add(1, {signals.ERROR_TYPE: self._telemetry.cap_error(name)})
        if why := reason(error):
            method = self._telemetry.cap_method(self.method)
            self._telemetry.api_rejections.add(1, {signals.METHOD: method, signals.REASON: why})
        if name not in _NOT_ERRORS:
            self._telemetry.count_error(error, "polling" if self.method == GET_UPDATES else "bot_api")

    def _mark(self, span: Span, error: BaseException) -> None:
        name = error_type(error)
        span.set_attribute(signals.ERROR_TYPE, name)
        if name != "TelegramForbiddenError":
            # A download's error repeats its URL, with the file's path.
            span.set_status(StatusCode.ERROR, name if self.method == DOWNLOAD else exception_message(error))

    def _measure(self, elapsed: float, error: BaseException | None) -> None:
        attributes: dict[str, str | int] = {signals.METHOD: self._telemetry.cap_method(self.method)}
        if self.status is not None:
            attributes[signals.HTTP_STATUS] = self.status
        if error is not None:
            attributes[signals.ERROR_TYPE] = self._telemetry.cap_error(error_type(error))
        self._telemetry.api_duration.record(elapsed, attributes, self._context)


@never_raises
def _start(telemetry: Telemetry, session: Any, bot: Any, method: Any) -> Attempt:
    register_secret(bot.token)
    name = str(method.__api_method__)
    if name == "setWebhook":
        register_secret(getattr(method, "secret_token", None))
        register_secret_url(str(getattr(method, "url", "")))
    attempt = Attempt(telemetry, session, str(bot.id), name)
    attempt.enter()
    return attempt


@never_raises
def _start_download(telemetry: Telemetry, session: Any, bot: Any) -> Attempt | None:
    if session.api.is_local:
        return None  # the file is on this machine's disk: no request is made
    attempt = Attempt(telemetry, session, str(bot.id), DOWNLOAD, "GET")
    attempt.enter()
    return attempt


@never_raises
def _start_stream(telemetry: Telemetry, session: Any, url: str) -> Attempt | None:
    """Return None for what is no file of the Bot API, or is within `download_file`.

    The attempt is not entered: what consumes a stream runs between its chunks.
    """
    current = _current.get()
    files = str(session.api.file).partition("{")[0]
    if not files or (current is not None and current.method == DOWNLOAD) or not url.startswith(files):
        return None
    bot_id = url[len(files) :].partition(":")[0]
    return Attempt(telemetry, session, bot_id if bot_id.isdigit() else "unknown", DOWNLOAD, "GET")


@never_raises
def _end(attempt: Attempt, error: BaseException | None) -> None:
    attempt.end(error)


@never_raises
def _succeeded(attempt: Attempt, telemetry: Telemetry, bot: Any, method: Any, result: Any) -> None:
    """Note what the answers to some methods tell."""
    if attempt.method == GET_UPDATES:
        telemetry.polls[str(bot.id)] = time.monotonic()
        telemetry.polling_batch.record(len(result))
    elif attempt.method == "getMe":
        _learn_bot(bot, getattr(result, "username", None))
    elif attempt.method == "answerCallbackQuery":
        telemetry.callback_answered(method.callback_query_id)


@never_raises
def _learn_bot(bot: Any, username: str | None = None) -> None:
    register_secret(bot.token)
    resource.bot_seen(bot.id, username)


@never_raises
def _learn_secret(handler: Any) -> None:
    secret: Any = getattr(handler, "secret_token", None)
    secret = secret.get_secret_value() if hasattr(secret, "get_secret_value") else secret
    register_secret(secret if isinstance(secret, str) else None)


_learn_many_bots = never_raises(resource.many_bots)


@never_raises
def webhook_reply(telemetry: Telemetry, bot: Any, method: Any) -> None:
    """Note a method that the bot returned into the webhook's answer: Telegram runs it, no request is made."""
    name = str(method.__api_method__)
    attributes: dict[str, str | bool] = {
        signals.METHOD: name,
        signals.BOT_ID: str(bot.id),
        "telegram.webhook.reply": True,
    }
    telemetry.tracer.start_span(name, None, SpanKind.CLIENT, attributes).end()
    if name == "answerCallbackQuery":
        telemetry.callback_answered(method.callback_query_id)
    telemetry.api_duration.record(0.0, {signals.METHOD: telemetry.cap_method(name)})


def patch(patches: Patches, telemetry: Telemetry) -> None:
    """Patch the innermost step of a request, downloads, and the places where secrets become known."""
    from aiogram.client.bot import Bot
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.client.session.base import BaseSession
    from aiogram.client.session.middlewares.manager import RequestMiddlewareManager
    from aiogram.webhook.aiohttp_server import SimpleRequestHandler, TokenBasedRequestHandler

    async def attempt(callback: Any, bot: Any, method: Any, *args: Any, **kwargs: Any) -> Any:
        run = _start(telemetry, getattr(callback, "__self__", None), bot, method)
        if run is None:
            return await callback(bot, method, *args, **kwargs)
        try:
            result = await callback(bot, method, *args, **kwargs)
        except BaseException as error:
            _end(run, error)
            raise
        _end(run, None)
        _succeeded(run, telemetry, bot, method, result)
        return result

    def wrap_middlewares(original: Any) -> Any:
        def wrap(self: Any, callback: Any, **kwargs: Any) -> Any:
            return original(self, partial(attempt, callback), **kwargs)

        return wrap

    def check_response(original: Any) -> Any:
        def check(self: Any, bot: Any, method: Any, status_code: int, content: Any) -> Any:
            run = _current.get()
            if run is not None:
                run.status = int(status_code)
            return original(self, bot=bot, method=method, status_code=status_code, content=content)

        return check

    def download_file(original: Any) -> Any:
        async def download(self: Any, *args: Any, **kwargs: Any) -> Any:
            run = _start_download(telemetry, self.session, self)
            if run is None:
                return await original(self, *args, **kwargs)
            try:
                result = await original(self, *args, **kwargs)
            except BaseException as error:
                _end(run, error)
                raise
            _end(run, None)
            return result

        return download

    def stream_content(original: Any) -> Any:
        async def stream(self: Any, url: str, *args: Any, **kwargs: Any) -> Any:
            chunks = original(self, url, *args, **kwargs)
            run = _start_stream(telemetry, self, url)
            try:
                async for chunk in chunks:
                    yield chunk
            except BaseException as error:
                if run is not None:
                    _end(run, error)
                await chunks.aclose()
                raise
            if run is not None:
                _end(run, None)

        return stream

    def bot_init(original: Any) -> Any:
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            _learn_bot(self)

        return init

    def many_bots_init(original: Any) -> Any:
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            _learn_many_bots()

        return init

    def request_handler_init(original: Any) -> Any:
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            _learn_secret(self)

        return init

    patches.method(RequestMiddlewareManager, "wrap_middlewares", wrap_middlewares)
    patches.method(BaseSession, "check_response", check_response)
    patches.method(Bot, "download_file", download_file)
    patches.method(AiohttpSession, "stream_content", stream_content)
    patches.method(Bot, "__init__", bot_init)
    patches.method(SimpleRequestHandler, "__init__", request_handler_init)
    patches.method(TokenBasedRequestHandler, "__init__", many_bots_init)
    patches.method(AiohttpSession, "create_session", _uninstrumented_session)


def _uninstrumented_session(original: Any) -> Any:
    """aiogram's own HTTP session is left to aiogram's spans, also where `stream_content` is called directly."""

    async def create_session(self: Any) -> Any:
        before = self._session
        session = await original(self)
        if session is not before and "opentelemetry.instrumentation.aiohttp_client" in sys.modules:
            from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor

            AioHttpClientInstrumentor.uninstrument_session(session)
        return session

    return create_session
