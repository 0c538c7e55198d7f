"""A real bot on a new dashboard: what the page says before, and how it moves after."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from playwright.async_api import expect

from otelbot.demo.bot_api import BotApiServer
from otelbot.demo.telegram import message_update
from tests.browser.conftest import running_dashboard
from tests.support import TOKEN, Program

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="session")]

#: What Chromium tells the console where a server has gone.
LOST = ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE")

BOT = """
    @dp.message(Command("boom"))
    async def boom(message):
        raise ValueError("broken")

    @dp.message()
    async def echo(message):
        logging.getLogger("shop").warning("echoing")
        await message.answer("hello")

    main()
"""


async def test_the_page_tells_how_to_begin_and_moves_once_a_bot_works(visit, tmp_path):
    async with AsyncExitStack() as stack:
        dashboard = await stack.enter_async_context(running_dashboard(tmp_path / "data"))
        api = await stack.enter_async_context(BotApiServer())
        page = await visit("/", base=dashboard.page, expected=LOST)
        await expect(page.get_by_text("otelbot-instrument python bot.py")).to_be_visible()
        await expect(page.get_by_text("otelbot doctor")).to_be_visible()

        bot = await Program.start(BOT, tmp_path, api.url, dashboard.otlp)
        stack.push_async_callback(bot.kill)
        for text in ("hello", "/boom", "tea"):
            api.push(TOKEN, message_update(text))
        card = page.locator('[data-card="messages_processed"] .value')
        await expect(card).to_have_text("3")
        await expect(page.locator('[data-card="memory"] .value')).to_contain_text("MiB")
        await expect(page.locator('[data-card="active_users"] .value')).to_have_text("1")
        await expect(page.locator('[data-card="polling"] .value')).to_have_text("Receiving")
        await expect(
            page.locator('.panel[data-panel="throughput"], .panel').first.locator(".main-svg").first
        ).to_be_visible()
        api.push(TOKEN, message_update("more"))
        await expect(card).to_have_text("4")

        # Every page of charts has some of this bot.
        for name in ("Updates & handlers", "Telegram API", "Runtime"):
            await page.get_by_role("navigation").get_by_role("link", name=name).first.click()
            await expect(page.locator(".panel:not(.empty) :is(.main-svg, table)").first).to_be_visible()
        await expect(page.get_by_role("heading", name="Runtime", level=1)).to_be_visible()
        for name in ("Conversations", "Databases"):
            await page.get_by_role("navigation").get_by_role("link", name=name).first.click()
            await expect(page.locator(".panel").first).to_be_visible()
        await page.get_by_role("navigation").get_by_role("link", name="Errors").first.click()
        await expect(page.locator("ul.errors")).to_contain_text("ValueError")

        # Cleared means gone: the page is as it was, until the bot says more.
        assert await bot.stop() == 0
        await page.get_by_role("button", name="Clear all data").click()
        await page.get_by_role("dialog").get_by_role("button", name="Clear all data").click()
        await expect(page.get_by_text("All data was removed.")).to_be_visible()
        await page.get_by_role("navigation").get_by_role("link", name="Traces").first.click()
        await expect(page.get_by_text("otelbot-instrument python bot.py")).to_be_visible()


async def test_a_lost_connection_is_shown_and_found_again(visit, tmp_path):
    async with running_dashboard(tmp_path / "data") as dashboard:
        page = await visit("/", base=dashboard.page, expected=LOST)
        await expect(page.get_by_role("button", name="Live")).to_be_visible()
    await expect(page.get_by_role("button", name="Reconnecting")).to_be_visible()
    port = dashboard.page.rpartition(":")[2]
    async with running_dashboard(tmp_path / "data", OTELBOT_DASHBOARD_PORT=port):
        await expect(page.get_by_role("button", name="Live")).to_be_visible()
