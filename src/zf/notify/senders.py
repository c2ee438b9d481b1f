"""How a message is sent: a function for each type of channel, which raises NotSentError if not.

Webhooks follow the Standard Webhooks specification (https://www.standardwebhooks.com): the headers
`webhook-id`, `webhook-timestamp` and, with a secret, `webhook-signature`.
"""

from __future__ import annotations

import binascii
import hmac
import json
import os
import signal
import smtplib
import ssl
import subprocess
import urllib.error
import urllib.request
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.message import EmailMessage
from email.utils import formatdate
from typing import IO, Any

from zf.events import timestamp
from zf.notify.channels import Channel
from zf.notify.message import for_people
from zf.notify.outbox import Letter
from zf.plan.notify.keys import COMMAND, EMAIL, SLACK, WEBHOOK

_Environ = Mapping[str, str]
_SECRET_PREFIX = "whsec_"  # noqa: S105 - what a secret begins with
_MAIL_PORTS = {"none": 25, "starttls": 587, "tls": 465}
_MOST_OUTPUT = 2000


class NotSentError(Exception):
    """The attempt did not succeed; the text says why, and holds no secret."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would be sent on as a GET, which delivers nothing."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)


def send(letter: Letter, channel: Channel, environ: _Environ, now: float) -> None:
    """Send it once."""
    _SENDERS[channel.type](letter, channel, environ, now)


def signature(secret: str, name: str, moment: int, body: bytes) -> str:
    """The value of `webhook-signature`, version 1: HMAC-SHA256 over id, seconds and body."""
    try:
        key = b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise NotSentError("the secret is no base64, with `whsec_` before it or not") from None
    signed = hmac.digest(key, f"{name}.{moment}.".encode() + body, "sha256")
    return f"v1,{b64encode(signed).decode()}"


def _webhook(letter: Letter, channel: Channel, environ: _Environ, now: float) -> None:
    data = dict(letter.message)
    said = {"type": data.pop("type"), "timestamp": timestamp(letter.written_at), "data": data}
    body = json.dumps(said, separators=(",", ":")).encode()
    moment = int(now)
    headers = {"webhook-id": letter.id, "webhook-timestamp": str(moment)}
    if channel.secret_env:
        secret = _value(environ, channel.secret_env)
        headers["webhook-signature"] = signature(secret, letter.id, moment, body)
    _post(channel, environ, body, headers)


def _slack(letter: Letter, channel: Channel, environ: _Environ, _now: float) -> None:
    text = for_people(letter.message)
    for plain, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(plain, escaped)
    said = {"text": f"*{letter.message['subject']}*\n```\n{text}```"}
    _post(channel, environ, json.dumps(said).encode(), {})


def _post(channel: Channel, environ: _Environ, body: bytes, headers: Mapping[str, str]) -> None:
    url = channel.url or _value(environ, channel.url_env)
    if not url.startswith(("http://", "https://")):
        raise NotSentError(f"{channel.url_env} does not begin with http:// or https://")
    told = {"content-type": "application/json", "user-agent": "zf", **headers}
    try:
        request = urllib.request.Request(url, body, told, method="POST")  # noqa: S310 - as above
        with _OPENER.open(request, timeout=channel.timeout_s) as answer:
            answer.read(1)
    except urllib.error.HTTPError as error:
        with error:
            raise NotSentError(f"it answered {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise NotSentError(str(error.reason)) from None
    except (OSError, ValueError) as error:  # an address of no form is told without it
        raise NotSentError(type(error).__name__ if str(url) in str(error) else str(error)) from None


def _email(letter: Letter, channel: Channel, environ: _Environ, _now: float) -> None:
    mail = EmailMessage()
    mail["Subject"] = str(letter.message["subject"])
    mail["From"], mail["To"] = channel.sender, ", ".join(channel.to)
    mail["Date"] = formatdate(letter.written_at)
    mail["Message-ID"] = f"<{letter.id}@{channel.sender.rpartition('@')[2]}>"
    mail.set_content(for_people(letter.message))
    host, port = _server(channel)
    connect: Callable[..., smtplib.SMTP] = smtplib.SMTP
    options: dict[str, Any] = {"timeout": channel.timeout_s}
    if channel.tls == "tls":
        connect, options["context"] = smtplib.SMTP_SSL, ssl.create_default_context()
    try:
        with connect(host, port, **options) as server:
            if channel.tls == "starttls":
                server.starttls(context=ssl.create_default_context())
            if channel.user_env:
                password = _value(environ, channel.password_env)
                server.login(_value(environ, channel.user_env), password)
            refused = server.send_message(mail)
    except (OSError, smtplib.SMTPException) as error:
        raise NotSentError(f"{host}:{port}: {error}") from None
    if refused:
        raise NotSentError(f"{host}:{port} refused {', '.join(sorted(refused))}")


def _server(channel: Channel) -> tuple[str, int]:
    host, port = channel.server, _MAIL_PORTS[channel.tls]
    name, colon, number = host.rpartition(":")
    if colon and number.isdigit():
        host, port = name, int(number)
    return host.strip("[]"), port


def _command(letter: Letter, channel: Channel, environ: _Environ, _now: float) -> None:
    """The message is its stdin; all that it started is ended with it."""
    said = json.dumps({"id": letter.id, **letter.message}).encode()
    with subprocess.Popen(
        ["bash", "-c", channel.run],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environ),
        start_new_session=True,
    ) as process:
        try:
            printed, _ = process.communicate(said, timeout=channel.timeout_s)
        except subprocess.TimeoutExpired:
            raise NotSentError(f"it took longer than {channel.timeout_s:g} s") from None
        finally:
            _end(process)
    if process.returncode:
        last = printed[-_MOST_OUTPUT:].decode(errors="replace").strip().rpartition("\n")[2]
        raise NotSentError(f"it exited with code {process.returncode}" + (f": {last}" * bool(last)))


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    stream: IO[bytes] | None = process.stdout
    if stream is not None:
        stream.close()


def _value(environ: _Environ, name: str) -> str:
    value = environ.get(name)
    if not value:
        raise NotSentError(f"{name} is not set" if name else "password_env is not given")
    return value


_SENDERS: Mapping[str, Callable[[Letter, Channel, _Environ, float], None]] = {
    WEBHOOK: _webhook,
    SLACK: _slack,
    EMAIL: _email,
    COMMAND: _command,
}
