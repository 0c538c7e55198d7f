"""ALERT_MUTE becomes the mute timing that silences exactly those minutes."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelbot.alerts.channels import quiet
from otelbot.alerts.channels.quiet import DAYS, Quiet

DAY = 24 * 60


def silent(intervals, day, minute):
    """Whether Grafana would be silent in that minute: Alertmanager's rules, an end is not part of its range."""

    def minutes(clock):
        hour, _, rest = clock.partition(":")
        return int(hour) * 60 + int(rest)

    return any(
        DAYS[day] in interval.get("weekdays", DAYS)
        and any(minutes(each["start_time"]) <= minute < minutes(each["end_time"]) for each in interval.get("times", ()))
        for interval in intervals
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", ()),
        ("23:00-07:00", (Quiet(23 * 60, 7 * 60),)),
        (" 1:30 - 2:00 ,13:00-14:00", (Quiet(90, 120), Quiet(780, 840))),
        ("fri 00:00-24:00", (Quiet(0, DAY, frozenset({4})),)),
        ("Mon-Fri 23:00-07:00", (Quiet(1380, 420, frozenset(range(5))),)),
        ("saturday-wed 23:00-07:00", (Quiet(1380, 420, frozenset({5, 6, 0, 1, 2})),)),
    ],
)
def test_what_can_be_written(raw, expected):
    assert quiet.parse(raw) == expected


def test_hours_over_midnight_end_on_the_next_day():
    intervals = quiet.intervals(quiet.parse("sun 23:00-07:00"), "Asia/Tehran")
    assert intervals == [
        {"times": [{"start_time": "23:00", "end_time": "24:00"}], "weekdays": ["sunday"], "location": "Asia/Tehran"},
        {"times": [{"start_time": "00:00", "end_time": "07:00"}], "weekdays": ["monday"], "location": "Asia/Tehran"},
    ]


def test_without_quiet_hours_the_timing_is_there_and_never_holds():
    assert quiet.intervals((), "UTC") == [{"years": ["1970"]}]


MINUTES = st.integers(0, DAY - 1)
HOURS = st.builds(Quiet, MINUTES, st.integers(0, DAY), st.frozensets(st.integers(0, 6), min_size=1)).filter(
    lambda hours: hours.start != hours.end
)


@given(st.lists(HOURS, min_size=1, max_size=3).map(tuple), st.integers(0, 6), MINUTES)
def test_asked_directly_they_hold_when_the_mute_timing_does(quiet_hours, day, minute):
    when = datetime(2026, 9, 21 + day, minute // 60, minute % 60, 59, tzinfo=timezone.utc)  # the 21st is a Monday
    assert quiet.holds(quiet_hours, when) is silent(quiet.intervals(quiet_hours, "UTC"), day, minute)


def test_a_zone_that_this_system_does_not_know_is_utc():
    assert quiet.zone("Nowhere/Atlantis") is timezone.utc
    assert quiet.zone("../etc") is timezone.utc


@given(st.lists(HOURS, min_size=1, max_size=3).map(tuple), st.integers(0, 6), MINUTES)
def test_exactly_these_minutes_are_silent(hours, day, minute):
    def wanted(each):
        if each.start < each.end:
            return day in each.days and each.start <= minute < each.end
        return (day in each.days and minute >= each.start) or ((day - 1) % 7 in each.days and minute < each.end)

    assert silent(quiet.intervals(hours, "UTC"), day, minute) is any(map(wanted, hours))
