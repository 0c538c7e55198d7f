"""SQL texts as telemetry may show them: without literals and comments, with the operation and its target named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_LONGEST = 2048  # characters of a statement that are kept
_LONGEST_READ = 8192  # characters that are looked at: a literal that is cut there is masked to the end


def _comment(levels: int) -> str:
    """Return a pattern for block comments, which PostgreSQL nests; one that is deeper runs to the end."""
    inner = _comment(levels - 1) if levels else r"/\*.*\Z"
    return rf"/\*(?:(?!/\*|\*/).|{inner})*(?:\*/|\Z)"


#: What may hold a value, and comments. Placeholders ($1) and names (orders_2024) are kept. A backslash before a quote
#: escapes it in E'…' only, but in others by an old setting of the server: what follows may be a value, so all of it is.
_LITERALS = re.compile(
    rf"""
      (?P<comment>--[^\n]*|{_comment(3)})
    | (?P<identifier>"(?:[^"]|"")*")
    | (?P<placeholder>\$\d+)
    | (?P<dollar>\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z))
    | (?P<escaping>\b[Ee]'(?:[^'\\]|\\.|'')*(?:'|\Z))
    | (?P<unclear>(?:\b[A-Za-z]&?)?'(?:[^'\\]|\\[^']|'')*\\'.*)
    | (?P<string>(?:\b[A-Za-z]&?)?'(?:[^']|'')*(?:'|\Z))
    | (?P<number>(?<![\w$"])-?\.?\d[\w.]*)
    """,
    re.VERBOSE | re.DOTALL,
)
_TARGET = re.compile(
    r"""\b(?:FROM|INTO|UPDATE|JOIN|TABLE|ONLY|COPY)\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?((?:"[^"]*"|[\w.])+)""",
    re.IGNORECASE,
)
_OPERATION = re.compile(r"[A-Za-z]+")
_MAIN = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Statement:
    """`text` is `db.query.text`, `operation` is `db.operation.name`, `summary` is `db.query.summary`."""

    text: str
    operation: str
    summary: str


def describe(query: str) -> Statement:
    """Describe an SQL statement; of a very long one, its beginning.

    >>> describe("INSERT INTO users (id, name) VALUES ($1, 'Ada')")
    Statement(text='INSERT INTO users (id, name) VALUES ($1, ?)', operation='INSERT', summary='INSERT users')
    """
    return _describe(query[:_LONGEST_READ])


@lru_cache(maxsize=512)
def _describe(query: str) -> Statement:
    text = " ".join(_LITERALS.sub(_without_value, query).split())
    first = _OPERATION.search(text)
    operation, body = (first.group().upper() if first else "SQL"), text
    if operation == "WITH" and (main := _MAIN.search(_without_parentheses(text))):
        operation, body = main.group().upper(), main.string[main.start() :]
    target = _TARGET.search(body)
    summary = f"{operation} {target.group(1)}" if target and target.group(1).upper() != "SELECT" else operation
    return Statement(text if len(text) <= _LONGEST else text[:_LONGEST] + "…", operation, summary[:255])


def _without_value(match: re.Match[str]) -> str:
    if match["comment"]:
        return " "
    return match.group() if match["identifier"] or match["placeholder"] else "?"


def _without_parentheses(text: str) -> str:
    """Drop the common table expressions of WITH, so that the statement's own verb is what is left."""
    depth, kept = 0, []
    for character in text:
        depth += character == "("
        if depth == 0:
            kept.append(character)
        depth -= character == ")"
    return "".join(kept)
