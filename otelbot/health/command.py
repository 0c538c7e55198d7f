"""`otelbot health`: asks a running bot and prints what it says. It starts fast, because Docker runs it often."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, build_opener

from otelbot import settings
from otelbot.privacy import scrub

_LONGEST_ANSWER = 2**20  # bytes
#: What is bound to every address is asked at this machine's own.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def ask(url: str | None, timeout: float) -> int:
    """Print what the bot at `url` says of its health, a line for each check.

    :param url: by default where OTELBOT_HEALTH_HOST and OTELBOT_HEALTH_PORT say; without a path, /health.
    :param timeout: seconds.
    :returns: 0 for healthy or degraded, 1 for unhealthy and for no answer.
    """
    try:
        url = _url(url)
        lines, well = _lines(_fetch(url, timeout))
    except _NoAnswerError as error:
        print(f"otelbot: {_printable(scrub(str(error)))}")  # noqa: T201
        return 1
    print(*lines, sep="\n")  # noqa: T201
    return 0 if well else 1


class _NoAnswerError(Exception):
    pass


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any, **_options: Any) -> None:
        return None


def _url(given: str | None) -> str:
    if not given:
        current = settings.Settings.from_environ(os.environ)
        if not current.health_port:
            raise _NoAnswerError("OTELBOT_HEALTH_PORT is not set: set it as the bot has it, or name a URL")
        host = _EVERYWHERE.get(current.health_host, current.health_host)
        given = f"http://{f'[{host}]' if ':' in host else host}:{current.health_port}"
    url = given if "://" in given else f"http://{given}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise _NoAnswerError(f"{given[:200]} is not a URL such as http://127.0.0.1:8080/health")
    return url if parts.path.strip("/") else parts._replace(path="/health").geturl()


def _fetch(url: str, timeout: float) -> Any:
    opener = build_opener(ProxyHandler({}), _NoRedirects())  # a proxy would look for 127.0.0.1 at its own place
    try:
        try:
            answer = opener.open(url, timeout=timeout)
        except HTTPError as error:
            answer = error  # 503 is an answer too
        with answer:
            content = answer.read(_LONGEST_ANSWER)
    except Exception as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise _NoAnswerError(
            f"{url} does not answer ({getattr(reason, 'strerror', None) or reason}): is the bot running, with"
            " OTELBOT_HEALTH_PORT set?"
        ) from None
    try:
        return json.loads(content)
    except ValueError:
        raise _NoAnswerError(f"what answers at {url} is not otelbot's health; its path is /health") from None


def _lines(body: Any) -> tuple[list[str], bool]:
    """Return what to print, and whether all that the bot can't do without is there."""
    try:
        status = str(body["status"])
        checks = {str(name): dict(check) for name, check in body["checks"].items()}
        width = max(map(len, checks), default=0)
        lines = [_printable(status)]
        for name, check in checks.items():
            error = f"  {check['error']}" if check.get("error") else ""
            optional = "" if check["critical"] else " (not critical)"
            line = f"  {name:<{width}}  {check['status']:<9}  {check['duration_ms']:>7g} ms{error}{optional}"
            lines.append(_printable(line))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _NoAnswerError("what answers is not otelbot's health; its path is /health") from None
    return lines, status in {"healthy", "degraded"}


def _printable(text: str) -> str:
    """Return `text` without what a terminal would take for an order."""
    return "".join(character if character.isprintable() else "?" for character in text)
