"""Starts programs as users do and reads what they leave behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import textwrap
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from otelbot.demo.waiting import PATIENCE

TOKEN = "123456789:AAHfiqksKZ8WmR2zSjiQ7_v4TMAKdiHm9T0"
#: The half of the token that is secret.
KEY = TOKEN.partition(":")[2]
OTELBOT_INSTRUMENT = str(Path(sys.executable).with_name("otelbot-instrument"))
OTELBOT = str(Path(sys.executable).with_name("otelbot"))

#: The first lines of most bots here: `bot` and `dp` exist, `main()` polls.
PRELUDE = """
import asyncio, logging, os
from aiogram import Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import Command, CommandStart
from aiogram.types import Message

def make_bot(token=None):
    api = TelegramAPIServer.from_base(os.environ["BOT_API_URL"])
    return Bot(token or os.environ["BOT_TOKEN"], session=AiohttpSession(api=api))

bot = make_bot()
dp = Dispatcher()

def main(**options):
    asyncio.run(dp.start_polling(bot, polling_timeout=2, **options))
"""


def tools_folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("OTELBOT_TOOLS_DIR") or cache / "otelbot" / "tools") / "bin"


def required(what: str) -> None:
    """Skip where `what` (stack or browser) is missing, or fail where OTELBOT_REQUIRE names it."""
    if what == "stack":
        programs = ("otelcol-otelbot", "prometheus", "promtool", "grafana-template")
        missing = [name for name in programs if not (tools_folder() / name).exists()]
        mend = "make stack-tools"
    else:
        missing = [] if shutil.which("chromium") else ["chromium"]
        mend = "apt-get install chromium"
    if missing:
        sentence = f"{', '.join(missing)} missing; {mend}"
        if what in os.environ.get("OTELBOT_REQUIRE", "").split(","):
            pytest.fail(sentence)
        pytest.skip(sentence)


@dataclass
class Program:
    """A program under otelbot-instrument (or without it), with its output in files."""

    process: asyncio.subprocess.Process
    folder: Path
    returncode: int | None = field(default=None)

    @classmethod
    async def start(
        cls,
        source: str,
        folder: Path,
        api_url: str,
        otlp_url: str | None,
        *,
        prelude: bool = True,
        instrumented: bool = True,
        name: str = "bot.py",
        command: tuple[str, ...] | None = None,
        launcher_options: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
    ) -> Program:
        """Write `source` as `name` and run it.

        :param command: what to run instead of `python {name}`.
        :param env: added to the environment, which has BOT_TOKEN, BOT_API_URL and a short export interval.
        """
        (folder / name).write_text((PRELUDE if prelude else "") + textwrap.dedent(source), encoding="utf-8")
        environ = clean_environ() | {
            "BOT_TOKEN": TOKEN,
            "BOT_API_URL": api_url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_BLRP_SCHEDULE_DELAY": "100",
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
            **({"OTEL_EXPORTER_OTLP_ENDPOINT": otlp_url} if otlp_url else {}),
            **(env or {}),
        }
        words = [*(command or (sys.executable, name))]
        if instrumented:
            words = [OTELBOT_INSTRUMENT, *launcher_options, *words]
        with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
            process = await asyncio.create_subprocess_exec(
                *words,
                cwd=folder,
                env=environ,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=default_signals,
            )
        return cls(process, folder)

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text(encoding="utf-8")

    async def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for the end; returns the exit status, negative for a signal."""
        self.returncode = await asyncio.wait_for(self.process.wait(), timeout)
        return self.returncode

    async def stop(self, signum: signal.Signals = signal.SIGTERM, timeout: float = PATIENCE) -> int:
        self.process.send_signal(signum)
        return await self.wait(timeout)

    async def kill(self) -> None:
        """End the program and whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()


def default_signals() -> None:
    """Undo what the tests' own parent ignores, such as SIGHUP under nohup and SIGINT in the background."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)


def clean_environ() -> dict[str, str]:
    """Return this process's environment without what configures telemetry or Python's path."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("OTEL_", "OTELBOT_")) and key not in {"PYTHONPATH", "PYTHONSTARTUP"}
    } | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
