"""What is signed about a run: two in-toto statements, made from the run's own files.

Pure: facts in, JSON values out. Only what is worth keeping for years goes in, and the whole
environment is not. The same function tells a signer what to sign and an auditor what should have
been signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zf.events import Status
from zf.lean.records import Struct, field
from zf.proof.layout import ATTEST, MANIFEST, PLAN, TASK_LIST

if TYPE_CHECKING:
    from zf.audit.account import Account, TaskAccount

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
RUN_PREDICATE = "https://pypi.org/project/zenflow-runner/predicate/run/v1"
TEST_RESULT_PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
MEANING = (
    "The signer states that these files are what the run left, unchanged since the signature; "
    "not that the tasks tested the right thing."
)
# The files in attest/ that hold them.
STATEMENT, TEST_RESULT = "statement.json", "test-result.json"


class Facts(Struct, frozen=True):
    """What the run's own files say, as far as it is signed.

    `digests` has the SHA-256 of the manifest and of plan.json by path; `redactions` counts what
    was hidden by rule, `shields` the tasks by what kept their steps away from the proof, and
    `isolations` those that asked for a wall by what stood.
    """

    run: Mapping[str, Any]
    plan: Mapping[str, Any]
    account: Account
    head: str
    digests: Mapping[str, str]
    redactions: Mapping[str, int] = field(default_factory=dict)
    shields: Mapping[str, int] = field(default_factory=dict)
    isolations: Mapping[str, int] = field(default_factory=dict)


def test_result(facts: Facts) -> dict[str, Any]:
    """The in-toto test-result statement: which tasks passed, for policy engines that know no zf."""
    ends = {name: _end(task) for name, task in sorted(facts.account.tasks.items())}
    planned = _planned(facts.plan)
    warned = [name for name, end in ends.items() if end.get("warned") is True]
    passed = [name for name, end in ends.items() if end.get("status") == Status.SUCCESS]
    good = {*warned, *passed}
    good |= {name for name, end in ends.items() if end.get("status") == Status.SKIPPED}
    failed = sorted(planned.keys() - good)
    ended = facts.account.ended or {}
    result = "FAILED" if failed or ended.get("exit_code") != 0 else "PASSED"
    if result == "PASSED" and warned:
        result = "WARNED"
    predicate = {
        "result": result,
        "configuration": [_resource(PLAN, sha256=facts.digests.get(PLAN))],
        "passedTests": [name for name in passed if name not in warned],
        "warnedTests": warned,
        "failedTests": failed,
    }
    return _statement([*_manifest(facts), *_commit(facts)], TEST_RESULT_PREDICATE, predicate)


def run(
    facts: Facts,
    *,
    test_result_sha256: str,
    signers: Sequence[str] = (),
    approval: str | None = None,
) -> dict[str, Any]:
    """The statement of what was run; `signers` are the ids of the keys that sign it.

    It names the digest of the test-result statement too, so a signature over this covers both.
    """
    account = facts.account
    started, ended = account.started or {}, account.ended or {}
    source = _mapping(facts.run.get("source"))
    clocks = account.clocks
    predicate = {
        "run": {
            "id": started.get("run"),
            "nonce": started.get("nonce"),
            "phases": started.get("phases"),
            "whole_phases": [
                phase["name"]
                for phase in map(_mapping, _sequence(facts.plan.get("phases")))
                if phase.get("whole") is True and isinstance(phase.get("name"), str)
            ],
            "needs": facts.plan.get("needs"),
            "upstream": facts.plan.get("upstream"),
            "plan_sha256": started.get("plan_sha256"),
            "command": facts.run.get("command"),
            "inputs": facts.run.get("inputs"),
            "arguments": facts.run.get("arguments"),
            # The task at which a person could type, if there was one.
            "interactive": facts.run.get("interactive"),
            "exit_code": ended.get("exit_code"),
            "counts": ended.get("counts"),
        },
        "versions": {
            "zf": facts.run.get("zf_version"),
            "python": facts.run.get("python_version"),
            "platform": facts.run.get("platform"),
        },
        "source": {
            **{key: source.get(key) for key in ("repo", "commit", "tree", "dirty", "diff_sha256")},
            "changed": ended.get("source_changed"),
        },
        "actor": {
            "claimed": {"user": facts.run.get("user"), "ci": facts.run.get("ci")},
            "proven": sorted(signers),
        },
        "host": facts.run.get("host"),
        "clocks": {
            "first": started.get("wall"),
            "last": ended.get("wall"),
            "drift_s": round(clocks.drift_s, 6),
        },
        "tasks": [
            _row(name, needs, account.tasks.get(name))
            for name, needs in sorted(_planned(facts.plan).items())
        ],
        "events": {"count": account.lines, "head": facts.head},
        "redactions": dict(facts.redactions),
        "shields": dict(facts.shields),
        **({"isolations": dict(facts.isolations)} if facts.isolations else {}),
        **({"images": named} if (named := images(facts.run)) else {}),
        **({"approvals": decided} if (decided := approvals(account.gates)) else {}),
        "previous": {"run": started.get("previous_run"), "head": started.get("previous_head")},
        "approval": approval,
        "meaning": MEANING,
    }
    subjects = [
        *_manifest(facts),
        *(
            _resource(f"{name}/{TASK_LIST}", sha256=_end(task).get("task_sha256"))
            for name, task in sorted(account.tasks.items())
            if task.terminal is not None
        ),
        _resource(f"{ATTEST}/{TEST_RESULT}", sha256=test_result_sha256),
        *_commit(facts),
    ]
    return _statement(subjects, RUN_PREDICATE, predicate)


def redactions(statuses: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """What the tasks' status.json files say was hidden, by rule, added up."""
    counts: dict[str, int] = {}
    for status in statuses:
        for rule, count in _mapping(status.get("redactions")).items():
            if type(count) is int:
                counts[rule] = counts.get(rule, 0) + count
    return counts


