"""What never leaves the process: secrets and personal data are masked here, the last thing before export.

Instrumentation keeps them out by construction; `scrub` is the second line, passed by every string of every signal
(`export/scrubber.py`). Exceptions are described here too, because their texts are where tokens and values hide.
"""

from __future__ import annotations

import hashlib
import re
import traceback
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from functools import _lru_cache_wrapper

MASK = "***"
_LONGEST_CHAIN = 50
#: A bot token wherever it stands, plain or percent-encoded (once or twice), also when a limit cut its end off.
#: The look-behind keeps a long run of digits from being tried from each of them.
_SEPARATOR = r"(?::|%(?:25)?3[Aa])"
_token = re.compile(rf"(?<!\d)\d{{5,}}{_SEPARATOR}(?:[A-Za-z0-9_-]{{30,}}|[A-Za-z0-9_-]{{6,}}(?=…?\Z))")
#: Where there may be one. They begin with the separator's first character, which `re` finds without trying every
#: position, so that a clean text of 2 kB costs 1 µs instead of 45.
_perhaps_tokens = (
    re.compile(r":(?<=\d{5}:)[A-Za-z0-9_-]{6}"),
    re.compile(r"%(?<=\d{5}%)(?:25)?3[Aa][A-Za-z0-9_-]{6}"),
)
#: What may be the secret half of a token, standing alone.
_key = re.compile(r"[A-Za-z0-9_-]{30,}")
#: What somebody may have put into a URL so that nobody finds it: not a word, but letters with digits.
_hard_to_guess = re.compile(r"(?=.*\d)(?=.*[A-Za-z]).{8,}", re.DOTALL)
_NEXT_FIELD = r"(?=\n(?:HINT|CONTEXT|WHERE|QUERY|LOCATION|STATEMENT):|\Z)"
#: Texts of well-known errors that repeat what users wrote: a sign, what to look for, what is kept of it.
_LEAKS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    # PostgreSQL: Key (email)=(…) already exists; Failing row contains (…).
    ("DETAIL", re.compile(r"(DETAIL:\s*).*?" + _NEXT_FIELD, re.DOTALL), rf"\1{MASK}"),
    ("Failing row", re.compile(r"(Failing row contains \().*(?:\)|\Z)", re.DOTALL), rf"\1{MASK})"),
    # asyncpg: the argument itself stands in the message. https://github.com/MagicStack/asyncpg/issues/1066
    ("for query argument", re.compile(r"(invalid input for query argument \$\d+: ).*", re.DOTALL), rf"\1{MASK}"),
    ("invalid input ", re.compile(r"(invalid input (?:syntax|value) for [^:\n]*: ).*"), rf"\1{MASK}"),
    # aiogram's ClientDecodeError holds the whole answer of the Bot API, users' messages included.
    ("Caused from error: ", re.compile(r"(Caused from error: [\w.]+).*", re.DOTALL), rf"\1: {MASK}"),
    # pydantic repeats the value that it refused.
    ("input_value=", re.compile(r"input_value=(?:.*?(?=, input_type=)|.*)", re.DOTALL), f"input_value={MASK}"),
    # aiogram's own words for 429 and for a group that became a supergroup name the chat.
    ("Flood control", re.compile(r"( in chat )[^\s.]+"), rf"\1{MASK}"),
    ("to a supergroup", re.compile(r"(supergroup with id )-?\d+(?: from \S+)?"), rf"\1{MASK}"),
    # Redis repeats what it was sent.
    (
        "caused error: ",
        re.compile(r"(Command # \d+ \().*(\) of pipeline caused error: \w*).*", re.DOTALL),
        rf"\1{MASK}\2",
    ),
    ("with args beg", re.compile(r"unknown command .*", re.DOTALL), f"unknown command {MASK}"),
    # aiogram's warning about an update type that it does not know holds the update.
    ("\nUpdate: {", re.compile(r"\nUpdate: \{.*", re.DOTALL), f"\nUpdate: {MASK}"),
)

