"""Where alerts go and how often, read from the ALERT_* and SMTP_* variables.

A channel that is not complete is left out, with a sentence about the variable. No secret is ever in that sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from otelbot.alerts.channels import mail, quiet
from otelbot.alerts.channels.values import TOKEN, WrongError, ascii_digits, get, is_url, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otelbot.alerts.channels.mail import Email
    from otelbot.alerts.channels.quiet import Quiet

T = TypeVar("T")

SEVERITIES = ("critical", "error", "warning", "info")
COOLDOWNS = {"critical": "1m", "error": "3m", "warning": "5m", "info": "1h"}
#: What quiet hours hold back; the others wake somebody: that is what they are for.
MUTED = frozenset({"warning", "info"})
TELEGRAM_API = "https://api.telegram.org"
#: As many receivers of a kind may come and go; each has a uid that Grafana is told to forget when it is not used.
MOST_CHATS = 10

_CHAT = re.compile(r"(-?[0-9]{1,20}|@[A-Za-z][A-Za-z0-9_]{3,})(?::([0-9]{1,9}))?")
_DURATION = re.compile(r"(?=[0-9])(?:[0-9]{1,4}w)?(?:[0-9]{1,4}d)?(?:[0-9]{1,5}h)?(?:[0-9]{1,6}m)?(?:[0-9]{1,7}s)?")
_SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
#: They mean this machine's own zone, or none; Grafana runs elsewhere.
_NO_ZONES = {"Factory", "localtime", "posixrules"}


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
    api: str = TELEGRAM_API  #: of a Bot API server


@dataclass(frozen=True)
class Webhook:
    """An address that takes Grafana's JSON. Both fields may be secrets."""

    url: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Channels:
    """Everything about alerts that the variables decide."""

    telegram: Telegram | None
    email: Email | None
    webhook: Webhook | None
    language: str
    quiet: tuple[Quiet, ...]
    timezone: str
    cooldowns: Mapping[str, str]
    #: A proxy for Telegram and the webhook; it may hold a password.
    proxy: str = field(repr=False)
    problems: tuple[Problem, ...] = ()

    @property
    def names(self) -> list[str]:
        return [name for name in ("telegram", "email", "webhook") if getattr(self, name)]


def read(values: Mapping[str, str]) -> Channels:
    """Return the channels and settings of these variables; whatever can't be used is in `problems`."""
    problems: list[Problem] = []

    def attempt(channel: str, parse: Callable[[Mapping[str, str]], T], fallback: T) -> T:
        try:
            return parse(values)
        except WrongError as wrong:
            problems.append(Problem(wrong.variable, str(wrong), channel))
            return fallback

    found = Channels(
        telegram=attempt("telegram", _telegram, None),
        email=attempt("email", mail.email, None),
        webhook=attempt("webhook", _webhook, None),
        language=attempt("", _language, "en"),
        quiet=attempt("", _quiet, ()),
        timezone=attempt("", _timezone, "UTC"),
        cooldowns={name: attempt("", _cooldown_of(name), COOLDOWNS[name]) for name in SEVERITIES},
        proxy=attempt("", _proxy, ""),
    )
    # Grafana reads the sender whether mail is sent or not.
    if not any(problem.variable == "SMTP_FROM" for problem in problems):
        attempt("email", mail.sender, "")
    return replace(found, problems=tuple(problems))


def seconds(duration: str) -> int:
    """Return how long a cooldown such as `90s` or `1d12h` is, in seconds."""
    parts = re.findall(r"([0-9]+)([wdhms])", duration)
    return sum(int(number) * _SECONDS[unit] for number, unit in parts)