def shields(statuses: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """What the tasks' status.json files say was between their steps and the proof, counted. Those
    of zf 0.1, and of tasks that were not run, say nothing.
    """
    return _counted(statuses, "shield")


def isolations(statuses: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """What they say of the walls that tasks asked for, counted."""
    return _counted(statuses, "isolation")


def approvals(gates: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """What was decided of tasks that had to be approved, by task, in the order of the journal."""
    return [
        {
            "task": event.get("task"),
            "attempt": event.get("attempt"),
            "decision": "reject" if event.get("why") else "approve",
            **{name: event.get(name) for name in ("approver", "how", "key")},
        }
        for name in sorted(gates)
        for event in gates[name]
        if event.get("type") == "approval_given" or event.get("why") == "rejected"
    ]


def images(run: Mapping[str, Any]) -> dict[str, str]:
    """The images that a run.json says its containers were made of, each with its digest."""
    said = run.get("images")
    return {
        str(name): str(one["digest"])
        for name, one in sorted(said.items() if isinstance(said, Mapping) else ())
        if isinstance(one, Mapping) and "digest" in one
    }


def _counted(statuses: Iterable[Mapping[str, Any]], key: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for status in statuses:
        said = status.get(key)
        if isinstance(said, str):
            counts[said] = counts.get(said, 0) + 1
    return dict(sorted(counts.items()))


def is_flaky(end: Mapping[str, Any]) -> bool:
    """Whether a task's terminal event tells of a success that was not the first attempt."""
    attempt = end.get("attempt")
    return end.get("status") == Status.SUCCESS and type(attempt) is int and attempt > 1


def differences(stated: Any, true: Any, where: str = "") -> list[str]:
    """Where a statement says otherwise than the files do; keys that only one has are passed over.

    So a statement of an older zf, which had fewer keys, still agrees.
    """
    if isinstance(stated, dict) and isinstance(true, dict):
        return [
            place
            for key in sorted(stated.keys() & true.keys())
            for place in differences(stated[key], true[key], f"{where}.{key}" if where else key)
        ]
    if isinstance(stated, list) and isinstance(true, list) and len(stated) == len(true):
        return [
            place
            for number, (one, other) in enumerate(zip(stated, true, strict=True))
            for place in differences(one, other, f"{where}[{number}]")
        ]
    return [] if stated == true and type(stated) is type(true) else [where]


def _statement(
    subjects: Sequence[Mapping[str, Any]], kind: str, predicate: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "_type": STATEMENT_TYPE,
        "subject": list(subjects),
        "predicateType": kind,
        "predicate": predicate,
    }


def _resource(name: str, **digest: str | None) -> dict[str, Any]:
    return {"name": name, "digest": digest}


def _manifest(facts: Facts) -> list[dict[str, Any]]:
    return [_resource(MANIFEST, sha256=facts.digests.get(MANIFEST))]


def _commit(facts: Facts) -> list[dict[str, Any]]:
    source = _mapping(facts.run.get("source"))
    commit = source.get("commit")
    return [_resource(source.get("repo") or "source", gitCommit=commit)] if commit else []


def _planned(plan: Mapping[str, Any]) -> dict[str, list[str]]:
    """Each planned task with the ids it needs; what is not a task is passed over, as verify
    names it.
    """
    tasks = [_mapping(task) for task in _sequence(plan.get("tasks"))]
    return {
        task["id"]: [
            need["task"]
            for need in map(_mapping, _sequence(task.get("needs")))
            if isinstance(need.get("task"), str)
        ]
        for task in tasks
        if isinstance(task.get("id"), str)
    }


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: object) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()


def _end(task: TaskAccount | None) -> Mapping[str, Any]:
    return (task.terminal if task else None) or {}


def _row(name: str, needs: Sequence[str], task: TaskAccount | None) -> dict[str, Any]:
    end = _end(task)
    return {
        "id": name,
        "needs": list(needs),
        "attempts": task.began if task else 0,
        "status": end.get("status"),
        "warned": end.get("warned", False),
        "flaky": is_flaky(end),
        "exit_code": end.get("exit_code"),
        "signal": end.get("signal"),
        "sha256": end.get("task_sha256"),
    }
