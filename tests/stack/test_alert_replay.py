"""The dashboard's evaluator gives each case of `rule_cases.py` the verdict that promtool gives it (`test_rules.py`)."""

from __future__ import annotations

import pytest

from otelbot.alerts.channels import settings
from otelbot.alerts.embedded_rules import OF_ABSENCE, RULES_OF_THE_EMBEDDED
from otelbot.alerts.evaluator import Alerts
from otelbot.alerts.readable import filled
from otelbot.dashboard.promql import instant
from tests.stack.rule_cases import CASES
from tests.unit.dashboard.promql.notation import memory, seconds

BY_UID = {rule.uid: rule for rule in RULES_OF_THE_EMBEDDED}
OURS = [case for case in CASES if case.uid in BY_UID]


async def replayed(case, tmp_path):
    """Evaluate the case's rule as Prometheus does, every so often until `case.at`; return what the page is told."""
    rule = BY_UID[case.uid]
    source = memory(case.series, case.step)
    now = -3600.0  # nothing is warming up when the series begin

    async def query(expr, at):
        return instant(expr, source, at)

    async def seen():
        return True

    alerts = Alerts(query, tmp_path, settings.read({}), page_url="", seen=seen, rules=[rule], clock=lambda: now)
    for at in range(0, seconds(case.at) + 1, rule.every):
        now = float(at)
        await alerts.evaluate()
    overview = alerts.overview()
    await alerts.close()
    assert overview["problems"] == []
    [found] = overview["alerts"]
    return found


@pytest.mark.parametrize("case", OURS, ids=lambda case: f"{case.uid.removeprefix('otelbot-')}: {case.why}")
async def test_it_fires_when_it_should(tmp_path, case):
    rule = BY_UID[case.uid]
    found = await replayed(case, tmp_path)
    firing = [active for active in found["active"] if active["state"] == "firing"]
    if case.fires is None:
        assert firing == []
        return
    [active] = firing
    assert active["labels"] == case.fires
    for language, summary in rule.summary._asdict().items():
        assert active["summary"][language] == filled(summary, case.fires, case.value)


def test_every_rule_about_bots_is_replayed():
    assert {case.uid for case in OURS} == set(BY_UID)
    assert set(BY_UID) >= OF_ABSENCE
