"""Bots that are called by Telegram are tuned too, each process for itself."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Any

from tests.integration.recording import Recording, record
from tests.integration.test_webhook import Web, free_port
from tests.integration.tuned import HERE, STATE, applied, printed

if TYPE_CHECKING:
    from pathlib import Path

WEBHOOK = (
    STATE
    + """
    from aiohttp import web
    from aiogram.webhook.aiohttp_server import SimpleRequestHandler, setup_application

    @dp.message()
    async def tell(message):
        pass

    async def look(request):
        return web.json_response([os.getpid(), state()])

    app = web.Application()
    app.router.add_post("/state", look)
    SimpleRequestHandler(dp, bot, handle_in_background=False).register(app, "/feed")
    setup_application(app, dp)
    if __name__ == "__main__":
        web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]))
"""
)
FASTAPI = (
    STATE
    + """
    from aiogram.types import Update
    from fastapi import FastAPI, Request

    @dp.message()
    async def tell(message):
        pass

    app = FastAPI()

    @app.post("/feed")
    async def feed(request: Request):
        await dp.feed_update(bot, Update.model_validate(await request.json(), context={"bot": bot}))

    @app.post("/state")
    async def look():
        return [os.getpid(), state()]
"""
)


def served(source: str, folder: Path, *command: str, workers: int = 1) -> list[dict[int, dict[str, Any]]]:
    """Return the states by process, before and after updates, of a bot that is run by `command` or as a script."""
    port = free_port()
    states: list[dict[int, dict[str, Any]]] = [{}, {}]

    async def look(bot: Web, found: dict[int, dict[str, Any]]) -> None:
        for _ in range(500):
            for _, body in await asyncio.gather(*(bot.post("/state") for _ in range(2 * workers - 1))):
                pid, state = json.loads(body)
                found[pid] = state
            if len(found) == workers:
                return

    async def play(recording: Recording) -> None:
        bot = await Web(recording.program, port).started()
        await look(bot, states[0])
        for _ in range(20 * workers):
            await asyncio.gather(*(bot.update("/feed", "hello") for _ in range(2 * workers - 1)))
        await look(bot, states[1])
        await recording.program.stop(signal.SIGTERM)

    words = tuple(word.format(port=port) for word in command) or None
    record(source, folder, play, name="app.py", command=words or ("python", "app.py"), env={"PORT": str(port)})
    return states


def test_a_webhook_app_is_tuned_when_it_has_been_started(tmp_path):
    ((_, before),), ((_, after),) = (states.items() for states in served(WEBHOOK, tmp_path))
    assert applied(before) == applied(after) == HERE
    assert after["frozen"] <= before["frozen"]


def test_a_bot_that_is_only_fed_is_tuned_by_its_first_update(tmp_path):
    states = served(FASTAPI, tmp_path, "uvicorn", "app:app", "--port", "{port}")
    ((_, before),), ((_, after),) = (each.items() for each in states)
    assert applied(before) == HERE - {"threads"}  # what was imported is frozen by then
    assert applied(after) == HERE
    assert after["frozen"] > before["frozen"]


def test_each_worker_process_is_tuned_when_it_works(tmp_path):
    command = "gunicorn app:app -w 2 -b 127.0.0.1:{port} -k aiohttp.GunicornWebWorker".split()
    _, after = served(WEBHOOK, tmp_path, *command, workers=2)
    assert len(after) == 2
    assert [applied(state) for state in after.values()] == [HERE, HERE]


def test_a_process_that_is_forked_before_the_bot_starts_is_tuned_for_itself(tmp_path):
    program = (
        STATE
        + """
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        print(json.dumps([json.loads(open("child").read()), state()]))
    else:
        asyncio.run(dp.emit_startup())
        with open("child", "w") as file:
            file.write(json.dumps(state()))
"""
    )
    child, parent = printed(program, tmp_path)
    assert applied(child) == HERE
    assert applied(parent) == HERE - {"threads"}
