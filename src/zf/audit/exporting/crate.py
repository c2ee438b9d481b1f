"""A run described as a Process Run Crate (RO-Crate 1.1), for research data tools.

Each attempt that ran is a CreateAction: its scripts are the instruments, its log and artifacts the
results. Tasks that did not run are folders without an action.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from zf.audit.exporting.files import File, Sealed, below, checked, of_bytes
from zf.errors import ZfError, in_shell
from zf.proof.journal import decode
from zf.proof.layout import ARTIFACTS, COMMANDS, LOGS, STATUS
from zf.proof.read import grown_plan, run_json

METADATA = "ro-crate-metadata.json"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_ZF = "https://pypi.org/project/zenflow-runner/"
_CONTEXT = [
    "https://w3id.org/ro/crate/1.1/context",
    "https://w3id.org/ro/terms/workflow-run/context",
]
_SCHEMA = "http://schema.org/"

Entity = dict[str, Any]


def contents(sealed: Sealed) -> list[File]:
    """What the crate has. Raises ZfError when the run's files are not as zf writes them."""
    sizes = {file.path: file.size for file in sealed.files}
    digests = {file.path: file.digest for file in sealed.files}
    try:
        statuses = {
            file.path.partition("/")[0]: decode(b"".join(checked(file)))
            for file in sealed.files
            if file.path.partition("/")[2] == STATUS
        }
        run, plan = run_json(sealed.run_dir), grown_plan(sealed.run_dir)
        described = metadata(run, plan, statuses, sizes, digests)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ZfError(
            f"the run's files are not as zf writes them: {error!r:.200}",
            code="ZF641",
            hint=f"zf verify {in_shell(sealed.run_dir)} says what is wrong with it",
        ) from None
    return [*below(sealed.run, sealed.files), of_bytes(METADATA, described)]


def metadata(
    run: Mapping[str, Any],
    plan: Mapping[str, Any],
    statuses: Mapping[str, Mapping[str, Any]],
    sizes: Mapping[str, int],
    digests: Mapping[str, str],
) -> bytes:
    """The bytes of ro-crate-metadata.json.

    `statuses` has what each task's status.json says; `sizes` and `digests` have every file of the
    run by its path in the run's folder, which is a folder of the crate.
    """
    name = str(run["run_id"])
    tasks = {task["id"]: task for task in plan["tasks"]}
    below: dict[str, list[str]] = {task: [] for task in tasks}
    loose: list[str] = []
    for path in sorted(sizes):
        below.get(path.partition("/")[0], loose).append(path)
    actions = [
        _action(name, tasks[task], status, below[task], run)
        for task, status in sorted(statuses.items())
        if status.get("attempt")
    ]
    folders = [_folder(name, task, below[task]) for task in sorted(tasks)]
    files = [_file(name, path, sizes[path], digests[path]) for path in sorted(sizes)]
    root = {
        "@id": "./",
        "@type": "Dataset",
        "conformsTo": _ref(PROFILE),
        "name": f"zf run {name}",
        "description": "What a zf run did and left: plan, journal, logs, artifacts and checksums.",
        "datePublished": run["started_at"],
        "hasPart": [_ref(_id(name, path)) for path in loose] + [_ref(f["@id"]) for f in folders],
        "mentions": [_ref(action["@id"]) for action in actions],
    }
    graph = [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "conformsTo": _ref("https://w3id.org/ro/crate/1.1"),
            "about": _ref("./"),
        },
        root,
        {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
        {
            "@id": _ZF,
            "@type": "SoftwareApplication",
            "name": "zf",
            "url": _ZF,
            "softwareVersion": run["zf_version"],
        },
        {"@id": _person(run), "@type": "Person", "name": run["user"]},
        *actions,
        *folders,
        *files,
    ]
    crate = {"@context": _CONTEXT, "@graph": graph}
    return json.dumps(crate, indent=2, ensure_ascii=True).encode("ascii") + b"\n"


def _action(
    run: str,
    task: Mapping[str, Any],
    status: Mapping[str, Any],
    paths: Iterable[str],
    run_json: Mapping[str, Any],
) -> Entity:
    own = task["id"] + "/"
    good = status["status"] == "success"
    action: Entity = {
        "@id": f"#{quote(task['id'])}",
        "@type": "CreateAction",
        "name": task["title"],
        "description": f"Task {task['id']} of phase {task['phase']}, attempt {status['attempt']}",
        "startTime": status["started_at"],
        "endTime": status["completed_at"],
        "instrument": [_ref(_id(run, path)) for path in paths if _is_script(path, own)]
        + [_ref(_ZF)],
        "agent": _ref(_person(run_json)),
        "object": [_ref(_id(run, f"{need['task']}/")) for need in task["needs"]],
        "result": [
            _ref(_id(run, path))
            for path in paths
            if path.startswith((f"{own}{LOGS}/", f"{own}{ARTIFACTS}/"))
        ],
        "actionStatus": _ref(f"{_SCHEMA}{'Completed' if good else 'Failed'}ActionStatus"),
    }
    if not good:
        action["error"] = f"{status['status']}: {status['detail'] or status['cause']}"
    return action


def _folder(run: str, task: str, paths: Iterable[str]) -> Entity:
    return {
        "@id": _id(run, f"{task}/"),
        "@type": "Dataset",
        "name": f"Proof of task {task}",
        "hasPart": [_ref(_id(run, path)) for path in paths],
    }


def _file(run: str, path: str, size: int, digest: str) -> Entity:
    script = _is_script(path, path.partition("/")[0] + "/")
    return {
        "@id": _id(run, path),
        "@type": ["File", "SoftwareSourceCode"] if script else "File",
        "name": path,
        "contentSize": str(size),
        "sha256": digest,
    }


def _is_script(path: str, own: str) -> bool:
    return path.startswith(f"{own}{COMMANDS}/") and path.endswith(".sh")


def _id(run: str, path: str) -> str:
    return quote(f"{run}/{path}")


def _person(run: Mapping[str, Any]) -> str:
    return f"#user-{quote(str(run['user']))}"


def _ref(identifier: str) -> Entity:
    return {"@id": identifier}
