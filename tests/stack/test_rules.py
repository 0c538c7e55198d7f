"""promtool decides, for series made by hand, whether each alert rule fires and what it says."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from otelbot.alerts.rules import RULES
from tests.stack.rule_cases import CASES
from tests.stack.services import check

pytestmark = pytest.mark.needs("stack")

RULE_FILE = Path(__file__).parents[2] / "prometheus" / "rules" / "alerts.yaml"
BY_UID = {rule.uid: rule for rule in RULES}


def test_each_rule_has_a_case_that_fires_and_one_that_does_not():
    verdicts = defaultdict(set)
    for case in CASES:
        verdicts[case.uid].add(case.fires is not None)
    assert [uid for uid in BY_UID if verdicts[uid] != {True, False}] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.uid.removeprefix('otelbot-')}: {case.why}")
async def test_it_fires_when_it_should(tmp_path, case):
    rule = BY_UID[case.uid]
    expected = []
    if case.fires is not None:
        texts = {
            "title_fa": rule.title.fa,
            "summary": rule.summary.en,
            "description": rule.description.en,
            "summary_fa": rule.summary.fa,
            "description_fa": rule.description.fa,
        }
        words = {**case.fires, "value": case.value}
        said = {key: re.sub(r"\{(\w+)\}", lambda match: words[match[1]], text) for key, text in texts.items()}
        annotations = {**said, "runbook": f"docs/runbooks/{rule.runbook}"}
        expected = [{"exp_labels": {**case.fires, "severity": rule.severity}, "exp_annotations": annotations}]
    test = {
        "evaluation_interval": f"{rule.every}s",
        "rule_files": [str(_alone(rule.title.en, tmp_path))],
        "tests": [
            {
                "interval": case.step,
                "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
                "alert_rule_test": [{"eval_time": case.at, "alertname": rule.title.en, "exp_alerts": expected}],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump(test, allow_unicode=True), encoding="utf-8")
    status, output = await check("promtool", "test", "rules", str(file))
    assert status == 0, output


def _alone(alert, folder):
    """Return a file with one rule of the shipped one: promtool evaluates all that it is given, over the whole time."""
    groups = yaml.safe_load(RULE_FILE.read_text(encoding="utf-8"))["groups"]
    (group,) = (group for group in groups if alert in [rule["alert"] for rule in group["rules"]])
    group["rules"] = [rule for rule in group["rules"] if rule["alert"] == alert]
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [group]}, allow_unicode=True), encoding="utf-8")
    return file


async def test_promtool_accepts_the_files_without_a_remark():
    for name in ("alerts.yaml", "recording.yaml"):
        status, output = await check(
            "promtool", "check", "rules", "--lint=all", "--lint-fatal", str(RULE_FILE.with_name(name))
        )
        assert status == 0, output
