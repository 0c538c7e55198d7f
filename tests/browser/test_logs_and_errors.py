"""Logs: filter, follow, look inside, jump. Errors: grouped, with their stack, their traces and logs."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.browser.telemetry import STACK

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="session")]


async def test_logs_are_filtered_followed_and_lead_to_their_trace(bot, visit):
    sent = await bot.update("welcome", log="water boils")
    await bot.log("nearly empty", "WARN", shelf="third")
    page = await visit(f"/logs?service={bot.service}")
    rows = page.locator("table.logs tbody tr")
    await expect(rows).to_have_count(2)

    await bot.log("tea is out", "ERROR")
    await expect(rows).to_have_count(3)
    await expect(rows.nth(0)).to_contain_text("tea is out")

    await page.get_by_label("Severity").select_option("13")
    await expect(rows).to_have_count(2)
    await rows.filter(has_text="nearly empty").locator("button").click()
    await expect(rows.filter(has_text="nearly empty")).to_contain_text("third")

    await page.get_by_label("Severity").select_option("")
    await page.get_by_placeholder("Search logs").fill("boils")
    await expect(rows).to_have_count(1)
    await expect(page).to_have_url(re.compile("text=boils"))
    await rows.get_by_role("link", name="Open the trace").click()
    await expect(page).to_have_url(re.compile(f"/traces/{sent.trace_id}"))
    await page.locator("main").get_by_role("link", name="Logs").click()
    await expect(page.locator("table.logs tbody tr")).to_have_count(1)


async def test_following_can_be_switched_off(bot, visit):
    await bot.log("first")
    page = await visit(f"/logs?service={bot.service}")
    rows = page.locator("table.logs tbody tr")
    await expect(rows).to_have_count(1)
    await page.get_by_role("button", name="Follow").click()
    told = page.wait_for_event("console", lambda message: message.text == "told of logs")
    await page.evaluate("""() => {
        let before = null;
        new EventSource("/api/live").addEventListener("state", (event) => {
            const { logs } = JSON.parse(event.data).versions;
            if (before !== null && logs > before) console.log("told of logs");
            before ??= logs;
            if (before === logs) document.documentElement.dataset.listening = "yes";
        });
    }""")
    await page.wait_for_selector("html[data-listening]")
    await bot.log("second")
    await told
    await expect(rows).to_have_count(1)
    await page.get_by_role("button", name="Follow").click()
    await expect(rows).to_have_count(2)


async def test_older_logs_are_loaded_on_request(bot, visit):
    await bot.log("line", times=230)
    page = await visit(f"/logs?service={bot.service}")
    rows = page.locator("table.logs tbody tr")
    await expect(rows).to_have_count(200)
    await page.get_by_role("button", name="Load older").click()
    await expect(rows).to_have_count(230)


async def test_errors_are_grouped_with_their_stack_and_lead_to_their_traces(bot, visit):
    exception = {"exception.type": "KettleError", "exception.message": "the kettle is empty"}
    for _ in range(3):
        sent = await bot.update("crash", error="KettleError")
        await bot.log(
            "KettleError: the kettle is empty",
            "ERROR",
            within=sent,
            **{**exception, "exception.stacktrace": STACK, "exception.fingerprint": f"kettle-{bot.service}"[:64]},
        )
    page = await visit(f"/errors?service={bot.service}")
    group = page.locator("ul.errors > li").filter(has_text="KettleError").first
    await group.get_by_role("button").first.click()
    await expect(group.locator("pre")).to_contain_text("line 7, in boil")
    await group.get_by_role("link", name="Trace 1").click()
    await expect(page.get_by_role("heading", name="message crash")).to_be_visible()
    await expect(page.locator(".row.failed")).to_have_count(2)
