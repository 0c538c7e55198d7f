"""Bot API calls: a CLIENT span for each attempt, made at aiogram's session layer, without the URL and its token."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanKind

from otelbot import resource, signals
from otelbot.instrumentation.aiogram.attempts import DOWNLOAD, GET_UPDATES, Attempt, current_attempt
from otelbot.instrumentation.patching import Patches, never_raises
from otelbot.privacy import register_secret, register_secret_url

if TYPE_CHECKING:
    from otelbot.instrumentation.aiogram.telemetry import Telemetry


#: Methods whose answers tell something.
_TELLING = frozenset({GET_UPDATES, "getMe", "answerCallbackQuery"})


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
    around = current_attempt.get()
    files = str(session.api.file).partition("{")[0]
    if not files or (around is not None and around.method == DOWNLOAD) or not url.startswith(files):
        return None
    bot_id = url[len(files) :].partition(":")[0]
    return Attempt(telemetry, session, bot_id if bot_id.isdigit() else "unknown", DOWNLOAD, "GET")


_end = never_raises(Attempt.end)


@never_raises
def _succeeded(attempt: Attempt, telemetry: Telemetry, bot: Any, method: Any, result: Any) -> None:
    """Note what the answers to some methods tell."""
    if attempt.method == GET_UPDATES:
        telemetry.polled(str(bot.id))
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
    telemetry.api_duration.record(0.0, (telemetry.cap_method(name),))


def patch(patches: Patches, telemetry: Telemetry) -> None:
    """Patch the innermost step of a request, downloads, and the places where secrets become known."""
    from aiogram.client.bot import Bot
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.client.session.base import BaseSession
    from aiogram.client.session.middlewares.manager import RequestMiddlewareManager

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
        if run.method in _TELLING:
            _succeeded(run, telemetry, bot, method, result)
        return result

    def wrap_middlewares(original: Any) -> Any:
        def wrap(self: Any, callback: Any, **kwargs: Any) -> Any:
            return original(self, partial(attempt, callback), **kwargs)

        return wrap

    def check_response(original: Any) -> Any:
        def check(self: Any, bot: Any, method: Any, status_code: int, content: Any) -> Any:
            run = current_attempt.get()
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
    patches.method(AiohttpSession, "create_session", _uninstrumented_session)

    def webhook() -> None:
        from aiogram.webhook.aiohttp_server import SimpleRequestHandler, TokenBasedRequestHandler

        patches.method(SimpleRequestHandler, "__init__", request_handler_init)
        patches.method(TokenBasedRequestHandler, "__init__", many_bots_init)

    patches.when_imported("aiogram.webhook.aiohttp_server", webhook)


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
