"""Reading one variable: what is common to all of them. A secret is never in what is said of it."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN = re.compile(r"[0-9]{5,}:[A-Za-z0-9_-]{30,}")
_WEB = {"http", "https"}


class WrongError(Exception):
    """Ends the reading of one channel or setting."""

    def __init__(self, variable: str, sentence: str) -> None:
        super().__init__(sentence)
        self.variable = variable


def get(values: Mapping[str, str], name: str) -> str:
    return values.get(name, "").strip()


def listed(values: Mapping[str, str], name: str) -> list[str]:
    """Return the parts between commas or semicolons, also Persian ones."""
    return [part.strip() for part in re.split("[,;\u060c\u061b]", get(values, name)) if part.strip()]


def ascii_digits(text: str) -> str:
    """Return a text with the digits of every script as 0 to 9: a Persian keyboard writes its own.

    Only for what nobody but otelbot reads.
    """
    return "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in text)


def flag(values: Mapping[str, str], name: str) -> bool:
    # What Go's ParseBool takes, because Grafana reads it.
    raw = get(values, name).lower() or "false"
    if raw not in {"true", "false", "1", "0", "t", "f"}:
        raise WrongError(name, f"{name}={raw[:20]!r} is neither true nor false")
    return raw in {"true", "1", "t"}


def is_port(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and 0 < int(text) < 65536


def is_url(text: str, schemes: set[str] | None = None) -> bool:
    """Whether this is a whole address of one of these schemes, http and https by default."""
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in (schemes or _WEB)
            and bool(parts.hostname)
            and parts.port != 0
            and not re.search(r"\s", text)
        )
    except ValueError:
        return False
