"""An OTLP/HTTP receiver on 127.0.0.1 that keeps what it gets, and refuses on demand."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from otelbot.dashboard.otlp import MalformedError, answered, decode, decompressed, from_otlp_json, problem, to_otlp_json
from otelbot.dashboard.otlp.bodies import JSON, PROTOBUF
from otelbot.demo.otlp_views import LogView, MetricView, SpanView, logs_of, spans_of, update_metrics
from otelbot.demo.waiting import PATIENCE, Changes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

__all__ = ["LogView", "MetricView", "OtlpReceiver", "Received", "SpanView", "from_otlp_json", "to_otlp_json"]

_BIGGEST = 64 * 2**20
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time to linger


@dataclass(frozen=True)
class Received:
    signal: str  # traces, metrics or logs
    body: bytes  # decompressed
    message: Any  # the Export…ServiceRequest
    headers: Mapping[str, str]
    at: float


@dataclass
class _Fault:
    how: str
    signal: str | None
    times: int | None
    act: Callable[[web.Request], Any] = field(repr=False)


class OtlpReceiver:
    """`async with OtlpReceiver() as otlp:`, then set OTEL_EXPORTER_OTLP_ENDPOINT to `otlp.url`."""

    def __init__(self, port: int = 0, *, keep: bool = True) -> None:
        """:param port: 0 takes a free one.
        :param keep: False forgets each request after `on_request`, for programs that run for long.
        """
        self.port = port
        self.requests: list[Received] = []
        self.refused: list[tuple[str, str]] = []  # signal and how: "429", "hang", "reset", "malformed"
        self.spans: list[SpanView] = []
        self.metrics: dict[str, MetricView] = {}  # the latest data points
        self.logs: list[LogView] = []
        self.on_request: Callable[[Received], None] | None = None
        self._keep = keep
        self._bytes: list[bytes] = []
        self._faults: list[_Fault] = []
        self._changes = Changes()
        self._closing = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def raw(self) -> bytes:
        """All that has come, with header values and decompressed bodies: to look for what must not be there."""
        return b"\n".join(self._bytes)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_BIGGEST)
        app.router.add_post("/v1/{signal:traces|metrics|logs}", self._on_export)
        app.on_shutdown.append(self._on_shutdown)
        self._runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    # Waiting

    async def wait_for_spans(
        self,
        wanted: int | Callable[[list[SpanView]], bool],
        timeout: float = PATIENCE,
    ) -> list[SpanView]:
        """Wait for a number of spans, or until `wanted(spans)` is true, and return all that have come.

        :raises TimeoutError: when that has not happened within `timeout` seconds.
        """
        if isinstance(wanted, int):
            count = wanted
            what = f"{count} spans"
            await self.wait_for(lambda: len(self.spans) >= count, timeout, what)
        else:
            check = wanted
            await self.wait_for(lambda: check(self.spans), timeout, "spans that fit")
        return self.spans

    async def wait_for(
        self, look: Callable[[], Any], timeout: float = PATIENCE, what: str = "telemetry that fits"
    ) -> Any:
        """Wait until `look()`, called after each request, gives something true, and return that."""
        return await self._changes.until(look, timeout, what)

    # Faults. A request that meets one is not kept; `signal=None` is any.

    def answer_with(
        self,
        status: int,
        times: int | None = 1,
        headers: Mapping[str, str] | None = None,
        signal: str | None = None,
        body: bytes = b"",
    ) -> None:
        """Answer the next requests with a status instead of taking them; `times=None` is for ever."""

        async def act(_request: web.Request) -> web.Response:
            return web.Response(status=status, headers=headers, body=body)

        self._faults.append(_Fault(str(status), signal, times, act))

    def hang(self, seconds: float, times: int | None = 1, signal: str | None = None) -> None:
        """Say nothing for `seconds`, and then 503."""

        async def act(_request: web.Request) -> web.Response:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._closing.wait(), seconds)
            return web.Response(status=503)

        self._faults.append(_Fault("hang", signal, times, act))

    def reset(self, times: int | None = 1, signal: str | None = None) -> None:
        """Reset the connection instead of answering."""

        async def act(request: web.Request) -> web.Response:
            if request.transport is not None:
                request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                request.transport.abort()
            return web.Response()

        self._faults.append(_Fault("reset", signal, times, act))

    def clear_faults(self) -> None:
        self._faults.clear()

    # HTTP

    async def _on_export(self, request: web.Request) -> web.StreamResponse:
        signal = request.match_info["signal"]
        body = await request.read()
        in_json = request.content_type == JSON
        headers = dict(request.headers)
        encoding = request.headers.get("Content-Encoding", "")
        with contextlib.suppress(MalformedError):
            body, encoding = decompressed(body, encoding), ""
        if self._keep:
            self._bytes += [*(value.encode() for value in headers.values()), body]
        if fault := self._take_fault(signal):
            self._refuse(signal, fault.how)
            response: web.StreamResponse = await fault.act(request)
            return response
        content_type = JSON if in_json else PROTOBUF
        if request.content_type != content_type:
            self._refuse(signal, "content type")
            refusal = problem(f"the content type is neither {PROTOBUF} nor {JSON}", in_json=in_json)
            return web.Response(status=415, body=refusal, content_type=content_type)
        try:
            message = decode(signal, body, encoding, in_json=in_json)
        except MalformedError as error:
            self._refuse(signal, "malformed")
            return web.Response(status=400, body=problem(str(error), in_json=in_json), content_type=content_type)
        self._take(Received(signal, body, message, headers, time.time()))
        return web.Response(body=answered(signal, in_json=in_json), content_type=content_type)

    def _take(self, received: Received) -> None:
        if received.signal == "metrics":
            update_metrics(self.metrics, received.message)
        if self._keep:
            self.requests.append(received)
            if received.signal == "traces":
                self.spans += spans_of(received.message)
            elif received.signal == "logs":
                self.logs += logs_of(received.message)
        if self.on_request is not None:
            self.on_request(received)
        self._changes.tell()

    def _refuse(self, signal: str, how: str) -> None:
        self.refused.append((signal, how))
        self._changes.tell()

    def _take_fault(self, signal: str) -> _Fault | None:
        for fault in self._faults:
            if fault.signal in {None, signal}:
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                return fault
        return None

    async def _on_shutdown(self, _app: web.Application) -> None:
        self._closing.set()
