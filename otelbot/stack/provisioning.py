"""Grafana's contact points, notification policies and mute timings, made from the channels that .env configures.

Secrets are references such as `$ALERT_TELEGRAM_TOKEN`, which Grafana replaces from its environment: their values stay
in .env. Grafana forgets nothing by itself: a receiver that leaves the file goes on sending, so those that are not used
are named for deletion, and the one mute timing is always there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from otelbot.alerts.channels import quiet
from otelbot.alerts.channels.settings import MOST_CHATS, MUTED, SEVERITIES
from otelbot.alerts.channels.webhook import SIGNATURE_HEADER, TIMESTAMP_HEADER
from otelbot.stack import templates

if TYPE_CHECKING:
    from otelbot.alerts.channels.settings import Channels

FOLDER = "grafana/provisioning/alerting"
CONTACT_POINT = "otelbot"
MUTE_TIMING = "otelbot-quiet-hours"

_NOBODY = "otelbot-nobody"
_EMAIL = "otelbot-email"
_WEBHOOK = "otelbot-webhook"
_HEADER = "# Written by `otelbot stack` from .env: what is changed here is kept, but then no longer follows .env.\n"


def render(channels: Channels) -> dict[str, str]:
    """Return the files of grafana/provisioning/alerting that .env decides, by their paths in the stack's folder."""
    contents = {
        "contact-points": contact_points(channels),
        "policies": policies(channels),
        "mute-times": mute_times(channels),
        "templates": templates.provisioning(),
    }
    return {f"{FOLDER}/{name}.yaml": _HEADER + _dump(content) for name, content in contents.items()}


def contact_points(channels: Channels) -> dict[str, Any]:
    """Return one contact point with a receiver for each channel and chat."""
    receivers = [*_telegram(channels), *_email(channels), *_webhook(channels)] or [_nobody()]
    used = {receiver["uid"] for receiver in receivers}
    known = [*(_chat_uid(number) for number in range(1, MOST_CHATS + 1)), _EMAIL, _WEBHOOK, _NOBODY]
    return {
        "apiVersion": 1,
        "contactPoints": [{"orgId": 1, "name": CONTACT_POINT, "receivers": receivers}],
        "deleteContactPoints": [{"orgId": 1, "uid": uid} for uid in known if uid not in used],
    }


def policies(channels: Channels) -> dict[str, Any]:
    """Return the notification policy: a route for each severity, whose cooldown is its repeat_interval."""
    routes = []
    for severity in SEVERITIES:
        route: dict[str, Any] = {
            "receiver": CONTACT_POINT,
            "object_matchers": [["severity", "=", severity]],
            "repeat_interval": channels.cooldowns[severity],
        }
        if severity in MUTED:
            route["mute_time_intervals"] = [MUTE_TIMING]
        routes.append(route)
    policy = {
        "orgId": 1,
        "receiver": CONTACT_POINT,
        "group_by": ["alertname", "service_name"],
        "group_wait": "10s",
        # Grafana rounds repeat_interval up to a multiple of it.
        "group_interval": "1m",
        "repeat_interval": channels.cooldowns["warning"],
        "routes": routes,
    }
    return {"apiVersion": 1, "policies": [policy]}


def mute_times(channels: Channels) -> dict[str, Any]:
    """Return the quiet hours."""
    intervals = quiet.intervals(channels.quiet, channels.timezone)
    return {"apiVersion": 1, "muteTimes": [{"orgId": 1, "name": MUTE_TIMING, "time_intervals": intervals}]}


def _telegram(channels: Channels) -> list[dict[str, Any]]:
    if not channels.telegram:
        return []
    receivers = []
    for number, chat in enumerate(channels.telegram.chats, 1):
        settings: dict[str, Any] = {
            "bottoken": "$ALERT_TELEGRAM_TOKEN",
            "chatid": chat.id,
            "parse_mode": "HTML",
            "disable_web_page_preview": True,
            "message": _call("telegram", channels),
        }
        if chat.topic:
            settings["message_thread_id"] = chat.topic
        receivers.append({"uid": _chat_uid(number), "type": "telegram", "settings": settings})
    return receivers


def _email(channels: Channels) -> list[dict[str, Any]]:
    if not channels.email:
        return []
    settings = {
        "addresses": ";".join(channels.email.to).replace("$", "$$"),
        "singleEmail": False,
        "subject": _call("subject", channels),
        "message": _call("plain", channels),
    }
    return [{"uid": _EMAIL, "type": "email", "settings": settings}]


def _webhook(channels: Channels) -> list[dict[str, Any]]:
    if not channels.webhook:
        return []
    settings: dict[str, Any] = {
        "url": "$ALERT_WEBHOOK_URL",
        "httpMethod": "POST",
        "title": _call("subject", channels),
        "message": _call("plain", channels),
    }
    if channels.webhook.secret:
        settings["hmacConfig"] = {
            "secret": "$ALERT_WEBHOOK_SECRET",
            "header": SIGNATURE_HEADER,
            "timestampHeader": TIMESTAMP_HEADER,
        }
    return [{"uid": _WEBHOOK, "type": "webhook", "settings": settings}]


def _nobody() -> dict[str, Any]:
    # Grafana's own address for «send nowhere»; a contact point must have a receiver.
    return {"uid": _NOBODY, "type": "webhook", "settings": {"url": "grafana://noop"}}


def _chat_uid(number: int) -> str:
    return f"otelbot-telegram-{number}"


def _call(kind: str, channels: Channels) -> str:
    return f'{{{{ template "{templates.name(kind, channels.language)}" . }}}}'


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _dump(content: dict[str, Any]) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
