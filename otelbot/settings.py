"""Every variable of otelbot's own, in one place: its default, its unit and why it exists.

The standard `OTEL_*` variables are read by OpenTelemetry's SDK; `environment.py` checks them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

from otelbot.privacy import scrub

T = TypeVar("T")

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})


@dataclass(frozen=True)
class Problem:
    """A variable whose value can't be used. Its sentence never repeats a value that may be a secret."""

    variable: str
    why: str
    used: str

    def __str__(self) -> str:
        return f"{self.variable} {self.why}; using {self.used}"


@dataclass(frozen=True)
class Variable(Generic[T]):
    """One `OTELBOT_*` variable.

    `parse` raises ValueError with a sentence that completes «NAME='value' …».
    """

    name: str
    default: T
    parse: Callable[[str], T]
    unit: str
    reason: str
    secret: bool = False
    means: str = ""  # the default, where its value does not say it

    def read(self, environ: Mapping[str, str]) -> tuple[T, Problem | None]:
        """Return the value to use and, where the one that is set can't be used, the problem with it."""
        raw = environ.get(self.name, "").strip()
        if not raw:
            return self.default, None
        try:
            return self.parse(raw), None
        except ValueError as error:
            shown = "" if self.secret else f"={scrub(raw)[:80]!r}"
            return self.default, Problem(self.name + shown, str(error), f"the default, {self.means or self.default}")


def parse_bool(raw: str) -> bool:
    """Return the boolean that `raw` says; raises ValueError for anything but true/false, yes/no, on/off, 1/0."""
    lowered = raw.strip().lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError("is neither true nor false")


def _number(raw: str) -> float:
    try:
        return float(raw)
    except ValueError:
        raise ValueError("is not a number") from None


def _within(least: float, most: float, sentence: str) -> Callable[[str], float]:
    def parse(raw: str) -> float:
        value = _number(raw)
        if not least <= value <= most:
            raise ValueError(f"is not {sentence}")
        return value

    return parse


_seconds = _within(sys.float_info.min, 3600, "a positive number of at most 3600 seconds")
_days = _within(sys.float_info.min, 3650, "a positive number of at most 3650 days")
_session_gap = _within(1, 86_400, "a number of 1 to 86400 seconds")
_ratio = _within(0, 1, "a number from 0 to 1")


def _port(raw: str) -> int:
    value = _positive_int(raw)
    if value > 65_535:
        raise ValueError("is not a port, which is a number of 1 to 65535")
    return value


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        word = raw.strip().lower()
        if word not in words:
            raise ValueError(f"is none of {', '.join(words)}")
        return word

    return parse


def _positive_int(raw: str) -> int:
    try:
        value = int(raw)
    except ValueError:
        raise ValueError("is not a whole number") from None
    if not 0 < value < 2**40:
        raise ValueError("is not positive, or too large")
    return value


def _redis_url(raw: str) -> str:
    if not raw.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("is not a redis:// URL")
    return raw


#: What `OTELBOT_TUNE` may name, with what it does.
TUNE_PARTS = {
    "forms": "builds the forms of API calls without what they do not need",
    "gc": "imports aiogram without garbage collections and freezes the heap once the bot has started",
    "handlers": "puts middlewares around handlers in fewer steps",
    "models": "initializes aiogram's models once instead of once for each of their ancestors",
    "responses": "keeps the models by which aiogram parses the Bot API's answers",
    "threads": "has busy threads let the event loop in after 1 ms instead of 5 ms",
    "unset": "looks for unset values in all of a model's values at once",
}


def _tune(raw: str) -> str:
    words = [word.strip().lower() for word in raw.split(",") if word.strip()]
    if words in (["none"], *([word] for word in _FALSE)):
        return "none"
    unknown = [word for word in words if word not in TUNE_PARTS and word != "all"]
    if unknown:
        raise ValueError(f"has {scrub(unknown[0])[:80]!r}, which is none of all, none, {', '.join(TUNE_PARTS)}")
    return "all" if "all" in words else ",".join(words)


