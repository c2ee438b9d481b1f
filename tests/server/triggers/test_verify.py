"""Deliveries to webhooks prove where they come from: against openssl, and published examples."""

from __future__ import annotations

import base64
import subprocess
import time

import pytest

from zf.server.triggers.verify import NoDeliveryIdError, NotVerifiedError, verify

SECRET = "It's a Secret to Everybody"
BODY = b'{"ref": "refs/heads/main", "text": "gr\xc3\xbc\xc3\x9fe"}'
STANDARD_KEY = b"0123456789abcdef01234567"


def openssl(key: bytes, data: bytes, *, raw: bool = False) -> bytes:
    """The HMAC that openssl makes."""
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}"]
    made = subprocess.run([*command, "-binary"], input=data, capture_output=True, check=True)
    return made.stdout if raw else made.stdout.hex().encode()


def standard(body: bytes = BODY, at: float | None = None) -> dict[str, str]:
    stamp = str(int(time.time() if at is None else at))
    signed = openssl(STANDARD_KEY, f"msg_1.{stamp}.".encode() + body, raw=True)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": stamp,
        "webhook-signature": "v1,AAAA v1," + base64.b64encode(signed).decode(),
    }


def delivery(kind: str) -> tuple[str, dict[str, str]]:
    """The secret, and the headers of a delivery of BODY."""
    hexed = openssl(SECRET.encode(), BODY).decode()
    return {
        "github": (SECRET, {"x-hub-signature-256": f"sha256={hexed}", "x-github-delivery": "1"}),
        "gitea": (SECRET, {"x-gitea-signature": hexed, "x-gitea-delivery": "1"}),
        "gitlab": (SECRET, {"x-gitlab-token": SECRET, "idempotency-key": "1"}),
        "standard": ("whsec_" + base64.b64encode(STANDARD_KEY).decode(), standard()),
        "bearer": (SECRET, {"authorization": f"Bearer {SECRET}", "idempotency-key": "1"}),
    }[kind]


KINDS = ["github", "gitea", "gitlab", "standard", "bearer"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_genuine_delivery_gives_its_id(kind):
    secret, headers = delivery(kind)
    assert verify(kind, secret, headers, BODY) == ("msg_1" if kind == "standard" else "1")


@pytest.mark.parametrize("kind", ["github", "gitea", "standard"])
def test_another_body_is_not_genuine(kind):
    secret, headers = delivery(kind)
    with pytest.raises(NotVerifiedError):
        verify(kind, secret, headers, BODY + b" ")


@pytest.mark.parametrize("kind", KINDS)
def test_another_secret_or_none_is_not_genuine(kind):
    secret, headers = delivery(kind)
    for other in ("", "whsec_", "whsec_" + base64.b64encode(b"other").decode(), "é"):
        with pytest.raises(NotVerifiedError):
            verify(kind, other, headers, BODY)
    for name in headers:
        for value in ("", "sha256=", "v1", "v1,é", "Bearer", "nan"):
            if "id" in name or "delivery" in name or "idempotency" in name:
                continue
            with pytest.raises(NotVerifiedError):
                verify(kind, secret, {**headers, name: value}, BODY)


def test_an_old_delivery_of_standard_webhooks_is_not_taken():
    secret, _ = delivery("standard")
    with pytest.raises(NotVerifiedError):
        verify("standard", secret, standard(at=time.time() - 600), BODY)


@pytest.mark.parametrize("kind", ["github", "gitea", "gitlab", "bearer"])
def test_without_an_id_it_is_no_delivery(kind):
    secret, headers = delivery(kind)
    left = {k: v for k, v in headers.items() if not k.endswith(("delivery", "key"))}
    with pytest.raises(NoDeliveryIdError):
        verify(kind, secret, left, BODY)


def test_github_s_published_example():
    """https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries"""
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    headers = {"x-hub-signature-256": signature, "x-github-delivery": "d"}
    assert verify("github", SECRET, headers, b"Hello, World!") == "d"
