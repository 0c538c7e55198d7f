"""What is said of a check that failed: enough to know why, and no secret."""

from __future__ import annotations

import re

from otelbot.export.scrubber import scrub_text
from otelbot.privacy import MASK, error_type, exception_message

_LONGEST = 300  # characters
#: What stands between a scheme and a host.
_credentials = re.compile(r"(?<=://)[^/\s@'\"]*(?:@[^/\s@'\"]*)*@")
#: What is named as a secret: `password=…` of a DSN, a header.
_named = re.compile(r"(?i)\b((?:password|passwd|pwd|secret|token|api[_-]?key)\s*[=:]\s*|(?:bearer|basic)\s+)[^\s,;&]+")


def said(text: str) -> str:
    """Return `text` scrubbed, without credentials of URLs and what is named as a secret, in one line, not long."""
    words = " ".join(_named.sub(rf"\1{MASK}", _credentials.sub(f"{MASK}@", scrub_text(text))).split())
    return words if len(words) <= _LONGEST else words[:_LONGEST] + "…"


def said_of(error: BaseException) -> str:
    kind, message = error_type(error), exception_message(error)
    return said(kind if message in {"", kind} else f"{kind}: {message}")
