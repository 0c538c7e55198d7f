"""Where alerts go and how often, read from the ALERT_* and SMTP_* variables.

A channel that is not complete is left out, with a sentence about the variable. No secret is ever in that sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from otelbot.stack import quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otelbot.stack.quiet import Quiet

T = TypeVar("T")

SEVERITIES = ("critical", "error", "warning", "info")
COOLDOWNS = {"critical": "1m", "error": "3m", "warning": "5m", "info": "1h"}
#: As many receivers of a kind may come and go; each has a uid that Grafana is told to forget when it is not used.
MOST_CHATS = 10

_TOKEN = re.compile(r"\d{5,}:[A-Za-z0-9_-]{30,}")
_CHAT = re.compile(r"(-?\d{1,20}|@[A-Za-z][A-Za-z0-9_]{3,})(?::(\d{1,9}))?")
_ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_DURATION = re.compile(r"(?=\d)(?:\d{1,4}w)?(?:\d{1,4}d)?(?:\d{1,5}h)?(?:\d{1,6}m)?(?:\d{1,7}s)?")


@dataclass(frozen=True)
class Problem:
    """What is wrong with a variable; `channel` is what is left out for it, if anything is."""

    variable: str
    sentence: str
    channel: str = ""

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True)
class Chat:
    """A Telegram chat: its id or @name and, in a forum group, the topic."""

    id: str
    topic: str = ""

    def __str__(self) -> str:
        return f"{self.id}:{self.topic}" if self.topic else self.id


@dataclass(frozen=True)
class Telegram:
    """A bot that writes to chats."""

    token: str = field(repr=False)
    chats: tuple[Chat, ...]


@dataclass(frozen=True)
class Email:
    """Receivers, and the server that takes mail for them."""

    to: tuple[str, ...]
    sender: str
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    skip_verify: bool = False


@dataclass(frozen=True)
class Webhook:
    """An address that takes Grafana's JSON. Both fields may be secrets."""

    url: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Channels:
    """Everything about alerts that the stack's .env decides."""

    telegram: Telegram | None
    email: Email | None
    webhook: Webhook | None
    language: str
    quiet: tuple[Quiet, ...]
    timezone: str
    cooldowns: Mapping[str, str]
    problems: tuple[Problem, ...]

    @property
    def names(self) -> list[str]:
        return [name for name in ("telegram", "email", "webhook") if getattr(self, name)]


class _WrongError(Exception):
    """Ends the reading of one channel or setting."""

    def __init__(self, variable: str, sentence: str) -> None:
        super().__init__(sentence)
        self.variable = variable


def read(values: Mapping[str, str]) -> Channels:
    """Return the channels and settings of these variables; whatever can't be used is in `problems`."""
    problems: list[Problem] = []

    def attempt(channel: str, parse: Callable[[Mapping[str, str]], T], fallback: T) -> T:
        try:
            return parse(values)
        except _WrongError as wrong:
            problems.append(Problem(wrong.variable, str(wrong), channel))
            return fallback

    return Channels(
        telegram=attempt("telegram", _telegram, None),
        email=attempt("email", _email, None),
        webhook=attempt("webhook", _webhook, None),
        language=attempt("", _language, "en"),
        quiet=attempt("", _quiet, ()),
        timezone=attempt("", _timezone, "UTC"),
        cooldowns={name: attempt("", _cooldown_of(name), COOLDOWNS[name]) for name in SEVERITIES},
        problems=tuple(problems),  # after everything that adds to it
    )


def _get(values: Mapping[str, str], name: str) -> str:
    return values.get(name, "").strip()


def _listed(values: Mapping[str, str], name: str) -> list[str]:
    return [part.strip() for part in re.split(r"[,;]", _get(values, name)) if part.strip()]


def _telegram(values: Mapping[str, str]) -> Telegram | None:
    token, chats = _get(values, "ALERT_TELEGRAM_TOKEN"), _listed(values, "ALERT_TELEGRAM_CHATS")
    if not token and not chats:
        return None
    if not token:
        raise _WrongError(
            "ALERT_TELEGRAM_TOKEN",
            "ALERT_TELEGRAM_TOKEN is empty though ALERT_TELEGRAM_CHATS is set: ask @BotFather for one",
        )
    if not _TOKEN.fullmatch(token):
        raise _WrongError(
            "ALERT_TELEGRAM_TOKEN", "ALERT_TELEGRAM_TOKEN is not a bot's token, 123456789:AAH…: copy it from @BotFather"
        )
    if not chats:
        raise _WrongError(
            "ALERT_TELEGRAM_CHATS",
            "ALERT_TELEGRAM_CHATS is empty though ALERT_TELEGRAM_TOKEN is set: write the chat ids into it",
        )
    if len(chats) > MOST_CHATS:
        raise _WrongError(
            "ALERT_TELEGRAM_CHATS", f"ALERT_TELEGRAM_CHATS has more than {MOST_CHATS} chats: use a group or a channel"
        )
    parsed = []
    for chat in chats:
        match = _CHAT.fullmatch(chat)
        if not match or match[1] in {"0", "-0"}:
            shown = "a bot's token" if _TOKEN.search(chat) else repr(chat[:40])
            raise _WrongError(
                "ALERT_TELEGRAM_CHATS",
                f"ALERT_TELEGRAM_CHATS has {shown}, which is not a chat id such as -1001234567890 or, with a topic,"
                " -1001234567890:42",
            )
        parsed.append(Chat(match[1], match[2] or ""))
    return Telegram(token, tuple(dict.fromkeys(parsed)))


