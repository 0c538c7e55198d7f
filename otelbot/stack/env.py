"""The stack folder's .env, read as Docker Compose reads it, and written so that Compose reads the same.

What Compose does is in https://github.com/compose-spec/compose-go, dotenv/parser.go and template/template.go.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=[ \t\v\f\r\x85\xa0]*(.*?)\s*$")
_EXAMPLE = re.compile(r"^#?([A-Z][A-Z0-9_]*)=(.*)$")
_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_ESCAPE = re.compile(r'\\([abfnrtv$"\\]|0[0-7]{3})')
_REFERENCE = re.compile(
    r"\$(?:(\$)|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?)-([^${}]*))?\}|(\{))", re.ASCII
)
_DOLLAR = re.compile(r"\\.|\$\$|(\$[A-Za-z_{])")
_BARE_DOLLAR = re.compile(r"\$\$|(\$[A-Za-z_{])")
_PLAIN = re.compile(r"[A-Za-z0-9_.,:;/@%+=\-\[\]*~]*")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "$": "$$"}


class EnvError(ValueError):
    """A sentence for the user: which line or variable can't be read or written."""


def parse(text: str, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what Compose makes of a .env file.

    :param environ: where a `$NAME` in a value is looked up first, as Compose does.
    :raises EnvError: for a line that is neither empty, nor a comment, nor NAME=value.
    """
    found: dict[str, str] = {}
    for _, name, raw in _assignments(text):
        found[name] = _value(name, raw, {**found, **(environ or {})})
    return found


def expanding(text: str) -> list[str]:
    """Return the variables whose values hold a dollar that Compose replaces: in a secret that is hardly ever meant."""
    return [
        name
        for _, name, raw in _assignments(text)
        if not raw.startswith("'")
        and any(match[1] for match in (_DOLLAR if raw.startswith('"') else _BARE_DOLLAR).finditer(raw))
    ]


def commented(text: str) -> list[str]:
    """Return the variables that have a comment directly after the =, which to Compose is their value."""
    return [name for _, name, raw in _assignments(text) if re.match(r"#(\s|$)", raw)]


def load(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with which Compose starts the stack: those of .env, and above them the environment's own.

    One that the environment has empty is empty: to Compose that is a value too.

    :raises EnvError: as `parse`.
    """
    values = parse(read(folder / ".env"), environ)
    # Of the environment only what the stack knows, or PATH and the like would be taken for settings.
    known = set(values) | set(examples(read(folder / ".env.example"))) | {"COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME"}
    return values | {name: value for name, value in environ.items() if name in known}


def read(file: Path) -> str:
    """Return a file's text, or nothing where it is missing.

    :raises EnvError: where it can't be read.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        raise EnvError(f"{file} can't be read: give it to your user and save it as UTF-8") from None


def examples(text: str) -> dict[str, str]:
    """Return the variables that .env.example documents, also those behind a #, with the values that it shows."""
    found = (_EXAMPLE.match(line) for line in text.splitlines())
    return {match[1]: match[2] for match in found if match}


def update(text: str, values: Mapping[str, str]) -> str:
    """Return a .env file with these variables set: in their places where it has them, otherwise at its end.

    :raises EnvError: for a value that no .env file can hold.
    """
    lines = text.removesuffix("\n").split("\n") if text else []
    places = {name: number for number, name, _ in _assignments(text)}
    for name, value in values.items():
        line = f"{name}={quoted(name, value)}"
        if name in places:
            lines[places[name]] = line
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def quoted(name: str, value: str) -> str:
    """Return a value as it is written into .env.

    :raises EnvError: for one with a line break.
    """
    if "\n" in value or "\r" in value:
        raise EnvError(f"{name} has a line break, which .env can't hold; give it in one line")
    if _PLAIN.fullmatch(value):
        return value
    # Within single quotes a backslash before a quote, also before the last one, hides that quote.
    if "'" not in value and not value.endswith("\\"):
        return f"'{value}'"
    return '"' + re.sub(r'([\\"$])', r"\\\1", value) + '"'


def write_secret(file: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    beside = file.with_name(f"{file.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as output:
        output.write(text)
    beside.replace(file)


def _assignments(text: str) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(text.split("\n")):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        if not match:
            raise EnvError(f".env, line {number + 1}: it is not NAME=value; put a # before it if it is a comment")
        yield number, match[1], match[2]


def _value(name: str, raw: str, known: Mapping[str, str]) -> str:
    if raw[:1] not in {"'", '"'}:
        # Only a blank before the # makes a comment, so `NAME= # text` has none.
        return _expanded(name, raw.partition(" #")[0].rstrip(), known)
    body = _QUOTED.match(raw)
    if not body:
        raise EnvError(f"{name} has a quote that does not end in its line; end it")
    if (rest := raw[body.end() :].lstrip()) and not rest.startswith("#"):
        raise EnvError(f"{name} has text behind its closing quote; put all of it between the quotes")
    if body[1] is not None:
        return body[1].replace("\\'", "'")
    # A quote loses its backslash first; what is then left are the other escapes.
    text = re.sub(r"\\(.)", lambda match: '"' if match[1] == '"' else match[0], body[2])
    return _expanded(name, _ESCAPE.sub(_unescaped, text), known)


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code, 8)) if code[0] == "0" else _ESCAPED.get(code, code)


def _expanded(name: str, text: str, known: Mapping[str, str]) -> str:
    def put(match: re.Match[str]) -> str:
        escaped, plain, braced, colon, default, unknown = match.groups()
        if unknown:
            raise EnvError(f"{name} has a ${{ that is not understood; write its value itself, in single quotes")
        if escaped:
            return "$"
        value = known.get(plain or braced)
        empty = value is None or (colon and not value)
        return (default or "") if empty else value or ""

    return _REFERENCE.sub(put, text)
