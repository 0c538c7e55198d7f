"""What the tests of `OTELBOT_TUNE` share: a program that says which parts are applied in it."""

from __future__ import annotations

import gc
import json
from typing import TYPE_CHECKING, Any

from aiogram.types import User

from tests.integration.recording import Recording, record

if TYPE_CHECKING:
    from pathlib import Path

PARTS = ("forms", "gc", "handlers", "models", "responses", "threads", "unset")
#: The oldest pydantic, 2.5, has nothing for `models` to do.
HERE = {part for part in PARTS if part != "models" or "model_post_init" in vars(User)}

#: `state()` says what a program can notice of each part.
DEFAULT = gc.get_threshold()[0]  # of this Python
RAISED = max(DEFAULT, 2000)  # Python's own from 3.13
STATE = """
    import gc, json, sys, weakref

    def calls(function, *args, **kwargs):
        # Returns what was called, in Python and in C, and the result.
        def count(frame, event, argument):
            names.append(frame.f_code.co_name if event == "call" else getattr(argument, "__name__", ""))

        names = []
        sys.setprofile(count)
        try:
            return names, function(*args, **kwargs)
        finally:
            sys.setprofile(None)

    def state():
        from aiogram.dispatcher.middlewares.manager import MiddlewareManager
        from aiogram.methods import GetMe, Response
        from aiogram.types import User

        user = {"id": 1, "is_bot": False, "first_name": "Ada"}
        User.model_validate(user)
        parsing, _ = calls(User.model_validate, user)
        wrapping, _ = calls(MiddlewareManager.wrap_middlewares, [], state)
        _, form = calls(bot.session.build_form_data, bot, GetMe())
        model = weakref.ref(Response[GetMe.__returning__])
        gc.collect()
        return {
            "forms": "_writer" not in vars(form),
            "gc": gc.get_freeze_count() > 100_000,
            "handlers": "update_wrapper" not in wrapping,
            "models": "init_private_attributes" not in parsing,
            "responses": model() is not None,
            "threads": sys.getswitchinterval() == 0.001,
            "unset": "copy" in parsing,
            "frozen": gc.get_freeze_count(),
            "threshold": gc.get_threshold(),
            "interval": sys.getswitchinterval(),
        }
"""


def applied(state: dict[str, Any]) -> set[str]:
    return {part for part in PARTS if state[part]}


def printed(source: str, folder: Path, **options: Any) -> Any:
    """Run a program that ends by itself and return the JSON that its last line is."""

    async def play(recording: Recording) -> None:
        assert await recording.program.wait() == 0, recording.program.stderr

    recording = record(source, folder, play, **options)
    return json.loads(recording.program.stdout.splitlines()[-1])
