"""The keys of zf.yaml that a server goes by, one row each: what it starts, its queue, itself."""

from __future__ import annotations

from collections.abc import Mapping

from zf.model import CANCEL_RUNNING, QUEUE, REPLACE_QUEUED
from zf.plan.files.patterns import ENV_NAME, ID, NOT_BLANK
from zf.plan.form import (
    BOOL,
    SCALAR,
    Key,
    checked,
    either,
    is_condition,
    list_of,
    mapping,
    number,
    one_of,
    table,
    text,
    whole,
)
from zf.plan.inputs.form import INPUT_NAME
from zf.typed import MAX_AMOUNT, MAX_SECONDS

MAX_PRIORITY = 1_000_000
VERIFY = ("github", "gitea", "gitlab", "standard", "bearer")
SCOPES = ("while_queued", "while_active", "for_sec")
_SECONDS = number(above=0, most=MAX_SECONDS)

START_WHEN: Mapping[str, Key] = {
    "load_below": Key(
        number(above=0, most=MAX_AMOUNT),
        "Only while the load of the machine over the last minute is below this.",
    ),
    "idle_sec": Key(
        _SECONDS, "Only once nothing was typed at any of its terminals for so many seconds."
    ),
    "on_ac_power": Key(BOOL, "Only while the machine is on AC power; false: while it is not."),
}

_ITEM: Mapping[str, Key] = {
    "phases": Key(list_of(text(ID), min_length=1), "The phases to run."),
    "tasks": Key(
        list_of(text(ID), min_length=1),
        "The tasks to run, with what they need. In place of phases.",
    ),
    "priority": Key(
        whole(-MAX_PRIORITY, MAX_PRIORITY), "Items with a higher one start first.", default=0
    ),
    "ttl_sec": Key(_SECONDS, "Seconds after which it is not started any more: it is `expired`."),
    "deadline_sec": Key(_SECONDS, "Seconds after which its run is ended."),
    "group": Key(text(ID), "A group of items of which only so many run at once."),
    "limit": Key(whole(1, MAX_AMOUNT), "How many items of the group run at once.", default=1),
    "key": Key(text(NOT_BLANK), "An item with the key of another one is rejected, by its scope."),
    "scope": Key(
        one_of(*SCOPES),
        "How long another item has the key: while it waits, while it waits or runs, or `for_sec`"
        " seconds from when it was queued.",
        default="while_active",
    ),
    "for_sec": Key(_SECONDS, "Seconds of the scope `for_sec`."),
    "on_newer": Key(
        one_of(QUEUE, REPLACE_QUEUED, CANCEL_RUNNING),
        "What it does to older items of its group (or key, or of the same phases): waits for them,"
        " replaces those that wait, or ends those that run, too.",
        default=QUEUE,
    ),
    "start_when": Key(
        mapping(START_WHEN), "What must be so of the machine before it starts.", keys=START_WHEN
    ),
}
_INPUTS = Key(table(text(INPUT_NAME), SCALAR), "What the run is given, by name.", default={})

SCHEDULE: Mapping[str, Key] = {
    "cron": Key(
        text(NOT_BLANK),
        "When: minute, hour, day of the month, month, day of the week, as in Debian's cron.",
        required=True,
        example='cron: "0 2 * * *"',
    ),
    "tz": Key(text(NOT_BLANK), "The time zone of these, such as `Europe/Berlin`.", default="UTC"),
    "catchup": Key(
        one_of("none", "latest", "all"),
        "Which of the times at which no server ran are caught up: none, the last one, or all.",
        default="none",
    ),
    "window_sec": Key(
        _SECONDS, "How old a time may be that is caught up, in seconds.", default=86400
    ),
    "inputs": _INPUTS,
    **_ITEM,
}

