"""Outgoing mail: a message, an SMTP connection to carry it, and the server's reply."""

import smtplib
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from django.conf import settings

TIMEOUT_SECONDS = 5


@dataclass(frozen=True)
class Reply:
    code: int
    text: str

    @classmethod
    def of(cls, code: int, text: bytes) -> "Reply":
        return cls(code, text.decode(errors="replace"))

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


def compose(to: str, subject: str, body: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = settings.MAIL_FROM
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=settings.MAIL_FROM.rpartition("@")[2])
    message.set_content(body)
    return message


def connect(domain: str) -> smtplib.SMTP:
    """Connect to the mail server of domain, or raise OSError.

    Here every domain has the same server; a real site looks up the domain's MX record.
    """
    host, port = settings.MAIL_SERVER.split(":")
    our_name = settings.MAIL_FROM.rpartition("@")[2]
    return smtplib.SMTP(host, int(port), local_hostname=our_name, timeout=TIMEOUT_SECONDS)


def send(smtp: smtplib.SMTP, message: EmailMessage) -> Reply:
    """Return the server's verdict on message: 2xx accepted, 4xx not now, 5xx never.

    After a 421 smtplib has closed the connection. A connection that breaks raises OSError.
    """
    try:
        smtp.send_message(message)
    except smtplib.SMTPRecipientsRefused as refused:
        return Reply.of(*refused.recipients[message["To"]])
    except smtplib.SMTPResponseException as error:
        return Reply.of(error.smtp_code, error.smtp_error)
    return Reply(250, "OK")
