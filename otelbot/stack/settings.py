"""Checks of .env: its own mode and text, and every variable that is not about alerts."""

from __future__ import annotations

import ipaddress
import re
import shlex
import stat
from typing import TYPE_CHECKING

from otelbot.alerts.channels.values import TOKEN, is_port, is_url
from otelbot.doctor import Check
from otelbot.stack import env, required
from otelbot.stack.machine import PORTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

# Docker and the services read these, so their digits are 0 to 9 only.
_HOURS = re.compile(r"(?=[0-9])([0-9]+h)?([0-9]+m)?([0-9]+s)?")
_AGE = re.compile(r"(?=[0-9])([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?")
_NOT_ZERO = re.compile(r"[^1-9]*[1-9].*")
_WHOLE = re.compile(r"[1-9][0-9]{0,17}")
_INTERVAL = re.compile(r"(?=.*[1-9])([0-9]+(\.[0-9]+)?(ms|s|m|h))+")
_FLAG = re.compile(r"true|false")
_SERVER = re.compile(r"(/\S+|[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")


def _hours(text: str) -> float:
    parts = re.findall(r"([0-9]+)([hms])", text)
    return sum(int(number) / {"h": 1, "m": 60, "s": 3600}[unit] for number, unit in parts)


def _retention(text: str) -> bool:
    return bool(_HOURS.fullmatch(text) and _NOT_ZERO.fullmatch(text))


def _form(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern).fullmatch


#: Variables whose form is known: what tells whether a value has it, and words for it.
_FORMS: dict[str, tuple[Callable[[str], object], str]] = {
    "PROMETHEUS_RETENTION_TIME": (
        lambda text: _AGE.fullmatch(text) and _NOT_ZERO.fullmatch(text),
        "a time such as 30d",
    ),
    "PROMETHEUS_RETENTION_SIZE": (_form(r"0*[1-9][0-9]*(B|KB|MB|GB|TB|PB|EB)"), "a size such as 4GB"),
    "TEMPO_RETENTION": (_retention, "hours such as 168h"),
    "LOKI_RETENTION": (
        lambda text: _retention(text) and _hours(text) >= 24,
        "hours such as 168h, at least 24h",
    ),
    "TEMPO_INGESTION_RATE_BYTES": (_WHOLE.fullmatch, "a whole number of bytes"),
    "TEMPO_INGESTION_BURST_BYTES": (_WHOLE.fullmatch, "a whole number of bytes"),
    "TEMPO_MAX_TRACE_BYTES": (_WHOLE.fullmatch, "a whole number of bytes"),
    "LOKI_INGESTION_RATE_MB": (_WHOLE.fullmatch, "a whole number of megabytes"),
    "LOKI_INGESTION_BURST_MB": (_WHOLE.fullmatch, "a whole number of megabytes"),
    "LOKI_MAX_STREAMS": (_WHOLE.fullmatch, "a whole number"),
    "GRAFANA_URL": (is_url, "an http:// or https:// address"),
    "TELEGRAM_API_URL": (is_url, "an http:// or https:// address"),
    "COLLECTOR_INSTANCE_ID": (_form(r"[A-Za-z0-9_.:-]+"), "a name of letters, digits, dots and dashes"),
    "COLLECTOR_LOG_LEVEL": (_form("debug|info|warn|error"), "debug, info, warn or error"),
    "COLLECTOR_QUEUE_BYTES": (
        lambda text: _WHOLE.fullmatch(text) and int(text) >= 500_000,
        "a whole number of bytes of at least 500000, one request",
    ),
    "COLLECTOR_QUEUE_FILE_BYTES": (_WHOLE.fullmatch, "a whole number of bytes"),
    "SAMPLING_SLOW_MS": (_WHOLE.fullmatch, "a whole number of milliseconds"),
    "SAMPLING_PERCENT": (
        lambda text: re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) and float(text) <= 100,
        "a number from 0 to 100",
    ),
    "SAMPLING_TRACES": (_WHOLE.fullmatch, "a whole number of traces"),
    "SAMPLING_WAIT": (_INTERVAL.fullmatch, "a duration such as 30s"),
    "SAMPLING_WAIT_AFTER_ROOT": (_INTERVAL.fullmatch, "a duration such as 5s"),
    "REMOTE_OTLP_ENDPOINT": (is_url, "an http:// or https:// address"),
    "REMOTE_OTLP_HEADER": (_form(r"[A-Za-z0-9-]+"), "a header's name such as Authorization"),
    "POSTGRES_MONITOR_ENDPOINT": (_SERVER.fullmatch, "NAME:PORT such as postgres:5432"),
    "POSTGRES_MONITOR_DATABASES": (
        _form(r"\[[^\[\]{}\n]*\]|[^\[\]{},\n]+(,[^\[\]{},\n]+)*"),
        "names such as [shop, stats], or [] for all",
    ),
    "POSTGRES_MONITOR_INTERVAL": (_INTERVAL.fullmatch, "a duration such as 15s"),
    "POSTGRES_MONITOR_TLS_INSECURE": (_FLAG.fullmatch, "true or false"),
    "REDIS_MONITOR_ENDPOINT": (_SERVER.fullmatch, "NAME:PORT such as redis:6379"),
    "REDIS_MONITOR_INTERVAL": (_INTERVAL.fullmatch, "a duration such as 15s"),
    "REDIS_MONITOR_TLS_INSECURE": (_FLAG.fullmatch, "true or false"),
    "HOST_INTERVAL": (_INTERVAL.fullmatch, "a duration such as 15s"),
    "OTELBOT_VERSION": (_form(r"[0-9]+(\.[0-9]+)*[A-Za-z0-9.+]*"), "a version such as 0.1.0"),
    "COMPOSE_PROFILES": (
        lambda text: {part.strip() for part in text.split(",")} <= {*required.PROFILES, "*", ""},
        f"among {', '.join(required.PROFILES)}, with commas between them",
    ),
}


