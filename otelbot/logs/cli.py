"""The `otelbot logs` commands."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from otelbot.logs.reading import Stats

app = typer.Typer(
    name="logs",
    help="Read the folder that OTELBOT_LOG_DIR names: what is in it, and its lines for people.",
    no_args_is_help=True,
    add_completion=False,
)

Folder = Annotated[Path, typer.Argument(readable=False, help="The folder that OTELBOT_LOG_DIR names.")]

#: Seconds between two looks of --follow.
_LOOK = 0.3


@app.command()
def stats(
    folder: Folder,
    top: Annotated[int, typer.Option(min=0, help="How many of the most frequent errors are shown.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say how large the files are, how many records of which level they hold, and which errors are most frequent."""
    from otelbot.logs import reading

    try:
        reading.require_logs(folder)
        found = reading.stats(folder)
    except reading.ReadingError as error:
        _fail(str(error))
    if as_json:
        typer.echo(json.dumps(_as_json(found, top), indent=2, ensure_ascii=False))
    else:
        _show(found, top)


def _as_json(found: Stats, top: int) -> dict[str, Any]:
    return {
        "files": {kind: {"count": len(paths), "bytes": found.bytes[kind]} for kind, paths in found.files.items()},
        "levels": dict(found.levels),
        "errors": [
            {
                "count": fault.count,
                "severity": fault.severity,
                "text": fault.text,
                "fingerprint": fault.fingerprint,
                "newest": fault.newest,
            }
            for fault in found.errors[:top]
        ],
        "oldest": found.oldest,
        "newest": found.newest,
        "broken_lines": found.broken,
    }


def _show(found: Stats, top: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from otelbot.logs.formats import LEVELS

    console = Console()
    files = Table("files", box=None)
    for column in ("number", "size"):
        files.add_column(column, justify="right")
    for kind, paths in found.files.items():
        files.add_row(f"{kind}.log", str(len(paths)), _size(found.bytes[kind]))
    levels = Table("level", box=None)
    levels.add_column("records", justify="right")
    for level in (*LEVELS, "other"):
        if found.levels[level]:
            levels.add_row(level, str(found.levels[level]))
    console.print(files)
    console.print()
    console.print(levels)
    if found.errors and top:
        errors = Table("most frequent errors", "newest", box=None)
        errors.add_column("times", justify="right")
        for fault in found.errors[:top]:
            errors.add_row(Text(_one_line(fault.text)), fault.newest[:19], str(fault.count))
        console.print()
        console.print(errors)
    console.print()
    console.print(f"oldest {found.oldest or '-'}, newest {found.newest or '-'}", highlight=False, markup=False)
    if found.broken:
        console.print(f"{found.broken} lines are no records and were left out", highlight=False)


def _one_line(text: str) -> str:
    printable = "".join(each if each.isprintable() else " " for each in text)
    return printable if len(printable) <= 200 else printable[:200] + "…"


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


@app.command()
def tail(
    folder: Folder,
    count: Annotated[int, typer.Option("-n", min=0, help="How many of the newest records are shown.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show what comes, until Ctrl-C.")] = False,
    level: Annotated[str, typer.Option(help="Least level: debug, info, warn, error or fatal.")] = "debug",
    errors: Annotated[bool, typer.Option("--errors", help="Read errors.log.")] = False,
) -> None:
    """Show the newest records for people, in local time."""
    import os
    import sys

    from otelbot.logs import formats, reading
    from otelbot.logs.folder import BOT, ERRORS

    least = {"warning": "WARN", "critical": "FATAL"}.get(level.lower(), level.upper())
    if least not in formats.LEVELS:
        _fail(f"--level {level}: it is one of debug, info, warn, error, fatal")
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    shown = formats.levels_from(least)

    def wanted(record: reading.Record) -> bool:
        return least == "DEBUG" or record.get("severity") in shown

    def show(record: reading.Record) -> None:
        # Not by typer, which would take the colours away in its own way.
        sys.stdout.write(formats.console_line(record, colours=colours) + "\n")
        sys.stdout.flush()

    try:
        reading.require_logs(folder)
        newest, follower = reading.last(folder, ERRORS if errors else BOT, count, wanted)
        for record in newest:
            show(record)
        while follow:
            for line in follower.read():
                came = reading.parse(line)
                if came is not None and wanted(came):
                    show(came)
            time.sleep(_LOOK)
        follower.close()
    except reading.ReadingError as error:
        _fail(str(error))
    except (KeyboardInterrupt, BrokenPipeError):
        _leave()


def _leave() -> NoReturn:
    """End quietly: somebody has seen enough. What a closed pipe did not take must not be tried again at the end."""
    import os
    import sys

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(0)


def _fail(sentence: str) -> NoReturn:
    typer.secho(f"✗ {sentence}", fg="red", err=True)
    raise typer.Exit(1)
