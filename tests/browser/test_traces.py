"""The pages of traces: the list and its search, one trace, and two beside each other."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="session")]


async def test_a_trace_is_found_opened_and_read(bot, visit):
    first = await bot.update("welcome", log="the tea is ready")
    await bot.update("take_city", ms=300, calls=("sendMessage", "sendPhoto"), after=first, log="city taken")
    await bot.update("crash", error="KettleError")

    page = await visit(f"/traces?service={bot.service}")
    rows = page.locator("table.traces tbody tr")
    await expect(rows).to_have_count(3)
    await expect(rows.nth(0)).to_contain_text("KettleError")

    await page.get_by_label("Handler").select_option("take_city")
    await expect(rows).to_have_count(1)
    await rows.get_by_role("link").click()

    await expect(page.get_by_role("heading", name="message take_city")).to_be_visible()
    spans = page.locator(".row.span")
    await expect(spans).to_have_count(4)
    await expect(page.locator(".row.log")).to_contain_text("city taken")
    await spans.filter(has_text="sendPhoto").click()
    await expect(page.get_by_label("Span details")).to_contain_text("telegram.method")
    await expect(page).to_have_url(re.compile("span="))

    await page.get_by_role("link", name="Previous update").click()
    await expect(page.get_by_role("heading", name="message welcome")).to_be_visible()
    await expect(page.locator(".row.log")).to_contain_text("the tea is ready")
    await page.get_by_role("link", name="Next update").click()
    await expect(page.get_by_role("heading", name="message take_city")).to_be_visible()


async def test_each_filter_narrows_the_list_and_is_in_the_url(bot, visit):
    await bot.update("quick", ms=5)
    await bot.update("slow", ms=900, user="feedfacefeedface", note="oolong")
    await bot.update("crash", error="KettleError")
    page = await visit(f"/traces?service={bot.service}")
    rows = page.locator("table.traces tbody tr")
    for label, value, found in (
        ("Min ms", "500", "slow"),
        ("Max ms", "10", "quick"),
        ("User hash", "feedfacefeedface", "slow"),
        ("Outcome", "error", "crash"),
    ):
        await expect(rows).to_have_count(3)
        field = page.get_by_label(label)
        await (field.select_option(value) if label == "Outcome" else field.fill(value))
        if label == "Max ms":
            await page.get_by_label("Handler").select_option("quick")
        await expect(rows).to_have_count(1)
        await expect(rows).to_contain_text(found)
        await page.reload()
        await expect(rows).to_have_count(1)
        await page.goto(re.sub(r"\?.*", f"?service={bot.service}", page.url))
    await page.get_by_placeholder("Search traces").fill("oolong")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("slow")
    await page.get_by_placeholder("Search traces").fill("")
    await page.get_by_label("Only errors").check()
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("crash")
    await page.get_by_placeholder("Search traces").fill("nothing has this")
    await expect(page.get_by_text("No trace matches")).to_be_visible()


async def test_a_new_trace_comes_to_the_top_by_itself(bot, visit):
    await bot.update("before")
    page = await visit(f"/traces?service={bot.service}")
    rows = page.locator("table.traces tbody tr")
    await expect(rows).to_have_count(1)
    await bot.update("afterwards")
    await expect(rows).to_have_count(2)
    await expect(rows.nth(0)).to_contain_text("afterwards")


async def test_who_reads_further_down_is_told_of_new_traces_and_not_moved(bot, visit):
    for _ in range(60):
        await bot.update("many")
    page = await visit(f"/traces?service={bot.service}")
    rows = page.locator("table.traces tbody tr")
    await expect(rows).to_have_count(60)
    await page.mouse.wheel(0, 900)
    await expect(rows.nth(0)).not_to_be_in_viewport()
    await bot.update("afterwards")
    await page.get_by_role("button", name=re.compile("1 new")).click()
    await expect(rows.nth(0)).to_contain_text("afterwards")


async def test_older_traces_are_loaded_on_request(bot, visit):
    for _ in range(105):
        await bot.update("many")
    page = await visit(f"/traces?service={bot.service}")
    rows = page.locator("table.traces tbody tr")
    await expect(rows).to_have_count(100)
    await page.get_by_role("button", name="Load older").click()
    await expect(rows).to_have_count(105)
    await expect(page.get_by_role("button", name="Load older")).to_be_hidden()


async def test_two_traces_are_compared_span_by_span(bot, visit):
    await bot.update("order", ms=10)
    await bot.update("order", ms=400, calls=("sendMessage", "sendPhoto"))
    page = await visit(f"/traces?service={bot.service}")
    boxes = page.get_by_label("Select for comparison")
    await expect(boxes).to_have_count(2)
    await boxes.nth(1).check()
    await boxes.nth(0).check()
    await page.get_by_role("button", name="Compare the two").click()
    await expect(page).to_have_url(re.compile(r"/compare\?.*a=[0-9a-f]{32}&b=[0-9a-f]{32}"))
    rows = page.locator("table.compare tbody tr")
    await expect(rows).to_have_count(4)
    await expect(rows.filter(has_text="sendPhoto")).to_contain_text("not in A")
    await expect(rows.nth(0)).to_contain_text(re.compile(r"\+\d+ ms"))


async def test_spans_fold_and_a_trace_that_is_not_there_is_said(bot, visit):
    sent = await bot.update("fold", calls=("sendMessage", "sendPhoto"))
    page = await visit(f"/traces/{sent.trace_id}", expected=("404",))
    spans = page.locator(".row.span")
    await expect(spans).to_have_count(4)
    await page.get_by_role("button", name="Fold").nth(1).click()
    await expect(spans).to_have_count(2)
    await page.goto(page.url.replace(sent.trace_id, "0" * 31 + "1"))
    await expect(page.get_by_text("This trace is not here")).to_be_visible()


async def test_a_row_opens_in_a_new_tab_and_a_selection_of_its_text_opens_nothing(bot, visit):
    await bot.update("welcome")
    page = await visit(f"/traces?service={bot.service}")
    cell = page.locator("table.traces tbody td.service")
    await expect(cell).to_have_count(1)
    async with page.context.expect_page() as opened:
        await cell.click(button="middle")
    assert "/traces/" in (await opened.value).url
    box = await cell.locator("bdi").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + 1, box["y"] + 8)
    await page.mouse.down()
    await page.mouse.move(box["x"] + 60, box["y"] + 8, steps=4)
    await page.mouse.up()
    assert await page.evaluate("String(getSelection())")
    await expect(page).to_have_url(re.compile(r"/traces\?"))


async def test_a_slower_trace_leaves_the_other_rows_and_what_is_selected_in_them(bot, visit):
    await bot.update("quick", ms=5)
    page = await visit(f"/traces?service={bot.service}")
    rows = page.locator("table.traces tbody tr")
    await expect(rows).to_have_count(1)
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('.traces td.name bdi'))")
    await page.keyboard.press("j")
    await bot.update("slow", ms=900)
    await expect(rows).to_have_count(2)
    assert await page.evaluate("String(getSelection())") == "message quick"
    await expect(rows.nth(1).get_by_role("link")).to_be_focused()


@pytest.mark.parametrize("locale", ["en-GB", "fa-IR"])
async def test_durations_stay_inside_the_waterfall_and_beside_the_names(bot, visit, locale):
    sent = await bot.update("a_handler_with_a_name_that_needs_all_the_room_there_is", ms=900)
    page = await visit(f"/traces/{sent.trace_id}", locale=locale)
    await expect(page.locator(".row.span").first).to_be_visible()
    outside = await page.evaluate(
        "[...document.querySelectorAll('.row.span .lane')].filter((lane) => {"
        " const [room, text] = [lane, lane.querySelector('.number')].map((one) => one.getBoundingClientRect());"
        " return text.left < room.left - 1 || text.right > room.right + 14; }).length"
    )
    assert outside == 0


async def test_arrows_move_among_the_spans_and_space_opens_one(bot, visit):
    sent = await bot.update("welcome")
    page = await visit(f"/traces/{sent.trace_id}")
    spans = page.locator(".row.span")
    await spans.nth(0).focus()
    await page.keyboard.press("ArrowDown")
    await expect(spans.nth(1)).to_be_focused()
    await page.keyboard.press("Space")
    await expect(spans.nth(1)).to_have_attribute("aria-selected", "true")
