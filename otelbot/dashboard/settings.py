"""The dashboard's variables, each with its default, its unit and its reason, and what they say together."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from otelbot.settings import Variable

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,200}")  # fits into a URL, a cookie and a header as it is
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}")


class SettingsError(ValueError):
    """A variable or an option can't be used; the text is one sentence for the user."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _host(raw: str) -> str:
    bare = raw[1:-1] if raw.startswith("[") and raw.endswith("]") else raw
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        if _HOST.fullmatch(raw):
            return raw
        raise ValueError("is neither an address nor the name of a machine") from None


def _port(raw: str) -> int:
    try:
        port = int(raw)
    except ValueError:
        raise ValueError("is not a whole number") from None
    if not 0 <= port <= 65_535:
        raise ValueError("is not a port, which is a number of 0 (any free one) to 65535")
    return port


def _token(raw: str) -> str:
    if not _TOKEN.fullmatch(raw):
        raise ValueError("is not 16 to 200 letters, digits and . _ ~ -")
    return raw


def _origin(raw: str) -> str:
    try:
        parts = urlsplit(raw)
        known = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 1) and "@" not in parts.netloc
    except ValueError:
        known = False
    if not known or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("is not a URL of only http:// or https:// and a host, like https://bots.example.org")
    return f"{parts.scheme}://{parts.netloc}"


def _number(raw: str, least: float, most: float) -> float:
    try:
        value = float(raw)
    except ValueError:
        raise ValueError("is not a number") from None
    if not least <= value <= most:
        raise ValueError(f"is not a number from {least:g} to {most:g}")
    return value


def _megabytes(raw: str) -> float:
    return _number(raw, 16, 1_000_000)


def _hours(raw: str) -> float:
    return _number(raw, 0.1, 24 * 366)


HOST = Variable(
    "OTELBOT_DASHBOARD_HOST",
    "127.0.0.1",
    _host,
    "address",
    "Where the page is opened. An address that other machines reach asks each of them for the token.",
)
PORT = Variable("OTELBOT_DASHBOARD_PORT", 8080, _port, "port", "The page's port; 0 takes a free one.")
URL = Variable(
    "OTELBOT_DASHBOARD_URL",
    "",
    _origin,
    "URL without a path",
    "Where people reach the page through a reverse proxy: links in alerts lead there, and changes may come from there.",
    means="made of host and port",
)
OTLP_HOST = Variable(
    "OTELBOT_DASHBOARD_OTLP_HOST",
    "127.0.0.1",
    _host,
    "address",
    "Where telemetry is received. An address that other machines reach asks each sender for the token.",
)
OTLP_PORT = Variable("OTELBOT_DASHBOARD_OTLP_PORT", 4318, _port, "port", "The port of OTLP/HTTP; 0 takes a free one.")
TOKEN = Variable(
    "OTELBOT_DASHBOARD_TOKEN",
    "",
    _token,
    "text of 16 characters or more",
    "What the page asks for where other machines reach it; once set on this machine as well, as a reverse proxy needs.",
    secret=True,
    means="made up once, kept in the folder",
)
FOLDER = Variable(
    "OTELBOT_DASHBOARD_FOLDER",
    "",
    str,
    "folder",
    "Where telemetry, alerts and the token are kept.",
    means="`$XDG_DATA_HOME/otelbot`, which is mostly `~/.local/share/otelbot`",
)
MAX_MB = Variable(
    "OTELBOT_DASHBOARD_MAX_MB", 512.0, _megabytes, "MiB", "How large the database becomes before the oldest goes."
)
MAX_HOURS = Variable(
    "OTELBOT_DASHBOARD_MAX_HOURS", 168.0, _hours, "hours", "How long traces and logs are kept, if there is room."
)
METRICS_HOURS = Variable(
    "OTELBOT_DASHBOARD_METRICS_HOURS", 24.0, _hours, "hours", "How long metrics are kept, if there is room."
)

VARIABLES: tuple[Variable[str] | Variable[int] | Variable[float], ...] = (
    HOST,
    PORT,
    URL,
    OTLP_HOST,
    OTLP_PORT,
    TOKEN,
    FOLDER,
    MAX_MB,
    MAX_HOURS,
    METRICS_HOURS,
)


@dataclass(frozen=True)
class Settings:
    host: str
    port: int  # 0: a free one
    url: str | None  # of a reverse proxy, without a slash at its end
    otlp_host: str
    otlp_port: int  # 0: a free one
    token: str | None  # None: none was set
    folder: Path  # absolute
    max_bytes: int
    max_age: float  # seconds, of traces and logs
    metrics_age: float  # seconds

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read every variable of `VARIABLES`.

        :raises SettingsError: for one that can't be used.
        """

        def read(variable: Variable[T]) -> T:
            value, problem = variable.read(environ)
            if problem:
                raise SettingsError(f"{problem.variable} {problem.why}; mend it, or unset it")
            return value

        return cls(
            host=read(HOST),
            port=read(PORT),
            url=read(URL) or None,
            otlp_host=read(OTLP_HOST),
            otlp_port=read(OTLP_PORT),
            token=read(TOKEN) or None,
            folder=_folder(read(FOLDER), environ),
            max_bytes=int(read(MAX_MB) * 2**20),
            max_age=read(MAX_HOURS) * 3600,
            metrics_age=read(METRICS_HOURS) * 3600,
        )


def _folder(wanted: str, environ: Mapping[str, str]) -> Path:
    try:
        if wanted:
            return Path(wanted).expanduser().absolute()
        shared = environ.get("XDG_DATA_HOME", "")
        # A relative one is no place, says the specification of these variables.
        base = Path(shared) if shared.startswith("/") else Path.home() / ".local" / "share"
    except RuntimeError:
        raise SettingsError(f"this user has no home folder; set {FOLDER.name} to a folder") from None
    return base / "otelbot"
