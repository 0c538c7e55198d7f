"""`python -m benchmarks`, from the checkout: see `--help`."""
# ruff: noqa: T201 - a command

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import environments, report
from benchmarks.check import CHECKED, check
from benchmarks.rounds import compare
from benchmarks.run import LOADS, RunError, databases
from benchmarks.soak import UPDATES, soak
from benchmarks.variants import BY_NAME, OTELBOT
from otelbot.demo.services import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from benchmarks.variants import Variant


def main() -> int:
    options = _options()
    # Ended from outside as by Ctrl-C, which a shell's background jobs ignore: bots and databases must not stay behind.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        if options.check:
            _prepare(CHECKED)
            if problem := asyncio.run(check(_say)):
                print(problem, file=sys.stderr)
                return 1
            return 0
        if options.soak:
            variant = (options.variants or [OTELBOT])[0]
            _prepare([variant])
            return 0 if asyncio.run(soak(variant, options.updates or UPDATES, print)) else 1
        if options.results:
            measured = report.read(options.results)
        else:
            variants = options.variants or list(BY_NAME.values())
            _prepare(variants)
            measured = asyncio.run(_compare(options, variants))
    except (RunError, ServiceError, environments.EnvironmentSetupError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(report.markdown(measured))
    if options.write_docs:
        report.write_docs(measured, environments.ROOT / "docs")
    return 0


async def _compare(options: argparse.Namespace, variants: Sequence[Variant]) -> report.Measured:
    measured = report.Measured([], report.machine(), options.rounds)
    options.out.mkdir(parents=True, exist_ok=True)
    async with databases() as where:
        for load in options.loads:
            updates = options.updates or _updates(load, options.quick)
            measured.loads.append(await compare(variants, load, updates, options.rounds, where, _say))
            # After each load: an hour's work is not lost to an interruption.
            report.write(measured, options.out / "performance.json")
    return measured


def _updates(load: str, quick: bool) -> int:
    return LOADS[load][1] // (3 if quick else 1)


def _prepare(variants: Sequence[Variant]) -> None:
    for environment in dict.fromkeys(variant.environment for variant in variants):
        _say(f"environment {environment}")
        environments.prepare(environment)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description="Measure what telemetry costs a bot, for otelbot and the alternatives side by side.",
        allow_abbrev=False,
    )
    parser.add_argument("--quick", action="store_true", help="two rounds with a third of the updates")
    parser.add_argument("--rounds", type=int, help="how often each variant runs (5)")
    parser.add_argument("--updates", type=int, help="measured updates of each run, or those of the soak")
    parser.add_argument("--loads", type=_names(LOADS), default=list(LOADS), help=f"of {','.join(LOADS)}")
    parser.add_argument("--variants", type=_variants, help=f"of {','.join(BY_NAME)}")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for performance.json (out)")
    parser.add_argument("--results", type=Path, help="a performance.json of before, instead of measuring")
    parser.add_argument("--write-docs", action="store_true", help="write docs/performance.md and its plots")
    parser.add_argument("--check", action="store_true", help="fail if otelbot's share of the cost is too large")
    parser.add_argument("--soak", action="store_true", help="fail if memory grows over an hour's updates")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    return options


def _names(known: Collection[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return names

    return parse


def _variants(text: str) -> list[Variant]:
    return [BY_NAME[name] for name in _names(BY_NAME)(text)]


if __name__ == "__main__":
    sys.exit(main())