TAKEN: Mapping[str, Key] = {
    "from": Key(
        text(NOT_BLANK),
        "Where in the delivery: `payload.`, and names with dots between them, or `header.NAME`.",
        required=True,
        example="from: payload.after",
    ),
}
WEBHOOK: Mapping[str, Key] = {
    "verify": Key(
        one_of(*VERIFY),
        "How a delivery proves where it comes from.",
        required=True,
        example="verify: github",
    ),
    "secret_env": Key(
        text(ENV_NAME),
        "The variable of the server's environment that holds the secret.",
        required=True,
        example="secret_env: HOOK_SECRET",
    ),
    "if": Key(
        checked(text(NOT_BLANK), is_condition),
        "A condition on `payload.NAME` and `header.NAME`: other deliveries start nothing.",
    ),
    "inputs": Key(
        table(text(INPUT_NAME), either(SCALAR, TAKEN)),
        "What the run is given: texts, or values that are taken from the delivery.",
        default={},
        keys=TAKEN,
    ),
    **_ITEM,
    "key": Key(either(text(NOT_BLANK), TAKEN), _ITEM["key"].means, keys=TAKEN),
}

RECONCILE: Mapping[str, Key] = {
    "every_min": Key(
        number(above=0, most=MAX_AMOUNT), "How often it is asked, in minutes.", default=10
    ),
    "command": Key(text(NOT_BLANK), "A command that prints the keys that should have a run."),
    "git_ref": Key(text(NOT_BLANK), "A git ref, whose commit should have a run."),
    "remote": Key(text(NOT_BLANK), "The remote that the ref is of. Default: this repository."),
    "input": Key(text(INPUT_NAME), "The input that is given the key."),
    "inputs": _INPUTS,
    **{name: key for name, key in _ITEM.items() if name not in {"key", "scope", "for_sec"}},
}

QUEUE_KEYS: Mapping[str, Key] = {
    "max_runs": Key(whole(1, MAX_AMOUNT), "How many items run at once in this project.", default=1),
}

SERVER: Mapping[str, Key] = {
    "host": Key(text(NOT_BLANK), "The address `zf serve` listens on.", default="127.0.0.1"),
    "port": Key(whole(0, 65_535), "Its port; 0 for any free one.", default=8181),
    "hosts": Key(
        list_of(text(NOT_BLANK)),
        "Names it answers to, without ports, beside those of the loopback and its address.",
        default=[],
        example="hosts: [ci.example.org]",
    ),
    "behind_proxy": Key(
        BOOL, "Whether a proxy that speaks TLS is all that reaches it.", default=False
    ),
    "trusted_proxies": Key(
        list_of(text(NOT_BLANK)),
        "Addresses and networks of proxies whose `X-Forwarded-For` is believed.",
        default=["127.0.0.1", "::1"],
        example="trusted_proxies: [10.0.0.0/8]",
    ),
    "trusted_user_header": Key(
        text(NOT_BLANK),
        "A header in which the proxy names the user it has let in.",
        example="trusted_user_header: X-Remote-User",
    ),
    "trusted_user_from": Key(
        list_of(text(NOT_BLANK)),
        "Addresses and networks from which that header is believed.",
        default=[],
        example="trusted_user_from: [127.0.0.1]",
    ),
    "trusted_user_role": Key(
        one_of("viewer", "operator", "approver", "admin"),
        "The role of those users.",
        default="viewer",
    ),
}

TRIGGERS: Mapping[str, Key] = {
    "schedules": Key(
        table(text(ID), mapping(SCHEDULE)),
        "What a server starts at certain times, by name.",
        default={},
        keys=SCHEDULE,
    ),
    "webhooks": Key(
        table(text(ID), mapping(WEBHOOK)),
        "What a server starts when `POST /hooks/NAME` brings a delivery, by name.",
        default={},
        keys=WEBHOOK,
    ),
    "reconcile": Key(
        table(text(ID), mapping(RECONCILE)),
        "What a server asks for which runs there should be, by name; it starts those that are not.",
        default={},
        keys=RECONCILE,
    ),
    "queue": Key(mapping(QUEUE_KEYS), "How the queue of a server works.", keys=QUEUE_KEYS),
    "server": Key(
        mapping(SERVER),
        "Where `zf serve` listens, and which proxies and hosts it trusts.",
        keys=SERVER,
    ),
}
