"""An hour of a busy bot in minutes, under otelbot: whether its memory stays flat."""

from __future__ import annotations

import itertools
import random
import time
from typing import TYPE_CHECKING

from benchmarks import run
from benchmarks.server import message, pressed_button

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.server import Json
    from benchmarks.variants import Variant

UPDATES = 3600 * 20  # an hour of 20 updates a second
_STEPS = 40
# In steps. The first is over before the first fifth is: what a full queue needs once is not what grows.
_AWAY = (range(2, 6), range(20, 25))
_FIRST_FIFTH = _STEPS // 5
FLAT = 1.05  # memory at the end divided by that after the first fifth
_COMMANDS = ("/start", "/help", "/menu", "/buy 3", "/cart", "/orders", "/pay", "/settings", "/unknown", "Good morning")


def everybody() -> Iterator[Json]:
    """Make updates of ever new people, each of whom sends about ten and some of whom come back."""
    chance = random.Random(1)  # noqa: S311 - the same updates each time
    for number in itertools.count(1):
        newest = 1000 + number // 10
        user = newest if chance.random() < 0.9 else chance.randint(1000, newest)
        if chance.random() < 0.2:
            yield pressed_button(user, number)
        else:
            yield message(chance.choice(_COMMANDS), user, number)


async def soak(variant: Variant, updates: int, say: Callable[[str], None]) -> bool:
    """Print the memory after each step and return whether it stayed flat. Part of the time nobody takes the telemetry.

    :raises RunError: when the bot does not do what it was to.
    """
    one_step = updates // _STEPS
    people = everybody()
    memory = []
    began = time.monotonic()
    async with run.databases() as where, run.bot(variant, "soak", where) as (bot, first):
        say("| updates | RSS, MiB | CPU, µs an update | p99, ms | sent, MB | telemetry is taken |")
        say("|---:|---:|---:|---:|---:|---|")
        cpu = first["cpu_s"]
        for step in range(_STEPS):
            away = any(step in steps for steps in _AWAY)
            if any(step == steps.start for steps in _AWAY):
                bot.sink.go_away()
            elif any(step == steps.stop for steps in _AWAY):
                await bot.sink.listen()
            figures = await bot.feed(itertools.islice(people, one_step), one_step * 0.1)
            memory.append(bot.rss_mib())
            used, cpu = (figures["cpu_s"] - cpu) * 1e6 / one_step, figures["cpu_s"]
            say(
                f"| {(step + 1) * one_step} | {memory[-1]:.1f} | {used:.0f} | {figures['p99_ms']:.1f}"
                f" | {bot.sink.received / 1e6:.1f} | {'no' if away else 'yes'} |"
            )
    ratio = memory[-1] / memory[_FIRST_FIFTH - 1]
    flat = ratio <= FLAT
    took = f"{one_step * _STEPS} updates in {time.monotonic() - began:.0f} s"
    say(
        f"\n{variant.name}, {took}: memory {'is flat' if flat else 'grows'}, at the end {ratio:.3f} times that after"
        f" the first fifth; the limit is {FLAT}"
    )
    return flat
