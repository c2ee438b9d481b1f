"""A delivery to a webhook -> an item of the queue, or a line that says why there is none.

Genuine first, then known already, then the condition: nothing looks into a body before its
signature was checked. The body is kept as a file, which becomes one of the proof; it is never part
of a script.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from zf.errors import ZfError, printable
from zf.lean.records import Struct
from zf.model import Flow
from zf.plan.conditions.condition import Field, parse
from zf.plan.conditions.verdict import ConditionContext, Needs, evaluate
from zf.proof.files import write_pieces
from zf.server.access.sound import sound
from zf.server.queue import inbox
from zf.server.queue.asked import refuse_inputs
from zf.server.queue.items import WEBHOOK, ItemError, Source, check
from zf.server.queue.keeper import Keeper
from zf.server.queue.records import DeliveryIgnored
from zf.server.queue.runs import PAYLOADS
from zf.server.triggers.current import Current
from zf.server.triggers.declared import Webhook, text
from zf.server.triggers.verify import Headers, NoDeliveryIdError, NotVerifiedError, event_of, verify

# Headers that a condition may not see: they prove who sent it.
_HIDDEN = frozenset(
    {"authorization", "cookie", "x-gitlab-token", "x-hub-signature", "x-hub-signature-256"}
)
_MOST_VALUES = 10_000
_MOST_WHY = 500


class RefusedError(Exception):
    """A delivery that is not taken: with which status, and why."""

    def __init__(self, status: HTTPStatus, why: str, code: str) -> None:
        super().__init__(why)
        self.status, self.code = status, code


class Taken(Struct, frozen=True):
    """What came of a delivery: the item, and its state; or why there is none."""

    delivery: str
    item: str | None
    state: str
    why: str = ""


class Deliveries:
    """Takes in what is delivered to the webhooks of a project."""

    def __init__(
        self, keeper: Keeper, current: Current, folder: str, environ: Mapping[str, str]
    ) -> None:
        self._keeper = keeper
        self._current = current
        self._folder = f"{folder}/{PAYLOADS}"
        self._environ = environ

    def take(self, name: str, headers: Headers, body: bytes, address: str) -> Taken:
        """What comes of a delivery, once that is on the disk. Raises RefusedError."""
        flow = self._current.flow()
        webhook = self._current.webhooks.get(name)
        if webhook is None or flow is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such webhook", "ZF840")
        delivery = self._genuine(webhook, headers, body)
        keeper = self._keeper
        with keeper.locked:
            now = time.time()
            if keeper.state.is_off("webhooks"):
                raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "webhooks are off", "ZF841")
            before = keeper.state.is_taken(name, delivery, now)
            if before is not None:
                state = keeper.state.entries[before].state if before else "ignored"
                return Taken(delivery, before or None, state, "it was delivered before")
            inputs, key, why = _wanted(webhook, headers, body)
            why = why or _unfit(webhook, flow, inputs)
            if why:
                return self._ignored(name, delivery, why)
            source = Source(
                WEBHOOK,
                name,
                delivery=delivery,
                payload_sha256=self._kept(body),
                via="webhook",
                address=address,
            )
            item = webhook.item(inbox.new_id(now), source, flow, inputs, key)
            try:
                check(item)
            except ItemError as error:
                return self._ignored(name, delivery, str(error))
            entry = keeper.enqueue(item)
            return Taken(delivery, item.item, entry.state, entry.why)

    def _ignored(self, name: str, delivery: str, why: str) -> Taken:
        """It starts nothing, which is on record."""
        self._keeper.write([DeliveryIgnored(name, delivery, why)], time.time())
        return Taken(delivery, None, "ignored", why)

    def _genuine(self, webhook: Webhook, headers: Headers, body: bytes) -> str:
        secret = self._environ.get(webhook.secret_env, "")
        if not secret:
            why = "the server has not the secret of this webhook"
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, why, "ZF842")
        try:
            return verify(webhook.verify, secret, headers, body)
        except NotVerifiedError:
            why = "the delivery does not prove where it comes from"
            raise RefusedError(HTTPStatus.UNAUTHORIZED, why, "ZF843") from None
        except NoDeliveryIdError as error:
            why = f"the delivery has no id: {error}"
            raise RefusedError(HTTPStatus.BAD_REQUEST, why, "ZF844") from None

    def _kept(self, body: bytes) -> str:
        """The digest of the body, which is kept under it."""
        digest = sha256(body).hexdigest()
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        if not os.path.exists(f"{self._folder}/{digest}"):
            write_pieces(f"{self._folder}/{digest}", (body,))
        return digest


def _wanted(webhook: Webhook, headers: Headers, body: bytes) -> tuple[dict[str, str], str, str]:
    """The inputs and the key for a delivery, or why it starts nothing."""
    if event_of(headers).lower() == "ping":
        return {}, "", "a ping"
    values = _values(headers, body)
    if webhook.condition:
        verdict = evaluate(parse(webhook.condition), ConditionContext(fields=values), Needs())
        if verdict.value is not True:
            return {}, "", verdict.explain(webhook.condition)[:_MOST_WHY]
    try:
        inputs = {name: _value(said, values) for name, said in webhook.inputs.items()}
        return inputs, _value(webhook.key, values), ""
    except LookupError as error:
        return {}, "", f"it has no {error.args[0]}"


def _unfit(webhook: Webhook, flow: Flow, inputs: Mapping[str, str]) -> str:
    """Why the run would refuse these inputs, if it would."""
    try:
        refuse_inputs(flow, webhook.phases, inputs)
    except ZfError as error:
        return printable(str(error))[:_MOST_WHY]
    return ""


def _value(said: Any, values: Mapping[str, Any]) -> str:
    """A text that a webhook says, or takes from a delivery; LookupError where that has none."""
    if not isinstance(said, Mapping):
        return text(said)
    kind, *path = str(said["from"]).split(".")
    return text(values[Field(kind, tuple(path)).key])


def _values(headers: Headers, body: bytes) -> dict[str, str | int | float | bool]:
    """What conditions and inputs may ask for, by the keys of fields: what is no JSON has no
    values.
    """
    found: dict[str, Any] = {
        Field("header", (name.lower(),)).key: value
        for name, value in headers.items()
        if name.lower() not in _HIDDEN and "signature" not in name.lower()
    }
    with suppress(ValueError, RecursionError):
        for path, value in _leaves(sound(body)):
            if len(found) >= _MOST_VALUES:
                break
            found[Field("payload", path).key] = value
    return found


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _leaves(inner, (*path, str(place)))
    elif path and isinstance(value, str | int | float | bool):
        yield path, value
