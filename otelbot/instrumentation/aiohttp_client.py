"""aiohttp's client, through OpenTelemetry's instrumentation: where a request went, not what was asked for whom."""

from __future__ import annotations

import re
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from otelbot.instrumentation.clients import ClientTracerProvider
from otelbot.privacy import MASK, scrub

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import TraceRequestStartParams
    from opentelemetry.trace import Span
    from yarl import URL

    from otelbot.signals import Component

#: Path segments that are keys or say who: long mixtures of letters and digits, phone numbers, ids, addresses.
_PRIVATE_SEGMENT = re.compile(r"\+?\d{7,}|(?=[^/]*\d)(?=[^/]*[A-Za-z])[\w-]{24,}|[^/]*@[^/]*")


class AiohttpRules:
    component: Component = "http"

    def describe(self, name: str, attributes: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
        return name, dict(attributes)

    def query_text(self, text: str) -> str:
        return text

    def error_attributes(self, error: BaseException) -> Mapping[str, Any]:
        return {}


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
    query = "&".join(f"{quote(key)}=REDACTED" for key in dict.fromkeys(url.query))
    return f"{scrub(str(url.origin()))}{path}{'?' + query if query else ''}" if url.is_absolute() else path


def instrument() -> None:
    from opentelemetry.instrumentation import aiohttp_client as contrib

    contrib.AioHttpClientInstrumentor().instrument(
        skip_dep_check=True,
        tracer_provider=ClientTracerProvider(AiohttpRules()),
        url_filter=safe_url,
        request_hook=_note_destination,
    )
    contrib.inject = _unless_to_telegram(contrib.inject)  # type: ignore[attr-defined]


_to_telegram: ContextVar[bool] = ContextVar("otelbot_to_telegram", default=False)


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