def examine(folder: Path, values: Mapping[str, str], profiles: Sequence[str] = ()) -> Iterator[Check]:
    """Check .env and its variables.

    :param profiles: that are chosen besides those of COMPOSE_PROFILES.
    """
    file = folder / ".env"
    if not file.is_file():
        detail = f"none: everything has its default; otelbot stack init {shlex.quote(str(folder))} writes one"
        yield Check("settings", ".env", "info", detail)
    elif stat.S_IMODE(file.stat().st_mode) & 0o077:
        detail = f"other users can read its secrets: chmod 600 {shlex.quote(str(file))}"
        yield Check("settings", ".env", "warning", detail)
    else:
        yield Check("settings", ".env", "ok", "only its owner can read it")
    text = env.read(file)
    commented = env.commented(text)
    yield from _text(folder, text)
    for name, (fits, form) in _FORMS.items():
        if values.get(name) and not fits(values[name]) and name not in commented:
            yield _failed(name, f"{name} is not {form}: mend it")
    for name, sentence in required.missing(values, profiles):
        yield _failed(name, sentence)
    yield from _published(values)
    if values.get("GRAFANA_ADMIN_PASSWORD", "x") == "admin":
        yield _failed("GRAFANA_ADMIN_PASSWORD", "everybody knows this one: choose another, or leave it empty")
    token = values.get("BOT_TOKEN")
    if token and not TOKEN.fullmatch(token):
        yield _failed("BOT_TOKEN", "BOT_TOKEN is not a bot's token: copy it from @BotFather")
    if token and token == values.get("ALERT_TELEGRAM_TOKEN", "").strip():
        detail = (
            "is that of the bot that is watched: when it is revoked, nobody is told; give alerts a bot of their own"
        )
        yield Check("settings", "ALERT_TELEGRAM_TOKEN", "warning", detail)


def _failed(name: str, detail: str) -> Check:
    return Check("settings", name, "failed", detail)


def _text(folder: Path, text: str) -> Iterator[Check]:
    for name in env.commented(text):
        detail = (
            f"{name} has a comment directly after the =, which Compose takes for its value: put it into a line above"
        )
        yield _failed(name, detail)
    for name in env.expanding(text):
        detail = "has a dollar, which Compose replaces by a variable: put the value into single quotes"
        yield Check("settings", name, "warning", detail)
    known = env.examples(env.read(folder / ".env.example"))
    for name in sorted(set(env.parse(text)) - set(known)) if known else ():
        if not name.startswith("COMPOSE_"):  # Docker Compose's own
            yield Check("settings", name, "warning", "is not a variable of the stack: see .env.example")


def _published(values: Mapping[str, str]) -> Iterator[Check]:
    if problem := bind_problem(values.get("BIND_ADDRESS", "")):
        yield _failed("BIND_ADDRESS", problem)
    used: dict[str, str] = {}
    for variable, default, _ in PORTS:
        port = values.get(variable) or default
        if not is_port(port):
            yield _failed(variable, f"{variable} is not a port from 1 to 65535: mend it")
        elif (other := used.setdefault(str(int(port)), variable)) != variable:
            yield _failed(variable, f"{variable} is the port of {other} too: give one of them another")


def bind_problem(address: str) -> str:
    """Return what is wrong with BIND_ADDRESS, or nothing."""
    bare = address.removeprefix("[").removesuffix("]")
    version: int | None
    try:
        version = ipaddress.ip_address(bare).version if address else 4
    except ValueError:
        version = None
    if version is None or "%" in address or (version == 4 and bare != address):
        return "BIND_ADDRESS is not an IP address such as 127.0.0.1: mend it"
    if version == 6 and address != f"[{bare}]":
        return f"BIND_ADDRESS is an IPv6 address, which needs brackets: write [{bare}]"
    return ""
