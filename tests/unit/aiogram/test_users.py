"""The number of active users is right within 3 % and its memory is the same for ten and for 200,000."""

from __future__ import annotations

import random
import sys

import pytest

from otelbot.instrumentation.aiogram.users import ActiveUsers, union


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def size(users: ActiveUsers) -> int:
    sketches = [sketch for window in users._windows.values() for sketch in (window.current, *window._complete.values())]
    return sum(map(sys.getsizeof, sketches))


@pytest.mark.parametrize("number", [0, 1, 10, 1_000, 41_000, 200_000])
def test_how_many(number):
    users = ActiveUsers(Clock())
    before = size(users)
    for _ in range(2 if number < 10_000 else 1):
        for user in range(number):
            users.add(5_000_000_000 + user * 17)
    for count in users.count().values():
        assert count == pytest.approx(number, rel=0.03)
    assert size(users) == before


def test_a_union_has_the_larger_of_each_register():
    draw = random.Random(7)
    for ranks in ([0, 1, 50, 51], range(52), [0, 127]):
        sketches = [bytes(draw.choices(ranks, k=1 << 14)) for _ in range(5)]
        assert union(*sketches) == bytes(map(max, *sketches))
        assert union(sketches[0]) == sketches[0]


def test_an_update_that_begins_a_part_of_a_window_does_not_wait_for_what_all_parts_make_together(monkeypatch):
    """That held the event loop for 23 ms four times a minute."""
    clock = Clock()
    users = ActiveUsers(clock)
    with monkeypatch.context() as patch:
        patch.setattr("otelbot.instrumentation.aiogram.users.union", None)
        for user in range(50):
            users.add(user)
            clock.now += 15
    assert users.count() == {"5m": 19, "1h": 50, "24h": 50}


def test_a_clock_that_goes_back_loses_nobody():
    clock = Clock()
    users = ActiveUsers(clock)
    for user in range(100):
        users.add(user)
    clock.now += 3600
    users.add(100)
    clock.now -= 3600
    users.add(101)
    clock.now += 7200
    assert users.count()["24h"] == 102


def test_windows_forget():
    clock = Clock()
    users = ActiveUsers(clock)
    for user in range(100):
        users.add(user)
    clock.now += 270
    for user in range(50, 200):
        users.add(user)
    assert users.count()["5m"] == pytest.approx(200, rel=0.03)
    clock.now += 60  # the first hundred are out of it
    assert users.count() == {
        "5m": pytest.approx(150, rel=0.03),
        "1h": pytest.approx(200, rel=0.03),
        "24h": pytest.approx(200, rel=0.03),
    }
    clock.now += 3_700
    assert users.count()["1h"] == 0
    clock.now += 90_000
    assert users.count()["24h"] == 0


def test_days_of_use_take_no_more_than_a_day():
    clock = Clock()
    users = ActiveUsers(clock)
    sizes = []
    for hour in range(72):
        clock.now += 3600
        users.add(hour)
        sizes.append(size(users))
    assert max(sizes[30:]) == sizes[30] < 1_200_000
