"""The `otelbot stack` commands."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(
    name="stack",
    help="Collector, Prometheus, Tempo, Loki and Grafana with Docker Compose: dashboards, alerts, everything wired.",
    no_args_is_help=True,
    add_completion=False,
)

T = TypeVar("T")
Profiles = Annotated[
    list[str] | None, typer.Option("--profile", help="Also postgres, redis, host or bot; may be repeated.")
]
Folder = Annotated[Path, typer.Argument(file_okay=False, readable=False, help="The stack's folder.")]


@app.command()
def init(
    folder: Folder = Path("otelbot-stack"),
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A variable for .env. Secrets are better exported."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write anew also what you have changed; the old files get the ending .old.")
    ] = False,
) -> None:
    """Write the stack into a folder. Run again it renews what you have not changed, and writes the alert channels.

    A new .env takes exported variables of the stack, such as ALERT_TELEGRAM_TOKEN; one that is there takes those of
    ALERT_* and SMTP_* that it lacks.
    """
    from otelbot.stack import commands
    from otelbot.stack.files import shown

    given = dict(_assignment(setting) for setting in settings or ())
    done = _or_say(lambda: commands.init(folder, os.environ, given, force=force))
    print(f"{folder}: {len(done.placed.written)} files written")
    for path in done.placed.removed:
        print(f"  {path}: removed, no longer part of the stack")
    for path in done.placed.kept:
        print(f"  {path}: kept, changed by you")
    if done.wrote_env:
        print(f"  .env: new; {folder / '.env.example'} tells what else there is")
    if done.saved:
        print(f"  .env: took {', '.join(done.saved)} from the environment")
    for problem in done.channels.problems:
        typer.secho(f"✗ {problem.sentence}", fg="red", err=True)
    if done.channels.names:
        print(f"Alerts go to: {', '.join(done.channels.names)}. Try them: otelbot stack test-alert {shown(folder)}")
    else:
        print(f"Alerts go nowhere yet: set ALERT_TELEGRAM_TOKEN and ALERT_TELEGRAM_CHATS in {folder / '.env'}")
    print(f"Next: otelbot stack up {shown(folder)}")
    raise typer.Exit(1 if done.channels.problems else 0)


@app.command()
def up(
    folder: Folder = Path(),
    profile: Profiles = None,
) -> None:
    """Check, write the alert channels anew, start the stack and wait until it works."""
    from otelbot.stack import commands

    _require_profiles(profile)
    for line in _or_say(lambda: commands.up(folder, os.environ, profile or ())):
        print(line)


@app.command()
def down(
    folder: Folder = Path(),
    volumes: Annotated[bool, typer.Option("--volumes", help="Also delete everything that was stored; asks.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Stop the stack. What it has stored stays."""
    from otelbot.stack import commands

    if volumes and not yes:
        typer.confirm("Delete all metrics, traces, logs and Grafana's own data?", abort=True)
    _or_say(lambda: commands.down(folder, os.environ, volumes=volumes))


@app.command()
def check(
    folder: Folder = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    profile: Profiles = None,
) -> None:
    """Check files, secrets, Docker, ports and memory, without starting anything. Exit code 0 or 1."""
    from otelbot import doctor
    from otelbot.stack import check as checking
    from otelbot.stack.files import shown

    _require_profiles(profile)
    checks = list(checking.examine(folder, os.environ, profile or ()))
    if as_json:
        print(json.dumps(doctor.as_json(checks), indent=2, ensure_ascii=False))
    else:
        start = f"otelbot stack up {shown(folder)}"
        absent = any((each.name, each.status) == ("docker", "warning") for each in checks)
        doctor.show(checks, ready=f"on a machine with Docker, {start}" if absent else start)
    raise typer.Exit(0 if doctor.healthy(checks) else 1)


@app.command("test-alert")
def try_channels(
    folder: Folder = Path(),
    channel: Annotated[
        list[str] | None, typer.Option("--channel", help="Only telegram, email or webhook; may be repeated.")
    ] = None,
) -> None:
    """Send a test message through each alert channel, and say what came of it. Exit code 0 or 1."""
    from otelbot.alerts.channels import settings as channels
    from otelbot.alerts.channels.trial import try_channels as send_test
    from otelbot.stack import commands, env

    _or_say(lambda: commands.require_stack(folder))
    values = _or_say(lambda: env.load(folder, os.environ))
    found = channels.read(values)
    wanted = tuple(channel or ())
    for name in wanted:
        if name not in {"telegram", "email", "webhook"}:
            _fail(f"--channel {name}: it is one of telegram, email, webhook")
    problems = [each for each in found.problems if each.channel and (not wanted or each.channel in wanted)]
    for problem in problems:
        typer.secho(f"✗ {problem.channel}: {problem.sentence}", fg="red")
    failed = bool(problems)
    sent = False
    for outcome in send_test(found, wanted, values.get("GRAFANA_URL", "").strip() or "http://localhost:3000"):
        sent = True
        failed |= not outcome.ok
        mark, colour = ("✓", "green") if outcome.ok else ("✗", "red")
        typer.secho(f"{mark} {outcome.channel}: {outcome.detail}", fg=colour)
    if not sent and not problems:
        _fail(f"no such channel is set: write ALERT_TELEGRAM_TOKEN and ALERT_TELEGRAM_CHATS into {folder / '.env'}")
    raise typer.Exit(1 if failed else 0)


def _require_profiles(profiles: list[str] | None) -> None:
    from otelbot.stack.required import PROFILES

    for name in profiles or ():
        if name not in PROFILES:
            _fail(f"--profile {name}: it is one of {', '.join(PROFILES)}")


def _assignment(setting: str) -> tuple[str, str]:
    name, separator, value = setting.partition("=")
    if not separator:
        _fail("--set takes NAME=VALUE, such as --set ALERT_LANGUAGE=fa")
    return name, value


def _fail(sentence: str) -> NoReturn:
    for line in sentence.splitlines():
        typer.secho(f"✗ {line}", fg="red", err=True)
    raise typer.Exit(1)


def _or_say(action: Callable[[], T]) -> T:
    """Return what an action returns, or end with the sentence of what it raises."""
    from otelbot.stack.commands import StackError
    from otelbot.stack.env import EnvError

    try:
        return action()
    except (StackError, EnvError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'the folder'} can't be used ({error.strerror}): use the user that owns the stack")
