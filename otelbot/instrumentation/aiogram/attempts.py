"""One attempt of a Bot API call: its CLIENT span, its duration, and what it says of a refusal."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry import context as context_api
from opentelemetry.trace import Span, SpanKind, StatusCode

from otelbot import signals
from otelbot.instrumentation.aiogram.rejections import reason
from otelbot.instrumentation.aiogram.telemetry import without_http_span
from otelbot.privacy import error_type, exception_message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otelbot.instrumentation.aiogram.telemetry import Telemetry

GET_UPDATES = "getUpdates"
DOWNLOAD = "downloadFile"

#: Refusals that are part of a bot's day: a user blocked it, Telegram slows it down, a group became a supergroup.
NOT_ERRORS = frozenset({"TelegramForbiddenError", "TelegramRetryAfter", "TelegramMigrateToChat"})
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

current_attempt: ContextVar[Attempt | None] = ContextVar("otelbot_attempt", default=None)


@lru_cache(maxsize=1024)
def _attributes(base: str, bot_id: str, method: str, http_method: str) -> Mapping[str, str | int]:
    """Return the attributes that attempts of one method have in common.

    :param base: the URL pattern of the Bot API's server.
    """
    attributes: dict[str, str | int] = {
        signals.METHOD: method,
        signals.HTTP_METHOD: http_method,
        signals.URL_TEMPLATE: "/file/bot{token}/{file_path}" if method == DOWNLOAD else f"/bot{{token}}/{method}",
        signals.BOT_ID: bot_id,
    }
    parts = urlsplit(base.partition("{")[0])
    if parts.hostname:
        attributes[signals.SERVER_ADDRESS] = parts.hostname
        attributes[signals.SERVER_PORT] = parts.port or (443 if parts.scheme == "https" else 80)
    return attributes


class Attempt:
    """One request to the Bot API. `getUpdates` becomes a span only when it fails: idle long polls are noise."""

    def __init__(self, telemetry: Telemetry, session: Any, bot_id: str, method: str, http_method: str = "POST") -> None:
        self._telemetry = telemetry
        self._session = session
        self.method = method
        self.status: int | None = None
        api = getattr(session, "api", None)
        base = getattr(api, "file" if method == DOWNLOAD else "base", "") or ""
        self._attributes = _attributes(base, bot_id, method, http_method)
        self._started_ns = time.time_ns()
        self._span: Span | None = None if method == GET_UPDATES else self._make_span()
        self._context = without_http_span(self._span)
        self._token: Any = None
        self._started = time.perf_counter()
        if method != GET_UPDATES:
            telemetry.api_active.add(1, (), self._span)
        telemetry.began(self)

    def cut_off(self) -> None:
        self.end(GeneratorExit())

    def _make_span(self) -> Span:
        return self._telemetry.tracer.start_span(
            self.method, None, SpanKind.CLIENT, self._attributes, start_time=self._started_ns
        )

    def enter(self) -> None:
        self._token = context_api.attach(self._context)
        self._entered = current_attempt.set(self)

    def end(self, error: BaseException | None) -> None:
        # In a context of its own, a coroutine that is thrown away has nothing to leave.
        if self._token is not None and current_attempt.get() is self:
            current_attempt.reset(self._entered)
            context_api.detach(self._token)
        if not self._telemetry.ended(self):
            return
        elapsed = time.perf_counter() - self._started
        if self.method != GET_UPDATES:
            self._telemetry.api_active.add(-1, (), self._span)
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
        span = self._span
        if span is not None:
            if self.status is not None:
                span.set_attribute(signals.HTTP_STATUS, self.status)
            if cancelled:
                span.add_event("cancelled")
            span.end()
        if span is not None and not cancelled and not on_disk:
            failure = None if error is None else self._telemetry.cap_error(error_type(error))
            values = (self._telemetry.cap_method(self.method), self.status, failure)
            self._telemetry.api_duration.record(elapsed, values, span)

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
            self._telemetry.api_retry_after.add(retry_after, (method,), span)
        if self.method == GET_UPDATES:
            self._telemetry.polling_failures.add(1, (self._telemetry.cap_error(name),), span)
        if why := reason(error):
            method = self._telemetry.cap_method(self.method)
            self._telemetry.api_rejections.add(1, (method, why), span)
        if name not in NOT_ERRORS:
            self._telemetry.count_error(error, "polling" if self.method == GET_UPDATES else "bot_api")

    def _mark(self, span: Span, error: BaseException) -> None:
        name = error_type(error)
        span.set_attribute(signals.ERROR_TYPE, name)
        if name != "TelegramForbiddenError":
            # A download's error repeats its URL, with the file's path.
            span.set_status(StatusCode.ERROR, name if self.method == DOWNLOAD else exception_message(error))
