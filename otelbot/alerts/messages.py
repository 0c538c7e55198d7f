"""The messages about alerts, in English and in Persian: Telegram's HTML, e-mail, and Grafana's JSON for the webhook.

They say what the stack's templates say (`otelbot/stack/templates.py`). What comes from telemetry may hold anything, so
it is cut, escaped and scrubbed of secrets here.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo
from typing import TYPE_CHECKING, Any

from otelbot.alerts.channels.message import LONGEST, Message
from otelbot.alerts.embedded_rules import PAGES
from otelbot.alerts.readable import duration, filled, readable
from otelbot.alerts.transitions import clean, key_of
from otelbot.privacy import scrub

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otelbot.alerts.rule import Rule, Text

MARKS = {"critical": "🚨", "error": "❌", "warning": "⚠️", "info": "ℹ️"}  # noqa: RUF001 - the emoji
_RESOLVED = "✅"
_MOST = 10  #: alerts that one message lists
_MOST_IN_PAYLOAD = 100
#: Right-to-left mark: a line that begins with an emoji or a Latin word would otherwise run from left to right.
_RLM = "\u200f"
_WORDS = {
    "en": {
        "line": "",
        "firing": "Firing",
        "resolved": "Resolved",
        "since": "Since {since}",
        "span": "From {since} to {ended}",
        "above": "Limit: {threshold}, for {wait}",
        "below": "Limit: at least {threshold}, for {wait}",
        "page": "Dashboard",
        "all": "All alerts",
        "more": "… and {count} more",
    },
    "fa": {
        "line": _RLM,
        "firing": "فعال",
        "resolved": "برطرف‌شده",
        "since": "از {since}",
        "span": "از {since} تا {ended}",
        "above": "حد مجاز: {threshold}، به مدت {wait}",
        "below": "حد مجاز: دست‌کم {threshold}، به مدت {wait}",
        "page": "داشبورد",
        "all": "همهٔ هشدارها",
        "more": "… و {count} مورد دیگر",
    },
}
#: Marks that turn the direction of what follows them.
_DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_NEVER = "0001-01-01T00:00:00Z"


@dataclass(frozen=True)
class Notice:
    """One alert that a message tells of; times in seconds since the epoch."""

    rule: Rule
    labels: Mapping[str, str]
    value: float
    since: float
    ended: float | None = None  #: None while it fires

    @property
    def mark(self) -> str:
        return MARKS[self.rule.severity] if self.ended is None else _RESOLVED


@dataclass(frozen=True)
class Form:
    """How messages are written."""

    language: str  #: en or fa
    zone: tzinfo
    page_url: str  #: of the dashboard, without a path


def compose(notices: Sequence[Notice], form: Form) -> Message:
    """Return one message about all of these alerts, of which there is at least one."""
    writer = _Writer(form)
    ordered = sorted(notices, key=lambda notice: notice.ended is not None)
    subject = writer.subject(ordered)
    plain = writer.plain(ordered)
    return Message(writer.telegram(ordered), subject, plain, _payload(ordered, form, subject, plain))


def line(text: str, longest: int = 500) -> str:
    """Return a text as one line without secrets, cut."""
    text = re.sub(r"\s+", " ", _DIRECTIONS.sub("", scrub(clean(text)))).strip()
    return text if len(text) <= longest else text[: longest - 1] + "…"


class _Writer:
    def __init__(self, form: Form) -> None:
        self._form = form
        self._words = _WORDS[form.language]
        self._line = self._words["line"]

    def subject(self, notices: Sequence[Notice]) -> str:
        firing = sum(notice.ended is None for notice in notices)
        counts = ((self._words["firing"], firing), (self._words["resolved"], len(notices) - firing))
        first = notices[0]
        said = "".join(f" · {word}: {count}" for word, count in counts if count)
        return f"{first.mark} {self._heading(first)}{said}"

    def telegram(self, notices: Sequence[Notice]) -> str:
        # One alert has all there is to say; of several each has its summary, and of many a short one.
        if len(notices) == 1:
            parts = [self._in_full(notices[0])]
        else:
            longest = 500 if len(notices) <= 2 else 120
            parts = [
                "\n".join(
                    (
                        f"{self._line}<b>{heading} ({len(some)})</b>",
                        *(f"{self._line}{each.mark} {self._brief(each, longest)}" for each in shown),
                        *self._more(some, shown),
                    )
                )
                for heading, some, shown in self._sections(notices)
            ]
            parts.append(self._link(self._address("/alerts"), self._words["all"]))
        text = "\n\n".join(part for part in parts if part)
        # Only a page's address of some thousand characters leads there.
        return text if len(text) <= LONGEST else self._escaped(self.subject(notices))

    def plain(self, notices: Sequence[Notice]) -> str:
        blocks = []
        for heading, some, shown in self._sections(notices):
            blocks.append(f"{self._line}{heading} ({len(some)})")
            for each in shown:
                facts = [f"{each.mark} {self._heading(each)}", self._summary(each), self._description(each)]
                facts += [self._limit(each.rule), self._when(each), f"{self._words['page']}: {self._page(each.rule)}"]
                blocks.append("\n".join(f"{self._line}{fact}" for fact in facts))
            blocks += self._more(some, shown)
        return "\n\n".join(blocks) + "\n"

    def _in_full(self, notice: Notice) -> str:
        title = html.escape(line(self._in_language(notice.rule.title), 80))
        name = html.escape(line(notice.labels.get("service_name", ""), 80))
        return "\n".join(
            (
                f"{self._line}{notice.mark} <b>{title}</b>{f' · {name}' if name else ''}",
                f"{self._line}{self._escaped(self._summary(notice))}",
                "",
                f"{self._line}{self._escaped(self._description(notice))}",
                "",
                f"{self._line}{html.escape(self._limit(notice.rule))}",
                f"{self._line}{html.escape(self._when(notice))}",
                self._link(self._page(notice.rule), self._words["page"]),
            )
        )

    def _brief(self, notice: Notice, longest: int) -> str:
        return self._escaped(line(f"{self._in_language(notice.rule.title)}: {self._summary(notice)}", longest), longest)

    @staticmethod
    def _escaped(text: str, longest: int = 500) -> str:
        """Escape, and cut what became long by that: never within an entity."""
        escaped = html.escape(text)
        return escaped if len(escaped) <= 2 * longest else html.escape(text[: longest // 3]) + "…"

    def _sections(self, notices: Sequence[Notice]) -> list[tuple[str, list[Notice], list[Notice]]]:
        """Return a heading, its alerts, and those that are shown."""
        firing = [notice for notice in notices if notice.ended is None]
        resolved = [notice for notice in notices if notice.ended is not None]
        most = _MOST // 2 if firing and resolved else _MOST
        both = ((self._words["firing"], firing), (self._words["resolved"], resolved))
        return [(heading, some, some[:most]) for heading, some in both if some]

    def _more(self, some: Sequence[Notice], shown: Sequence[Notice]) -> list[str]:
        left = len(some) - len(shown)
        return [self._line + self._words["more"].format(count=left)] if left else []

    def _heading(self, notice: Notice) -> str:
        name = line(notice.labels.get("service_name", ""), 80)
        return self._in_language(notice.rule.title) + (f" · {name}" if name else "")

    def _summary(self, notice: Notice) -> str:
        return _said(self._in_language(notice.rule.summary), notice)

    def _description(self, notice: Notice) -> str:
        return _said(self._in_language(notice.rule.description), notice)

    def _limit(self, rule: Rule) -> str:
        words = self._words["above" if rule.above else "below"]
        return words.format(threshold=readable(rule.threshold, rule.unit), wait=duration(rule.wait))

    def _when(self, notice: Notice) -> str:
        zone = self._form.zone
        name = "UTC" if zone is timezone.utc else str(zone)
        if notice.ended is None:
            return f"{self._words['since'].format(since=_clock(notice.since, zone))} {name}"
        span = self._words["span"].format(since=_clock(notice.since, zone), ended=_clock(notice.ended, zone))
        return f"{span} {name}"

    def _in_language(self, text: Text) -> str:
        return text.fa if self._form.language == "fa" else text.en

    def _page(self, rule: Rule) -> str:
        return self._address(PAGES.get(rule.uid, "/alerts"))

    def _address(self, path: str) -> str:
        return self._form.page_url + path

    def _link(self, address: str, word: str) -> str:
        return f'{self._line}📊 <a href="{html.escape(address)}">{word}</a>'


def _said(text: str, notice: Notice) -> str:
    labels = {name: line(value, 100) for name, value in notice.labels.items()}
    return line(filled(text, labels, readable(notice.value, notice.rule.unit)))


def _clock(at: float, zone: tzinfo) -> str:
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M")


def _payload(notices: Sequence[Notice], form: Form, title: str, text: str) -> dict[str, Any]:
    """Return what Grafana would send.

    https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
    """
    alerts = [_payload_of(notice, form) for notice in notices[:_MOST_IN_PAYLOAD]]
    status = "firing" if any(notice.ended is None for notice in notices) else "resolved"
    labels, annotations = _common(alerts, "labels"), _common(alerts, "annotations")
    group = {name: text for name, text in labels.items() if name in {"alertname", "service_name"}}
    return {
        "receiver": "otelbot",
        "status": status,
        "alerts": alerts,
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": form.page_url,
        "version": "1",
        "groupKey": f"{{}}:{key_of(group)}",
        "truncatedAlerts": len(notices) - len(alerts),
        "orgId": 1,
        "title": title,
        "state": "alerting" if status == "firing" else "ok",
        "message": text,
    }


def _payload_of(notice: Notice, form: Form) -> dict[str, Any]:
    rule = notice.rule
    labels = {name: line(value, 200) for name, value in notice.labels.items()}
    labels |= {"alertname": rule.title.en, "severity": rule.severity}
    number = readable(notice.value, rule.unit)
    return {
        "status": "firing" if notice.ended is None else "resolved",
        "labels": labels,
        "annotations": {
            "title_fa": rule.title.fa,
            "summary": _said(rule.summary.en, notice),
            "description": _said(rule.description.en, notice),
            "summary_fa": _said(rule.summary.fa, notice),
            "description_fa": _said(rule.description.fa, notice),
            "value": number,
            "threshold": readable(rule.threshold, rule.unit),
        },
        "startsAt": _iso(notice.since),
        "endsAt": _NEVER if notice.ended is None else _iso(notice.ended),
        "generatorURL": form.page_url + "/alerts",
        "fingerprint": _fingerprint(notice),
        "silenceURL": form.page_url + "/alerts",
        "dashboardURL": form.page_url + PAGES.get(rule.uid, "/alerts"),
        "panelURL": "",
        # JSON has no word for infinity.
        "values": {"A": notice.value} if abs(notice.value) < float("inf") else None,
        "valueString": f"[ var='A' value={number} ]",
    }


def _fingerprint(notice: Notice) -> str:
    identity = json.dumps([notice.rule.uid, sorted(notice.labels.items())])
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _common(alerts: Sequence[Mapping[str, Any]], part: str) -> dict[str, str]:
    first, *others = (alert[part] for alert in alerts)
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="seconds")
