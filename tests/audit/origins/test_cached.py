"""A result of an earlier run cannot be forged: each part of it is held against the others, and all
of it against the run that it is of.
"""

import json
import shutil

import pytest

from tests.support import independent_verifier, proof_mutations
from tests.support.forged_seal import seal
from tests.support.program import Project
from zf.audit.verify import verify

CACHE, STATUS = "build/30-cache.json", "build/99-summary/status.json"
STEP = "build/10-commands/step-0.json"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The proofs of a run, and of one in which its result counts."""
    project = Project(tmp_path_factory.mktemp("cached") / "project")
    (project.root / "a.txt").write_text("one\n")
    (project.root / "out").mkdir()
    for name in ("build", "other"):
        project.task(
            name,
            f"mkdir -p {name}.d; cp a.txt out/{name}.txt; [ -e {name}.d/x ] || cp a.txt {name}.d/x",
            sources=["a.txt"],
            generates=[f"out/{name}.txt", f"{name}.d"],
            artifacts=[f"out/{name}.txt"],
            cache=True,
        )
    for run in ("r0", "r1", "r2"):
        cached = ["--cached"] if run != "r0" else []
        done = project.zf("run-phase", "A", "--run-id", run, *cached)
        assert done.code == 0, done.err
        (project.root / "a.txt").write_text("two\n")
    assert project.status("r2", "build")["cached_from"]["run"] == "r1"
    project.end_all()
    return project.root / "proofs"


@pytest.fixture
def proofs(runs, tmp_path):
    return shutil.copytree(runs, tmp_path / "proofs")


def change(path, edit):
    """Edit a JSON file of a run, and write it as zf writes it."""
    value = json.loads(path.read_text())
    edit(value)
    rows = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()]
    path.write_text("{\n" + ",\n".join(rows) + "\n}\n")


def change_event(run, kind, task, edit):
    path = run / "events.jsonl"
    lines = []
    for line in path.read_text().splitlines():
        event = json.loads(line)
        if event["type"] == kind and event.get("task") == task:
            edit(event)
        lines.append(json.dumps(event, separators=(",", ":")) + "\n")
    path.write_text("".join(lines))


def of(path, edit):
    return lambda run: change(run / path, edit)


def of_event(kind, edit):
    return lambda run: change_event(run, kind, "build", edit)


def put(key, value):
    def edit(one):
        one[key] = value

    return edit


def inside(*keys, value):
    def edit(one):
        for key in keys[:-1]:
            one = one[key]
        assert one[keys[-1]] != value
        one[keys[-1]] = value

    return edit


OTHER = "0" * 64
# Each by a forger who makes every digest, the chain and the seal anew.
FORGERIES = {
    "status: another run": of(STATUS, inside("cached_from", "run", value="r0")),
    "status: another task": of(STATUS, inside("cached_from", "task", value="other")),
    "status: another head": of(STATUS, inside("cached_from", "head", value=OTHER)),
    "status: not cached": of(STATUS, lambda one: one.pop("cached_from")),
    "end: another run": of_event("attempt_ended", inside("cached_from", "run", value="r0")),
    "end: another head": of_event("attempt_ended", inside("cached_from", "head", value=OTHER)),
    "end: not cached": of_event("attempt_ended", put("cached_from", {})),
    "found: another run": of_event("cached", put("origin", "r0")),
    "found: another key": of_event("cached", put("key", OTHER)),
    "found: another head": of_event("cached", put("head", OTHER)),
    "found: another attempt": of_event("cached", put("attempt", 2)),
    "record: another key": of(CACHE, put("key", OTHER)),
    "record: another part": of(CACHE, inside("parts", "sources", "sha256", value=OTHER)),
    "record: another value": of(CACHE, inside("parts", "platform", "value", value="amiga-68k")),
    "record: a part that is none": of(CACHE, lambda one: one["parts"].update(extra=1)),
    "record: why not": of(CACHE, put("why_not", "a source changed")),
    "record: hidden": of(CACHE, put("hidden", {"TOKEN": OTHER})),
    "record: stored": of(CACHE, put("stored", True)),
    "record: generated": of(CACHE, put("generates", {"files": {"x": "100644 0"}})),
    "record: another run": of(CACHE, inside("cached_from", "run", value="r0")),
    "record: another task": of(CACHE, put("task", "other")),
    "record: not cached": of(CACHE, put("cached_from", {})),
    "record: gone": lambda run: (run / CACHE).unlink(),
    "step: was run": of(STEP, put("status", "success")),
}


def mended(run):
    proof_mutations.repair_lists(run)
    proof_mutations.repair_journal(run)
    (run / "MANIFEST.sha256").unlink()
    seal(str(run))


def test_good_ones_are_good(proofs):
    for run in ("r0", "r1", "r2"):
        found = verify(str(proofs / run), beside=str(proofs))
        assert found.exit_code == 0, found.render()
        assert independent_verifier.verify(str(proofs / run)) == (True, True)
        mended(proofs / run)  # which changes nothing
        assert verify(str(proofs / run)).exit_code == 0


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_result_contradicts_itself(proofs, forgery):
    run = proofs / "r2"
    FORGERIES[forgery](run)
    mended(run)
    found = verify(str(run))
    assert any(one.verdict == "INTACT" for one in found.findings), found.render()
    assert independent_verifier.verify(str(run)) == (False, False)


def test_of_what_nothing_else_says_the_list_is_the_witness(proofs):
    change(proofs / "r2" / CACHE, put("salt", "a" * 32))
    assert verify(str(proofs / "r2")).exit_code != 0
    assert independent_verifier.verify(str(proofs / "r2"))[0] is False


def everywhere(run, edit):
    """A forger who forgets nothing."""
    change(run / STATUS, lambda one: edit(one["cached_from"]))
    change(run / CACHE, lambda one: edit(one["cached_from"]))
    change_event(run, "attempt_ended", "build", lambda one: edit(one["cached_from"]))

    def found(one):
        said = {"run": one["origin"], "head": one["head"]}
        edit(said)
        one["origin"], one["head"] = said["run"], said["head"]

    change_event(run, "cached", "build", found)


def test_one_that_agrees_with_itself_is_held_against_the_run_that_it_is_of(proofs):
    head = json.loads((proofs / "r2/events.jsonl").read_text().splitlines()[0])["previous_head"]
    run = proofs / "r2"
    everywhere(run, lambda one: one.update(run="r0", head=OTHER))
    mended(run)
    found = verify(str(run), beside=str(proofs))
    assert (
        "build/99-summary/status.json: is cached from run r0, whose journal ends" in found.render()
    )
    assert found.exit_code != 0
    # The right end of the wrong run.
    r0 = verify(str(proofs / "r0")).result["head"]
    assert r0 != head
    everywhere(run, lambda one: one.update(head=r0))
    mended(run)
    assert "with another key" in verify(str(run), beside=str(proofs)).render()
    away = verify(str(run))  # nothing else to go by: it says what it could not check
    assert away.exit_code == 0
    assert "not checked: r0" in away.render()


def test_other_artifacts_than_the_run_that_it_is_of(proofs):
    run = proofs / "r2"
    (run / "build/30-artifacts/out/build.txt").write_text("six\n")
    mended(run)
    assert verify(str(run)).exit_code == 0
    assert "whose artifacts are others" in verify(str(run), beside=str(proofs)).render()


def test_a_run_that_was_changed_vouches_for_nothing(proofs):
    (proofs / "r1/other/20-logs/step-0.log").write_text("x")
    found = verify(str(proofs / "r2"), beside=str(proofs))
    assert "whose own proof is not intact" in found.render()


def test_every_changed_byte_of_a_cached_tree_is_found(proofs, request):
    run = proofs / "r2"
    step = 1 if request.config.getoption("--campaign") else 97
    names = [n for n in proof_mutations.files(run) if n.startswith("build/")]
    for name in names:
        data = (run / name).read_bytes()
        for place in range(0, len(data), step):
            proof_mutations.flip(name, data, place, place % 8).do(run)
            assert verify(str(run)).exit_code != 0, (name, place)
            if place % (step * 5) == 0:
                assert independent_verifier.verify(str(run))[0] is False, (name, place)
        (run / name).write_bytes(data)
