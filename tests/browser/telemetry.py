"""Telemetry as a bot sends it, by OTLP/JSON to the real receiver."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

SEVERITIES = {"DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17}


def pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    def value(given: Any) -> dict[str, Any]:
        return {"intValue": str(given)} if isinstance(given, int) else {"stringValue": given}

    return [{"key": key, "value": value(each)} for key, each in attributes.items()]


@dataclass(frozen=True)
class Sent:
    """An update that was sent."""

    trace_id: str
    span_id: str


class Bot:
    """Sends updates and log records of one service.

    :param otlp: URL of the receiver.
    """

    def __init__(self, otlp: str, service: str) -> None:
        self.service = service
        self._otlp = otlp

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def update(
        self,
        handler: str = "welcome",
        *,
        ms: float = 20,
        calls: tuple[str, ...] = ("sendMessage",),
        error: str | None = None,
        user: str = "0123456789abcdef",
        log: str | None = None,
        after: Sent | None = None,
        name: str | None = None,
        **attributes: str,
    ) -> Sent:
        """Send one update's trace: the update, its handler, the handler's calls, and a log record inside.

        :param error: class of the exception that nobody handled.
        :param after: the previous update of the conversation.
        """
        sent = Sent(secrets.token_hex(16), secrets.token_hex(8))
        below = secrets.token_hex(8)
        start, end = time.time_ns() - int(ms * 1e6), time.time_ns()
        failed: dict[str, Any] = {"status": {"code": 2, "message": error}} if error else {}
        exception = {"exception.type": error, "exception.message": "the kettle is empty", "exception.stacktrace": STACK}
        root = {
            "spanId": sent.span_id,
            "name": name or f"message {handler}",
            "kind": 5,
            "attributes": pairs(
                {
                    "messaging.system": "telegram",
                    "telegram.update.type": "message",
                    "telegram.update.outcome": "error" if error else "handled",
                    "aiogram.handler.name": handler,
                    "user.hash": user,
                    **({"error.type": error} if error else {}),
                    **attributes,
                }
            ),
            "links": [{"traceId": after.trace_id, "spanId": after.span_id}] if after else [],
            **failed,
        }
        handling = {
            "spanId": below,
            "parentSpanId": sent.span_id,
            "name": handler,
            "kind": 1,
            "attributes": pairs({"aiogram.handler.name": handler, "code.function.name": f"bot.{handler}"}),
            "events": [{"name": "exception", "timeUnixNano": str(end), "attributes": pairs(exception)}]
            if error
            else [],
            **failed,
        }
        methods = [
            {
                "spanId": secrets.token_hex(8),
                "parentSpanId": below,
                "name": method,
                "kind": 3,
                "attributes": pairs({"telegram.method": method, "http.response.status_code": 200}),
            }
            for method in calls
        ]
        times = {"traceId": sent.trace_id, "startTimeUnixNano": str(start), "endTimeUnixNano": str(end)}
        spans = [times | span for span in (root, handling, *methods)]
        await self._send("traces", "resourceSpans", "scopeSpans", "spans", spans)
        if log:
            await self.log(log, within=sent)
        return sent

    async def log(
        self, body: str, severity: str = "INFO", *, within: Sent | None = None, times: int = 1, **attributes: str
    ) -> None:
        """Send log records, all the same but for a number at the end if there are several."""
        await self._send(
            "logs",
            "resourceLogs",
            "scopeLogs",
            "logRecords",
            [
                {
                    "timeUnixNano": str(time.time_ns()),
                    "severityNumber": SEVERITIES[severity],
                    "severityText": severity,
                    "body": {"stringValue": body if times == 1 else f"{body} {number}"},
                    "attributes": pairs(attributes),
                    **({"traceId": within.trace_id, "spanId": within.span_id} if within else {}),
                }
                for number in range(times)
            ],
        )

    async def gauge(self, name: str, value: float, **attributes: str) -> None:
        """Send a gauge of bytes."""
        point = {"timeUnixNano": str(time.time_ns()), "asDouble": value, "attributes": pairs(attributes)}
        await self._send(
            "metrics",
            "resourceMetrics",
            "scopeMetrics",
            "metrics",
            [{"name": name, "unit": "By", "gauge": {"dataPoints": [point]}}],
        )

    async def _send(self, signal: str, outer: str, inner: str, items: str, sent: list[dict[str, Any]]) -> None:
        resource = {"attributes": pairs({"service.name": self.service, "service.instance.id": "one"})}
        body = {outer: [{"resource": resource, inner: [{"scope": {"name": "tests"}, items: sent}]}]}
        async with self._session.post(f"{self._otlp}/v1/{signal}", json=body) as response:
            assert response.status == 200, await response.text()


STACK = 'Traceback (most recent call last):\n  File "bot.py", line 7, in boil\nKettleError: the kettle is empty'
