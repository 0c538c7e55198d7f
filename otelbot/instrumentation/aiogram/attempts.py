"""One attempt of a Bot API call: its CLIENT span, its duration, and what it says of a refusal."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry.trace import Span, SpanKind, StatusCode

from otelbot import resource, signals
from otelbot.instrumentation.aiogram.rejections import reason
from otelbot.instrumentation.aiogram.telemetry import without_http_span
from otelbot.privacy import error_type, exception_message
from otelbot.tracing import attach, detach

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otelbot.instrumentation.aiogram.telemetry import Telemetry
    from otelbot.signals import Instrument

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
    resource.at_work()
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

    status: int | None = None
    _token: Any = None

    def __init__(self, telemetry: Telemetry, session: Any, bot_id: str, method: str, http_method: str = "POST") -> None:
        self._telemetry = telemetry
        self._session = session
        self.method = method
        api = getattr(session, "api", None)
        base = getattr(api, "file" if method == DOWNLOAD else "base", "") or ""
        self._attributes = _attributes(base, bot_id, method, http_method)
        self._started_ns = time.time_ns()
        self._span: Span | None = None
        self.counted: Instrument | None = None
        if method != GET_UPDATES:
            self._span = self._make_span()
            self.counted = signals.API_ACTIVE
        self._started = time.perf_counter()
        telemetry.began(self)

    def cut_off(self) -> None:
        self.end(GeneratorExit())

    def _make_span(self) -> Span:
        return self._telemetry.tracer.start_span(
            self.method, None, SpanKind.CLIENT, self._attributes, start_time=self._started_ns
        )

    def enter(self) -> None:
        self._token = attach(without_http_span(self._span))
        self._entered = current_attempt.set(self)

    def end(self, error: BaseException | None) -> None:
        # A coroutine that is thrown away may end in a foreign context, or in a copy of its own, with nothing to leave.
        if self._token is not None and current_attempt.get() is self:
            try:
                current_attempt.reset(self._entered)
                detach(self._token)
            except ValueError:
                pass
            del self._token, self._entered  # timers that were set on the way keep the attempt for a while
        telemetry, span = self._telemetry, self._span
        if not telemetry.ended(self):
            return
        elapsed = time.perf_counter() - self._started
        if error is not None:
            self._end_with(error, elapsed)
        elif span is not None:
            status = self.status or 200
            span.set_attribute(signals.HTTP_STATUS, status)
            span.end()
            telemetry.api_duration.series[telemetry.cap_method(self.method), status, None](elapsed, span)
            telemetry.totals.api_calls += 1

    def _end_with(self, error: BaseException, elapsed: float) -> None:
        cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit | KeyboardInterrupt) or (
            self.method == GET_UPDATES and self._bot_is_stopping()
        )
        # A download may fail on this machine's disk, which is not Telegram's doing.
        on_disk = isinstance(error, OSError) and error.filename is not None
        if on_disk and self._span is not None:
            self._mark(self._span, error)
        elif not cancelled:
            self._failed(error)
        span = self._span
        if span is None:
            return
        if self.status is not None:
            span.set_attribute(signals.HTTP_STATUS, self.status)
        if cancelled:
            span.add_event("cancelled")
        span.end()
        if not cancelled and not on_disk:
            failure = self._telemetry.cap_error(error_type(error))
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
            self._telemetry.count_error(error, "polling" if self.method == GET_UPDATES else "bot_api", span)

    def _mark(self, span: Span, error: BaseException) -> None:
        name = error_type(error)
        span.set_attribute(signals.ERROR_TYPE, name)
        if name != "TelegramForbiddenError":
            # A download's error repeats its URL, with the file's path.
            span.set_status(StatusCode.ERROR, name if self.method == DOWNLOAD else exception_message(error))
