"""What charts are drawn with: axes that hold all that is stacked, and round numbers beside them."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize(("kind", "top"), [("bar", 5), ("area", 5), ("line", 3)])
async def test_the_axis_holds_what_is_stacked(visit, kind, top):
    page = await visit("/compare")
    series = [{"points": [[1000, 2], [2000, None]]}, {"points": [[1000, 3], [2000, 1]]}]
    found = await page.evaluate(
        "async ([panel, series]) => (await import('/static/charts.js')).extent(panel, series)",
        [{"kind": kind, "unit": "count"}, series],
    )
    assert found == [0, top]


@pytest.mark.parametrize(
    ("low", "top", "unit", "expected"),
    [
        (0, 900, "per_minute", [0, 250, 500, 750, 1000]),
        (0, 3, "count", [0, 1, 2, 3]),
        (0, 0.003, "seconds", [0, 0.001, 0.002, 0.003]),
        (0, 380 * 2**20, "bytes", [0, 128 * 2**20, 256 * 2**20, 384 * 2**20]),
        (0, 1, "count", [0, 1]),
    ],
)
async def test_ticks_are_round(visit, low, top, unit, expected):
    page = await visit("/compare")
    found = await page.evaluate(
        "async ([low, top, unit]) => (await import('/static/charts.js')).ticks(low, top, unit)", [low, top, unit]
    )
    assert found == pytest.approx(expected)


async def test_a_series_keeps_its_colour_and_outcomes_have_theirs(visit):
    page = await visit("/compare")
    names = ["start", "help", "start", "error", "handled", "constructor", "help"]
    found = await page.evaluate(
        "async (names) => { const { Chart } = await import('/static/charts.js'); const chart = new Chart();"
        " return names.map((name) => chart.colour(name)); }",
        names,
    )
    colours = dict(zip(names, found, strict=True))
    assert found == [colours[name] for name in names]
    assert len(set(colours.values())) == len(colours)
    assert (colours["error"], colours["handled"]) == (7, 6)


async def test_a_panel_left_before_its_answer_draws_nothing(visit):
    page = await visit("/compare")
    drawn = await page.evaluate(
        "async () => { const { Panels } = await import('/static/panels.js'); const panels = new Panels();"
        " panels.close(); await panels.show({ start: 0, end: 1, panels: [{ id: 'a', kind: 'table', rows: [] }] });"
        " return panels.element.children.length; }"
    )
    assert drawn == 0


async def test_the_help_of_a_panel_is_shown_by_keyboard_and_pointer(bot, visit):
    await bot.update("welcome")
    page = await visit(f"/updates?service={bot.service}")
    button = page.locator(".panel .about").first
    tip = page.locator(".panel > header > .help").first
    await expect(button).to_be_visible()
    await expect(tip).to_be_hidden()
    await button.focus()
    await expect(tip).to_be_visible()
    await expect(button).to_have_accessible_description(await tip.inner_text())
    await page.keyboard.press("Escape")
    await expect(tip).to_be_hidden()
    await button.hover()
    await expect(tip).to_be_visible()


async def test_a_card_with_one_value_has_a_dot(visit):
    page = await visit("/compare")
    points = await page.evaluate(
        "async () => (await import('/static/widgets.js')).spark([[1000, 5]])"
        ".querySelector('polyline').getAttribute('points')"
    )
    assert len(set(points.split())) == 1
