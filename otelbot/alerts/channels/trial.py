"""A test message through each channel, and what came of it.

Grafana is not asked: the channels can be tried before anything runs.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from otelbot.alerts.channels.message import Message
from otelbot.alerts.channels.sending import send, targets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otelbot.alerts.channels.outcome import Outcome
    from otelbot.alerts.channels.settings import Channels

_WORDS = {
    "en": ("Test alert from otelbot", "If you can read this, alerts reach you here."),
    "fa": ("هشدار آزمایشی otelbot", "اگر این پیام را می‌بینید، هشدارها به اینجا می‌رسند."),
}


def try_channels(channels: Channels, only: tuple[str, ...], page_url: str) -> Iterator[Outcome]:
    """Send a test through each channel, or through those named, and yield what came of it.

    :param page_url: where alerts are looked at, for the webhook.
    """
    title, text = _WORDS[channels.language]
    message = Message(f"✅ {title}\n{text}", f"✅ {title}", text, _payload(title, text, page_url))
    for target in targets(channels):
        if not only or target.split()[0] in only:
            yield send(channels, target, message)


def _payload(title: str, text: str, page_url: str) -> dict[str, Any]:
    """Return what Grafana would send for one firing alert.

    https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
    """
    labels = {"alertname": "otelbot test", "severity": "info", "service_name": "otelbot"}
    annotations = {"summary": title, "description": text}
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": annotations,
        "startsAt": now,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": page_url,
        "fingerprint": hashlib.sha256(json.dumps(labels).encode()).hexdigest()[:16],
        "silenceURL": "",
        "dashboardURL": "",
        "panelURL": "",
        "values": None,
        "valueString": "",
    }
    return {
        "receiver": "otelbot",
        "status": "firing",
        "alerts": [alert],
        "groupLabels": {name: labels[name] for name in ("alertname", "service_name")},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": page_url,
        "version": "1",
        "groupKey": '{}:{alertname="otelbot test", service_name="otelbot"}',
        "truncatedAlerts": 0,
        "orgId": 1,
        "title": title,
        "state": "alerting",
        "message": text,
    }
