"""Pending, firing, kept, resolved: as Prometheus has it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelbot.alerts.rules import MEMORY_HIGH
from otelbot.alerts.stack_rules import TELEMETRY_MISSING
from otelbot.alerts.transitions import MOST, beyond, clean, key_of, step

RULE = replace(MEMORY_HIGH, threshold=10, wait=20, keep=30)
SHOP = {"service_name": "shop"}


def course(values, rule=RULE, every=10):
    """Return the state after each evaluation, and all changes, when the value is each of these in turn."""
    active, states, changes = {}, [], []
    for number, value in enumerate(values):
        samples = [] if value is None else [(SHOP, value)]
        found = step(rule, active, samples, number * every)
        active = found.active
        states.append(next((each.state for each in active.values()), "-"))
        changes += [change.state for change in found.changes]
    return states, changes


def test_it_fires_after_its_wait():
    states, changes = course([11, 11, 11, 11])
    assert states == ["pending", "pending", "firing", "firing"]
    assert changes == ["pending", "firing"]


def test_what_ends_while_pending_is_forgotten():
    states, changes = course([11, 11, 9, 11, 11, 11])
    assert states == ["pending", "pending", "-", "pending", "pending", "firing"]
    assert changes == ["pending", "pending", "firing"]


def test_it_is_kept_for_a_while_from_the_first_calm_evaluation_on():
    states, changes = course([11, 11, 11, 9, 9, 9, 9, 9])
    assert states == ["pending", "pending", *["firing"] * 4, "-", "-"]
    assert changes == ["pending", "firing", "resolved"]


def test_a_breach_meanwhile_begins_the_keeping_anew():
    states, changes = course([11, 11, 11, None, None, 11, None, None, None, None])
    assert states[-2:] == ["firing", "-"]
    assert changes.count("firing") == 1


def test_without_a_wait_it_fires_at_once_and_without_keeping_it_ends_at_once():
    states, changes = course([11, None], replace(RULE, wait=0, keep=0))
    assert states == ["firing", "-"]
    assert changes == ["firing", "resolved"]


def test_the_limit_itself_is_no_breach_and_neither_is_what_is_no_number():
    assert not beyond(RULE, 10)
    assert not beyond(RULE, math.nan)
    assert not beyond(TELEMETRY_MISSING, math.nan)
    assert beyond(RULE, math.inf)
    assert beyond(TELEMETRY_MISSING, 0)


def test_each_set_of_labels_is_an_alert_of_its_own_and_there_are_only_so_many():
    samples = [({"__name__": "x", "service_name": f"bot-{number}"}, 11) for number in range(MOST + 5)]
    found = step(RULE, {}, samples, 0)
    assert len(found.active) == MOST
    assert found.left_out == 5
    assert {"service_name": "bot-0"} in [active.labels for active in found.active.values()]
    again = step(RULE, found.active, reversed(samples), 20)
    assert again.active.keys() == found.active.keys()


@pytest.mark.parametrize("text", ["\0", "\ud800", "x" * 10_000, "<script>"])
def test_labels_of_any_text_can_be_stored(text):
    found = step(RULE, {}, [({"service_name": text}, 11)], 0)
    [key] = found.active
    assert len(key.encode()) < 2000
    assert "\0" not in key


@given(st.dictionaries(st.text(), st.text()))
def test_the_same_labels_have_the_same_key(labels):
    cleaned = {clean(name): clean(text) for name, text in labels.items()}
    assert key_of(cleaned) == key_of(dict(reversed(list(cleaned.items()))))
    key_of(cleaned).encode()


@given(st.lists(st.sampled_from([None, 9, 11]), max_size=40), st.integers(0, 4), st.integers(0, 4))
def test_whatever_happens_changes_follow_one_another(values, waits, keeps):
    _, changes = course(values, replace(RULE, wait=waits * 10, keep=keeps * 10))
    firing = [change for change in changes if change != "pending"]
    assert firing == [("firing", "resolved")[number % 2] for number in range(len(firing))]


def test_a_clock_that_is_set_back_delays_nothing():
    before = step(RULE, {}, [(SHOP, 11)], 10_000).active
    later = step(RULE, before, [(SHOP, 11)], 100).active
    assert [active.state for active in step(RULE, later, [(SHOP, 11)], 120).active.values()] == ["firing"]
