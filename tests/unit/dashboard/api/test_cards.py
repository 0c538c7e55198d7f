"""The figures that a person looks at first."""

from __future__ import annotations

import json

import pytest

from otelbot import signals
from otelbot.alerts.promql import name
from otelbot.dashboard.api.cards import cards
from otelbot.dashboard.api.evaluation import RESOLUTIONS, Evaluation
from tests.unit.dashboard.api.test_panels import NOW, START, series
from tests.unit.dashboard.promql.notation import memory

UPTIME = {series(signals.PROCESS_UPTIME): "2+15x240"}


def shown(found, service=None, latest=(), range_="1h"):
    made = cards(Evaluation(), memory(found | UPTIME, start=START), RESOLUTIONS[range_], service, NOW, list(latest))
    return json.loads(json.dumps(made, allow_nan=False))


def updates(handled, failed="0x240", seconds="0x240"):
    labels = {"telegram_update_type": "message"}
    return {
        series(signals.UPDATE_DURATION, "_count", telegram_update_outcome="handled", **labels): handled,
        series(signals.UPDATE_DURATION, "_sum", telegram_update_outcome="handled", **labels): seconds,
        series(signals.UPDATE_DURATION, "_count", telegram_update_outcome="error", **labels): failed,
        series(signals.UPDATE_DURATION, "_sum", telegram_update_outcome="error", **labels): "0x240",
    }


def age(value, *, seconds_ago=0.0, bot="1"):
    labels = {"service_name": "shop", "telegram_bot_id": bot}
    return {
        "name": name(signals.POLLING_AGE),
        "labels": labels,
        "kind": "gauge",
        "time": (NOW - seconds_ago) * 1000,
        "value": value,
    }


def test_without_a_bot_there_is_nothing_and_nothing_is_wrong():
    made = cards(Evaluation(), memory({}), RESOLUTIONS["1h"], None, NOW, [])
    assert {card: (figure["value"], figure["status"]) for card, figure in made.items()} == {
        "messages_processed": (0, "ok"),
        "average_response_time": (None, "ok"),
        "memory": (None, "ok"),
        "active_users": (None, "ok"),
        "error_rate": (None, "ok"),
        "api_refusals": (0, "ok"),
        "polling": (None, "none"),
    }


def test_messages_are_counted_over_the_range_from_the_first_one_on():
    made = shown(updates("0+2x240"))["messages_processed"]
    assert (made["value"], made["per_minute"]) == (480, 8)
    assert made["spark"][-1] == [NOW * 1000, 8]
    assert 50 <= len(made["spark"]) <= 100
    (first,) = (shown({series(signals.UPDATE_DURATION, "_count"): "_x240 7"})["messages_processed"],)
    assert (first["value"], first["per_minute"]) == (7, 7)


def test_the_response_time_is_that_of_the_last_minutes_or_else_of_the_range():
    assert shown(updates("0+1x240", seconds="0+0.5x240"))["average_response_time"]["value"] == 0.5
    quiet = updates("0+1x100 100x139", seconds="0+0.25x100 25x139")
    assert shown(quiet)["average_response_time"]["value"] == 0.25


@pytest.mark.parametrize(
    ("handled", "failed", "value", "status"),
    [
        ("0+10x240", "0x240", 0, "ok"),
        ("0+19x240", "0+1x240", 0.05, "warning"),
        ("0+1x240", "0+1x240", 0.5, "critical"),
        ("0x239 1", "0x239 1", 0.5, "ok"),  # two updates say little
    ],
)
def test_the_share_that_fails_is_judged_by_the_error_budget(handled, failed, value, status):
    made = shown(updates(handled, failed))["error_rate"]
    assert made["value"] == pytest.approx(value)
    assert made["status"] == status


def test_memory_is_that_of_all_processes_that_are_alive():
    made = shown(
        {
            series(signals.PROCESS_MEMORY, service_instance_id="one"): "100x240",
            series(signals.PROCESS_MEMORY, service_instance_id="two"): "50x240",
            series(signals.PROCESS_MEMORY, service_instance_id="dead"): "900x230",
        }
    )["memory"]
    assert (made["value"], made["processes"], made["status"]) == (150, 2, "ok")
    assert shown({series(signals.PROCESS_MEMORY): "600000000x240"})["memory"]["status"] == "warning"


def test_active_users_of_the_last_hour_with_the_other_windows_beside():
    made = shown(
        {series(signals.USERS_ACTIVE, window=window): f"{count}x240" for window, count in (("5m", 3), ("1h", 20))}
    )["active_users"]
    assert (made["value"], made["windows"]) == (20, {"5m": 3, "1h": 20})
    assert made["spark"][-1][1] == 20


def test_refusals_are_counted_and_a_refused_token_is_critical():
    blocked = series(signals.API_REJECTIONS, reason="blocked", telegram_method="sendMessage")
    refused = series(signals.API_REJECTIONS, reason="unauthorized", telegram_method="getUpdates")
    made = shown({blocked: "_x100 5x140"})["api_refusals"]
    assert (made["value"], made["status"]) == (5, "ok")
    assert shown({blocked: "5x240", refused: "_x238 1x2"})["api_refusals"]["status"] == "critical"


def test_polling_is_as_old_as_the_bot_that_waits_longest():
    assert shown({}, latest=[age(1.5), age(4.0, bot="2")])["polling"]["value"] == 4
    made = shown({}, latest=[age(1.0, seconds_ago=500)])["polling"]
    assert (made["value"], made["status"]) == (501, "silent")
    # The process before a restart is no bot that waits.
    again = shown({}, latest=[age(1.0, seconds_ago=500), age(2.0)])["polling"]
    assert (again["value"], again["status"]) == (2, "ok")
    assert shown({}, service="other", latest=[age(1.0)])["polling"]["status"] == "none"


def test_cards_are_of_one_service_where_one_is_chosen():
    found = {
        series(signals.PROCESS_MEMORY): "100x240",
        series(signals.PROCESS_MEMORY, service_name="other"): "50x240",
    }
    assert shown(found, service="other")["memory"]["value"] == 50
