"""Quiet hours: ALERT_MUTE, `mon-fri 23:00-07:00, sat-sun 22:00-10:00`, asked directly or as Grafana's mute timings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timezone
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SHORT = {day[:3]: number for number, day in enumerate(DAYS)}
_HOURS = re.compile(r"(?:([a-z]{3,9})(?:-([a-z]{3,9}))?\s+)?(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})", re.IGNORECASE)
_END_OF_DAY = 24 * 60


@dataclass(frozen=True)
class Quiet:
    """Minutes of the day, on some days of the week (0 is Monday). They end on the next day when `end` is not later."""

    start: int
    end: int
    days: frozenset[int] = frozenset(range(7))


def parse(raw: str) -> tuple[Quiet, ...]:
    """Return what ALERT_MUTE says.

    :raises ValueError: with a sentence that completes «ALERT_MUTE …».
    """
    return tuple(_one(part.strip()) for part in raw.split(",") if part.strip())


def _one(part: str) -> Quiet:
    match = _HOURS.fullmatch(part)
    if not match:
        raise ValueError(f"has {part[:40]!r}, which is not hours such as 23:00-07:00 or mon-fri 23:00-07:00")
    first, last, *times = match.groups()
    start, end = (int(hour) * 60 + int(minute) for hour, minute in (times[:2], times[2:]))
    if max(start, end) > _END_OF_DAY or start == _END_OF_DAY or int(times[1]) > 59 or int(times[3]) > 59:
        raise ValueError(f"has {part[:40]!r}, whose hours are not between 00:00 and 24:00")
    if start == end:
        raise ValueError(f"has {part[:40]!r}, which begins when it ends; write 00:00-24:00 for the whole day")
    return Quiet(start, end, _days(first, last) if first else Quiet.days)


def _days(first: str, last: str | None) -> frozenset[int]:
    numbers = []
    for name in (first, last or first):
        number = _SHORT.get(name[:3].lower())
        if number is None or not DAYS[number].startswith(name.lower()):
            raise ValueError(f"has the day {name[:20]!r}; days are mon, tue, wed, thu, fri, sat, sun")
        numbers.append(number)
    # A week may begin on any day: sat-wed.
    return frozenset((numbers[0] + step) % 7 for step in range((numbers[1] - numbers[0]) % 7 + 1))


def zone(name: str) -> tzinfo:
    """Return the time zone of ALERT_TIMEZONE; UTC where this system does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return timezone.utc


def holds(quiet: tuple[Quiet, ...], when: datetime) -> bool:
    """Whether it is quiet at this time of these hours' zone. The end of hours is not part of them."""
    minute, today = when.hour * 60 + when.minute, when.weekday()
    yesterday = (today - 1) % 7

    def within(hours: Quiet) -> bool:
        if hours.start < hours.end:
            return today in hours.days and hours.start <= minute < hours.end
        return (today in hours.days and minute >= hours.start) or (yesterday in hours.days and minute < hours.end)

    return any(map(within, quiet))


def intervals(quiet: tuple[Quiet, ...], place: str) -> list[dict[str, Any]]:
    """Return Grafana's `time_intervals`. One of its time ranges can't pass midnight, so such hours are two."""
    if not quiet:
        return [{"years": ["1970"]}]  # never: a mute timing that policies name may not go away
    found = []
    for hours in quiet:
        if hours.start < hours.end:
            found.append(_interval(hours.start, hours.end, hours.days, place))
            continue
        found.append(_interval(hours.start, _END_OF_DAY, hours.days, place))
        if hours.end:
            next_days = frozenset((day + 1) % 7 for day in hours.days)
            found.append(_interval(0, hours.end, next_days, place))
    return found


def _interval(start: int, end: int, days: frozenset[int], place: str) -> dict[str, Any]:
    interval: dict[str, Any] = {"times": [{"start_time": _clock(start), "end_time": _clock(end)}]}
    if len(days) < 7:
        interval["weekdays"] = [DAYS[day] for day in sorted(days)]
    return interval | {"location": place}


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
