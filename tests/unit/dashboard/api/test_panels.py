"""The charts and tables of each page."""

from __future__ import annotations

import re

import promql_parser
import pytest

from otelbot import signals
from otelbot.alerts.promql import label, name
from otelbot.dashboard.api import panels
from otelbot.dashboard.api.evaluation import RESOLUTIONS, Evaluation, filled
from tests.unit.dashboard.promql.notation import Memory, memory

START = 1_000_000.0
NOW = START + 3600
HOUR = RESOLUTIONS["1h"]
KNOWN = {label(one) for one in signals.ATTRIBUTES} | {
    "service_name",
    "service_instance_id",
    "telegram_bot_id",
    "le",
    "type",
    "cpython_gc_generation",
    *(label(attribute) for instrument in signals.INSTRUMENTS for attribute in instrument.attributes),
}
EVERY = [(page, panel) for page, made in panels.PAGES.items() for panel in made(HOUR)]


def series(instrument, part="", **labels):
    pairs = {"service_name": "shop", "service_instance_id": "one", "telegram_bot_id": "1", **labels}
    inside = ",".join(f'{key}="{value}"' for key, value in pairs.items())
    return f"{name(instrument)}{part}{{{inside}}}"


def build(page, source, service=None, now=NOW, at=HOUR):
    return {panel["id"]: panel for panel in panels.build(page, Evaluation(), source, at, service, now)["panels"]}


@pytest.mark.parametrize("page", panels.PAGES)
@pytest.mark.parametrize("range_", RESOLUTIONS)
def test_every_query_is_one_and_every_page_is_empty_without_data(page, range_):
    for panel in panels.PAGES[page](RESOLUTIONS[range_]):
        for expr in [query.expr for query in panel.queries] + [column.expr for column in panel.columns]:
            promql_parser.parse(filled(expr, None))
            promql_parser.parse(filled(expr, "shop"))
    built = panels.build(page, Evaluation(), Memory([]), RESOLUTIONS[range_], None, NOW)
    assert built["page"] == page
    assert built["end"] - built["start"] == RESOLUTIONS[range_].seconds * 1000
    assert all(panel.get("series") == [] or panel.get("rows") == [] for panel in built["panels"])


@pytest.mark.parametrize(("page", "panel"), EVERY, ids=[f"{page}-{panel.id}" for page, panel in EVERY])
def test_a_panel_is_of_one_service_where_one_is_chosen_and_says_what_it_shows(page, panel):
    names = {name(instrument) for instrument in signals.INSTRUMENTS}
    for expr in [query.expr for query in panel.queries] + [column.expr for column in panel.columns]:
        for metric, matchers in re.findall(r"\b([a-z][a-z_]+)\{([^}]*)\}", expr):
            assert re.sub("_(bucket|count|sum)$", "", metric) in names or metric in names
            assert "$select" in matchers
        for labels in re.findall(r"\bby \(([^)]*)\)", expr):
            assert {one.strip() for one in labels.split(",") if one.strip()} <= KNOWN
    assert set(re.findall(r"\{(\w+)\}", " ".join(query.name for query in panel.queries))) <= KNOWN
    for text in (panel.title, panel.help, *(title for _, title in panel.rows), *(one.title for one in panel.columns)):
        assert text.en
        assert re.search("[\u0600-\u06ff]", text.fa) or text.fa == "handler"
        assert not re.search("[يك\u0660-\u0669]", text.fa)  # Arabic's letters and digits instead of Persian's


@pytest.mark.parametrize("page", panels.PAGES)
def test_panels_of_a_page_have_names_of_their_own(page):
    ids = [panel.id for panel in panels.PAGES[page](HOUR)]
    assert len(ids) == len(set(ids))


def test_the_first_updates_of_a_bot_are_seen():
    source = memory(
        {
            series(signals.UPDATE_DURATION, "_count", telegram_update_outcome="handled"): "_x236 30x4",
            series(signals.PROCESS_UPTIME): "_x236 2+15x4",
        },
        start=START,
    )
    (line,) = build("overview", source)["throughput"]["series"]
    assert line["name"] == "handled"
    assert max(value for _, value in line["points"]) == 30


