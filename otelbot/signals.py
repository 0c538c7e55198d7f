"""Every span attribute and instrument that otelbot emits: name, kind, unit, description, buckets.

OpenTelemetry's semantic conventions come first; `telegram.*` and `aiogram.*` stand where they have nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

SCOPE = "otelbot"

# Spans and metrics
BOT_ID = "telegram.bot.id"
BOT_USERNAME = "telegram.bot.username"
UPDATE_TYPE = "telegram.update.type"
UPDATE_OUTCOME = "telegram.update.outcome"
CHAT_TYPE = "telegram.chat.type"
COMMAND = "telegram.command"
METHOD = "telegram.method"
RETRY_AFTER = "telegram.retry_after"
HANDLER = "aiogram.handler.name"
ROUTER = "aiogram.router.name"
FSM_STATE = "aiogram.fsm.state"
USER_HASH = "user.hash"
USER_ID = "user.id"
COMPONENT = "component"
SIGNAL = "signal"
REASON = "reason"
ERROR_TYPE = "error.type"
CODE_FUNCTION_NAME = "code.function.name"
MESSAGING_SYSTEM = "messaging.system"
MESSAGING_OPERATION_NAME = "messaging.operation.name"
MESSAGING_OPERATION_TYPE = "messaging.operation.type"
MESSAGING_MESSAGE_ID = "messaging.message.id"
HTTP_METHOD = "http.request.method"
HTTP_STATUS = "http.response.status_code"
URL_TEMPLATE = "url.template"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"

Outcome = Literal["handled", "unhandled", "error", "error_handled", "cancelled"]
Component = Literal["handler", "bot_api", "database", "redis", "http", "polling"]
OTHER = "other"

#: Seconds. From the time of a cached answer to that of a handler which Telegram would give up on.
DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True)
class Instrument:
    """One metric: `kind` is OpenTelemetry's, `unit` is UCUM, `buckets` are upper bounds in that unit."""

    name: str
    kind: Literal["counter", "updowncounter", "histogram", "observable_counter"]
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] | None = None


UPDATE_DURATION = Instrument(
    "telegram.bot.update.duration",
    "histogram",
    "s",
    "Time from the arrival of an update in the process to the end of its handling.",
    (UPDATE_TYPE, UPDATE_OUTCOME, ERROR_TYPE),
    DURATION_BUCKETS,
)
UPDATE_ACTIVE = Instrument(
    "telegram.bot.update.active", "updowncounter", "{update}", "Updates that are being handled right now."
)
HANDLER_DURATION = Instrument(
    "telegram.bot.handler.duration",
    "histogram",
    "s",
    "Time spent in a handler, without filters and middlewares.",
    (HANDLER, UPDATE_TYPE, ERROR_TYPE),
    DURATION_BUCKETS,
)
COMMANDS = Instrument(
    "telegram.bot.commands",
    "counter",
    "{command}",
    "Commands received; those that no handler registered are `other`.",
    (COMMAND, UPDATE_OUTCOME),
)
ERRORS = Instrument(
    "telegram.bot.errors",
    "counter",
    "{error}",
    "Errors, by the part of the bot that they came from.",
    (ERROR_TYPE, COMPONENT),
)
API_DURATION = Instrument(
    "telegram.bot.api.request.duration",
    "histogram",
    "s",
    "Time of one attempt of a Bot API call; of getUpdates only those that failed.",
    (METHOD, HTTP_STATUS, ERROR_TYPE),
    DURATION_BUCKETS,
)
API_RETRY_AFTER = Instrument(
    "telegram.bot.api.retry_after",
    "counter",
    "s",
    "Time that Telegram asked the bot to wait (429, flood control).",
    (METHOD,),
)
EXPORT_SENT = Instrument(
    "otelbot.export.sent",
    "observable_counter",
    "{item}",
    "Spans, data points and log records that the endpoint accepted.",
    (SIGNAL,),
)
EXPORT_DROPPED = Instrument(
    "otelbot.export.dropped",
    "observable_counter",
    "{item}",
    "Spans, data points and log records that could not be delivered.",
    (SIGNAL, REASON),
)

INSTRUMENTS = (
    UPDATE_DURATION,
    UPDATE_ACTIVE,
    HANDLER_DURATION,
    COMMANDS,
    ERRORS,
    API_DURATION,
    API_RETRY_AFTER,
    EXPORT_SENT,
    EXPORT_DROPPED,
)


class Cap:
    """Bounds the values of one open-ended attribute: the first `limit` pass, later ones become `other`.

    What a bot's code names (handlers, commands, error classes) is bounded only if the code is well-behaved.
    """

    def __init__(self, attribute: str, limit: int) -> None:
        self._attribute = attribute
        self._limit = limit
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        if value in self._seen:
            return value
        if len(self._seen) < self._limit:
            self._seen.add(value)
            return value
        if self._limit:
            logging.getLogger("otelbot").warning(
                "otelbot: %s took more than %d values; further ones are counted as %r (OTELBOT_CARDINALITY_LIMIT)",
                self._attribute,
                self._limit,
                OTHER,
            )
            self._limit = 0
        return OTHER
