"""Sessions begin and end when a user would say so, and their memory is bounded."""

from __future__ import annotations

import pytest

from otelbot.instrumentation.aiogram import sessions as module
from otelbot.instrumentation.aiogram.sessions import Sessions

GAP = 1800.0


@pytest.fixture
def told():
    return []


@pytest.fixture
def sessions(told):
    def ended(user, session, why):
        told.append(("ended", user, session.last - session.first, session.updates, why))

    return Sessions(GAP, lambda user: told.append(("began", user)), ended)


def test_updates_without_a_gap_are_one_session(sessions, told):
    for minute in range(100):
        sessions.seen("ada", minute * 60.0)
    assert told == [("began", "ada")]
    sessions.sweep(99 * 60.0 + GAP - 1)
    assert told == [("began", "ada")]
    sessions.sweep(99 * 60.0 + GAP)
    assert told[1:] == [("ended", "ada", 99 * 60.0, 100, "gap")]
    assert len(sessions) == 0


def test_update_after_a_gap_ends_one_session_and_begins_another(sessions, told):
    sessions.seen("ada", 0.0)
    sessions.seen("ada", GAP)
    assert told == [("began", "ada"), ("ended", "ada", 0.0, 1, "gap"), ("began", "ada")]


def test_only_those_end_whose_gap_has_passed(sessions, told):
    sessions.seen("ada", 0.0)
    sessions.seen("bob", 100.0)
    sessions.seen("ada", 200.0)
    sessions.sweep(100.0 + GAP)
    assert told[2:] == [("ended", "bob", 0.0, 1, "gap")]


def test_all_end_with_the_bot(sessions, told):
    for user in ("ada", "bob"):
        sessions.seen(user, 0.0)
    sessions.end_all()
    assert [(each[1], each[-1]) for each in told[2:]] == [("ada", "shutdown"), ("bob", "shutdown")]


def test_past_the_bound_the_one_seen_longest_ago_is_forgotten(sessions, told, monkeypatch):
    monkeypatch.setattr(module, "_MOST_USERS", 2)
    for now, user in enumerate(("ada", "bob", "ada", "eve")):
        sessions.seen(user, float(now))
    assert len(sessions) == 2
    assert told[-2:] == [("ended", "bob", 0.0, 1, "evicted"), ("began", "eve")]