def tuned(value: str) -> frozenset[str]:
    """Return the parts that a value of `OTELBOT_TUNE` stands for."""
    return frozenset(TUNE_PARTS if value == "all" else () if value == "none" else value.split(","))


#: What `OTELBOT_EVENTS` may name, with the events that it stands for.
EVENT_GROUPS = {
    "lifecycle": "startup and shutdown of the bot",
    "updates": "messages, commands, callbacks and what users do",
    "sessions": "sessions of users",
    "errors": "exceptions",
    "system": "changes of health, and performance once a minute",
}


def _events(raw: str) -> str:
    words = [word.strip().lower() for word in raw.split(",") if word.strip()]
    if words in (["none"], *([word] for word in _FALSE)):
        return "none"
    if words == ["auto"]:
        return "auto"
    unknown = [word for word in words if word not in EVENT_GROUPS and word != "all"]
    if unknown:
        raise ValueError(f"has {scrub(unknown[0])[:80]!r}, which is none of auto, all, none, {', '.join(EVENT_GROUPS)}")
    return "all" if "all" in words else ",".join(words)


def event_groups(value: str, *, shown: bool) -> frozenset[str]:
    """Return the groups that a value of `OTELBOT_EVENTS` stands for.

    :param shown: whether logs go to stdout or files by otelbot. Elsewhere each update is a span that says the same.
    """
    if value == "auto":
        return frozenset(EVENT_GROUPS) if shown else frozenset(EVENT_GROUPS) - {"updates"}
    return frozenset(EVENT_GROUPS if value == "all" else () if value == "none" else value.split(","))


