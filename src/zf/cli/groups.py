"""The verbs by what they are for, with their lines in `zf --help`, and by the modules of `verbs`
that have their functions: a new verb is a row of the first, or a part of one, and a word of the
second.
"""

from __future__ import annotations

from collections.abc import Mapping

GROUPS: Mapping[str, Mapping[str, str]] = {
    "Begin": {
        "init | new": "Propose tasks for a project; add one more.",
        "doctor | help": "Say what zf lacks here; show how a verb or a key is used.",
    },
    "Tasks": {
        "validate": "Check every task file, and print the problems of all.",
        "list": "List the tasks and phases, and what a run can be given.",
        "plan": "Show what a run would do: order, needs, what runs alone.",
        "import": "Make task files of those of another tool.",
        "durations | schema": "Show how long tasks take; print schemas for editors.",
    },
    "Run": {
        "run": "Run everything, or phases or tasks with what they need.",
        "run-phase": "Run every task of one or more phases, in order.",
        "run-task": "Run one task, and exit with its failing step's own code.",
        "watch": "Run again whatever a change concerns, until Ctrl-C.",
        "rerun": "Run a part of an earlier run again, such as what failed.",
        "resume | cancel": "Finish a run that was killed or suspended; end one.",
        "approve | reject": "Answer for a task that waits for approval.",
        "agent | workers": "Run tasks for another machine; show which there are.",
        "enqueue | queue": "Let the project's server run something; see what waits.",
        "pause | unpause": "Hold what the server starts by itself; let it go on.",
        "shell": "Open a shell where the steps of a task would run.",
    },
    "Look": {
        "status": "List the runs, newest first, or the tasks of one run.",
        "explain": "Say why a run, or a task of it, came to what it came to.",
        "logs": "Print what tasks printed, also while they run.",
        "report | diff": "Write a run as a page, or for a program; compare two.",
        "ui | serve | token": "Show the runs in the browser: to you, or to a team.",
        "schedule | drain": "Show what is due when; start nothing more of the queue.",
        "usage": "Print what a language model used, for $ZF_METRICS.",
        "notify": "Show the messages about runs that wait, or send them.",
    },
    "Prove and keep": {
        "verify": "Say what a run came to, and check its proof.",
        "seal | export": "Close a killed run, or sign one; write one to hand over.",
        "replay": "Run a recorded task again, and say what came out equal.",
        "prune": "Remove whole runs that are not needed any more.",
        "hold | release": "Keep a run from being pruned, or let it be again.",
    },
}
# What stands between verbs that share a line.
OR = " | "
VERBS = tuple(verb for rows in GROUPS.values() for verbs in rows for verb in verbs.split(OR))

# So that no verb is imported but the one that is asked for.
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "init": ("init", "new"),
    "imports": ("import",),
    "run": ("run", "run-phase", "run-task"),
    "watch": ("watch",),
    "rerun": ("resume", "rerun", "cancel", "approve", "reject"),
    "shell": ("shell",),
    "tasks": ("validate", "list", "plan", "durations", "schema"),
    "machines": ("doctor", "agent", "workers"),
    "runs": ("status", "explain", "logs"),
    "report": ("report", "usage", "notify"),
    "proof": ("verify", "seal", "export", "diff", "replay"),
    "keep": ("prune", "hold", "release"),
    "serve": ("ui", "serve", "token"),
    "queued.queue": ("enqueue", "queue", "schedule"),
    "queued.switches": ("pause", "unpause", "drain"),
    "help": ("help",),
}
