"""Sends JSON as Grafana does, with its signature, to an address."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import urllib3

from otelbot.alerts.channels import proxies
from otelbot.alerts.channels.outcome import Result, of_answer, of_error, reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otelbot.alerts.channels.settings import Webhook

#: What Grafana puts the HMAC and the time that it covers into.
SIGNATURE_HEADER = "X-Grafana-Alerting-Signature"
TIMESTAMP_HEADER = "X-Grafana-Alerting-Timestamp"
_LONGEST_WAIT = 3600


def signed(body: bytes, secret: str, timestamp: int) -> dict[str, str]:
    """Return the headers that Grafana's HMAC configuration adds: over the time, a colon and the body."""
    covered = f"{timestamp}:".encode() + body
    digest = hmac.new(secret.encode(), covered, hashlib.sha256).hexdigest()
    return {TIMESTAMP_HEADER: str(timestamp), SIGNATURE_HEADER: digest}


def send(http: proxies.Web, webhook: Webhook, content: Mapping[str, Any]) -> Result:
    body = json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    # Some receivers know Grafana's JSON by who sends it.
    headers = {"Content-Type": "application/json", "User-Agent": "Grafana"}
    if webhook.secret:
        headers |= signed(body, webhook.secret, int(time.time()))
    url, userinfo = proxies.without_userinfo(webhook.url)
    headers |= proxies.basic(userinfo) if userinfo else {}
    try:
        response = http.request("POST", url, body=body, headers=headers)
    except urllib3.exceptions.ProxyError as error:
        return Result(of_error(error), proxies.unreachable(reason(error)))
    except urllib3.exceptions.LocationValueError as error:
        return Result(of_error(error), "ALERT_WEBHOOK_URL is not an address: write the whole one")
    except urllib3.exceptions.HTTPError as error:
        return Result(
            of_error(error), f"the webhook's server can't be reached ({reason(error)}): mend ALERT_WEBHOOK_URL"
        )
    status = response.status
    if 200 <= status < 300:
        return Result("sent", f"the server answers {status}")
    if status in {401, 403}:
        return Result(
            "refused", f"the server answers {status}: give it the secret of ALERT_WEBHOOK_SECRET, or mend that"
        )
    asked = response.headers.get("Retry-After", "")
    after = min(int(asked), _LONGEST_WAIT) if asked.isascii() and asked.isdecimal() and len(asked) < 10 else 0
    return Result(of_answer(status), f"the server answers {status}: mend ALERT_WEBHOOK_URL", after)
