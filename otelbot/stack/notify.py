"""`otelbot stack test-alert`: one message through each channel, sent as Grafana does, and what came of it.

Grafana is not asked: the channels can be tried before it runs. What a server or a library says of an error may hold the
token or an address, so its words are not passed on; what they mean is said instead.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import smtplib
import socket
import ssl
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import urllib3

from otelbot.stack import proxies
from otelbot.stack.provisioning import SIGNATURE_HEADER, TIMESTAMP_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otelbot.stack.channels import Channels, Chat, Telegram, Webhook
    from otelbot.stack.mail import Email

TELEGRAM_API = "https://api.telegram.org"
_TIMEOUT = 15.0
_WORDS = {
    "en": ("Test alert from otelbot", "If you can read this, alerts reach you here."),
    "fa": ("هشدار آزمایشی otelbot", "اگر این پیام را می‌بینید، هشدارها به اینجا می‌رسند."),
}


@dataclass(frozen=True)
class Outcome:
    """What came of one message."""

    channel: str
    ok: bool
    detail: str


def send(channels: Channels, values: Mapping[str, str], only: tuple[str, ...] = ()) -> Iterator[Outcome]:
    """Send a test through each channel, or through those named, and yield what came of it."""
    title, text = _WORDS[channels.language]
    http = proxies.Web(channels.proxy, _TIMEOUT)
    wanted = only or tuple(channels.names)
    if channels.telegram and "telegram" in wanted:
        base = values.get("TELEGRAM_API_URL", "").strip().rstrip("/") or TELEGRAM_API
        for chat in channels.telegram.chats:
            yield Outcome(f"telegram {chat}", *_to_telegram(http, base, channels.telegram, chat, f"✅ {title}\n{text}"))
    if channels.email and "email" in wanted:
        yield Outcome("email", *_to_email(channels.email, f"✅ {title}", text))
    if channels.webhook and "webhook" in wanted:
        grafana = values.get("GRAFANA_URL", "").strip() or "http://localhost:3000"
        yield Outcome("webhook", *_to_webhook(http, channels.webhook, payload(title, text, grafana)))


# Telegram


def _to_telegram(http: proxies.Web, base: str, bot: Telegram, chat: Chat, text: str) -> tuple[bool, str]:
    body: dict[str, Any] = {"chat_id": chat.id, "text": text}
    if chat.topic:
        body["message_thread_id"] = int(chat.topic)
    try:
        response = http.request("POST", f"{base}/bot{bot.token}/sendMessage", json=body)
    except urllib3.exceptions.ProxyError as error:
        return False, proxies.unreachable(_reason(error))
    except urllib3.exceptions.LocationValueError:
        return False, "TELEGRAM_API_URL is not an address: write the whole one"
    except urllib3.exceptions.HTTPError as error:
        return False, f"Telegram can't be reached ({_reason(error)}): mend the network, or set ALERT_PROXY"
    if response.status == 200:
        return True, "sent"
    return False, _telegram_refusal(response, chat)


def _telegram_refusal(response: urllib3.BaseHTTPResponse, chat: Chat) -> str:
    try:
        answer: Any = json.loads(response.data)
        said = str(answer.get("description", "")).lower()
        parameters = answer.get("parameters") or {}
    except (ValueError, AttributeError):
        return f"what answers with {response.status} is not the Bot API: mend TELEGRAM_API_URL"
    status = response.status
    if status in {401, 404}:
        return "Telegram does not know the token: copy ALERT_TELEGRAM_TOKEN from @BotFather again"
    if isinstance(new := parameters.get("migrate_to_chat_id"), int):
        return f"the group is a supergroup now: write {new} instead of {chat.id} into ALERT_TELEGRAM_CHATS"
    if chat.topic and ("thread" in said or "topic" in said):
        return f"the group has no open topic {chat.topic}: mend the number behind the colon in ALERT_TELEGRAM_CHATS"
    if "chat not found" in said:
        return f"the bot does not know {chat.id}: add it to the group, or write to it, or mend ALERT_TELEGRAM_CHATS"
    if status == 403:
        return f"the bot may not write to {chat.id}: unblock it or add it to the group, or mend ALERT_TELEGRAM_CHATS"
    if status == 429:
        return f"Telegram asks to wait {parameters.get('retry_after', 'some')} seconds: try again after that"
    if status >= 500:
        return f"Telegram has a fault of its own (status {status}): try again later"
    return f"Telegram refuses the message (status {status}): look whether the bot may write to {chat.id}"


# E-mail


def _to_email(email: Email, subject: str, text: str) -> tuple[bool, str]:
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = email.sender
    message["To"] = ", ".join(email.to)
    message.set_content(text)
    where = f"{email.host}:{email.port}"
    context = ssl.create_default_context()
    if email.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        with _connect(email, context) as server:
            if email.user:
                _login(server, email.user, email.password)
            refused = server.send_message(message)
    except ssl.SSLCertVerificationError:
        return False, (
            f"the certificate of {where} is not trusted: set SMTP_HOST to the name that it is for, or, for a server of"
            " your own, SMTP_SKIP_VERIFY=true"
        )
    except UnicodeError:
        return False, "ALERT_EMAIL_TO has an address that can't be written in mail: use Latin letters"
    except (smtplib.SMTPNotSupportedError, ssl.SSLError):
        if not "".join(email.to).isascii():
            return False, f"{where} takes only addresses in Latin letters: mend ALERT_EMAIL_TO"
        return False, f"{where} offers no encryption that works, which Grafana insists on: mend SMTP_HOST or SMTP_PORT"
    except smtplib.SMTPAuthenticationError:
        return False, f"{where} does not take the user and the password: mend SMTP_USER or SMTP_PASSWORD"
    except smtplib.SMTPSenderRefused:
        return False, f"{where} does not take {email.sender} as the sender: mend SMTP_FROM"
    except smtplib.SMTPRecipientsRefused:
        return False, f"{where} takes mail for none of the receivers: mend ALERT_EMAIL_TO"
    except smtplib.SMTPException as error:
        status = getattr(error, "smtp_code", "")
        return False, f"{where} refuses the mail{f' (status {status})' if status else ''}: mend SMTP_HOST or SMTP_PORT"
    except OSError as error:
        return False, f"{where} can't be reached ({_reason(error)}): mend SMTP_HOST or SMTP_PORT"
    if refused:
        return False, f"{where} takes no mail for {', '.join(sorted(refused))}: mend ALERT_EMAIL_TO"
    return True, f"{where} has taken it for {', '.join(email.to)}"


def _connect(email: Email, context: ssl.SSLContext) -> smtplib.SMTP:
    host = email.host.strip("[]")
    if email.port == 465:
        return smtplib.SMTP_SSL(host, email.port, timeout=_TIMEOUT, context=context)
    server = smtplib.SMTP(host, email.port, timeout=_TIMEOUT)
    try:
        server.starttls(context=context)
    except BaseException:
        server.close()
        raise
    return server


def _login(server: smtplib.SMTP, user: str, password: str) -> None:
    if (user + password).isascii():
        server.login(user, password)
        return
    # smtplib knows ASCII only; Grafana sends UTF-8.
    server.ehlo_or_helo_if_needed()
    proof = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    code, answer = server.docmd("AUTH", f"PLAIN {proof}")
    if code not in {235, 503}:
        raise smtplib.SMTPAuthenticationError(code, answer)


# Webhook


def payload(title: str, text: str, grafana: str) -> dict[str, Any]:
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
        "generatorURL": grafana,
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
        "externalURL": grafana,
        "version": "1",
        "groupKey": '{}:{alertname="otelbot test", service_name="otelbot"}',
        "truncatedAlerts": 0,
        "orgId": 1,
        "title": title,
        "state": "alerting",
        "message": text,
    }


def signed(body: bytes, secret: str, timestamp: int) -> dict[str, str]:
    """Return the headers that Grafana's HMAC configuration adds: over the time, a colon and the body."""
    covered = f"{timestamp}:".encode() + body
    digest = hmac.new(secret.encode(), covered, hashlib.sha256).hexdigest()
    return {TIMESTAMP_HEADER: str(timestamp), SIGNATURE_HEADER: digest}


