"""HTML in telemetry is shown, never run."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.telemetry import STACK

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="session")]

#: Runs wherever something parses it as HTML; `visit` fails on the dialog, on the error in the console, on the request.
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script><b>bold</b>"


async def test_html_in_spans_logs_and_errors_is_shown_as_text(bot, visit):
    sent = await bot.update(EVIL, name=f"message {EVIL}", error=EVIL, log=EVIL, user="<i>", **{EVIL: EVIL})
    await bot.log(EVIL, "ERROR", within=sent, **{"exception.type": EVIL, "exception.message": EVIL})
    await bot.log(EVIL, "ERROR", within=sent, **{"exception.stacktrace": EVIL + STACK, EVIL: EVIL})
    service = f"service={bot.service}"

    page = await visit(f"/traces?{service}")
    await expect(page.locator("table.traces tbody tr")).to_contain_text(EVIL)
    await page.goto(f"{page.url.partition('/traces')[0]}/traces/{sent.trace_id}?{service}")
    await expect(page.get_by_role("heading", level=1).filter(has_text=EVIL)).to_be_visible()
    for row in await page.locator(".row.span").filter(has_text=EVIL).all():
        await row.click()
        await expect(page.get_by_label("Span details")).to_contain_text(EVIL)
    await expect(page.locator(".row.log").first).to_contain_text(EVIL)

    page = await visit(f"/logs?{service}")
    rows = page.locator("table.logs tbody tr")
    await expect(rows).to_have_count(3)
    for row in await rows.all():
        await row.locator(".log-line").click()
        await expect(row).to_contain_text(EVIL)

    page = await visit(f"/errors?{service}")
    for group in await page.locator("ul.errors > li").all():
        await group.locator(".error-line").click()
    await expect(page.locator("ul.errors")).to_contain_text(EVIL)

    page = await visit(f"/compare?a={sent.trace_id}&b={sent.trace_id}")
    await expect(page.locator("table.compare tbody tr").first).to_contain_text(EVIL)
    assert await page.locator("main :is(img, script, b)").count() == 0


async def test_html_in_labels_of_metrics_is_shown_as_text(bot, visit):
    await bot.gauge("process.memory.usage", 2e8, **{"process.title": EVIL})
    bot.service = f"{EVIL}{bot.service}"
    await bot.gauge("process.memory.usage", 1e8)
    page = await visit("/runtime?range=15m")
    memory = page.locator(".panel", has=page.locator(".legend")).filter(has_text=EVIL).first
    await expect(memory.locator(".plot .main-svg").first).to_be_visible()
    box = await memory.locator(".plot").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] - 14, box["y"] + box["height"] / 2)
    await expect(memory.locator(".hoverlayer text").first).to_be_visible()
    assert await page.locator("main :is(img, script, b)").count() == 0


async def test_addresses_with_html_and_ids_that_are_none_are_told_of(visit):
    page = await visit("/traces/%3Cimg%20src=x%20onerror=alert(1)%3E", expected=("400", "404"))
    await expect(page.get_by_text("This trace is not here")).to_be_visible()
    page = await visit('/logs?text=%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E&service="><b>')
    await expect(page.get_by_placeholder("Search logs")).to_have_value('"><img src=x onerror=alert(1)>')
    await expect(page.get_by_text("No log record matches")).to_be_visible()
    page = await visit("/compare?a=..%2F..%2Fhealth&b=1", expected=("400", "404"))
    await expect(page.get_by_role("button", name="Try again")).to_be_visible()