_signs = re.compile("|".join(re.escape(sign) for sign, _, _ in _LEAKS))

_MOST_KEYS = 10_000
_LONGEST_KEY = 64  # characters of one that is also looked for inside of words; Telegram's have 35
_keys: set[str] = set()
_key_lengths: set[int] = set()
_MOST_LOOKED_FOR = 16  # keys or secrets, one by one, before a slow search
_secrets: set[str] = set()
#: Finds them in any case; with the same in lower case while they are few and ASCII.
_secret_pattern: tuple[re.Pattern[str], tuple[str, ...] | None] | None = None

#: Counts what was registered: whoever keeps scrubbed texts forgets them when it has changed.
generation = 0
_forgetters: list[Callable[[], None]] = []


def register_secret(secret: str | None) -> None:
    """Have `secret` masked from now on: a bot's token, a webhook's secret. Shorter than 6 characters is ignored."""
    global _secret_pattern  # noqa: PLW0603 - one process, one set of secrets
    if not secret or len(secret) < 6:
        return
    key = secret.partition(":")[2]
    if key in _keys or secret in _secrets:
        return  # asked at every Bot API call
    if len(key) >= 30 and _token.fullmatch(secret):
        # Masked by its form wherever it stands whole; a webhook by token makes a bot of whatever it is sent.
        if len(_keys) < _MOST_KEYS:
            _keys.add(key)
            if len(key) <= _LONGEST_KEY:
                _key_lengths.add(len(key))
            _forget_scrubbed()
        return
    _secrets.update((secret, quote(secret, safe=""), quote(quote(secret, safe=""), safe="")))
    longest_first = sorted(_secrets, key=len, reverse=True)
    few = len(_secrets) <= _MOST_LOOKED_FOR and all(map(str.isascii, _secrets))
    _secret_pattern = (
        re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE),
        tuple(map(str.lower, longest_first)) if few else None,
    )
    _forget_scrubbed()


def _forget_scrubbed() -> None:
    """Forget what was scrubbed before the newest secret was known."""
    global _scrub_short, generation  # noqa: PLW0603 - one process, one set of secrets
    _scrub_short = _remembered()  # a new one: another thread may be about to put an old result into the one before
    generation += 1
    for forget in _forgetters:
        forget()


def when_secret(forget: Callable[[], None]) -> None:
    """Have `forget` called when another secret has become known, for what was scrubbed without it and kept."""
    _forgetters.append(forget)


def overwrite(encoded: bytes) -> bytes:
    """Return encoded telemetry with the known secrets in it overwritten at the same length, so that it can be decoded.

    For what was scrubbed before a secret was known and has not left yet.
    """
    secrets = sorted((*_secrets, *_keys), key=len, reverse=True)
    if not secrets:
        return encoded
    pattern = re.compile(b"|".join(re.escape(secret.encode()) for secret in secrets), re.IGNORECASE)
    return pattern.sub(lambda found: b"*" * len(found.group()), encoded)


def register_secret_url(url: str) -> None:
    """Have what makes a webhook's URL hard to guess masked: long mixtures in its path, query values, a password."""
    parts = urlsplit(url)
    for part in (*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))):
        if _hard_to_guess.fullmatch(part):
            register_secret(part)
    register_secret(parts.password)


def scrub(text: str) -> str:
    """Return `text` with every token, registered secret and known leak masked; `text` itself when there is none."""
    return _scrub_short(text) if len(text) <= 256 else scrub_anew(text)


def scrub_anew(text: str) -> str:
    """Return what `scrub` does, without looking whether it has been asked before: for texts that do not repeat."""
    # Nearly every text is clean, and `in` is far cheaper than the search that it spares.
    at_colon, at_percent = _perhaps_tokens
    if (":" in text and at_colon.search(text)) or ("%" in text and at_percent.search(text)):
        text = _token.sub(MASK, text)
    if _keys and len(text) >= 30 and _may_hold_a_key(text):
        text = _without_keys_in(text)
    if _secret_pattern is not None:
        pattern, lowered = _secret_pattern
        if lowered is None or _may_hold(lowered, text):
            text = pattern.sub(MASK, text)
    if text.isalnum():
        return text  # every leak below is of several words
    if _signs.search(text):
        for sign, pattern, kept in _LEAKS:
            if sign in text:
                text = pattern.sub(kept, text)
    return text


