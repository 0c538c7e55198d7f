"""What is in grafana/ and prometheus/rules/ is what the code says, and what a dashboard must have is there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from otelbot.alerts.rules import RULES

pytest.importorskip("grafana_foundation_sdk", reason="Grafana's foundation SDK needs Python 3.11")

from otelbot.stack import generate

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
BOARDS = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in FILES}
PANELS = [
    pytest.param(board, panel, id=f"{uid} {panel['title']}")
    for uid, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]


def test_generated_files_are_up_to_date():
    for path, text in generate.generated(ROOT).items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, f"{path}: run make generate"
    assert {f"grafana/dashboards/{file.name}" for file in FILES} <= set(generate.generated(ROOT))


def test_the_dashboards_are_those_of_an_operator():
    assert [board.title for board in generate.dashboards(ROOT)] == [
        "Overview",
        "Updates & handlers",
        "Telegram API",
        "Users & conversations",
        "Errors & logs",
        "Database & cache",
        "Runtime",
        "Collector & stack",
        "Runbooks",
    ]


@pytest.mark.parametrize("uid", BOARDS)
def test_a_dashboard_has_its_variables_and_no_id_twice(uid):
    board = BOARDS[uid]
    assert board["uid"] == uid
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    if uid != "otelbot-runbooks":
        names = [variable["name"] for variable in board["templating"]["list"]]
        assert names == ["prometheus", "tempo", "loki", "service", "bot", "instance", "interval"]


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_a_panel_says_what_it_shows_in_which_unit_and_from_where(board, panel):
    assert len(panel["description"]) > 10
    if panel["type"] == "text":
        return
    if panel["type"] != "alertlist":
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] in {"${prometheus}", "${tempo}", "${loki}"}
        assert panel["targets"]
    (link,) = panel["links"]
    asked = json.loads(parse_qs(urlsplit(link["url"]).query)["left"][0])
    assert asked["datasource"] in {"${tempo}", "${loki}"}
    (query,) = asked["queries"]
    assert "${service:pipe}" in query.get("query", query.get("expr"))


@pytest.mark.parametrize("uid", sorted(set(BOARDS) - {"otelbot-runbooks"}))
def test_loki_has_something_to_look_for_when_all_is_selected(uid):
    """It refuses a selector that may match nothing: «queries require at least one … matcher»."""
    (service,) = [each for each in BOARDS[uid]["templating"]["list"] if each["name"] == "service"]
    assert not re.fullmatch(service["allValue"], "")


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_panels_fit_side_by_side(board, panel):
    place = panel["gridPos"]
    assert place["x"] + place["w"] <= 24
    others = [other["gridPos"] for other in board["panels"] if other is not panel]
    assert not [
        other
        for other in others
        if place["x"] < other["x"] + other["w"]
        and other["x"] < place["x"] + place["w"]
        and place["y"] < other["y"] + other["h"]
        and other["y"] < place["y"] + place["h"]
    ]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.uid)
def test_a_rule_is_a_line_in_its_panel_and_leads_there_and_to_its_runbook(rule):
    provisioned = yaml.safe_load((ROOT / "grafana/provisioning/alerting/rules.yaml").read_text(encoding="utf-8"))
    (written,) = [each for group in provisioned["groups"] for each in group["rules"] if each["uid"] == rule.uid]
    notes = written["annotations"]
    board = BOARDS[notes["__dashboardUid__"]]
    (panel,) = [panel for panel in board["panels"] if str(panel["id"]) == notes["__panelId__"]]
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [(step["value"], step["color"]) for step in steps] == [(None, "transparent"), (rule.threshold, "red")]
    assert panel["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"]["mode"] == "dashed"

    uid, _, number = notes["runbook_url"].removeprefix("/d/").partition("?viewPanel=")
    (page,) = [panel for panel in BOARDS[uid]["panels"] if str(panel["id"]) == number]
    assert page["title"] == rule.title.en
    assert page["options"]["content"] in (ROOT / "docs" / "runbooks" / rule.runbook).read_text(encoding="utf-8")


def test_runbooks_name_panels_that_are_there():
    titles = {f"{board['title']} › {panel['title']}" for board in BOARDS.values() for panel in board["panels"]}
    boards = "|".join(re.escape(board["title"]) for board in BOARDS.values())
    for file in sorted((ROOT / "docs" / "runbooks").glob("*.md")):
        text = " ".join(file.read_text(encoding="utf-8").split())
        for match in re.finditer(f"({boards}) › ", text):
            assert text[match.start() :].startswith(tuple(titles)), f"{file.name}: {text[match.start() :][:80]}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.uid)
def test_a_runbook_begins_with_what_the_rule_says(rule):
    page = (ROOT / "docs" / "runbooks" / rule.runbook).read_text(encoding="utf-8")
    title, first = (" ".join(part.split()) for part in page.split("\n\n")[:2])
    minutes, seconds = divmod(rule.wait, 60)
    wait = f"{seconds} seconds" if seconds else f"{minutes} minute{'s' if minutes > 1 else ''}"
    assert title == f"# {rule.title.en}"
    assert first.startswith(f"**{rule.severity}** · ")
    assert f"for {wait}" in first
    assert ("above" if rule.above else "below") in first


def test_every_rule_has_a_uid_and_a_title_of_its_own_and_says_both_languages():
    assert len({rule.uid for rule in RULES}) == len({rule.title.en for rule in RULES}) == len(RULES)
    for rule in RULES:
        for text in (rule.title, rule.summary, rule.description):
            assert text.en
            assert re.search("[\u0600-\u06ff]", text.fa)
        assert set(re.findall(r"\{(\w+)\}", rule.summary.en)) == set(re.findall(r"\{(\w+)\}", rule.summary.fa))