FLUSH_TIMEOUT = Variable(
    "OTELBOT_FLUSH_TIMEOUT",
    3.0,
    _seconds,
    "seconds",
    "How long the end of the program may wait for telemetry to be sent. Service managers kill after about ten seconds.",
)
EXPORT_QUEUE_BYTES = Variable(
    "OTELBOT_EXPORT_QUEUE_BYTES",
    16 * 1024 * 1024,
    _positive_int,
    "bytes, for each signal",
    "What is kept in memory while the endpoint is away; past it the oldest is dropped and counted.",
)
INSTRUMENT_CHILDREN = Variable(
    "OTELBOT_INSTRUMENT_CHILDREN",
    False,
    parse_bool,
    "true or false",
    "Whether Python programs that the bot starts are instrumented too. Worker processes of the bot itself always are.",
)
CAPTURE_USER_ID = Variable(
    "OTELBOT_CAPTURE_USER_ID",
    False,
    parse_bool,
    "true or false",
    "Whether spans carry the raw Telegram user id as user.id beside user.hash. It is personal data, so it is off.",
)
USER_HASH_KEY = Variable(
    "OTELBOT_USER_HASH_KEY",
    "",
    str,
    "text",
    "Key of user.hash. By default it comes from the bot's token, so that hashes survive a restart and agree across"
    " replicas; set one to keep them when the token changes.",
    secret=True,
)
CARDINALITY_LIMIT = Variable(
    "OTELBOT_CARDINALITY_LIMIT",
    200,
    _positive_int,
    "values, for each attribute",
    "How many values an open-ended metric attribute (handler, command, error type) may take before it becomes `other`.",
)
LOOP_BLOCKED_THRESHOLD = Variable(
    "OTELBOT_LOOP_BLOCKED_THRESHOLD",
    0.1,
    _seconds,
    "seconds",
    "How long something may hold the event loop before it is counted; it is named, with its stack, if it lasts another"
    " tenth of a second.",
)
ACTIVE_USERS_REDIS_URL = Variable(
    "OTELBOT_ACTIVE_USERS_REDIS_URL",
    "",
    _redis_url,
    "redis:// URL",
    "A Redis that the replicas of one bot share, so that telegram.bot.users.active counts a user once for all of them.",
    secret=True,
)
TUNE = Variable(
    "OTELBOT_TUNE",
    "all",
    _tune,
    f"`all`, `none`, or some of {', '.join(f'`{part}`' for part in TUNE_PARTS)}",
    "What is done to make the bot faster than it is without otelbot; none of it changes what the bot does. See"
    " [tuning](tuning.md).",
)
LOG_FORMAT = Variable(
    "OTELBOT_LOG_FORMAT",
    "off",
    _one_of("json", "console", "off"),
    "`json`, `console` or `off`",
    "What stdout shows of logs and events: a JSON object a line, lines for people, or what the bot prints by itself.",
)
LOG_DIR = Variable(
    "OTELBOT_LOG_DIR",
    "",
    str,
    "folder",
    "Where bot.log and errors.log are kept, a JSON object a line. See [logs](logs.md).",
)
LOG_ROTATION = Variable(
    "OTELBOT_LOG_ROTATION",
    "size",
    _one_of("size", "midnight"),
    "`size` or `midnight`",
    "When a file of OTELBOT_LOG_DIR is put aside and a new one begun.",
)
LOG_MAX_BYTES = Variable(
    "OTELBOT_LOG_MAX_BYTES",
    10 * 1024 * 1024,
    _positive_int,
    "bytes",
    "How large a file becomes, with rotation by size.",
)
LOG_BACKUPS = Variable(
    "OTELBOT_LOG_BACKUPS",
    0,
    _positive_int,
    "files",
    "How many files that were put aside are kept, of each kind.",
    means="5 with rotation by size, 30 at midnight",
)
LOG_GZIP_DAYS = Variable(
    "OTELBOT_LOG_GZIP_DAYS", 7.0, _days, "days", "After how long a file that was put aside is compressed."
)
LOG_KEEP_DAYS = Variable(
    "OTELBOT_LOG_KEEP_DAYS", 30.0, _days, "days", "After how long a file that was put aside is removed."
)
EVENTS = Variable(
    "OTELBOT_EVENTS",
    "auto",
    _events,
    f"`auto`, `all`, `none`, or some of {', '.join(f'`{group}`' for group in EVENT_GROUPS)}",
    "Which events become log records. `auto` is all of them where OTELBOT_LOG_FORMAT or OTELBOT_LOG_DIR is set, and all"
    " but `updates` elsewhere, where each update is a span that says the same. See [logs](logs.md).",
)
EVENTS_LEVEL = Variable(
    "OTELBOT_EVENTS_LEVEL",
    "info",
    _one_of("debug", "info", "warning", "error"),
    "`debug`, `info`, `warning` or `error`",
    "Events below this level are left out. `debug` adds telegram.user.activity, one for each update.",
)
EVENTS_SAMPLE = Variable(
    "OTELBOT_EVENTS_SAMPLE",
    1.0,
    _ratio,
    "share, 0 to 1",
    "Which share of the updates have events of the group `updates`; of one update all or none.",
)
SESSION_GAP = Variable(
    "OTELBOT_SESSION_GAP",
    1800.0,
    _session_gap,
    "seconds",
    "After how long without an update of a user the user's session has ended.",
)
HEALTH_PORT = Variable(
    "OTELBOT_HEALTH_PORT",
    0,
    _port,
    "port",
    "Serves /livez, /readyz and /health, and checks what the bot depends on. See [health](health.md).",
    means="nothing is served",
)
HEALTH_HOST = Variable(
    "OTELBOT_HEALTH_HOST",
    "127.0.0.1",
    str,
    "address",
    "Where OTELBOT_HEALTH_PORT is opened. 0.0.0.0 lets other machines ask.",
)
HEALTH_INTERVAL = Variable(
    "OTELBOT_HEALTH_INTERVAL",
    15.0,
    _seconds,
    "seconds",
    "How often the checks run, for the metric and for answers that need not wait.",
)