def _may_hold_a_key(text: str) -> bool:
    if len(_keys) > _MOST_LOOKED_FOR:
        return True
    for key in tuple(_keys):  # noqa: SIM110 - `any` takes twice as long for one key
        if key in text:
            return True
    return False


def _may_hold(lowered_secrets: tuple[str, ...], text: str) -> bool:
    if not text.isascii():
        return True  # the pattern ignores case in ways that `lower` does not know
    lowered = text.lower()
    for secret in lowered_secrets:  # noqa: SIM110 - the same
        if secret in lowered:
            return True
    return False


def _without_keys(found: re.Match[str]) -> str:
    """Mask the keys in a run of what they are made of: percent-encoding and words may be glued to them."""
    run = found.group()
    if run in _keys:
        return MASK
    for length in _key_lengths:
        for start in range(len(run) - length + 1):
            if run[start : start + length] in _keys:
                return _without_keys_in(run[:start]) + MASK + _without_keys_in(run[start + length :])
    return run


def _without_keys_in(text: str) -> str:
    return _key.sub(_without_keys, text)


def _remembered() -> _lru_cache_wrapper[str]:
    # Names, routes and statements repeat: a hit costs a dictionary look-up.
    return lru_cache(maxsize=4096)(scrub_anew)


_scrub_short = _remembered()


@lru_cache(maxsize=1024)
def hash_user(user_id: int, key: str) -> str:
    """Return a keyed hash of a Telegram user id: 16 hexadecimal characters, the same for the same key.

    Ids are short enough to be tried one by one, so an unkeyed hash would hide nothing.
    """
    return hashlib.blake2b(str(user_id).encode(), digest_size=8, key=_hash_key(key)).hexdigest()


