"""Alerts on the page: firing, silenced by a click, told of in the history."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import expect

from otelbot.alerts.channels import settings as channels
from otelbot.alerts.evaluator import Alerts
from otelbot.alerts.rule import Rule, Text
from otelbot.dashboard.api.server import PageOptions, page_app
from otelbot.dashboard.promql import Sample
from otelbot.dashboard.receiver import receiver_app
from otelbot.dashboard.store import Limits, Store
from tests.browser.telemetry import Bot

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="session")]

EVIL = "<img src=x onerror=alert(1)>"
RULE = Rule(
    "otelbot-kettle-empty",
    Text("Kettle empty", "کتری خالی است"),
    "critical",
    "kettle",
    above=True,
    threshold=1,
    unit="count",
    wait=0,
    keep=0,
    summary=Text("{service_name}: no tea", "{service_name}: چای نیست"),
    description=Text("Fill it.", "پرش کنید."),
)


class Kettle:
    """A page whose only rule fires while `empty`."""

    def __init__(self) -> None:
        self.empty = True
        self.page = ""

    async def query(self, _expr: str, _at: float) -> list[Sample]:
        return [Sample({"service_name": EVIL}, 2.0)] if self.empty else []


@pytest_asyncio.fixture(loop_scope="session")
async def kettle(tmp_path):
    async def seen() -> bool:
        return True

    async def open_site(app: web.Application, **options: bool) -> str:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, **options)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    made = Kettle()
    async with AsyncExitStack() as stack:
        store = Store(tmp_path, Limits(2**26, 3600, 3600))
        store.start()
        stack.callback(store.close)
        alerts = Alerts(made.query, tmp_path, channels.read({}), page_url="http://localhost", seen=seen, rules=[RULE])
        stack.push_async_callback(alerts.close)
        running = asyncio.ensure_future(alerts.run())
        made.page = await open_site(page_app(store, alerts, PageOptions("127.0.0.1")))
        otlp = await open_site(receiver_app(store, None), auto_decompress=False)
        async with Bot(otlp, "tea-shop") as bot:
            await bot.gauge("process.memory.usage", 1e8)
        yield made
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_an_alert_fires_is_silenced_and_resolves(kettle, visit):
    overview = await visit("/", base=kettle.page)
    banner = overview.locator(".banners a.banner")
    await expect(banner).to_contain_text("Kettle empty")
    await expect(banner).to_contain_text(EVIL)
    await banner.click()
    page = overview
    active = page.locator(".active-alerts > li")
    await expect(active).to_contain_text("firing")
    await expect(page.locator('.side [data-page="alerts"] .count')).to_have_text("1")

    await active.get_by_role("button", name="1 h").click()
    await expect(active).to_contain_text("Silenced until")
    await active.get_by_role("button", name="End silence").click()
    await expect(active.get_by_role("button", name="8 h")).to_be_visible()

    await page.locator(".rules summary").click()
    await expect(page.locator(".rules pre")).to_contain_text("kettle")
    await page.locator(".rules").get_by_role("button", name="24 h").click()
    await expect(page.locator(".rules")).to_contain_text("Silenced until")

    kettle.empty = False
    await expect(page.get_by_text("Nothing fires.")).to_be_visible()
    await expect(page.locator(".history li").first).to_contain_text("resolved")
    assert await page.locator("main :is(img, script)").count() == 0
