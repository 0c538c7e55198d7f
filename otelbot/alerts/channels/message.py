"""A message in the forms of the three channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Message:
    telegram: str  #: Telegram's HTML, at most 4096 characters
    subject: str  #: one line
    plain: str
    payload: dict[str, Any]  #: for the webhook: what Grafana would send


#: Of Telegram, tags included.
LONGEST = 4096
