"""One run of a program, recorded, that the tests of a module look at: starting aiogram takes longer than they do."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otelbot.demo.bot_api import BotApiServer
from otelbot.demo.otlp import OtlpReceiver
from tests.support import Program

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from otelbot.demo.otlp import SpanView


@dataclass
class Recording:
    api: BotApiServer
    otlp: OtlpReceiver
    program: Program
    notes: dict[str, Any] = field(default_factory=dict)  # what the play saw

    @property
    def updates(self) -> list[SpanView]:
        return [span for span in self.otlp.spans if span.kind == "CONSUMER"]

    def update(self, name: str) -> SpanView:
        (found,) = (span for span in self.updates if span.name == name)
        return found

    def children(self, parent: SpanView) -> dict[str, SpanView]:
        return {span.name: span for span in self.otlp.spans if span.parent_span_id == parent.span_id}

    def parent(self, child: SpanView) -> SpanView | None:
        return next((span for span in self.otlp.spans if span.span_id == child.parent_span_id), None)

    def points(self, metric: str) -> list[tuple[dict[str, Any], Any]]:
        found = self.otlp.metrics.get(metric)
        return [(attributes, value) for attributes, value, _ in found.points] if found else []

    async def wait_for_updates(self, count: int) -> None:
        await self.otlp.wait_for(lambda: len(self.updates) >= count, what=f"{count} update spans")


def record(source: str, folder: Path, play: Callable[[Recording], Awaitable[None]], **options: Any) -> Recording:
    """Run `source` as `Program.start` does, do what `play` does, stop the program and return what has come of it."""

    async def run() -> Recording:
        async with BotApiServer() as api, OtlpReceiver() as otlp:
            program = await Program.start(source, folder, api.url, otlp.url, **options)
            recording = Recording(api, otlp, program)
            try:
                await play(recording)
                if program.returncode is None:
                    await program.stop()
            except (TimeoutError, AssertionError) as error:
                raise AssertionError(f"{error}\n{program.stdout}\n{program.stderr}") from error
            finally:
                if program.process.returncode is None:
                    # Workers of a server that is killed would live on; one that is told to stop takes them along.
                    with contextlib.suppress(asyncio.TimeoutError):
                        await program.stop()
                await program.kill()
        return recording

    return asyncio.run(run())
