"""The bot of the stack's profile `bot`, run as its image runs it: it answers, is traced, stays alive and stops."""

from __future__ import annotations

import asyncio
from pathlib import Path

from otelbot.demo.bot_api import message_update
from otelbot.demo.waiting import PATIENCE
from tests.support import TOKEN

SOURCE = (Path(__file__).parents[2] / "examples/compose-bot/bot.py").read_text(encoding="utf-8")


async def test_it_answers_is_traced_touches_its_file_and_stops(api, otlp, run, tmp_path):
    alive = tmp_path / "alive"
    env = {"TELEGRAM_API_URL": api.url, "ALIVE_FILE": str(alive)}
    program = await run(SOURCE, prelude=False, env=env)
    api.push(TOKEN, message_update("/start"))
    call = await api.wait_for_call("sendMessage")
    assert call.params["text"].startswith("Hello!")
    api.push(TOKEN, message_update("ping"))
    call = await api.wait_for_call("sendMessage", 2)
    assert call.params["text"] == "ping"
    assert alive.exists()
    assert await program.stop() == 0
    await otlp.wait_for_spans(4)
    assert {"start", "echo"} <= {word for span in otlp.spans for word in span.name.split()}


async def test_without_a_token_it_says_what_is_missing(run):
    program = await run(SOURCE, prelude=False, env={"BOT_TOKEN": ""})
    assert await asyncio.wait_for(program.wait(), PATIENCE) == 1
    assert "BOT_TOKEN is empty: write the bot's token into .env" in program.stderr
