"""A polling bot as users write it: one trace for each update, with the right parents, names and outcomes."""

from __future__ import annotations

import signal

from otelbot.demo.telegram import message_update
from tests.support import KEY, TOKEN

BOT = """
    @dp.message(CommandStart())
    async def start(message):
        await message.answer("hello")

    @dp.message(Command("reply"))
    async def reply(message):
        return message.answer("returned")

    @dp.message(Command("boom"))
    async def boom(message):
        raise ValueError("broken")

    @dp.message(Command("sync"))
    def sync(message):
        logging.getLogger("shop").warning("from a thread")

    main()
"""


async def test_every_update_is_one_trace(api, otlp, run):
    bot = await run(BOT)
    for text in ("/start", "/reply", "/boom", "/sync", "hello"):
        api.push(TOKEN, message_update(text))
    await api.wait_until_drained(TOKEN)
    await otlp.wait_for_spans(lambda spans: sum(span.kind == "CONSUMER" for span in spans) == 5)
    assert await bot.stop() == 0

    updates = {span.attributes.get("aiogram.handler.name"): span for span in otlp.spans if span.kind == "CONSUMER"}
    assert {name: span.attributes["telegram.update.outcome"] for name, span in updates.items()} == {
        "start": "handled",
        "reply": "handled",
        "boom": "error",
        "sync": "handled",
        None: "unhandled",
    }
    assert len({span.trace_id for span in updates.values()}) == 5
    assert updates["start"].name == "message start"
    assert updates[None].name == "process message"
    assert updates["start"].attributes["telegram.command"] == "start"
    assert updates["boom"].attributes["error.type"] == "ValueError"

    by_parent = {(span.parent_span_id, span.name): span for span in otlp.spans}
    handler = by_parent[updates["start"].span_id, "start"]
    call = by_parent[handler.span_id, "sendMessage"]
    assert (handler.kind, call.kind) == ("INTERNAL", "CLIENT")
    assert call.attributes["http.response.status_code"] == 200
    assert call.attributes["url.template"] == "/bot{token}/sendMessage"
    # aiogram runs a returned method after the handler: it belongs to the update.
    assert (updates["reply"].span_id, "sendMessage") in by_parent
    failed = by_parent[updates["boom"].span_id, "boom"]
    assert [name for name, _ in failed.events] == ["exception"]
    # A sync handler runs in a thread, and its log record still knows its span.
    record = next(record for record in otlp.logs if record.body == "from a thread")
    assert record.span_id == by_parent[updates["sync"].span_id, "sync"].span_id
    assert not any(span.name in {"POST", "GET"} for span in otlp.spans)
    assert KEY.encode() not in otlp.raw


async def test_sigterm_right_after_an_update_loses_nothing(api, otlp, run):
    bot = await run(BOT.replace("main()", "main(handle_signals=False)"), env={"OTEL_BSP_SCHEDULE_DELAY": "60000"})
    api.push(TOKEN, message_update("/start"))
    await api.wait_for_call("sendMessage")
    await api.wait_until_drained(TOKEN)
    assert await bot.stop() == -signal.SIGTERM
    assert {"message start", "start", "sendMessage"} <= {span.name for span in otlp.spans}
    assert "telegram.bot.update.duration" in otlp.metrics
