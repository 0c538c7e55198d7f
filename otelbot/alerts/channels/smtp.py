"""Sends e-mail, encrypted or not at all."""

from __future__ import annotations

import base64
import contextlib
import smtplib
import ssl
from email.header import Header
from email.message import EmailMessage
from email.policy import EmailPolicy
from typing import TYPE_CHECKING, Any

from otelbot.alerts.channels.outcome import Result, Status, reason

if TYPE_CHECKING:
    from otelbot.alerts.channels.mail import Email

_TIMEOUT = 15.0


class _Policy(EmailPolicy):
    """Python's, which before 3.12.4 loses a space where a subject in another script needs a second line.

    https://github.com/python/cpython/issues/92081
    """

    def fold_binary(self, name: str, value: Any) -> bytes:
        if name != "Subject" or self.utf8 or str(value).isascii():
            return super().fold_binary(name, value)
        encoded = Header(str(value), "utf-8", header_name=name).encode(linesep=self.linesep)
        return f"{name}: {encoded}{self.linesep}".encode("ascii")


class _Began:
    """Knows whether a mail's text was begun: from then on nobody can tell whether the server has it."""

    text_begun = False

    def data(self, msg: Any) -> tuple[int, bytes]:
        self.text_begun = True
        return super().data(msg)  # type: ignore[misc, no-any-return]


class _Plain(_Began, smtplib.SMTP):
    pass


class _Encrypted(_Began, smtplib.SMTP_SSL):
    pass


def send(email: Email, subject: str, text: str) -> Result:
    where = f"{email.host}:{email.port}"
    server: _Plain | _Encrypted | None = None
    try:
        server = _connect(email)
        if isinstance(server, _Plain):
            server.starttls(context=_context(email))
        if email.user:
            _login(server, email.user, email.password)
        refused = server.send_message(_mail(email, subject, text))
    except (smtplib.SMTPException, OSError, UnicodeError) as error:
        return Result(_status(error, text_begun=server is not None and server.text_begun), _words(error, email, where))
    finally:
        if server is not None:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                server.quit()
            server.close()
    if refused:
        return Result("refused", f"{where} takes no mail for {', '.join(sorted(refused))}: mend ALERT_EMAIL_TO")
    return Result("sent", f"{where} has taken it for {', '.join(email.to)}")


def _mail(email: Email, subject: str, text: str) -> EmailMessage:
    message = EmailMessage(_Policy())
    message["Subject"] = subject
    message["From"] = email.sender
    message["To"] = ", ".join(email.to)
    message.set_content(text)
    return message


def _connect(email: Email) -> _Plain | _Encrypted:
    host = email.host.strip("[]")
    if email.port == 465:
        return _Encrypted(host, email.port, timeout=_TIMEOUT, context=_context(email))
    return _Plain(host, email.port, timeout=_TIMEOUT)


def _context(email: Email) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if email.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


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


def _status(error: Exception, *, text_begun: bool) -> Status:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
    elif isinstance(error, smtplib.SMTPResponseException):
        codes = [error.smtp_code]
    elif isinstance(error, (UnicodeError, smtplib.SMTPNotSupportedError)):
        return "refused"
    else:
        return "unknown" if text_begun else "retry"
    # 4yz: not now; that is also how a server meets a sender that it does not know yet.
    # https://datatracker.ietf.org/doc/html/rfc5321#section-4.2.1
    return "retry" if all(400 <= code < 500 for code in codes) else "refused"


def _words(error: Exception, email: Email, where: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {where} is not trusted: set SMTP_HOST to the name that it is for, or, for a server of"
            " your own, SMTP_SKIP_VERIFY=true"
        )
    if isinstance(error, UnicodeError):
        return "ALERT_EMAIL_TO has an address that can't be written in mail: use Latin letters"
    if isinstance(error, (smtplib.SMTPNotSupportedError, ssl.SSLError)):
        if not "".join(email.to).isascii():
            return f"{where} takes only addresses in Latin letters: mend ALERT_EMAIL_TO"
        return f"{where} offers no encryption that works, without which nothing is sent: mend SMTP_HOST or SMTP_PORT"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"{where} does not take the user and the password: mend SMTP_USER or SMTP_PASSWORD"
    if isinstance(error, smtplib.SMTPSenderRefused):
        return f"{where} does not take {email.sender} as the sender: mend SMTP_FROM"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"{where} takes mail for none of the receivers: mend ALERT_EMAIL_TO"
    if isinstance(error, smtplib.SMTPException):
        status = getattr(error, "smtp_code", "")
        return f"{where} refuses the mail{f' (status {status})' if status else ''}: mend SMTP_HOST or SMTP_PORT"
    return f"{where} can't be reached ({reason(error)}): mend SMTP_HOST or SMTP_PORT"
