"""The mail server and who is written to, read from ALERT_EMAIL_TO and the SMTP_* variables."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otelbot.alerts.channels.values import WrongError, flag, get, is_port, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

_ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
#: Within what Grafana takes (pkg/util/validation.go), which does not start on another sender: its domain has a dot, and
#: what follows the last one begins and ends with a letter.
_SENDER = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z])?")
_NAME = re.compile(r"(?!.{254})[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_HOST = re.compile(rf"(?!.{{254}}){_NAME.pattern}(?:\.{_NAME.pattern})*|\[[0-9A-Fa-f:.]+\]")


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


def email(values: Mapping[str, str]) -> Email | None:
    """:raises WrongError: for what can't be used."""
    receivers = listed(values, "ALERT_EMAIL_TO")
    if not receivers:
        return None
    for address in receivers:
        if not _ADDRESS.fullmatch(address):
            raise WrongError(
                "ALERT_EMAIL_TO",
                f"ALERT_EMAIL_TO has {address[:80]!r}, which is not an e-mail address: mend or remove it",
            )
    host, port = _host(values), get(values, "SMTP_PORT") or "587"
    user, password = get(values, "SMTP_USER"), values.get("SMTP_PASSWORD", "")
    if not is_port(port):
        raise WrongError(
            "SMTP_PORT", f"SMTP_PORT={port[:20]!r} is not a port: 587 is usual, 465 where TLS starts at once"
        )
    if user and not password:
        raise WrongError("SMTP_PASSWORD", "SMTP_PASSWORD is empty though SMTP_USER is set: write the password into it")
    if password and not user:
        raise WrongError("SMTP_USER", "SMTP_USER is empty though SMTP_PASSWORD is set: write the user's name into it")
    from_whom = sender(values)
    if not from_whom:
        raise WrongError(
            "SMTP_FROM",
            "SMTP_FROM is empty and SMTP_USER is not an address: write alerts@example.org or the like into it",
        )
    return Email(tuple(receivers), from_whom, host, int(port), user, password, flag(values, "SMTP_SKIP_VERIFY"))


def sender(values: Mapping[str, str]) -> str:
    """Return SMTP_FROM or, where it is empty, SMTP_USER if that is an address; otherwise nothing.

    :raises WrongError: for a SMTP_FROM with which the stack's Grafana would not start, whether mail is sent or not.
    """
    given, user = get(values, "SMTP_FROM"), get(values, "SMTP_USER")
    if not given:
        return user if _SENDER.fullmatch(user) else ""
    if not _SENDER.fullmatch(given):
        raise WrongError(
            "SMTP_FROM",
            f"SMTP_FROM={given[:80]!r} is not a bare e-mail address in Latin letters: write one such as"
            " alerts@example.org",
        )
    return given


def _host(values: Mapping[str, str]) -> str:
    host = get(values, "SMTP_HOST")
    if not host:
        raise WrongError(
            "SMTP_HOST", "SMTP_HOST is empty though ALERT_EMAIL_TO is set: write the mail server's name into it"
        )
    if _HOST.fullmatch(host):
        return host
    if re.fullmatch(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", host):
        raise WrongError("SMTP_HOST", "SMTP_HOST is an IPv6 address, which needs brackets: write [2001:db8::1]")
    name, _, port = host.rpartition(":")
    if is_port(port) and _HOST.fullmatch(name):
        raise WrongError(
            "SMTP_HOST", f"SMTP_HOST has a port: put the port into SMTP_PORT ({port}), not behind the name"
        )
    raise WrongError(
        "SMTP_HOST", "SMTP_HOST is not a server's name: write mail.example.org or the like, without smtp://"
    )
