"""Where a signal goes, from the standard `OTEL_EXPORTER_OTLP_*` variables.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit, urlunsplit

from otelbot.environment import DEFAULT_ENDPOINT, otlp_value

if TYPE_CHECKING:
    from collections.abc import Mapping

Signal = Literal["traces", "metrics", "logs"]
SIGNALS: tuple[Signal, ...] = ("traces", "metrics", "logs")


@dataclass(frozen=True)
class Target:
    """One OTLP/HTTP endpoint. `timeout` is in seconds, `headers` are sent with every request."""

    signal: Signal
    url: str
    timeout: float = 10.0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    compression: Literal["none", "gzip", "deflate"] = "none"
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None

    @classmethod
    def from_environ(cls, signal: Signal, environ: Mapping[str, str]) -> Target:
        """Read the signal's own variables, then the general ones. Their values are taken as checked."""
        own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "").strip()
        base = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() or DEFAULT_ENDPOINT
        compression = otlp_value(environ, signal, "COMPRESSION") or "none"
        url, authorization = _without_credentials(own or _joined(base, f"v1/{signal}"))
        return cls(
            signal=signal,
            url=url,
            timeout=_seconds(otlp_value(environ, signal, "TIMEOUT")),
            headers={**authorization, **_headers(otlp_value(environ, signal, "HEADERS"))},
            compression=compression.lower(),  # type: ignore[arg-type]
            certificate=otlp_value(environ, signal, "CERTIFICATE"),
            client_certificate=otlp_value(environ, signal, "CLIENT_CERTIFICATE"),
            client_key=otlp_value(environ, signal, "CLIENT_KEY"),
        )

    @property
    def origin(self) -> str:
        """The endpoint as it may be shown: without credentials, path and query."""
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        return urlunsplit((parts.scheme, f"{host}:{parts.port}" if parts.port else host, "", "", ""))


def _joined(base: str, path: str) -> str:
    """Return `base` with `path` at the end of its own path, before a query."""
    parts = urlsplit(base)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{path}"))


def _without_credentials(url: str) -> tuple[str, dict[str, str]]:
    """Return `url` without `user:password@`, and the header that says the same."""
    parts = urlsplit(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, {}
    encoded = base64.b64encode(unquote(userinfo).encode()).decode()
    return urlunsplit(parts._replace(netloc=host)), {"authorization": f"Basic {encoded}"}


def _seconds(raw: str | None) -> float:
    """OpenTelemetry Python takes seconds, the specification milliseconds: nobody means a quarter of an hour."""
    value = float(raw) if raw else 10.0
    return value / 1000 if value >= 1000 else value


def _headers(raw: str | None) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in (raw or "").split(",") if "=" in pair)
    return {unquote(key.strip()).lower(): unquote(value.strip()) for key, _, value in pairs}
