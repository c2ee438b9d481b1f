"""Where everything lies in a proof: the one place that spells these names. Pure.

proofs/.locks/         what is no part of any run
proofs/retention.jsonl which runs were pruned, and which are held
proofs/.quarantine/    late results of executors, by run
proofs/RUN/            run.json, plan.json, events.jsonl, blocked.json, trigger-payload,
                       MANIFEST.sha256, attest/
proofs/RUN/TASK/       the tree of the attempt that counts, six folders
.../TASK/attempts/K/   the trees of the attempts before it
"""

from __future__ import annotations

LOCKS = ".locks"
# In there how long tasks took; a project may have a file of the same name and form.
DURATIONS = "durations.json"
# In there too: a file for each container of a run, as long as there is one.
CONTAINERS = "containers"

# Beside the runs: which were pruned, and which are held.
RETENTION = "retention.jsonl"

# Beside the runs, too: results that came after their attempts had ended, which count for nothing.
QUARANTINE = ".quarantine"

# At the top of a run.
RUN, PLAN, JOURNAL, BLOCKED = "run.json", "plan.json", "events.jsonl", "blocked.json"
MANIFEST, ATTEST = "MANIFEST.sha256", "attest"
# In there the answers to approvals, for a runner that has yet to read them, by its run.
ANSWERS = ".answers"
# The same, of a run without a runner, in its folder: what it begins with, and ends in as below.
ANSWER = ".approval-"
# What was delivered to a webhook of the server, where that started the run.
PAYLOAD = "trigger-payload"
# What a file that is not whole yet ends in; it begins with a dot.
UNFINISHED = ".tmp"

# The folders of a tree, in the order they are made in.
META, COMMANDS, LOGS = "00-meta", "10-commands", "20-logs"
ARTIFACTS, CHECKSUMS, SUMMARY = "30-artifacts", "40-checksums", "99-summary"
FOLDERS = (META, COMMANDS, LOGS, ARTIFACTS, CHECKSUMS, SUMMARY)
NOT_RUN_FOLDERS = (META, CHECKSUMS, SUMMARY)
# A file in the tree itself, where a task has measured something.
METRICS = "30-metrics.txt"
# And where one has outputs.
OUTPUTS = "30-outputs.json"
# And where its result may count for later runs, or is that of an earlier one.
CACHE = "30-cache.json"
LOOSE = (METRICS, OUTPUTS, CACHE)
ATTEMPTS = "attempts"

# The files of a tree.
TASK, ENV = f"{META}/task.json", f"{META}/env.sh"
COMMANDS_LIST = f"{COMMANDS}/commands.json"
TASK_LIST = f"{CHECKSUMS}/task.sha256"
ARTIFACTS_LIST = f"{CHECKSUMS}/artifacts.sha256"
ATTEMPTS_LIST = f"{CHECKSUMS}/attempts.sha256"
RENAMED = f"{CHECKSUMS}/artifacts.json"
STATUS = f"{SUMMARY}/status.json"
TIMEOUT_MARK = f"{SUMMARY}/.timeout_killed"

# What stands before these in a run, as a regular expression.
TREE = rf"[^/]+/(?:{ATTEMPTS}/[0-9]+/)?"


def script(command: str) -> str:
    """The script of a command, which is called `step-0` or `cleanup-0`."""
    return f"{COMMANDS}/{command}.sh"


def command_record(command: str) -> str:
    """How the command ended."""
    return f"{COMMANDS}/{command}.json"


def log(command: str) -> str:
    """What the command printed."""
    return f"{LOGS}/{command}.log"


def probe_log(number: int | str, command: str) -> str:
    """What the command printed in the probe with this number, of one that is kept."""
    return f"{LOGS}/probe-{number}.{command}.log"


def step_log(number: int) -> str:
    """The log of the step with this number in its file names."""
    return log(f"step-{number}")


def service_log(service: str) -> str:
    """What a service of the task printed."""
    return log(f"service-{service}")


def phase_log(phase: str, service: str, number: int = 1) -> str:
    """What a service of a phase printed, at the top of the run: no task is called so. `number` is
    how often it was started, by runners of which one died.
    """
    again = f"@{number}" if number > 1 else ""
    return f"service@{phase}@{service}{again}.log"


def is_phase_log(name: str) -> bool:
    """Whether a file at the top of a run is such a log."""
    return name.startswith("service@") and name.endswith(".log")


def is_service_log(path: str) -> bool:
    """Whether a file of a tree is such a log."""
    return path.startswith(f"{LOGS}/service-")


def pattern(path: str) -> str:
    """A path as a regular expression; a `*` in it stands for any command."""
    return path.replace(".", r"\.").replace("*", "(?:step|cleanup)-[0-9]+")


def approval(number: int) -> str:
    """The statement of an approval, counted from 1 in the order in which they were given."""
    return f"{SUMMARY}/approval{f'-{number}' if number > 1 else ''}.json"


def signature(statement: str) -> str:
    """The signature over a statement."""
    return f"{statement}.sig"


# Those of a tree, as a regular expression.
APPROVAL = rf"{SUMMARY}/approval(?:-[0-9]+)?\.json"


def earlier_tree(task: str, attempt: int | str) -> str:
    """Where the tree of an attempt lies once another one has begun."""
    return f"{task}/{ATTEMPTS}/{attempt}"


# What an attempt writes besides its artifacts, and the lists and the outcome that come last.
OWN_FILE = "|".join(
    (
        *map(pattern, (TASK, ENV, COMMANDS_LIST, script("*"), command_record("*"), log("*"))),
        pattern(probe_log("NUMBER", "*")).replace("NUMBER", "[0-9]+"),
        # An id: see `model`, which is not imported here.
        service_log(r"[A-Za-z0-9][A-Za-z0-9._-]*").replace(".log", r"\.log"),
    )
)
OWN_FILE += rf"|{APPROVAL}(?:\.sig)?"