def _telegram(values: Mapping[str, str]) -> Telegram | None:
    token, chats = get(values, "ALERT_TELEGRAM_TOKEN"), listed(values, "ALERT_TELEGRAM_CHATS")
    if not token and not chats:
        return None
    if not token:
        raise WrongError(
            "ALERT_TELEGRAM_TOKEN",
            "ALERT_TELEGRAM_TOKEN is empty though ALERT_TELEGRAM_CHATS is set: ask @BotFather for one",
        )
    if not TOKEN.fullmatch(token):
        raise WrongError(
            "ALERT_TELEGRAM_TOKEN", "ALERT_TELEGRAM_TOKEN is not a bot's token, 123456789:AAH…: copy it from @BotFather"
        )
    if not chats:
        raise WrongError(
            "ALERT_TELEGRAM_CHATS",
            "ALERT_TELEGRAM_CHATS is empty though ALERT_TELEGRAM_TOKEN is set: write the chat ids into it",
        )
    if len(chats) > MOST_CHATS:
        raise WrongError(
            "ALERT_TELEGRAM_CHATS", f"ALERT_TELEGRAM_CHATS has more than {MOST_CHATS} chats: use a group or a channel"
        )
    parsed = []
    for chat in map(ascii_digits, chats):
        match = _CHAT.fullmatch(chat)
        if not match or match[1] in {"0", "-0"}:
            shown = "a bot's token" if TOKEN.search(chat) else repr(chat[:40])
            raise WrongError(
                "ALERT_TELEGRAM_CHATS",
                f"ALERT_TELEGRAM_CHATS has {shown}, which is not a chat id such as -1001234567890 or, with a topic,"
                " -1001234567890:42",
            )
        if match[2] and not (int(match[2]) and match[1][0] in "-@"):
            raise WrongError(
                "ALERT_TELEGRAM_CHATS",
                f"ALERT_TELEGRAM_CHATS has {chat!r}: a topic is 1 or more, and only of a group, whose id is below zero",
            )
        parsed.append(Chat(match[1], match[2] or ""))
    api = get(values, "TELEGRAM_API_URL").rstrip("/") or TELEGRAM_API
    return Telegram(token, tuple(dict.fromkeys(parsed)), api)


def _webhook(values: Mapping[str, str]) -> Webhook | None:
    url, secret = get(values, "ALERT_WEBHOOK_URL"), get(values, "ALERT_WEBHOOK_SECRET")
    if not url:
        if secret:
            raise WrongError(
                "ALERT_WEBHOOK_URL",
                "ALERT_WEBHOOK_URL is empty though ALERT_WEBHOOK_SECRET is set: write the address into it",
            )
        return None
    # Grafana takes braces for a template.
    if not is_url(url) or "{{" in url:
        raise WrongError(
            "ALERT_WEBHOOK_URL", "ALERT_WEBHOOK_URL is not an http:// or https:// address: write the whole one"
        )
    return Webhook(url, secret)


def _language(values: Mapping[str, str]) -> str:
    language = get(values, "ALERT_LANGUAGE").lower() or "en"
    if language not in {"en", "fa"}:
        raise WrongError(
            "ALERT_LANGUAGE", f"ALERT_LANGUAGE={language[:20]!r} is not a language of the messages: use en or fa"
        )
    return language


def _quiet(values: Mapping[str, str]) -> tuple[Quiet, ...]:
    try:
        return quiet.parse(ascii_digits(get(values, "ALERT_MUTE")).replace("\u060c", ","))
    except ValueError as error:
        raise WrongError("ALERT_MUTE", f"ALERT_MUTE {error}") from None


def _timezone(values: Mapping[str, str]) -> str:
    name = get(values, "ALERT_TIMEZONE") or "UTC"
    known = available_timezones() - _NO_ZONES
    # A small system may know none at all; Grafana brings its own.
    form = name not in _NO_ZONES and re.fullmatch(r"(?!posix/|right/)[A-Za-z_]+(/[A-Za-z0-9_+-]+){0,2}", name)
    if not (name in known if known else form):
        raise WrongError(
            "ALERT_TIMEZONE",
            f"ALERT_TIMEZONE={name[:40]!r} is not a time zone: use one such as Europe/Berlin or UTC",
        )
    return name


def _proxy(values: Mapping[str, str]) -> str:
    proxy = get(values, "ALERT_PROXY")
    if proxy and (not is_url(proxy, {"http", "https", "socks5"}) or urlsplit(proxy).path.strip("/")):
        raise WrongError(
            "ALERT_PROXY",
            "ALERT_PROXY is not a proxy's address: write http://NAME:PORT, https:// or socks5:// before it",
        )
    return proxy


def _cooldown_of(severity: str) -> Callable[[Mapping[str, str]], str]:
    def parse(values: Mapping[str, str]) -> str:
        variable = f"ALERT_COOLDOWN_{severity.upper()}"
        raw = ascii_digits(get(values, variable)) or COOLDOWNS[severity]
        if not _DURATION.fullmatch(raw) or not re.search(r"[1-9]", raw):
            raise WrongError(variable, f"{variable}={raw[:20]!r} is not a duration: use one such as 90s, 5m or 1h")
        return raw

    return parse