def _to_webhook(http: proxies.Web, webhook: Webhook, content: dict[str, Any]) -> tuple[bool, str]:
    body = json.dumps(content, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "Grafana"}
    if webhook.secret:
        headers |= signed(body, webhook.secret, int(time.time()))
    url, userinfo = proxies.without_userinfo(webhook.url)
    headers |= proxies.basic(userinfo) if userinfo else {}
    try:
        response = http.request("POST", url, body=body, headers=headers)
    except urllib3.exceptions.ProxyError as error:
        return False, proxies.unreachable(_reason(error))
    except urllib3.exceptions.LocationValueError:
        return False, "ALERT_WEBHOOK_URL is not an address: write the whole one"
    except urllib3.exceptions.HTTPError as error:
        return False, f"the webhook's server can't be reached ({_reason(error)}): mend ALERT_WEBHOOK_URL"
    if 200 <= response.status < 300:
        return True, f"the server answers {response.status}"
    if response.status in {401, 403}:
        return False, f"the server answers {response.status}: give it the secret of ALERT_WEBHOOK_SECRET, or mend that"
    return False, f"the server answers {response.status}: mend ALERT_WEBHOOK_URL"


_REASONS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((socket.gaierror, urllib3.exceptions.NameResolutionError), "the name is unknown"),
    ((ssl.SSLCertVerificationError,), "its certificate is not trusted"),
    ((ssl.SSLError, urllib3.exceptions.SSLError), "no encryption that works"),
    ((ConnectionRefusedError,), "connection refused"),
    ((TimeoutError, urllib3.exceptions.TimeoutError), "no answer in time"),
)


def _reason(error: BaseException) -> str:
    """Return a few words that hold nothing of the address: the texts of these errors do."""
    chain: list[BaseException] = []
    seen: BaseException | None = error
    while seen is not None and seen not in chain:
        chain.append(seen)
        seen = seen.__cause__ or seen.__context__
    for kinds, reason in _REASONS:
        if any(isinstance(each, kinds) for each in chain):
            return reason
    return type(error).__name__