def _email(values: Mapping[str, str]) -> Email | None:
    receivers = _listed(values, "ALERT_EMAIL_TO")
    if not receivers:
        return None
    _address("ALERT_EMAIL_TO", *receivers)
    host, port = _get(values, "SMTP_HOST"), _get(values, "SMTP_PORT") or "587"
    user, password = _get(values, "SMTP_USER"), values.get("SMTP_PASSWORD", "")
    if not host:
        raise _WrongError(
            "SMTP_HOST", "SMTP_HOST is empty though ALERT_EMAIL_TO is set: write the mail server's name into it"
        )
    if not _HOST.fullmatch(host):
        raise _WrongError(
            "SMTP_HOST",
            "SMTP_HOST is not a server's name: write it without smtp://, and its port into SMTP_PORT",
        )
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise _WrongError(
            "SMTP_PORT", f"SMTP_PORT={port[:20]!r} is not a port: 587 is usual, 465 where TLS starts at once"
        )
    if user and not password:
        raise _WrongError("SMTP_PASSWORD", "SMTP_PASSWORD is empty though SMTP_USER is set: write the password into it")
    if password and not user:
        raise _WrongError("SMTP_USER", "SMTP_USER is empty though SMTP_PASSWORD is set: write the user's name into it")
    sender = _get(values, "SMTP_FROM") or user
    if not sender or not _ADDRESS.fullmatch(sender):
        raise _WrongError(
            "SMTP_FROM", "SMTP_FROM is not an e-mail address: write the sender's into it, such as alerts@example.org"
        )
    return Email(tuple(receivers), sender, host, int(port), user, password, _flag(values, "SMTP_SKIP_VERIFY"))


def _address(variable: str, *addresses: str) -> None:
    for address in addresses:
        if not _ADDRESS.fullmatch(address):
            raise _WrongError(
                variable, f"{variable} has {address[:80]!r}, which is not an e-mail address: mend or remove it"
            )


def _flag(values: Mapping[str, str], name: str) -> bool:
    # What Go's ParseBool takes, because Grafana reads it.
    raw = _get(values, name).lower() or "false"
    if raw not in {"true", "false", "1", "0", "t", "f"}:
        raise _WrongError(name, f"{name}={raw[:20]!r} is neither true nor false")
    return raw in {"true", "1", "t"}


def _webhook(values: Mapping[str, str]) -> Webhook | None:
    url, secret = _get(values, "ALERT_WEBHOOK_URL"), _get(values, "ALERT_WEBHOOK_SECRET")
    if not url:
        if secret:
            raise _WrongError(
                "ALERT_WEBHOOK_URL",
                "ALERT_WEBHOOK_URL is empty though ALERT_WEBHOOK_SECRET is set: write the address into it",
            )
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    # Grafana takes braces for a template.
    if not usable or "{{" in url or re.search(r"\s", url):
        raise _WrongError(
            "ALERT_WEBHOOK_URL", "ALERT_WEBHOOK_URL is not an http:// or https:// address: write the whole one"
        )
    return Webhook(url, secret)


def _language(values: Mapping[str, str]) -> str:
    language = _get(values, "ALERT_LANGUAGE").lower() or "en"
    if language not in {"en", "fa"}:
        raise _WrongError(
            "ALERT_LANGUAGE", f"ALERT_LANGUAGE={language[:20]!r} is not a language of the messages: use en or fa"
        )
    return language


def _quiet(values: Mapping[str, str]) -> tuple[Quiet, ...]:
    try:
        return quiet.parse(_get(values, "ALERT_MUTE"))
    except ValueError as error:
        raise _WrongError("ALERT_MUTE", f"ALERT_MUTE {error}") from None


def _timezone(values: Mapping[str, str]) -> str:
    name = _get(values, "ALERT_TIMEZONE") or "UTC"
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        # A small system may know none at all; Grafana brings its own.
        if available_timezones() or not re.fullmatch(r"[A-Za-z_]+(/[A-Za-z0-9_+-]+){0,2}", name):
            raise _WrongError(
                "ALERT_TIMEZONE",
                f"ALERT_TIMEZONE={name[:40]!r} is not a time zone: use one such as Europe/Berlin or UTC",
            ) from None
    return name


def _cooldown_of(severity: str) -> Callable[[Mapping[str, str]], str]:
    def parse(values: Mapping[str, str]) -> str:
        variable = f"ALERT_COOLDOWN_{severity.upper()}"
        raw = _get(values, variable) or COOLDOWNS[severity]
        if not _DURATION.fullmatch(raw) or not re.search(r"[1-9]", raw):
            raise _WrongError(variable, f"{variable}={raw[:20]!r} is not a duration: use one such as 90s, 5m or 1h")
        return raw

    return parse
