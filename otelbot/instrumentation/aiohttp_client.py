"""aiohttp's client, through OpenTelemetry's instrumentation: where a request went, not what was asked for whom."""

from __future__ import annotations

import asyncio
import re
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from opentelemetry import metrics

from otelbot import settings, signals
from otelbot.instrumentation.clients import ClientTracerProvider
from otelbot.instrumentation.patching import never_raises
from otelbot.privacy import MASK, error_type, scrub
from otelbot.signals import Cap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import TraceRequestEndParams, TraceRequestExceptionParams, TraceRequestStartParams
    from opentelemetry.trace import Span
    from yarl import URL

    from otelbot.signals import Component

#: Path segments that may say who or what for: names, ids, phone numbers, keys, addresses. Plain words are the API's.
_PRIVATE_SEGMENT = re.compile(r"(?:\D*\d){3}.*|.*[^\w.~!$&'()*+,;=:-].*|.*[^\x00-\x7f].*", re.ASCII | re.DOTALL)


class AiohttpRules:
    component: Component = "http"
    expected: frozenset[str] = frozenset()

    def describe(self, name: str, attributes: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
        return name, dict(attributes)

    def query_text(self, text: str) -> str:
        return text

    def error_attributes(self, error: BaseException) -> Mapping[str, Any]:
        status = _status(error)
        return {} if status is None else {signals.HTTP_STATUS: status}


def _status(error: BaseException) -> int | None:
    """Return the status of an answer that `raise_for_status` made an error of."""
    status = getattr(error, "status", None)
    return status if isinstance(status, int) and status >= 100 else None


def safe_url(url: URL) -> str:
    """Return `url` without credentials, fragment and query values, with private path segments masked.

    >>> from yarl import URL
    >>> safe_url(URL("https://me:pw@api.example.com/v1/users/79990001122/orders?phone=+7999&page=2#top"))
    'https://api.example.com/v1/users/***/orders?phone=REDACTED&page=REDACTED'
    """
    path = "/".join(
        MASK if _PRIVATE_SEGMENT.fullmatch(segment) else quote(segment, safe="%:@!$&'()*+,;=~")
        for segment in scrub(url.path).split("/")
    )
    names = (quote(key) if value else "REDACTED" for key, value in url.query.items())
    query = "&".join(f"{name}=REDACTED" for name in dict.fromkeys(names))
    return f"{scrub(str(url.origin()))}{path}{'?' + query if query else ''}" if url.is_absolute() else path


_safe_url = never_raises(safe_url)  # what a URL can't have makes aiohttp's own error, not ours


def instrument() -> None:
    from opentelemetry.instrumentation import aiohttp_client as contrib

    contrib.AioHttpClientInstrumentor().instrument(
        skip_dep_check=True,
        tracer_provider=ClientTracerProvider(AiohttpRules()),
        meter_provider=_MeterProvider(),
        url_filter=lambda url: _safe_url(url) or "",
        request_hook=_note_destination,
        response_hook=_note_failure,
    )
    contrib.inject = _unless_to_telegram(contrib.inject)  # type: ignore[attr-defined]


_to_telegram: ContextVar[bool] = ContextVar("otelbot_to_telegram", default=False)


@never_raises
def _note_destination(_span: Span, request: TraceRequestStartParams) -> None:
    """Run by the instrumentation just before it injects the trace context."""
    url = request.url
    _to_telegram.set(url.host == "api.telegram.org" or scrub(url.path) != url.path)


def _unless_to_telegram(inject: Callable[..., None]) -> Callable[..., None]:
    """Keep traceparent and baggage from the Bot API, also where the bot's own code calls it: it is a third party."""

    @wraps(inject)
    def inject_elsewhere(*args: Any, **kwargs: Any) -> None:
        if not _to_telegram.get():
            inject(*args, **kwargs)

    return inject_elsewhere


_failure: ContextVar[BaseException | None] = ContextVar("otelbot_http_failure", default=None)


def _note_failure(_span: Span, answer: TraceRequestEndParams | TraceRequestExceptionParams) -> None:
    """Run by the instrumentation just before it records the duration, which it does without the status of an error."""
    _failure.set(getattr(answer, "exception", None))


class _MeterProvider:
    """Gives the instrumentation a histogram that is bounded and takes no cancellation for an error."""

    def get_meter(self, *args: Any, **kwargs: Any) -> _MeterProvider:
        self._meter = metrics.get_meter_provider().get_meter(*args, **kwargs)
        return self

    def create_histogram(self, *args: Any, **kwargs: Any) -> _Duration:
        return _Duration(self._meter.create_histogram(*args, **kwargs))


class _Duration:
    def __init__(self, histogram: metrics.Histogram) -> None:
        self._histogram = histogram
        limit = settings.current().cardinality_limit
        self._cap_host, self._cap_error = Cap(signals.SERVER_ADDRESS, limit), Cap(signals.ERROR_TYPE, limit)

    def record(self, amount: float, attributes: Mapping[str, Any]) -> None:
        self._histogram.record(amount, self._bounded(attributes) or {})

    @never_raises
    def _bounded(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        bounded = dict(attributes)
        error = _failure.get()
        _failure.set(None)
        if isinstance(error, asyncio.CancelledError):
            bounded.pop(signals.ERROR_TYPE, None)
        elif error is not None:
            bounded[signals.ERROR_TYPE] = self._cap_error(error_type(error))
            bounded |= AiohttpRules().error_attributes(error)
        host = bounded.get(signals.SERVER_ADDRESS)
        if host is not None and self._cap_host(host) == signals.OTHER:
            bounded[signals.SERVER_ADDRESS] = signals.OTHER
            bounded.pop(signals.SERVER_PORT, None)
        return bounded