@lru_cache(maxsize=64)
def _hash_key(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


# Quoted parts of Telegram's descriptions are quoted from the message: «Unsupported start tag "…" at byte offset 7».
_quoted = re.compile(r"\"[^\"]*\"|(?<!\w)'[^']*'(?!\w)|«[^»]*»")


def error_type(error: BaseException) -> str:
    """Return what `error.type` is for an exception: the qualified name of its class, which is bounded by the code."""
    return type(error).__qualname__


def exception_message(error: BaseException) -> str:
    """Return the message of `error`, without the values that libraries put into theirs, scrubbed.

    The texts of the errors of pydantic, PostgreSQL, Redis, aiohttp and aiogram are partly made of users' data.
    """
    try:
        tell = _TELLERS.get(type(error).__module__.partition(".")[0])
        return scrub(tell(error) if tell else _text(error))
    except Exception:  # an exception class may do anything when it is looked at
        return f"<{type(error).__name__} without a text>"


def _text(error: BaseException) -> str:
    return str(error)


def _builtin_text(error: BaseException) -> str:
    """Leave out what `data[text]` and `int(text)` repeat of their argument. A bot's own classes are told in full."""
    if type(error) is KeyError:
        return MASK
    return _quoted.sub(MASK, str(error)) if isinstance(error, ValueError) else str(error)


def _aiogram_text(error: BaseException) -> str:
    if type(error).__name__ == "ClientDecodeError":  # its text is the whole answer
        return str(getattr(error, "message", "")) or type(error).__name__
    return _quoted.sub(MASK, _without_urls(str(error)))


def _aiohttp_text(error: BaseException) -> str:
    if "InvalidURL" in type(error).__name__ or "InvalidUrl" in type(error).__name__:
        return type(error).__name__  # its text is the URL, or what was no URL
    return _without_urls(str(error))


#: Scheme and host of a URL, then credentials, path and query.
_url = re.compile(r"(https?://)(?:[^/\s'\"@]*@)?([^/\s'\"?#]+)[^\s'\"]*")


def _without_urls(text: str) -> str:
    """Return `text` with nothing of its URLs but their hosts."""
    return _url.sub(rf"\1\2/{MASK}", text)


def _database_text(error: BaseException) -> str:
    """Tell a PostgreSQL error by its state and what it names. Texts quote values; RAISE sets them freely."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if not state:
        return str(error)
    told = getattr(error, "diag", None) or error  # psycopg's
    named = ((kind, getattr(told, f"{kind}_name", None)) for kind in ("constraint", "table", "column"))
    details = ", ".join(f"{kind} {name}" for kind, name in named if name)
    return f"SQLSTATE {state}" + (f" ({details})" if details else "")


def _sqlalchemy_text(error: BaseException) -> str:
    """Leave out statement and parameters, which SQLAlchemy puts behind the driver's own text."""
    original = getattr(error, "orig", None)
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    if isinstance(original, BaseException) and state:
        return _database_text(original)
    return _database_text(error).partition("\n[SQL:")[0].partition("\n[parameters:")[0]


def _redis_text(error: BaseException) -> str:
    """Keep the code that a Redis error begins with (WRONGTYPE, NOSCRIPT): the rest may hold keys and values."""
    code = str(error).partition(" ")[0]
    return code if code.isalpha() and code.isupper() else type(error).__name__


def _validation_text(error: BaseException) -> str:
    fields = sorted({".".join(map(str, item["loc"])) for item in error.errors(include_input=False)})  # type: ignore[attr-defined]
    return f"{len(fields)} invalid: {', '.join(fields[:10])}"


_TELLERS: dict[str, Callable[[BaseException], str]] = {
    "aiogram": _aiogram_text,
    "aiohttp": _aiohttp_text,
    "asyncpg": _database_text,
    "builtins": _builtin_text,
    "pydantic": _validation_text,
    "pydantic_core": _validation_text,
    "psycopg": _database_text,
    "psycopg2": _database_text,
    "redis": _redis_text,
    "sqlalchemy": _sqlalchemy_text,
}
#: Libraries whose errors come from others that quote the value which they refused.
_QUOTING = frozenset({"asyncpg", "pydantic", "pydantic_core"})


def stack_trace(error: BaseException, limit: int = 16_384) -> str:
    """Return the traceback of `error` and of what it came from, as Python prints it, with safe messages, no locals.

    :param limit: characters kept; the end, which names the error, is kept rather than the start.
    """
    text = "".join(_chain(error))
    return scrub(text if len(text) <= limit else "…\n" + text[-limit:])


def _chain(error: BaseException) -> Iterator[str]:
    """Yield the parts of the traceback, the first cause first, as Python prints them."""
    chain, seen = [error], {id(error)}
    while len(chain) < _LONGEST_CHAIN:
        last = chain[-1]
        cause = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if cause is None or id(cause) in seen:
            break
        seen.add(id(cause))
        chain.append(cause)
    for position in range(len(chain) - 1, -1, -1):
        link = chain[position]
        led_to = type(chain[position - 1]).__module__.partition(".")[0] if position else ""
        yield "Traceback (most recent call last):\n"
        yield from traceback.format_tb(link.__traceback__)
        yield f"{error_type(link)}: {MASK if led_to in _QUOTING else exception_message(link)}\n"
        if position:
            yield "\nThe exception above led to:\n\n"
    for nested in getattr(error, "exceptions", ())[:_LONGEST_CHAIN]:  # ExceptionGroup
        if isinstance(nested, BaseException):
            yield f"One of the group: {error_type(nested)}: {exception_message(nested)}\n"
            yield from traceback.format_tb(nested.__traceback__)


def exception_attributes(error: BaseException) -> dict[str, str]:
    """Return the attributes of an exception event: type, message and stack trace.

    https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-spans/
    """
    return {
        "exception.type": error_type(error),
        "exception.message": exception_message(error),
        "exception.stacktrace": stack_trace(error),
    }
