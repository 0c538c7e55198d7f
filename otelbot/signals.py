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
DB_SYSTEM = "db.system.name"
DB_OPERATION = "db.operation.name"
DB_SUMMARY = "db.query.summary"
DB_TEXT = "db.query.text"
DB_NAMESPACE = "db.namespace"
DB_STATUS = "db.response.status_code"
DB_BATCH_SIZE = "db.operation.batch.size"
DB_POOL = "db.client.connection.pool.name"
DB_CONNECTION_STATE = "db.client.connection.state"
ACTION = "action"
WINDOW = "window"
SEVERITY = "severity"
FSM_FROM = "from"
FSM_TO = "to"
SIGNAL = "signal"
REASON = "reason"
ERROR_TYPE = "error.type"
CODE_FUNCTION_NAME = "code.function.name"
FUNCTION = "function"
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
NO_STATE = "none"

#: Where OpenTelemetry's context holds the span of the update at hand.
UPDATE_CONTEXT_KEY = "otelbot-update"

# Events
CONTENT_TYPE = "telegram.message.content_type"
MESSAGE_LENGTH = "telegram.message.length"
MESSAGE_ENTITIES = "telegram.message.entities"
COMMAND_DURATION = "telegram.command.duration"
SESSION_DURATION = "telegram.session.duration"
SESSION_UPDATES = "telegram.session.updates"
SESSION_END = "telegram.session.end"
UPTIME = "process.uptime"
EXCEPTION_FINGERPRINT = "exception.fingerprint"
EXCEPTION_COUNT = "exception.count"
CHECK = "check"

#: Names of log events, with what each of them says.
EVENT_STARTUP = "telegram.bot.startup"
EVENT_SHUTDOWN = "telegram.bot.shutdown"
EVENT_MESSAGE = "telegram.message.received"
EVENT_COMMAND = "telegram.command.executed"
EVENT_CALLBACK = "telegram.callback.received"
EVENT_ACTIVITY = "telegram.user.activity"
EVENT_SESSION_STARTED = "telegram.session.started"
EVENT_SESSION_ENDED = "telegram.session.ended"
EVENT_SYSTEM = "system.event"
EVENT_PERFORMANCE = "performance.metrics"
EVENT_EXCEPTION = "exception"
EVENTS: dict[str, str] = {
    EVENT_STARTUP: "The bot has started: versions, bots, registered handlers.",
    EVENT_SHUTDOWN: "The bot stops: uptime and totals since its start.",
    EVENT_MESSAGE: "A message came: its content type, length, number of entities; never its text.",
    EVENT_COMMAND: "A command has been handled: which one, its outcome and duration in seconds.",
    EVENT_CALLBACK: "A button was pressed; never its data.",
    EVENT_ACTIVITY: "What a user did; only with OTELBOT_EVENTS_LEVEL=debug.",
    EVENT_SESSION_STARTED: "A user came after none, or after a gap of OTELBOT_SESSION_GAP.",
    EVENT_SESSION_ENDED: "A user's session: its duration in seconds, its updates, and why it has ended.",
    EVENT_SYSTEM: "A check of health has changed its status.",
    EVENT_PERFORMANCE: "The last minute in figures: updates, errors, mean and longest duration, memory, CPU.",
    EVENT_EXCEPTION: "An exception, by its fingerprint: the first at once, then once a minute with their number.",
}

#: Names of span events.
EXCEPTION_EVENT = "exception"
FSM_EVENT = "telegram.fsm.transition"
BLOCKED_EVENT = "asyncio.eventloop.blocked"

#: Seconds. From the time of a cached answer to that of a handler which Telegram would give up on.
DURATION_BUCKETS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)
#: Seconds. An update that waited for longer than some minutes is from a time when the bot was down.
DELAY_BUCKETS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
#: Seconds. What an event loop is late by: from unnoticeable to what users feel.
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
#: Seconds, as the conventions advise for databases.
DB_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
#: Updates in one answer to getUpdates, which holds 100 at most.
BATCH_BUCKETS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 75.0, 99.0)


