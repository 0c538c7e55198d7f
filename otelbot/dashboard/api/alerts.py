"""Alerts: what the evaluator says of them, and silencing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from otelbot.alerts.embedded_rules import RULES_OF_THE_EMBEDDED
from otelbot.alerts.runbook import runbook
from otelbot.dashboard.api import parameters
from otelbot.dashboard.api.answers import answer
from otelbot.dashboard.api.parameters import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web


class Alerts(Protocol):
    """What the page needs of `otelbot.alerts.evaluator.Alerts`."""

    @property
    def version(self) -> int: ...
    @property
    def firing(self) -> int: ...
    def overview(self) -> dict[str, Any]: ...
    def history(self, limit: int) -> dict[str, Any]: ...
    async def silence(self, uid: str, labels: Mapping[str, str] | None, seconds: float) -> None: ...
    async def unsilence(self, uid: str, labels: Mapping[str, str] | None) -> None: ...


async def runbook_of(request: web.Request) -> web.Response:
    """Answer with what to do about an alert."""
    uid = request.match_info["uid"]
    rule = next((rule for rule in RULES_OF_THE_EMBEDDED if rule.uid == uid), None)
    if rule is None:
        raise Refused("There is no such alert.", 404)
    try:
        text = runbook(rule)
    except OSError:
        raise Refused(
            "This installation has no runbooks: install otelbot from a wheel, or see docs/runbooks.", 404
        ) from None
    return answer({"uid": uid, "title": rule.title._asdict(), "text": text})


async def silence(request: web.Request, alerts: Alerts) -> web.Response:
    given = await parameters.body(request)
    uid, labels = _whose(given)
    seconds = given.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise Refused("seconds is missing: a number, for how long the alert is silent.")
    try:
        await alerts.silence(uid, labels, float(seconds))
    except (ValueError, OverflowError) as error:
        raise Refused(f"{error}.") from None
    return answer({"ok": True})


async def unsilence(request: web.Request, alerts: Alerts) -> web.Response:
    uid, labels = _whose(await parameters.body(request))
    try:
        await alerts.unsilence(uid, labels)
    except ValueError as error:
        raise Refused(f"{error}.") from None
    return answer({"ok": True})


def _whose(given: dict[str, Any]) -> tuple[str, dict[str, str] | None]:
    """Return the rule and the labels; None is all that it has. Whether there are such is for the evaluator to say."""
    uid, labels = given.get("uid"), given.get("labels")
    if not isinstance(uid, str):
        raise Refused("uid is missing: that of an alert in /api/alerts.")
    if labels is not None and not isinstance(labels, dict):
        raise Refused("labels is neither null, for all of the alert, nor an object of texts.")
    return uid, labels
