"""The keys of `notify` in zf.yaml, one row each, and which of them a type of channel wants."""

from __future__ import annotations

from collections.abc import Mapping

from zf.plan.files.patterns import ADDRESS, ENV_NAME, ID, NOT_BLANK, SERVER, URL
from zf.plan.form import BOOL, Key, list_of, mapping, number, one_of, table, text, whole
from zf.settings import MAX_TAIL_LINES
from zf.typed import MAX_SECONDS

WEBHOOK, SLACK, EMAIL, COMMAND = "webhook", "slack", "email", "command"
# What a message can be about.
FAILURE, RECOVERED, WAITING = "failure", "recovered", "waiting"
STALLED, REAPED, MISSED = "stalled", "reaped", "missed"
ABOUT = (FAILURE, RECOVERED, WAITING, STALLED, REAPED, MISSED)
BY_DEFAULT = (FAILURE, RECOVERED)

CHANNEL: Mapping[str, Key] = {
    "type": Key(
        one_of(WEBHOOK, SLACK, EMAIL, COMMAND),
        "What it is sent with.",
        required=True,
        example="type: webhook",
    ),
    "on": Key(
        list_of(one_of(*ABOUT), min_length=1),
        "What it tells: the first failure of the same phases, the run that mends it, an approval"
        " that is waited for; of a server also a run that says nothing for long, one that was"
        " found dead, and times of a schedule that were missed.",
        default=[*BY_DEFAULT],
    ),
    "every": Key(BOOL, "Whether each failure is told, not only the first.", default=False),
    "phases": Key(
        list_of(text(ID), min_length=1), "Tell only of runs with one of these phases. Default: all."
    ),
    "log_lines": Key(
        whole(0, MAX_TAIL_LINES),
        "How many lines of the log of a failed step it takes along.",
        default=0,
    ),
    "link": Key(
        text(URL),
        "The address of a page on the run; `{run}` in it stands for its id.",
    ),
    "url": Key(text(URL), "Where it is sent to, for webhook and slack."),
    "url_env": Key(text(ENV_NAME), "The variable that has the address, where that is a secret."),
    "secret_env": Key(
        text(ENV_NAME), "The variable with the secret that a webhook is signed with (`whsec_...`)."
    ),
    "to": Key(list_of(text(ADDRESS), min_length=1), "The addresses that an email goes to."),
    "from": Key(text(ADDRESS), "The address that an email comes from."),
    "server": Key(text(SERVER), "The mail server, `HOST` or `HOST:PORT`.", default="localhost"),
    "tls": Key(
        one_of("none", "starttls", "tls"),
        "How the mail server is spoken to: `starttls` after a plain beginning, `tls` from it.",
        default="none",
    ),
    "user_env": Key(text(ENV_NAME), "The variable with the name that the mail server wants."),
    "password_env": Key(text(ENV_NAME), "The variable with the password that it wants."),
    "run": Key(text(NOT_BLANK), "The command, which gets the message as JSON on its stdin."),
    "timeout_sec": Key(
        number(above=0, most=MAX_SECONDS), "Seconds that one attempt to send may take.", default=10
    ),
}
NOTIFY: Mapping[str, Key] = {
    "notify": Key(
        table(text(ID), mapping(CHANNEL)),
        "Where messages about runs go, by name.",
        default={},
        keys=CHANNEL,
    )
}

_ALWAYS = frozenset({"type", "on", "every", "phases", "log_lines", "link", "timeout_sec"})
# What else each type may say, and of which it has to say one.
OF_TYPE: Mapping[str, frozenset[str]] = {
    WEBHOOK: _ALWAYS | {"url", "url_env", "secret_env"},
    SLACK: _ALWAYS | {"url", "url_env"},
    EMAIL: _ALWAYS | {"to", "from", "server", "tls", "user_env", "password_env"},
    COMMAND: _ALWAYS | {"run"},
}
WANTED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    WEBHOOK: (("url", "url_env"),),
    SLACK: (("url", "url_env"),),
    EMAIL: (("to",), ("from",)),
    COMMAND: (("run",),),
}
