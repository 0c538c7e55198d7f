"""One HTTP connection to one OTLP endpoint: a request in, a verdict out.

It is used in a thread, so it imports nothing later on, not even what Python itself would only when it is needed: a
module that a thread imports at the moment of a fork stays locked in the child, whose own import of it never ends.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - for every host name
import gzip
import logging
import math
import threading
import time
import zlib
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http.client import responses
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from otelbot import __version__
from otelbot.export import pace, protobuf

if TYPE_CHECKING:
    from otelbot.export.target import Target

_log = logging.getLogger("otelbot")

#: https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes
_RETRYABLE = frozenset({429, 502, 503, 504})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ANSWER_LIMIT = 64 * 1024
#: Of gzip and deflate. 512 spans, 168,438 bytes: level 1 makes 22,376 bytes in 0.35 ms, 2 21,447 in 0.38, 5 20,895 in
#: 0.86, 6 20,591 in 1.24, 9 20,249 in 1.67; log records and histograms alike. Small servers are shorter of CPU.
_LEVEL = 2


class Verdict(NamedTuple):
    """What became of one request.

    `rejected` counts the items that an accepting endpoint refused (partial success). `unreachable` says that nobody
    listens there, so that asking again at once is useless. `retry_after` is in seconds, and so is `interval`, after
    which an endpoint would like to hear more.
    """

    accepted: bool
    retry: bool = False
    why: str = ""
    retry_after: float | None = None
    rejected: int = 0
    unreachable: bool = False
    interval: float | None = None


class Connection:
    """Keeps one connection alive. Used by one thread; never raises."""

    def __init__(self, target: Target) -> None:
        for name in ("urllib3.connectionpool", "urllib3.util.retry", "urllib3.poolmanager"):
            logging.getLogger(name).addFilter(_not_from_export)
        self._target = target
        self._manager: urllib3.PoolManager | None = None
        self._headers = {
            "content-type": "application/x-protobuf",
            "user-agent": f"otelbot/{__version__}",
            **target.headers,
        }
        if target.compression != "none":
            self._headers["content-encoding"] = target.compression

    def post(self, payload: bytes, timeout: float) -> Verdict:
        """Send one encoded export request and say what became of it.

        :param timeout: seconds for connecting, for each wait on the answer, and for its body as a whole.
        """
        try:
            deadline = time.monotonic() + timeout
            if self._manager is None:
                self._manager = _manager(self._target)
            response = self._manager.request(
                "POST",
                self._target.url,
                body=self._compress(payload),
                headers=self._headers,
                timeout=urllib3.Timeout(total=timeout),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            body = _read(response, deadline)
        except (
            urllib3.exceptions.NewConnectionError,
            urllib3.exceptions.ProxyError,
            urllib3.exceptions.SSLError,
        ) as error:
            return Verdict(False, retry=True, why=_reason(error), unreachable=True)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Verdict(False, retry=True, why=_reason(error))
        except Exception as error:  # e.g. a header that can't be encoded: asking again won't help
            return Verdict(False, why=type(error).__name__)
        if 200 <= response.status < 300:
            return Verdict(True, rejected=_rejected(body), interval=_seconds(response.headers.get(pace.HEADER)))
        return Verdict(
            False,
            retry=response.status in _RETRYABLE,
            # Not the phrase that the server sent: it goes to the console, and nobody knows what is in it.
            why=f"{response.status} {responses.get(response.status, '')}".strip(),
            retry_after=_retry_after(response.headers.get("retry-after")),
        )

    def _compress(self, payload: bytes) -> bytes:
        if self._target.compression == "gzip":
            return gzip.compress(payload, compresslevel=_LEVEL, mtime=0)
        if self._target.compression == "deflate":
            return zlib.compress(payload, _LEVEL)
        return payload

    def close(self) -> None:
        if self._manager is not None:
            self._manager.clear()


def _rejected(body: bytes) -> int:
    """Return how many items a partial success refused: in the answers of all signals field 1 of field 1."""
    try:
        partial_success = dict(protobuf.fields(body)).get(1, b"")
        rejected = dict(protobuf.fields(partial_success)).get(1, 0) if isinstance(partial_success, bytes) else 0
    except ValueError:  # not protobuf: a gateway that answers 200 in its own words has accepted
        return 0
    return rejected if isinstance(rejected, int) and rejected < 2**63 else 0


def _not_from_export(_record: logging.LogRecord) -> bool:
    """Keep the export's own requests out of the console of a bot that shows DEBUG."""
    return not threading.current_thread().name.startswith("otelbot-export")


def _read(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """Return the answer's body, or nothing where it is cut off, garbled or drips beyond `deadline`.

    The status is known by then: what was accepted must not be sent again for the sake of a body.
    """
    body = b""
    try:
        while len(body) < _ANSWER_LIMIT and (part := response.read1(_ANSWER_LIMIT)):
            body += part
            if time.monotonic() > deadline:
                raise urllib3.exceptions.TimeoutError
    except (urllib3.exceptions.HTTPError, OSError):
        response.close()
        return b""
    response.release_conn()
    return body


def _manager(target: Target) -> urllib3.PoolManager:
    options: dict[str, Any] = {"num_pools": 1, "maxsize": 1}
    parts = urlsplit(target.url)
    if parts.scheme == "https":
        options |= {
            "ca_certs": target.certificate,
            "cert_file": target.client_certificate,
            "key_file": target.client_key,
        }
    proxy = getproxies().get(parts.scheme)
    host = parts.hostname or ""
    if not proxy or host in _LOOPBACK or proxy_bypass(host):
        return urllib3.PoolManager(**options)
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        credentials = urlsplit(proxy)
        if credentials.username:
            userinfo = f"{unquote(credentials.username)}:{unquote(credentials.password or '')}"
            options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=userinfo)
        return urllib3.ProxyManager(proxy, **options)
    except (ValueError, urllib3.exceptions.HTTPError):
        options.pop("proxy_headers", None)
        _say_unusable_proxy(parts.scheme.upper(), target.origin)
        return urllib3.PoolManager(**options)


_said: dict[tuple[str, str], object] = {}


def _say_unusable_proxy(scheme: str, origin: str) -> None:
    """Say it once for all signals, whatever the bot's own logging handlers do in a thread that is not the bot's."""
    mine = object()
    if _said.setdefault((scheme, origin), mine) is not mine:
        return  # also where another thread is still about to say it
    with suppress(Exception):
        _log.warning(
            "otelbot: the proxy that %s_PROXY names can't be used; telemetry goes to %s without it", scheme, origin
        )


def _reason(error: Exception) -> str:
    """Name what happened without the address and headers that urllib3's texts repeat."""
    if isinstance(error, urllib3.exceptions.ProxyError):
        return "the proxy does not pass it on"
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "the host name can't be resolved"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        text = str(error)
        return "connection refused" if "refused" in text else "no connection"
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "no answer in time"
    if isinstance(error, urllib3.exceptions.SSLError):
        return "the TLS handshake failed"
    return "the connection was closed"


def _retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date."""
    if value is None:
        return None
    if (seconds := _seconds(value)) is not None:
        return seconds
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return None


def _seconds(value: str | None) -> float | None:
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
