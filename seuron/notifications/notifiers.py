"""The channels that send a notice. Each raises NotifyError when it could not, without any secret in the message."""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Callable
from email.message import EmailMessage

import httpx

from seuron.notifications.notices import Notice
from seuron.notifications.settings import How, NotifyError, Recipient, secret
from seuron.notifications.slack_text import cut, escaped
from seuron.redaction import redacted

log = logging.getLogger(__name__)

#: Seconds for a server to answer: a task that failed waits for this.
TIMEOUT = 15.0
#: Answers of 429 that one message waits through.
_PATIENCE = 3


#: Sends a notice to a recipient.
Notifier = Callable[[Recipient, Notice], None]


def to_log(recipient: Recipient, notice: Notice) -> None:
    """A line in this process's log, with its text below it."""
    log.log(logging.WARNING if notice.event in ("failed", "held", "retry") else logging.INFO, "%s", notice.text)


def to_slack(recipient: Recipient, notice: Notice) -> None:
    """A message, through a webhook or in the bot's name."""
    try:
        from slack_sdk import WebClient, WebhookClient
        from slack_sdk.errors import SlackClientError
        from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
        from slack_sdk.http_retry.handler import RetryHandler
    except ImportError as error:
        raise NotifyError("Slack's library is not installed; install seuron[slack]") from error
    text = cut(escaped(notice.text))
    patience: list[RetryHandler] = [RateLimitErrorRetryHandler(max_retry_count=_PATIENCE)]
    try:
        if recipient.webhook is not None:
            hook = WebhookClient(secret(recipient.webhook), timeout=int(TIMEOUT), retry_handlers=patience)
            answer = hook.send(text=text, unfurl_links=False)
            if answer.status_code != 200:
                raise NotifyError(f"Slack's webhook answered {answer.status_code}: {answer.body}")
        elif recipient.token is not None:
            address = recipient.address or WebClient.BASE_URL
            client = WebClient(secret(recipient.token), address, timeout=int(TIMEOUT), retry_handlers=patience)
            client.chat_postMessage(channel=recipient.channel, text=text, unfurl_links=False)
    except (SlackClientError, OSError) as error:
        raise NotifyError(f"Slack refused: {redacted(str(error))}") from None


def to_email(recipient: Recipient, notice: Notice) -> None:
    """One mail to all addresses."""
    host, _, port = recipient.server.partition(":")
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = notice.title, recipient.sender, ", ".join(recipient.to)
    mail.set_content(notice.text)
    try:
        with smtplib.SMTP(host, int(port or 25), timeout=TIMEOUT) as server:
            if recipient.starttls:
                server.starttls()
            if recipient.user:
                server.login(recipient.user, secret(recipient.password) if recipient.password else "")
            server.send_message(mail)
    except (smtplib.SMTPException, OSError) as error:
        raise NotifyError(f"{host} did not take the mail: {redacted(str(error))}") from None


def to_webhook(recipient: Recipient, notice: Notice) -> None:
    """A POST of JSON: everything that a notice holds, and its text."""
    address = recipient.address or secret(recipient.address_secret or "")
    headers = {"Authorization": f"Bearer {secret(recipient.token)}"} if recipient.token else {}
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=2), timeout=TIMEOUT, headers=headers) as client:
            answer = client.post(address, json=notice.to_json())
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotifyError(f"the webhook did not answer: {redacted(str(error))}") from None
    if not answer.is_success:
        raise NotifyError(f"the webhook answered {answer.status_code}: {redacted(answer.text[:200])}")


NOTIFIERS: dict[How, Notifier] = {
    "slack": to_slack,
    "email": to_email,
    "webhook": to_webhook,
    "log": to_log,
}
