"""What is around every page: theme, language, keyboard, pause, and a phone's width."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import running_dashboard

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="session")]

PATHS = (
    *("/", "/traces", "/logs", "/errors", "/alerts", "/compare"),
    *("/updates", "/telegram", "/conversations", "/databases", "/runtime"),
)


async def test_the_theme_follows_the_system_and_is_kept_once_chosen(bot, visit):
    await bot.update()
    page = await visit("/", color_scheme="dark")
    root = page.locator("html")
    await expect(root).to_have_attribute("data-theme", "dark")
    dark = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    await page.get_by_role("button", name="Light or dark").click()
    await expect(root).to_have_attribute("data-theme", "light")
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    await page.reload()
    await expect(root).to_have_attribute("data-theme", "light")


async def test_persian_reads_from_right_to_left_and_english_comes_back(bot, visit):
    await bot.update("welcome")
    page = await visit(f"/traces?service={bot.service}")
    await page.get_by_role("button", name="فارسی").click()
    await expect(page.locator("html")).to_have_attribute("dir", "rtl")
    await expect(page.get_by_role("heading", level=1)).to_have_text("ردها")
    navigation = await page.locator(".side").bounding_box()
    assert navigation is not None
    assert navigation["x"] > 640
    await expect(page.locator("table.traces tbody tr")).to_contain_text("message welcome")
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Traces")


async def test_a_persian_browser_gets_persian(visit):
    page = await visit("/", locale="fa-IR")
    await expect(page.get_by_role("heading", level=1)).to_have_text("نمای کلی")


async def test_the_keyboard_goes_everywhere(bot, visit):
    await bot.update("first")
    await bot.update("second")
    page = await visit(f"/?service={bot.service}")
    await expect(page.locator(".card").first).to_be_visible()
    await page.keyboard.press("g")
    await page.keyboard.press("t")
    rows = page.locator("table.traces tbody tr")
    await expect(rows).to_have_count(2)
    await page.keyboard.press("/")
    await expect(page.get_by_placeholder("Search traces")).to_be_focused()
    await page.keyboard.press("Escape")
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await expect(rows.nth(1).get_by_role("link")).to_be_focused()
    await page.keyboard.press("k")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="message second")).to_be_visible()
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Span details").get_by_role("heading", level=2)).to_have_text("message second")
    await page.keyboard.press("ArrowLeft")
    await expect(page.locator(".row.span")).to_have_count(1)
    await page.keyboard.press("Escape")
    await expect(page).not_to_have_url(re.compile("span="))
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    theme = await page.locator("html").get_attribute("data-theme")
    await page.keyboard.press("t")
    await expect(page.locator("html")).not_to_have_attribute("data-theme", theme or "")


async def test_nothing_moves_while_paused(bot, visit):
    await bot.update("before")
    page = await visit(f"/traces?service={bot.service}")
    rows = page.locator("table.traces tbody tr")
    await expect(rows).to_have_count(1)
    await page.keyboard.press("p")
    await expect(page.get_by_role("button", name="Paused")).to_be_visible()
    await bot.update("meanwhile")
    # A second page, which is not paused, has it.
    other = await visit(f"/traces?service={bot.service}")
    await expect(other.locator("table.traces tbody tr")).to_have_count(2)
    await expect(rows).to_have_count(1)
    await page.get_by_role("button", name="Resume").click()
    await expect(rows).to_have_count(2)


async def test_a_tab_that_nobody_sees_fetches_nothing(bot, visit):
    await bot.update("before")
    page = await visit(f"/traces?service={bot.service}")
    rows = page.locator("table.traces tbody tr")
    await expect(rows).to_have_count(1)
    await page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    await bot.update("meanwhile")
    other = await visit(f"/traces?service={bot.service}")
    await expect(other.locator("table.traces tbody tr")).to_have_count(2)
    await bot.update("more")
    await expect(other.locator("table.traces tbody tr")).to_have_count(3)
    await expect(rows).to_have_count(1)
    await page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    await expect(rows).to_have_count(3)


@pytest.mark.parametrize("language", ["en-GB", "fa-IR"])
async def test_no_page_scrolls_sideways_on_a_phone(bot, visit, language):
    bot.service += "y" * 90
    sent = await bot.update(
        "a_handler_with_a_rather_long_name_that_has_no_place_to_break", error="SomethingVeryLongError"
    )
    await bot.log("x" * 500, "ERROR", within=sent, **{"exception.type": "E" * 90, "exception.message": "y" * 300})
    page = await visit("/", viewport={"width": 360, "height": 740}, locale=language, has_touch=True)
    base = page.url.rstrip("/")
    for path in (*PATHS, f"/traces/{sent.trace_id}", f"/compare?a={sent.trace_id}&b={sent.trace_id}"):
        await page.goto(base + path)
        await expect(page.locator(".page > :not(.loading)").first).to_be_attached()
        sideways = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert sideways <= 0, f"{path} is {sideways} px too wide"


async def test_all_pages_are_reached_on_a_phone(visit):
    page = await visit("/", viewport={"width": 390, "height": 844}, has_touch=True)
    await page.locator(".bottom").get_by_role("link", name="Logs").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Logs")
    await page.locator(".bottom").get_by_role("button", name="More").click()
    await page.get_by_role("dialog").get_by_role("link", name="Databases").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Databases")
    await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_a_range_and_a_service_stay_from_page_to_page(bot, visit):
    await bot.update()
    page = await visit("/traces")
    await page.get_by_label("Range").select_option("15m")
    await expect(page).to_have_url(re.compile("range=15m"))
    await expect(page.locator("select").first.locator(f'option[value="{bot.service}"]')).to_be_attached()
    await page.get_by_role("combobox", name="Service").first.select_option(bot.service)
    await page.get_by_role("link", name="Logs").first.click()
    await expect(page).to_have_url(re.compile(rf"/logs\?.*range=15m.*service={bot.service}|service=.*range=15m"))
    await page.go_back()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Traces")


async def test_an_alert_says_what_to_do_about_it(bot, visit):
    page = await visit("/alerts")
    await page.locator(".rules summary").first.click()
    await page.locator(".rules").get_by_role("button", name="What to do").first.click()
    await expect(page.get_by_role("dialog").locator("pre")).to_contain_text("#")


async def test_what_the_api_refuses_is_told_in_a_sentence(bot, visit):
    await bot.update()
    page = await visit("/", expected=("503",))
    sentence = "Reading took too long; ask for a shorter range."
    await page.route("**/api/traces?*", lambda route: route.fulfill(status=503, json={"error": sentence}))
    await page.get_by_role("link", name="Traces").first.click()
    await expect(page.locator("main").get_by_text(sentence)).to_be_visible()
    await page.unroute("**/api/traces?*")
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator("table.traces")).to_be_visible()


async def test_what_is_wrong_with_the_database_is_said_on_every_page(visit, tmp_path):
    (tmp_path / "telemetry.sqlite").write_bytes(b"no database at all " * 1000)
    async with running_dashboard(tmp_path) as dashboard:
        page = await visit("/logs", base=dashboard.page)
        await expect(page.get_by_role("alert")).to_contain_text("telemetry.sqlite.corrupt-")
        await page.close()


async def test_an_address_that_is_no_page_leads_back(visit):
    page = await visit("/")
    await page.evaluate("history.pushState(null, '', '/nowhere'); dispatchEvent(new PopStateEvent('popstate'))")
    await expect(page.get_by_text("There is no such page.")).to_be_visible()
    await page.locator("main").get_by_role("link", name="Overview").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
