"""Every field of all JSON and of the journal of a run, changed by a forger who makes all digests,
the chain and the seal anew: both verifiers find it, or it is in the table of what the head alone
tells, with the reason. So a field that is new has to be decided about.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import independent_verifier, proof_mutations
from tests.support.far import AGENT
from tests.support.forged_seal import seal
from tests.support.program import Project
from zf.audit.verify import verify
from zf.proof import forms
from zf.work.walls.sandbox import why_not

PROJECT = """\
inputs:
  env: {type: choice, options: [prod, dev], default: dev}
  token: {type: string, secret: true}
phases:
  A: {title: First, timeout_sec: 600, budget: {calls: 9}}
  B: {needs: [A], max_jobs: 1}
tasks:
  build:
    title: Build it
    phase: A
    tags: [slow]
    parallel_safe: true
    sources: [zf.yaml]
    generates: [out.txt]
    cache: true
    artifacts: [out.txt, none/*]
    outputs: [version]
    concurrency: g
    run: date > out.txt; echo version=1 >> $ZF_OUTPUT
  test:
    phase: A
    parallel_safe: true
    matrix: {py: [1, 2], max_parallel: 1}
    needs: [build]
    env: {V: {from: build.version}, X: "${HOME}", Y: y}
    cleanup: [echo bye]
    max_retries: 1
    run: echo "$@" $V; test $MATRIX_PY$ATTEMPT != 11
  bad: {phase: A, timeout_sec: 7, run: echo oops; exit 3}
  after: {phase: B, needs: [{task: bad, require: done}], run: "true"}
"""

# What came later: limits, services, a monitor, an executor, a handler.
GUARDED = """\
executors: {far: {start: AGENT, slots: 1, labels: [gpu]}}
on_end: [{when: always, id: told, run: echo told}]
phases: {A: {services: [{name: page, run: *page, ready: "true", ports: [http]}]}}
tasks:
  limited: {phase: A, nice: 5, open_files: 100, run: "true"}
  served: {phase: A, services: [{name: one, run: *page, ready: "true"}], run: "true"}
  watched: {phase: A, run: echo v=1 >> $ZF_OUTPUT, outputs: [v], repeat: {until: outputs.v == 1, interval_sec: 1, limit: 3}}
  far: {phase: B, executor: far, run: echo far}
"""
# A wall around a task.
WALLED = """\
tasks:
  closed: {sandbox: true, run: "true"}
  reads:
    sandbox: {network: false, read: [zf.yaml], write: [out]}
    env: {A: b}
    artifacts: [out/*]
    run: mkdir -p out; cp zf.yaml out/copy
"""
# Answers that are signed over the plan, run.json, and what the needs left: a forger cannot make
# those anew, but all the rest.
APPROVED = """\
tasks:
  build: {phase: A, outputs: [v], run: echo v=1 >> $ZF_OUTPUT}
  deploy:
    phase: A
    needs: [build]
    approval: {by: [ann, bob], min: 2, prompt: Now?, timeout_sec: 600, four_eyes: true}
    run: echo deployed
  denied: {phase: A, approval: {by: [ann]}, run: "true"}
"""
PAGE = json.dumps("trap 'exit 0' TERM; while :; do sleep 0.1; done")

MEASURED = "what one command used: the attempt's own sums are in the journal"
CLOCK = "when it was, by one clock: TIMED judges it"
OLDER = "proofs of earlier versions have none"
SEEN_ONCE = "seen by the worker, and told once"
SAID_ONCE = "what the runner says of itself and its machine, once"
SET = "how the run was set, which nothing says again"
GIT = "what git said; only the commit is in the journal, too"
TIMES = "a time between those of its attempt, which alone are told twice"
HIDDEN = "stands for what is hidden, and cannot be told without that"
ORDER = "follows from the needs, and is for display"
# What the head, or a signature, alone tells: file and field, and why. N is any number.
ONLY_THE_HEAD: dict[str, str] = {
    r"run.json (command\.N|ci|platform|python_version|zf_version|started_at)": SAID_ONCE,
    r"run.json (rerun_of|secrets|secrets_in_artifacts|settings\..*|limits\..*)": SET,
    r"run.json source\.(?!commit).*": GIT,
    r"run.json inputs\.\w+\.(salt|salted_sha256)": HIDDEN,
    r"run.json inputs\.\w+\.source": SET,
    r"plan.json phases\.N\.(budget\.calls|max_jobs|needs(\.N)?|title|whole)": "said of a phase, once",
    r"plan.json phases\.N\.timeout_s": "of a phase that never started",
    r"plan.json tasks\.N\.(level|chain)": ORDER,
    r"plan.json tasks\.N\.on_end\..*": "said of a handler, once",
    r"plan.json tasks\.N\.script_sha256": OLDER,
    r"task.json (hostname|user)": "of a run that was resumed, which may have been elsewhere",
    r"task.json pwd": "of a task without env.sh, as it was not run",
    r"step.json argv\.N": "how zf calls what runs scripts; arguments and `shell` are told again",
    r"step.json (started_at|completed_at|duration_s)": TIMES,
    r"step.json output_sha256": "of what was printed, before anything was hidden or cut",
    r"cleanup.json (argv\.N|started_at|completed_at|duration_s|output_sha256)": "as of steps",
    r"cleanup.json status": "a cleanup command's own end, which decides nothing by itself",
    r"30-cache.json generates\..*": "what lay in the project, which is no part of a proof",
    r"30-cache.json (hidden\..*|salt)": HIDDEN,
    r"status.json (containment|shield|survivors|refused|unmatched(\.N)?|notes|redactions)": SEEN_ONCE,
    r"status.json limits\.\w+\.(by|value)": SEEN_ONCE,
    r"status.json measures\.peak_memory_bytes": "none and not known are one",
    r"status.json measures\.(steps|cleanup)\.N\.(?!step|cleanup|output).*": MEASURED,
    r"events \w+:(mono|wall)": CLOCK,
    r"events approval_asked:timeout_s": "left out: none",
    r"events approval_refused:detail": "what the statement says, in words",
    r"events run_resumed:(asked_by|leftovers)": SAID_ONCE,
    r"events attempt_ended:(cached_from|metrics|outputs_sha256|tests)": "empty, as in older proofs",
    r"events attempt_ended:measures\.peak_memory_bytes": "none and not known are one",
    r"events attempt_started:slot": SEEN_ONCE,
    r"events attempt_placed:(clock_offset_s|zf_version)": SEEN_ONCE,
    r"events handler_claimed:(ended|phase)": "follows from how the run or the phase ended",
    r"events lease_taken:waited_s": SEEN_ONCE,
    r"events probe:(exit_code|line|ms)": SEEN_ONCE,
    r"events service_ended:(detail|exit_code|ready_s|signal)": "of a service of a phase: seen once",
    r"events service_started:(digest|image)": "of one of a phase; empty, as in older proofs",
    r"events retry_scheduled:delay_s": "partly at random",
    r"events phase_ended:(duration_s|ok)": "what it came to follows from the ends of its tasks",
    r"events run_ended:counts\.\w+": "left out: none",
    r"events run_ended:(duration_s|exit_code|source_changed|tampered)": "what zf saw at the end, once",
    r"events run_started:(nonce|previous_head|previous_run|trace_id|traceparent)": SAID_ONCE,
    r"events run_started:schema": "left out: of version 1, if no line is of a later one",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run with all that a proof can have: inputs, arguments, a matrix, a retry, a cache record."""
    project = Project(tmp_path_factory.mktemp("fields") / "project")
    (project.root / "zf.yaml").write_text(PROJECT)
    words = ("-i", "env=prod", "--keep-going", "--run-id", "r1", "test", "bad", "after")
    done = project.zf("run", *words, "--", "-k", "x", env={"ZF_INPUT_TOKEN": "swordfish99"})
    assert done.code == 1, done.err
    return project.proof("r1")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory) -> Path:
    """A run with all that came later, but what is signed."""
    project = Project(tmp_path_factory.mktemp("guarded") / "project")
    text = GUARDED.replace("AGENT", json.dumps(AGENT)).replace("*page", PAGE)
    (project.root / "zf.yaml").write_text(text)
    done = project.zf("run", "--run-id", "r2")
    assert done.code == 0, done.err
    return project.proof("r2")


@pytest.fixture(scope="module")
def walled(tmp_path_factory) -> Path | None:
    """A run with sandboxes, where there can be any."""
    if why_not(shutil.which("bwrap")):
        return None
    project = Project(tmp_path_factory.mktemp("walled") / "project")
    (project.root / "zf.yaml").write_text(WALLED)
    (project.root / "out").mkdir()
    done = project.zf("run", "--run-id", "r3")
    assert done.code == 0, done.err
    return project.proof("r3")


@pytest.fixture(scope="module")
def approved(tmp_path_factory) -> Path:
    """A run that was left for its approvals, of which one was denied, and resumed."""
    project = Project(tmp_path_factory.mktemp("approved") / "project")
    (project.root / "zf.yaml").write_text(APPROVED)
    signers = []
    for name in ("ann", "bob"):
        key = project.root.parent / name
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key]
        subprocess.run(made, check=True)
        signers.append(f"{name} {key.with_suffix('.pub').read_text()}")
    (project.root / "allowed_signers").write_text("".join(signers))
    asked = project.zf("run", "--run-id", "r4", "--keep-going", "--on-approval", "exit")
    assert asked.code == 6, asked.err
    for word, task, name in (
        ("approve", "deploy", "ann"),
        ("approve", "deploy", "bob"),
        ("reject", "denied", "ann"),
    ):
        key = str(project.root.parent / name)
        done = project.zf(word, "r4", task, "--key", key, "--comment", "so")
        assert done.code == 0, done.err
    done = project.zf("resume", "r4")
    assert done.code == 1, done.err
    return project.proof("r4")


def leaves(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where its texts, numbers and empty containers stand."""
    inner: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        inner = [*value.items()]
    elif isinstance(value, list):
        inner = [*enumerate(value)]
    if not inner:
        yield at
    for key, one in inner:
        yield from leaves(one, (*at, key))


def others(value: object) -> Iterator[object]:
    """Values that it is not, the likeliest to have its form first."""
    match value:
        case bool():
            yield not value
        case int():
            yield from (value + 1, max(0, value - 1))
        case float():
            yield value + 1.0
        case str() if re.fullmatch("[0-9a-f]{32,}", value):
            yield "0" * len(value)
        case str() if re.fullmatch(r"\d{4}-.*Z", value):
            yield f"{value[:-4]}{'111' if value[-4:-1] != '111' else '112'}Z"
        case str():
            yield from (f"{value}x", "x", "success", "failure", "flag")
        case None:
            yield from (1, "x", "x" * 40, "0" * 64, {})
        case dict():
            yield from ({"x": 1}, {"x": "x"}, {"x": "success"})
        case list():
            yield from (["x"], [{"path": "x", "reason": "y"}], [1])


def changed(value: object, at: tuple[str | int, ...], new: object = None, *, gone: bool = False):
    """The same with another value there, or none."""
    whole = copy.deepcopy(value)
    inner: object = whole
    for key in at[:-1]:
        inner = inner[key]  # type: ignore[index]
    if gone:
        del inner[at[-1]]  # type: ignore[attr-defined]
    else:
        inner[at[-1]] = new  # type: ignore[index]
    return whole


def forgeries(run: Path) -> Iterator[tuple[str, str, str]]:
    """A file, what is forged of it as the table calls it, and its text then."""
    for path in sorted(run.rglob("*.json")):
        name = str(path.relative_to(run))
        form = forms.form_of(name)
        assert form is not None, name
        called = re.sub(r"(step|cleanup)-\d+", r"\1", path.name)
        for what, said in forged(
            json.loads(path.read_text()), lambda v, f=form: forms.problems(f, v)
        ):
            yield name, f"{called} {what}", json.dumps(said, indent=1) + "\n"
    lines = (run / "events.jsonl").read_text().splitlines(keepends=True)
    for number, line in enumerate(lines):
        event = json.loads(line)
        for what, said in forged(event, lambda v: forms.event_problems(v, "zf/events/v2")):
            # Made anew by a forger, all of them.
            if not re.match("seq|prev|(plan|run|task)_sha256", what):
                text = json.dumps(said, separators=(",", ":")) + "\n"
                text = "".join([*lines[:number], text, *lines[number + 1 :]])
                yield "events.jsonl", f"events {event['type']}:{what}", text


def forged(value, wrong) -> Iterator[tuple[str, object]]:
    """Each of its fields with another value of a good form, and without it."""
    for at in leaves(value):
        if not at:
            continue
        what = ".".join("N" if isinstance(key, int) else key for key in at)
        before = value
        for key in at:
            before = before[key]
        made = (changed(value, at, new) for new in others(before) if new != before)
        for one in made:
            if not wrong(one):
                yield what, one
                break
        if isinstance(at[-1], str) and not wrong(gone := changed(value, at, gone=True)):
            yield what, gone


def mend(run: Path) -> None:
    proof_mutations.repair_lists(run)
    proof_mutations.repair_journal(run)
    (run / "MANIFEST.sha256").unlink()
    seal(str(run))


def test_each_field_is_told_twice_or_is_known_not_to_be(
    run, guarded, walled, approved, tmp_path, request
):
    whole = request.config.getoption("--campaign")
    # Of the names of fields that there are, about each 13th; a campaign has all.
    used = {
        row
        for one, least in ((run, 1000), (guarded, 700), (walled, 400), (approved, 700))
        if one is not None
        for row in check(one, tmp_path / one.name, least, 1 if whole else 13)
    }
    assert not whole or walled is None or used == set(ONLY_THE_HEAD)


def check(run: Path, work: Path, least: int, each: int) -> Iterator[str]:
    """Forge the fields of a run; the rows of those that only the head tells."""
    shutil.copytree(run, work)
    mend(work)
    assert verify(str(work)).exit_code == 0
    assert independent_verifier.verify(str(work)) == (True, True)
    every = list(forgeries(run))
    assert len(every) > least
    for name, what, text in every[::each]:
        (work / name).write_text(text)
        mend(work)
        mine = any(one.verdict == "INTACT" for one in verify(str(work)).findings)
        theirs = not independent_verifier.verify(str(work))[0]
        assert mine == theirs, f"{name}: {what}: only one of the two finds it"
        row = next((row for row in ONLY_THE_HEAD if re.fullmatch(row, what)), None)
        assert mine or row is not None, f"{name}: {what} can be forged"
        if row is not None and not mine:
            yield row
        shutil.copyfile(run / name, work / name)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("run.json", '{"value": "prod"', '{"value": "dev"'),
        ("run.json", '"arguments": ["-k", "x"]', '"arguments": ["-k", "y"]'),
        ("plan.json", '"arguments":true,', ""),
        ("plan.json", '"task":"build"', '"task":"bad"'),
        ("plan.json", '"max_parallel":1', '"max_parallel":2'),
        ("plan.json", '"concurrency":"g"', '"concurrency":"h"'),
        ("plan.json", '"instances":{"test":2}', '"instances":{"test":3}'),
        ("build/99-summary/status.json", '"title": "Build it"', '"title": "Build"'),
        ("build/99-summary/status.json", '"phase": "A"', '"phase": "B"'),
        ("build/99-summary/status.json", '"timeout_sec": 300', '"timeout_sec": 301'),
        ("build/99-summary/status.json", '"artifacts": 1', '"artifacts": 2'),
        ("test@py=1/attempts/1/99-summary/status.json", '"cause": "exit"', '"cause": "signal"'),
        ("test@py=1/00-meta/env.sh", "MATRIX_PY='1'", "MATRIX_PY='2'"),
        ("test@py=1/00-meta/env.sh", "export V='1'", "export V='2'"),
        ("bad/20-logs/step-0.log", "oops", "fine"),
        ("bad/10-commands/step-0.sh", "exit 3", "exit 4"),
        ("events.jsonl", '"success":3', '"success":4'),
    ],
)
def test_a_forged_field_is_found_by_both(run, tmp_path, file, old, new):
    work = tmp_path / "r1"
    shutil.copytree(run, work)
    path = work / file
    text = path.read_text()
    assert old in text, text
    path.write_text(text.replace(old, new, 1))
    mend(work)
    assert any(one.verdict == "INTACT" for one in verify(str(work)).findings)
    assert not independent_verifier.verify(str(work))[0]


def test_a_part_of_a_cache_record_without_its_value_is_found(run, tmp_path):
    work = tmp_path / "r1"
    shutil.copytree(run, work)
    path = work / "build/30-cache.json"
    record = json.loads(path.read_text())
    del record["parts"]["sources"]["value"]
    path.write_text(json.dumps(record) + "\n")
    mend(work)
    assert any(one.verdict == "INTACT" for one in verify(str(work)).findings)
    assert not independent_verifier.verify(str(work))[0]
