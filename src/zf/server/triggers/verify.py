"""Whether a delivery comes from where it says: a signature over its raw body, or a secret in it.

Compared in constant time, before anything in the body is looked at. The forms are those of GitHub's
`X-Hub-Signature-256`, Gitea's `X-Gitea-Signature`, GitLab's `X-Gitlab-Token`, Standard Webhooks
(https://www.standardwebhooks.com) and RFC 6750.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from hashlib import sha256

from zf.server.triggers.declared import BEARER, GITEA, GITHUB, GITLAB, STANDARD

Headers = Mapping[str, str]
_MOST_ID = 200


class NotVerifiedError(Exception):
    """The delivery does not prove where it comes from."""


class NoDeliveryIdError(Exception):
    """It is genuine, but has no id by which a second one of it would be known."""


def verify(kind: str, secret: str, headers: Headers, body: bytes) -> str:
    """The id of a delivery that is genuine; `headers` by their names in lower case.

    Raises NotVerifiedError for any other, and NoDeliveryIdError.
    """
    check, ids = _WAYS[kind]
    if not secret or not check(secret, headers, body):
        raise NotVerifiedError
    for name in ids:
        if found := headers.get(name, "").strip():
            return found[:_MOST_ID]
    raise NoDeliveryIdError(ids[0])


def event_of(headers: Headers) -> str:
    """What the sender calls its kind of event; empty where it says none."""
    names = ("x-github-event", "x-gitea-event", "x-gitlab-event", "x-forgejo-event")
    return next((headers[name] for name in names if name in headers), "")


def _same(expected: str, found: str) -> bool:
    return hmac.compare_digest(expected.encode(), found.strip().encode())


def _hmac(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, sha256).hexdigest()


def _github(secret: str, headers: Headers, body: bytes) -> bool:
    return _same(f"sha256={_hmac(secret, body)}", headers.get("x-hub-signature-256", ""))


def _gitea(secret: str, headers: Headers, body: bytes) -> bool:
    found = headers.get("x-gitea-signature") or headers.get("x-forgejo-signature", "")
    return _same(_hmac(secret, body), found)


def _gitlab(secret: str, headers: Headers, _body: bytes) -> bool:
    return _same(secret, headers.get("x-gitlab-token", ""))


def _bearer(secret: str, headers: Headers, _body: bytes) -> bool:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return _same(secret, token) and kind.lower() == BEARER


def _standard(secret: str, headers: Headers, body: bytes) -> bool:
    from standardwebhooks.webhooks import (  # noqa: PLC0415 - one of five
        EmptyWebhookSecretError,
        Webhook,
        WebhookVerificationError,
    )

    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    # What is no base64 or no UTF-8 is a ValueError, which it lets through.
    except (WebhookVerificationError, EmptyWebhookSecretError, ValueError):
        return False
    return True


_Check = Callable[[str, Headers, bytes], bool]
# For each way, the check, and the headers that may have the id of the delivery.
_WAYS: Mapping[str, tuple[_Check, tuple[str, ...]]] = {
    GITHUB: (_github, ("x-github-delivery",)),
    GITEA: (_gitea, ("x-gitea-delivery", "x-forgejo-delivery")),
    GITLAB: (_gitlab, ("idempotency-key", "x-gitlab-event-uuid")),
    STANDARD: (_standard, ("webhook-id",)),
    BEARER: (_bearer, ("idempotency-key", "x-delivery-id", "x-request-id")),
}