def test_a_gap_is_shown_as_one():
    source = memory(
        {
            series(signals.PROCESS_MEMORY, service_instance_id="one"): "7x60 _x100 8x80",
            series(signals.PROCESS_MEMORY, service_instance_id="two"): "9x241",
        },
        start=START,
    )
    first, second = build("overview", source)["memory"]["series"]
    assert [first["name"], second["name"]] == ["shop", "shop #2"]
    assert first["labels"]["service_instance_id"] == "one"
    assert None in [value for _, value in first["points"]]
    assert None not in [value for _, value in second["points"]]


def test_another_service_is_left_out():
    source = memory(
        {series(signals.PROCESS_MEMORY): "7x241", series(signals.PROCESS_MEMORY, service_name="other"): "9x241"},
        start=START,
    )
    assert [line["name"] for line in build("overview", source, "other")["memory"]["series"]] == ["other"]


def test_cells_of_a_heatmap_hold_what_is_in_their_bucket_alone():
    def bucket(le, values):
        return {series(signals.UPDATE_DURATION, "_bucket", le=le): values}

    source = memory(
        bucket("0.1", "0+1x241") | bucket("0.5", "0+3x241") | bucket("+Inf", "0+4x241") | bucket("10", "0+4x241"),
        start=START,
    )
    panel = build("updates", source)["durations"]
    assert [line["name"] for line in panel["series"]] == ["0.1", "0.5", "10", "+Inf"]
    assert [line["points"][10][1] for line in panel["series"]] == [8, 16, 8, 0]
    assert panel["width_ms"] == 120_000


def test_a_table_has_a_row_for_each_handler_the_busiest_first():
    def handler(of, calls, **labels):
        labels = {"aiogram_handler_name": of, **labels}
        return {
            series(signals.HANDLER_DURATION, "_count", **labels): calls,
            series(signals.HANDLER_DURATION, "_bucket", le="0.1", **labels): calls,
            series(signals.HANDLER_DURATION, "_bucket", le="+Inf", **labels): calls,
        }

    source = memory(
        handler("start", "0+1x240")
        | handler("buy", "0+4x240")
        | handler("buy", "_x200 3x40", error_type="ValueError")
        | {series(signals.PROCESS_UPTIME): "2+15x240"},
        start=START,
    )
    panel = build("updates", source)["handlers"]
    assert [column["id"] for column in panel["columns"]] == [
        "aiogram_handler_name",
        "calls",
        "errors",
        "p50",
        "p95",
        "p99",
    ]
    assert [row[:4] for row in panel["rows"]] == [["buy", 963, 3, 0.05], ["start", 240, 0, 0.05]]


def test_a_funnel_says_which_share_went_which_way():
    def moved(source, target, values):
        return {series(signals.FSM_TRANSITIONS, **{"from": source, "to": target}): values}

    source = memory(
        moved("none", "Order:item", "0+2x240")
        | moved("Order:item", "Order:pay", "0+1x240")
        | moved("Order:item", "none", "_x120 60x120")
        | {series(signals.PROCESS_UPTIME): "2+15x240"},
        start=START,
    )
    panel = build("conversations", source)["funnel"]
    assert panel["kind"] == "funnel"
    assert panel["rows"] == [
        ["none", "Order:item", 480, 1],
        ["Order:item", "Order:pay", 240, 0.8],
        ["Order:item", "none", 60, 0.2],
    ]


def test_a_bot_that_ran_before_anybody_knew_it_counts_from_then_on():
    count = series(signals.COMMANDS, telegram_command="start", telegram_update_outcome="handled")
    source = memory({count: "_x100 5000+1x140", series(signals.PROCESS_UPTIME): "_x100 99000+15x140"}, start=START)
    ((command, times, failed),) = build("conversations", source)["commands"]["rows"]
    assert (command, failed) == ("start", 0)
    assert times == pytest.approx(140, abs=2)


def test_the_smallest_lines_are_left_out_and_counted():
    lines = {series(signals.USER_ACTIONS, action=f"a{number}"): f"0+{number}x240" for number in range(1, 31)}
    source = memory({**lines, series(signals.PROCESS_UPTIME): "2+15x240"}, start=START)
    panel = build("conversations", source)["actions"]
    assert {line["name"] for line in panel["series"]} == {f"a{number}" for number in range(19, 31)}
    assert panel["left_out"] == 18


def test_numbers_are_as_json_has_them():
    assert [panels.number(value) for value in (None, float("nan"), float("inf"), 3.0, 0.123456789, 1e300)] == [
        None,
        None,
        None,
        3,
        0.123457,
        1e300,
    ]