VARIABLES: tuple[Variable[float] | Variable[int] | Variable[bool] | Variable[str], ...] = (
    FLUSH_TIMEOUT,
    EXPORT_QUEUE_BYTES,
    INSTRUMENT_CHILDREN,
    CAPTURE_USER_ID,
    USER_HASH_KEY,
    CARDINALITY_LIMIT,
    LOOP_BLOCKED_THRESHOLD,
    ACTIVE_USERS_REDIS_URL,
    TUNE,
    LOG_FORMAT,
    LOG_DIR,
    LOG_ROTATION,
    LOG_MAX_BYTES,
    LOG_BACKUPS,
    LOG_GZIP_DAYS,
    LOG_KEEP_DAYS,
    EVENTS,
    EVENTS_LEVEL,
    EVENTS_SAMPLE,
    SESSION_GAP,
    HEALTH_PORT,
    HEALTH_HOST,
    HEALTH_INTERVAL,
)


@dataclass(frozen=True)
class Settings:
    """otelbot's own settings, read once from an environment."""

    flush_timeout: float
    export_queue_bytes: int
    instrument_children: bool
    capture_user_id: bool
    user_hash_key: str
    cardinality_limit: int
    loop_blocked_threshold: float
    active_users_redis_url: str
    tune: frozenset[str]
    log_format: str
    log_dir: str
    log_rotation: str
    log_max_bytes: int
    log_backups: int
    log_gzip_days: float
    log_keep_days: float
    events: frozenset[str]
    events_level: str
    events_sample: float
    session_gap: float
    health_port: int
    health_host: str
    health_interval: float
    problems: tuple[Problem, ...] = ()

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read every variable of `VARIABLES` from `environ`; unusable values become defaults and `problems`."""
        problems: list[Problem] = []

        def read(variable: Variable[T]) -> T:
            value, problem = variable.read(environ)
            if problem:
                problems.append(problem)
            return value

        known = {variable.name for variable in VARIABLES} | INTERNAL
        problems.extend(
            Problem(name, "is not a variable of otelbot", "nothing of it; `otelbot doctor` lists the known ones")
            for name in sorted(environ)
            if name.startswith("OTELBOT_") and not name.startswith(DASHBOARD_PREFIX) and name not in known
        )
        log_format, log_dir = read(LOG_FORMAT), read(LOG_DIR)
        return cls(
            flush_timeout=read(FLUSH_TIMEOUT),
            export_queue_bytes=read(EXPORT_QUEUE_BYTES),
            instrument_children=read(INSTRUMENT_CHILDREN),
            capture_user_id=read(CAPTURE_USER_ID),
            user_hash_key=read(USER_HASH_KEY),
            cardinality_limit=read(CARDINALITY_LIMIT),
            loop_blocked_threshold=read(LOOP_BLOCKED_THRESHOLD),
            active_users_redis_url=read(ACTIVE_USERS_REDIS_URL),
            tune=tuned(read(TUNE)),
            log_format=log_format,
            log_dir=log_dir,
            log_rotation=read(LOG_ROTATION),
            log_max_bytes=read(LOG_MAX_BYTES),
            log_backups=read(LOG_BACKUPS),
            log_gzip_days=read(LOG_GZIP_DAYS),
            log_keep_days=read(LOG_KEEP_DAYS),
            events=event_groups(read(EVENTS), shown=log_format != "off" or bool(log_dir)),
            events_level=read(EVENTS_LEVEL),
            events_sample=read(EVENTS_SAMPLE),
            session_gap=read(SESSION_GAP),
            health_port=read(HEALTH_PORT),
            health_host=read(HEALTH_HOST),
            health_interval=read(HEALTH_INTERVAL),
            problems=tuple(problems),
        )


#: Set by otelbot for its own processes, never by users: see launcher.py and _bootstrap/sitecustomize.py.
PROGRAM = "OTELBOT_PROGRAM"
LAUNCHED = "OTELBOT_LAUNCHED"
#: Of the variables that only the dashboard reads: otelbot/dashboard/settings.py.
DASHBOARD_PREFIX = "OTELBOT_DASHBOARD_"
#: With what the project's own scripts and tests read.
INTERNAL = frozenset({PROGRAM, LAUNCHED, "OTELBOT_REQUIRE", "OTELBOT_TOOLS_DIR"})


@cache
def current() -> Settings:
    """Return the settings of this process, read from its environment at the first call."""
    import os

    return Settings.from_environ(os.environ)
