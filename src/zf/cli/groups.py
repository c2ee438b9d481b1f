"""The verbs by what they are for, with their lines in `zf --help`: a new verb is a row here, or a
part of one, and its function is in a module of `verbs`.
"""

from __future__ import annotations

from collections.abc import Mapping

GROUPS: Mapping[str, Mapping[str, str]] = {
    "Begin": {
        "init | new": "Propose tasks for a project; add one more.",
        "doctor": "Say what is wrong here for zf, and what to do about it.",
        "help": "Show how a verb is used, or what a key means: zf help keys.",
    },
    "Tasks": {
        "validate": "Check every task file, and print all problems of all of them.",
        "list": "List the tasks and phases, and what a run can be given.",
        "plan": "Show what a run would do: order, needs, what runs alone.",
        "import": "Make task files of those of another tool.",
        "durations": "Show how long tasks are expected to take.",
        "schema": "Print the JSON Schema of task.yaml or zf.yaml, for editors.",
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
        "shell": "Open a shell where the steps of a task would run.",
    },
    "Look": {
        "status": "List the runs, newest first, or the tasks of one run.",
        "explain": "Say why a run, or a task of it, came to what it came to.",
        "logs": "Print what tasks printed, also while they run.",
        "report": "Write a run as one HTML page, or for another program.",
        "diff": "Say what differs between two runs.",
        "ui | serve | token": "Show the runs in the browser: to you, or to a team.",
        "usage": "Print what a language model used, for $ZF_METRICS.",
        "notify": "Show the messages about runs that wait, or send them.",
    },
    "Prove and keep": {
        "verify": "Say what a run came to, and check its proof.",
        "seal": "Close a run that was killed; or sign one, with --sign.",
        "export": "Write a sealed run to hand over, as one archive.",
        "replay": "Run a recorded task again, and say what came out equal.",
        "prune": "Remove whole runs that are not needed any more.",
        "hold | release": "Keep a run from being pruned, or let it be again.",
    },
}
# What stands between verbs that share a line.
OR = " | "
VERBS = tuple(verb for rows in GROUPS.values() for verbs in rows for verb in verbs.split(OR))