@dataclass(frozen=True)
class Instrument:
    """One metric: `kind` is OpenTelemetry's, `unit` is UCUM, `buckets` are upper bounds in that unit."""

    name: str
    kind: Literal[
        "counter",
        "updowncounter",
        "histogram",
        "observable_counter",
        "observable_updowncounter",
        "observable_gauge",
    ]
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
    "telegram.bot.update.active", "observable_updowncounter", "{update}", "Updates that are being handled right now."
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
UPDATE_DELAY = Instrument(
    "telegram.bot.update.delay",
    "histogram",
    "s",
    "Time from a message's date at Telegram, which has whole seconds, to the start of its handling.",
    (UPDATE_TYPE,),
    DELAY_BUCKETS,
)
USER_ACTIONS = Instrument(
    "telegram.bot.user.actions",
    "counter",
    "{action}",
    "What users did: command, text, media, callback, inline, payment, member, reaction, poll, join_request, other.",
    (ACTION,),
)
USERS_ACTIVE = Instrument(
    "telegram.bot.users.active",
    "observable_gauge",
    "{user}",
    "Different users within the last 5 minutes, hour and day, estimated within 3 %.",
    (WINDOW,),
)
API_ACTIVE = Instrument(
    "telegram.bot.api.request.active",
    "observable_updowncounter",
    "{request}",
    "Bot API calls that wait for their answer right now, without getUpdates.",
)
API_REJECTIONS = Instrument(
    "telegram.bot.api.rejections",
    "counter",
    "{rejection}",
    "Bot API calls that Telegram refused, by reason: a user who blocked the bot is no error of it.",
    (METHOD, REASON),
)
CALLBACK_ANSWER_DELAY = Instrument(
    "telegram.bot.callback.answer.delay",
    "histogram",
    "s",
    "Time from the arrival of a callback query to an answer that Telegram took; the button shows a clock meanwhile.",
    (),
    DURATION_BUCKETS,
)
FSM_TRANSITIONS = Instrument(
    "telegram.bot.fsm.transitions",
    "counter",
    "{transition}",
    "Changes of the state of a conversation; states that no StatesGroup or Scene declares, or not known, are `other`.",
    (FSM_FROM, FSM_TO),
)
POLLING_AGE = Instrument(
    "telegram.bot.polling.last_success.age",
    "observable_gauge",
    "s",
    "Time since getUpdates last succeeded; with the default timeout it stays below 10 s when all is well.",
    (BOT_ID,),
)
POLLING_FAILURES = Instrument(
    "telegram.bot.polling.failures",
    "counter",
    "{failure}",
    "Attempts of getUpdates that failed: conflict with another poller, revoked token, network.",
    (ERROR_TYPE,),
)
POLLING_BATCH = Instrument(
    "telegram.bot.polling.batch.size",
    "histogram",
    "{update}",
    "Updates in an answer to getUpdates; 100 is the most that it holds, so more are waiting.",
    (),
    BATCH_BUCKETS,
)
LOG_RECORDS = Instrument(
    "telegram.bot.log.records",
    "observable_counter",
    "{record}",
    "Records of logging that reached a handler, by OpenTelemetry's names of severities.",
    (SEVERITY,),
)
DB_DURATION = Instrument(
    "db.client.operation.duration",
    "histogram",
    "s",
    "Duration of database client operations: of statements, commands and pipelines.",
    (DB_SYSTEM, DB_OPERATION, DB_NAMESPACE, SERVER_ADDRESS, SERVER_PORT, DB_STATUS, ERROR_TYPE),
    DB_BUCKETS,
)
DB_CONNECTIONS = Instrument(
    "db.client.connection.count",
    "observable_updowncounter",
    "{connection}",
    "Connections in a pool, by state: used or idle.",
    (DB_SYSTEM, DB_POOL, DB_CONNECTION_STATE),
)
DB_CONNECTIONS_MAX = Instrument(
    "db.client.connection.max",
    "observable_updowncounter",
    "{connection}",
    "Connections that a pool may open.",
    (DB_SYSTEM, DB_POOL),
)
DB_WAIT_TIME = Instrument(
    "db.client.connection.wait_time",
    "histogram",
    "s",
    "Time that it took to get a connection from a pool.",
    (DB_SYSTEM, DB_POOL),
    DB_BUCKETS,
)
DB_TIMEOUTS = Instrument(
    "db.client.connection.timeouts",
    "counter",
    "{timeout}",
    "Connections that a pool did not have in time.",
    (DB_SYSTEM, DB_POOL),
)
DB_CONNECTION_FAILURES = Instrument(
    "telegram.bot.database.connection.failures",
    "counter",
    "{failure}",
    "Connections to a database that could not be made; 0 from the start, so that the first one is seen.",
    (DB_SYSTEM,),
)
LOOP_LAG = Instrument(
    "asyncio.eventloop.lag",
    "histogram",
    "s",
    "How late the event loop ran what was due, measured ten times a second.",
    (),
    LAG_BUCKETS,
)
LOOP_BLOCKED = Instrument(
    "asyncio.eventloop.blocked",
    "counter",
    "{block}",
    "Times that something held the event loop for longer than OTELBOT_LOOP_BLOCKED_THRESHOLD.",
)
LOOP_UTILIZATION = Instrument(
    "asyncio.eventloop.utilization",
    "observable_gauge",
    "1",
    "Share of the time that the event loop's thread was on a processor.",
)
LOOP_TASKS = Instrument("asyncio.tasks", "observable_gauge", "{task}", "Tasks of the event loop that have not ended.")
PROCESS_UPTIME = Instrument("process.uptime", "observable_gauge", "s", "Time since the process was started.")
FUNCTION_DURATION = Instrument(
    "telegram.bot.function.duration",
    "histogram",
    "s",
    "Time spent in what `otelbot.timed` measures.",
    (FUNCTION, ERROR_TYPE),
    DURATION_BUCKETS,
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

#: Made by OpenTelemetry's own instrumentations, in the form in which they make them.
HTTP_DURATION = Instrument(
    "http.client.request.duration",
    "histogram",
    "s",
    "Duration of HTTP client requests, but of those to the Bot API.",
    (HTTP_METHOD, SERVER_ADDRESS, SERVER_PORT, HTTP_STATUS, ERROR_TYPE, "network.protocol.version", "url.scheme"),
    (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
PROCESS_CPU = Instrument(
    "process.cpu.time", "observable_counter", "s", "Processor time, by user and system.", ("type",)
)
PROCESS_MEMORY = Instrument("process.memory.usage", "observable_updowncounter", "By", "Physical memory in use.")
PROCESS_VIRTUAL = Instrument("process.memory.virtual", "observable_updowncounter", "By", "Committed virtual memory.")
PROCESS_FILES = Instrument(
    "process.open_file_descriptor.count", "observable_updowncounter", "", "Open file descriptors."
)
PROCESS_THREADS = Instrument("process.thread.count", "observable_updowncounter", "", "Threads of the process.")
_GC_ATTRIBUTES = ("cpython.gc.generation", "generation")
HEALTH_STATUS = Instrument(
    "otelbot.health.status",
    "observable_gauge",
    "1",
    "What a check of OTELBOT_HEALTH_PORT found last: 1 healthy, 0.5 degraded, 0 unhealthy.",
    (CHECK,),
)
GC_COLLECTIONS = Instrument(
    "cpython.gc.collections", "observable_counter", "{collection}", "Garbage collections.", _GC_ATTRIBUTES
)
GC_COLLECTED = Instrument(
    "cpython.gc.collected_objects", "observable_counter", "{object}", "Objects that they freed.", _GC_ATTRIBUTES
)
GC_UNCOLLECTABLE = Instrument(
    "cpython.gc.uncollectable_objects",
    "observable_counter",
    "{object}",
    "Objects that they could not free.",
    _GC_ATTRIBUTES,
)

INSTRUMENTS = (
    UPDATE_DURATION,
    UPDATE_ACTIVE,
    HANDLER_DURATION,
    COMMANDS,
    ERRORS,
    API_DURATION,
    API_RETRY_AFTER,
    UPDATE_DELAY,
    USER_ACTIONS,
    USERS_ACTIVE,
    API_ACTIVE,
    API_REJECTIONS,
    CALLBACK_ANSWER_DELAY,
    FSM_TRANSITIONS,
    POLLING_AGE,
    POLLING_FAILURES,
    POLLING_BATCH,
    LOG_RECORDS,
    DB_DURATION,
    DB_CONNECTIONS,
    DB_CONNECTIONS_MAX,
    DB_WAIT_TIME,
    DB_TIMEOUTS,
    DB_CONNECTION_FAILURES,
    LOOP_LAG,
    LOOP_BLOCKED,
    LOOP_UTILIZATION,
    LOOP_TASKS,
    PROCESS_UPTIME,
    HEALTH_STATUS,
    FUNCTION_DURATION,
    EXPORT_SENT,
    EXPORT_DROPPED,
    HTTP_DURATION,
    PROCESS_CPU,
    PROCESS_MEMORY,
    PROCESS_VIRTUAL,
    PROCESS_FILES,
    PROCESS_THREADS,
    GC_COLLECTIONS,
    GC_COLLECTED,
    GC_UNCOLLECTABLE,
)

#: What the attributes of otelbot's own spans and metrics say; the others are OpenTelemetry's conventions.
ATTRIBUTES: dict[str, str] = {
    BOT_ID: "The bot, by the number at the beginning of its token.",
    BOT_USERNAME: "The bot's username, on the resource, once `getMe` has told it.",
    UPDATE_TYPE: "`message`, `callback_query`, …: the names of the Bot API.",
    UPDATE_OUTCOME: "`handled`, `unhandled`, `error` (nobody handled the exception), `error_handled` or `cancelled`.",
    CHAT_TYPE: "`private`, `group`, `supergroup` or `channel`; on spans.",
    COMMAND: "A command that a handler is registered for, without its slash; any other is `other`.",
    METHOD: "The Bot API's method, or `downloadFile`.",
    RETRY_AFTER: "Seconds that Telegram asks to wait; on spans.",
    HANDLER: "The handler's function or class, as the bot's code names it.",
    ROUTER: "The router's name, if it was given one; on spans.",
    FSM_STATE: "The state in which the update found its conversation; on spans.",
    USER_HASH: "A keyed hash of the user's id; on spans. OTELBOT_USER_HASH_KEY is the key.",
    USER_ID: "The user's id; on spans, and only with OTELBOT_CAPTURE_USER_ID.",
    COMPONENT: "Where an error came from: `handler`, `bot_api`, `database`, `redis`, `http`, `polling`.",
    ACTION: "What a user did.",
    WINDOW: "`5m`, `1h` or `24h`.",
    SEVERITY: "`DEBUG`, `INFO`, `WARN`, `ERROR` or `FATAL`.",
    FSM_FROM: "The state before; `none` is no state.",
    FSM_TO: "The state after.",
    FUNCTION: "The name that `otelbot.timed` was given, or the function's.",
    SIGNAL: "`traces`, `metrics` or `logs`.",
    REASON: "Of a refusal `blocked`, `chat_not_found`, …; of what was dropped `queue_full`, `refused`, `undelivered`.",
    CONTENT_TYPE: "`text`, `photo`, …, as aiogram names them; on events.",
    MESSAGE_LENGTH: "Characters of the text or caption; on events.",
    MESSAGE_ENTITIES: "Number of links, mentions, formattings …; on events.",
    COMMAND_DURATION: "Seconds that the update took; on events.",
    SESSION_DURATION: "Seconds from a session's first update to its last; on events.",
    SESSION_UPDATES: "Updates of a session; on events.",
    SESSION_END: "`gap`, `shutdown`, or `evicted` where more users than are remembered came since; on events.",
    UPTIME: "Seconds since the bot's start; on events.",
    EXCEPTION_FINGERPRINT: "The same for the same fault wherever its lines move; on log records with an exception.",
    EXCEPTION_COUNT: "How many of a fingerprint came since it was last told; on the event `exception`.",
    CHECK: "The name of a check of health.",
    ERROR_TYPE: "The class of an exception, or the status of an HTTP answer.",
}


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
