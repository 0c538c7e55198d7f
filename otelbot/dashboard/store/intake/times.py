"""Times as senders tell them, made such that nothing is confused by a clock that is wrong."""

from __future__ import annotations

_EARLIEST = 946_684_800 * 10**9  # the year 2000, ns since the epoch
_AHEAD = 24 * 3600 * 10**9  # ns that a clock may be ahead of ours


def sane(time: int, now: int) -> int:
    """Return a time, or `now` where it can't be one: 0, or more than a day from now in the future. All in ns."""
    return time if _EARLIEST <= time <= now + _AHEAD else now
