"""Process and event loop are measured, what blocks is named, and work that leaves a handler stays in its trace."""

from __future__ import annotations

import pytest

from otelbot.demo.telegram import message_update
from tests.integration.recording import Recording, record
from tests.support import TOKEN

BOT = """
    import concurrent.futures, threading, time
    import otelbot

    pool = concurrent.futures.ThreadPoolExecutor(1)

    @otelbot.timed
    def brew(seconds):
        time.sleep(seconds)

    @otelbot.timed
    async def pour(fail=False):
        await asyncio.sleep(0)
        if fail:
            raise LookupError("no cup")

    @dp.message(Command("block"))
    async def block(message):
        time.sleep(0.3)
        await message.answer("late")

    @dp.message(Command("callback"))
    async def callback(message):
        def hold():
            time.sleep(0.3)
        asyncio.get_running_loop().call_soon(hold)

    @dp.message(Command("spread"))
    async def spread(message):
        otelbot.current_update_span().set_attribute("shop.basket", 3)
        def send(text):
            otelbot.current_update_span().set_attribute(text, True)
            asyncio.run_coroutine_threadsafe(task(text), loop).result()
        async def task(text):
            await message.answer(text)
        loop = asyncio.get_running_loop()
        await asyncio.create_task(task("task"))
        await asyncio.to_thread(send, "to_thread")
        await loop.run_in_executor(None, send, "default executor")
        await loop.run_in_executor(pool, send, "executor")
        thread = threading.Thread(target=send, args=("thread",))
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0.01)

    @dp.message(Command("timed"))
    async def timing(message):
        brew(0.02)
        await pour()
        with otelbot.timed("wash up") as span:
            span.set_attribute("cups", 2)
        try:
            await pour(fail=True)
        except LookupError:
            pass

    async def jobs():
        from apscheduler.schedulers.asyncio import AsyncIOScheduler
        scheduler = AsyncIOScheduler(timezone="UTC")
        async def remind():
            await bot.send_message(1, "time for tea")
        def broken():
            raise LookupError("no kettle")
        scheduler.add_job(remind)
        scheduler.add_job(broken)
        scheduler.start()

    @dp.startup()
    async def start():
        await bot.send_message(1, "I am up")
        await jobs()

    otelbot.current_update_span().set_attribute("outside", True)
"""


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def bot(request, tmp_path_factory) -> Recording:
    async def play(recording: Recording) -> None:
        await recording.api.wait_for_call("sendMessage", count=2)
        for number, text in enumerate(("/block", "/callback", "/spread", "/timed", "/block"), 1):
            recording.api.push(TOKEN, message_update(text))
            await recording.wait_for_updates(number)
        names = ("asyncio.eventloop.utilization", "telegram.bot.function.duration")
        await recording.otlp.wait_for(lambda: all(name in recording.otlp.metrics for name in names))
        await recording.otlp.wait_for(lambda: any(record.event_name for record in recording.otlp.logs))
        await recording.program.stop()

    if request.param == "uvloop":
        pytest.importorskip("uvloop")
        start = "    import uvloop; uvloop.install(); main()"
    else:
        start = "    asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy()); main()"
    env = {"PYTHONWARNINGS": "ignore"}
    return record(BOT + start, tmp_path_factory.mktemp(request.param), play, env=env)


def test_a_handler_that_blocks_the_loop_is_named(bot):
    blocked = [span for span in bot.otlp.spans if span.name == "block"]
    events = [attributes for span in blocked for name, attributes in span.events if name == "asyncio.eventloop.blocked"]
    assert events
    assert {event["code.function.name"] for event in events} == {"__main__.block"}
    assert "time.sleep(0.3)" in events[0]["code.stacktrace"]


def test_what_blocked_is_logged_once_past_the_console(bot):
    records = [record for record in bot.otlp.logs if record.event_name == "asyncio.eventloop.blocked"]
    by_function = {record.attributes["code.function.name"]: record for record in records}
    assert set(by_function) >= {"__main__.block", "__main__.hold"}
    assert len(records) == len(by_function), "the second time within a minute is counted, not told"
    record = by_function["__main__.block"]
    assert 0.2 < record.attributes["duration"] < 30
    assert record.severity_text == "WARN"
    assert record.span_id in {span.span_id for span in bot.otlp.spans if span.name == "block"}
    ((_, blocks),) = bot.points("asyncio.eventloop.blocked")
    assert blocks >= 3
    assert "blocked" not in bot.program.stderr


def test_the_loop_is_measured(bot):
    ((attributes, (count, total, *_)),) = bot.points("asyncio.eventloop.lag")
    assert attributes == {}
    assert count >= 3
    assert total > 0.5
    ((_, utilization),) = bot.points("asyncio.eventloop.utilization")
    assert 0 <= utilization <= 1
    ((_, tasks),) = bot.points("asyncio.tasks")
    assert tasks >= 1


def test_the_process_is_measured(bot):
    for name in ("process.uptime", "process.memory.usage", "process.memory.virtual", "process.thread.count"):
        assert all(value > 0 for _, value in bot.points(name))
        assert bot.points(name)
    assert bot.points("process.open_file_descriptor.count")[0][1] > 3
    assert {attributes["type"] for attributes, _ in bot.points("process.cpu.time")} == {"user", "system"}
    assert bot.points("cpython.gc.collections")
    assert not any(name.startswith("system.") for name in bot.otlp.metrics)


def test_work_that_leaves_the_handler_stays_in_its_trace(bot):
    update = bot.update("message spread")
    assert update.attributes["shop.basket"] == 3
    assert {"to_thread", "default executor", "executor", "thread"} <= set(update.attributes), bot.program.stderr
    sent = [span for span in bot.otlp.spans if span.trace_id == update.trace_id and span.name == "sendMessage"]
    assert len(sent) == 5
    assert {span.parent_span_id for span in sent} == {bot.children(update)["spread"].span_id}


def test_what_is_sent_outside_of_an_update_is_a_trace_of_its_own(bot):
    roots = [span for span in bot.otlp.spans if not span.parent_span_id]
    (job,) = (span for span in roots if span.name == "remind")
    (broken,) = (span for span in roots if span.name == "broken")
    assert [span.name for span in bot.otlp.spans if span.parent_span_id == job.span_id] == ["sendMessage"]
    assert (broken.status, broken.attributes["error.type"]) == ("ERROR", "LookupError")
    assert broken.events[0][1]["exception.message"] == "no kettle"
    assert len([span for span in roots if span.name == "sendMessage"]) == 1


def test_a_bots_own_functions_are_timed(bot):
    handler = bot.children(bot.update("message timing"))["timing"]
    spans = sorted((span for span in bot.otlp.spans if span.parent_span_id == handler.span_id), key=lambda s: s.start)
    assert [span.name for span in spans] == ["brew", "pour", "wash up", "pour"]
    assert spans[2].attributes["cups"] == 2
    assert (spans[3].status, spans[3].attributes["error.type"]) == ("ERROR", "LookupError")
    durations = {
        (attributes["function"], attributes.get("error.type")): value[0]
        for attributes, value in bot.points("telegram.bot.function.duration")
    }
    assert durations == {("brew", None): 1, ("pour", None): 1, ("wash up", None): 1, ("pour", "LookupError"): 1}
