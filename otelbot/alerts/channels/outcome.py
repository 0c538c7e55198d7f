"""What came of sending a message, and what it means for another attempt.

What a server or a library says of an error may hold the token or an address, so its words are not passed on; what they
mean is said instead.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Literal

import urllib3

#: `retry`: surely not delivered, may be tried again. `refused`: not delivered, for good. `unknown`: it may have been.
Status = Literal["sent", "retry", "refused", "unknown"]

#: Statuses with which a server says that it did not take a request and may take it later. Not 504: what stands in
#: front of a server says so of a request that it has passed on.
_LATER = {425, 429, 500, 502, 503}

_REASONS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((socket.gaierror, urllib3.exceptions.NameResolutionError), "the name is unknown"),
    ((ssl.SSLCertVerificationError,), "its certificate is not trusted"),
    ((ssl.SSLError, urllib3.exceptions.SSLError), "no encryption that works"),
    ((ConnectionRefusedError,), "connection refused"),
    ((TimeoutError, urllib3.exceptions.TimeoutError), "no answer in time"),
)
#: Errors before anything of a request was sent.
_BEFORE = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,
    urllib3.exceptions.SSLError,
)


@dataclass(frozen=True)
class Result:
    """How one attempt ended."""

    status: Status
    detail: str  #: a sentence for the user
    after: float = 0  #: seconds for which the server asks to wait before the next attempt


@dataclass(frozen=True)
class Outcome:
    """What came of one message to one target: `email`, `webhook` or `telegram CHAT`."""

    channel: str
    status: Status
    detail: str
    after: float = 0

    @property
    def ok(self) -> bool:
        return self.status == "sent"


def of_answer(status: int) -> Status:
    """Return what an HTTP status that is no success means."""
    if status in _LATER:
        return "retry"
    return "unknown" if status >= 500 else "refused"


def of_error(error: urllib3.exceptions.HTTPError) -> Status:
    """Return what it means that an HTTP request got no answer."""
    if isinstance(error, urllib3.exceptions.LocationValueError):
        return "refused"
    return "retry" if isinstance(error, _BEFORE) else "unknown"


def reason(error: BaseException) -> str:
    """Return a few words that hold nothing of the address: the texts of these errors do."""
    chain: list[BaseException] = []
    seen: BaseException | None = error
    while seen is not None and seen not in chain:
        chain.append(seen)
        seen = seen.__cause__ or seen.__context__
    for kinds, words in _REASONS:
        if any(isinstance(each, kinds) for each in chain):
            return words
    return type(error).__name__
