"""Whether the bots are well."""

from __future__ import annotations

from otelbot import signals
from otelbot.alerts.promql import name
from otelbot.dashboard.api import health

NOW = 1_000_000.0


def process(service="shop", instance="one", ago=1.0):
    return {"service": service, "instance": instance, "last_seen": round((NOW - ago) * 1000)}


def check(which, value, instance="one"):
    labels = {"service_name": "shop", "service_instance_id": instance, "check": which}
    return {"name": name(signals.HEALTH_STATUS), "labels": labels, "value": value}


UPDATES = {"name": name(signals.UPDATE_DURATION), "labels": {"service_name": "shop"}}


def test_a_process_is_as_well_as_the_worst_of_its_checks():
    (found,) = health.services([process()], [check("database", 1.0), check("memory", 0.5), UPDATES], NOW)
    assert found == {
        "service": "shop",
        "instance": "one",
        "status": "degraded",
        "checks": {
            "database": {"status": "healthy"},
            "heard": {"status": "healthy"},
            "memory": {"status": "degraded"},
        },
        "last_seen": 999_999_000,
    }
    (found,) = health.services([process()], [check("database", 0.0), check("memory", 0.5)], NOW)
    assert found["status"] == "unhealthy"


def test_one_without_checks_is_well_while_it_is_heard_of():
    (found,) = health.services([process()], [UPDATES], NOW)
    assert (found["status"], found["checks"]) == ("healthy", {"heard": {"status": "healthy"}})


def test_a_bot_that_is_silent_is_missed():
    (found,) = health.services([process(ago=121)], [UPDATES, check("database", 1.0)], NOW)
    # What it said of its database is not known any more.
    assert (found["status"], found["checks"]) == ("unhealthy", {"heard": {"status": "unhealthy"}})


def test_a_restarted_bot_is_not_missed_nor_one_that_is_gone_for_a_day():
    found = health.services([process(instance="two"), process(ago=500)], [UPDATES], NOW)
    assert [(one["instance"], one["status"]) for one in found] == [("two", "healthy")]
    assert health.services([process(ago=100_000)], [UPDATES], NOW) == []


def test_a_script_that_has_ended_is_no_bot():
    assert health.services([process(ago=500)], [], NOW) == []


def test_all_processes_of_a_service_are_told_while_they_live():
    found = health.services([process(instance="two"), process(ago=30)], [UPDATES], NOW)
    assert [one["instance"] for one in found] == ["two", "one"]


def test_nothing_known_is_unknown():
    assert health.worst([]) == "unknown"
    assert health.worst(["healthy", "unhealthy", "degraded"]) == "unhealthy"
