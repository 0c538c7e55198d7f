"""The `otelbot alerts` commands."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otelbot.alerts.channels.settings import Channels, Problem
    from otelbot.dashboard.settings import Settings

app = typer.Typer(
    name="alerts",
    help="The alerts of `otelbot dashboard`: the rules, what fired, and whether messages arrive.",
    no_args_is_help=True,
    add_completion=False,
)

Folder = Annotated[
    Path | None,
    typer.Option("--folder", file_okay=False, help="The dashboard's folder. [OTELBOT_DASHBOARD_FOLDER]"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_COLOURS = {"firing": "red", "pending": "yellow", "resolved": "green", "failed": "red"}


@app.command("list")
def list_rules(folder: Folder = None, as_json: AsJson = False) -> None:
    """List the rules with their limits and cooldowns, and what fires at present where a dashboard runs."""
    from otelbot.alerts.embedded_rules import RULES_OF_THE_EMBEDDED
    from otelbot.alerts.history import read_active
    from otelbot.alerts.readable import duration, readable
    from otelbot.alerts.state import FILE

    channels = _channels()
    file = _folder(folder) / FILE
    active = _read(lambda: read_active(file), file) if file.exists() else []
    rules: list[dict[str, Any]] = [
        {
            "uid": rule.uid,
            "title": rule.title.en,
            "severity": rule.severity,
            "limit": f"{'above' if rule.above else 'below'} {readable(rule.threshold, rule.unit)}",
            "wait": rule.wait,
            "cooldown": channels.cooldowns[rule.severity],
            "active": [
                {"labels": each["labels"], "state": each["state"], "since": round(each["since"] * 1000)}
                for each in active
                if each["uid"] == rule.uid
            ],
        }
        for rule in RULES_OF_THE_EMBEDDED
    ]
    if as_json:
        typer.echo(json.dumps({"alerts": rules, "channels": channels.names}, indent=2, ensure_ascii=False))
        return
    for rule in rules:
        words = f"{rule['severity']:<9} {rule['title']}: {rule['limit']} for {duration(rule['wait'])}"
        typer.echo(f"{words}; told again every {rule['cooldown']}")
        for each in rule["active"]:
            since = _clock(each["since"])
            typer.secho(
                f"          {each['state']} since {since} {_labels(each['labels'])}", fg=_COLOURS[each["state"]]
            )
    typer.echo("")
    _say_problems(channels.problems)
    if channels.names:
        typer.echo(f"Messages go to {', '.join(channels.names)}.")
    elif not any(problem.channel for problem in channels.problems):
        typer.echo(_no_channel())


@app.command("test")
def try_out(
    channel: Annotated[
        list[str] | None, typer.Option("--channel", help="Only telegram, email or webhook; may be repeated.")
    ] = None,
) -> None:
    """Send a test message through each channel that is set, and say what came of it. Exit code 0 or 1."""
    from otelbot.alerts.channels.trial import try_channels

    page = _page()

    wanted = tuple(channel or ())
    for name in wanted:
        if name not in {"telegram", "email", "webhook"}:
            _fail(f"--channel {name}: it is one of telegram, email, webhook")
    channels = _channels()
    problems = [each for each in channels.problems if not wanted or each.channel in {"", *wanted}]
    _say_problems(problems)
    failed, sent = bool(problems), False
    for outcome in try_channels(channels, wanted, page):
        sent, failed = True, failed or not outcome.ok
        mark, colour = ("✓", "green") if outcome.ok else ("✗", "red")
        typer.secho(f"{mark} {outcome.channel}: {outcome.detail}", fg=colour)
    if not sent and not any(problem.channel for problem in problems):
        _fail(_no_channel())
    raise typer.Exit(1 if failed else 0)


@app.command()
def history(
    folder: Folder = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many entries.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Say what fired, resolved and was silenced, and who was told of it; the newest first."""
    from otelbot.alerts import shown
    from otelbot.alerts.embedded_rules import RULES_OF_THE_EMBEDDED
    from otelbot.alerts.history import read_history
    from otelbot.alerts.state import FILE

    file = _folder(folder) / FILE
    if not file.exists():
        _fail(f"{file.parent} has no alerts: start otelbot dashboard, or name its folder with --folder")
    entries = _read(lambda: read_history(file, limit), file)
    found = shown.history(entries, {rule.uid: rule for rule in RULES_OF_THE_EMBEDDED})
    if as_json:
        typer.echo(json.dumps({"history": found}, indent=2, ensure_ascii=False))
        return
    language = _channels().language
    for entry in found:
        typer.echo(f"{_clock(entry['time'])}  ", nl=False)
        typer.secho(f"{entry['change']:<8}", fg=_COLOURS.get(entry["change"]), nl=False)
        typer.echo(f"  {_printable(entry['summary'][language])}")
        for said in entry["notified"]:
            times = f", {said['times']} times" if said["times"] > 1 else ""
            detail = f": {said['detail']}" if said["status"] != "sent" and said["detail"] else ""
            typer.echo(f"{'':<31}{said['channel']} {said['status']}{times}{detail}")
    if not found:
        typer.echo("Nothing has fired yet.")


def _channels() -> Channels:
    from otelbot.alerts.channels.settings import read

    return read(os.environ)


def _say_problems(problems: Iterable[Problem]) -> None:
    for problem in problems:
        about = f"{problem.channel}: " if problem.channel else ""
        typer.secho(f"✗ {about}{problem.sentence}", fg="red")


def _folder(given: Path | None) -> Path:
    return _settings().folder if given is None else given


def _page() -> str:
    """Return where the dashboard's page is, as far as the variables say."""
    from otelbot.dashboard.serve import url

    settings = _settings()
    return url(settings.host, settings.port)


def _settings() -> Settings:
    from otelbot.dashboard.settings import Settings, SettingsError

    try:
        return Settings.from_environ(os.environ)
    except SettingsError as error:
        _fail(str(error))


def _read(reading: Any, file: Path) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = reading()
    except sqlite3.Error as error:
        _fail(f"{file} can't be read ({error}): use the user that runs otelbot dashboard, or start that again")
    return found


def _no_channel() -> str:
    return (
        "No channel is set: set ALERT_TELEGRAM_TOKEN and ALERT_TELEGRAM_CHATS, ALERT_EMAIL_TO and SMTP_HOST, or"
        " ALERT_WEBHOOK_URL"
    )


def _clock(milliseconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(milliseconds / 1000))


def _labels(labels: dict[str, str]) -> str:
    return _printable(", ".join(f"{name}={value}" for name, value in sorted(labels.items())))


def _printable(text: str) -> str:
    """Return a text that can't steer a terminal: labels are what somebody sent."""
    return "".join(sign if sign.isprintable() or sign == "\u200c" else " " for sign in text)


def _fail(sentence: str) -> NoReturn:
    typer.secho(f"✗ {sentence}", fg="red", err=True)
    raise typer.Exit(1)
