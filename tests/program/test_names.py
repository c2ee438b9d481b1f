"""One rule for RUN in every verb: ids first, a path has a slash, and a unique prefix will do."""

import json
import shutil

import pytest

VERBS = {
    "status": ["status", "RUN"],
    "explain": ["explain", "RUN"],
    "logs": ["logs", "RUN", "one"],
    "verify": ["verify", "RUN"],
    "export": ["export", "RUN", "-o", "out.tar"],
    "diff": ["diff", "RUN", "RUN"],
    "replay": ["replay", "RUN", "one"],
    "rerun": ["rerun", "RUN", "--only", "one"],
    "resume": ["resume", "RUN"],
    "cancel": ["cancel", "RUN"],
    "seal": ["seal", "RUN"],
}
# Of a run that is over, which is what these say first.
OVER = {
    "resume": "is sealed",
    "cancel": "monday",
    "seal": "sealed already",
    "replay": "the run recorded no commit",
}


@pytest.fixture
def runs(project):
    project.task("one", "echo one")
    for run in ("tuesday", "monday", "monday-2"):
        assert project.zf("run-phase", "A", "--run-id", run).code == 0
    return project


def used(project, verb: str, run: str):
    return project.zf(*(run if word == "RUN" else word for word in VERBS[verb]))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_an_id_before_a_folder_a_unique_prefix_and_a_path(runs, verb):
    """A folder `./monday` was verified instead of the run of that name."""
    shutil.copytree(runs.proof("tuesday"), runs.root / "monday")
    for name, expected in (
        ("monday", "monday"),
        ("tu", "tuesday"),
        ("monday-", "monday-2"),
        ("proofs/monday", "monday"),
        ("proofs/monday/", "monday"),
        (str(runs.proof("monday")), "monday"),
        ("latest", None),
    ):
        done = used(runs, verb, name)
        told = done.out + done.err
        assert "unknown run" not in told, f"{name}: {told}"
        assert done.code == (0 if verb not in OVER else done.code), f"{name}: {told}"
        assert OVER.get(verb, "").replace("monday", expected or "") in told, f"{name}: {told}"
        (runs.root / "out.tar").unlink(missing_ok=True)
    told = used(runs, "verify", "monday") if verb == "verify" else None
    if told is not None:
        assert json.loads(runs.zf("verify", "monday", "--json").out)["run_id"] == "monday"
        assert json.loads(runs.zf("verify", "./monday", "--json").out)["run_id"] == "tuesday"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_names_the_candidates_of_a_prefix_that_is_not_unique(runs, verb):
    done = used(runs, verb, "m")
    assert done.code == 2
    assert "error[ZF612]: 'm' is the beginning of 2 runs: monday-2, monday" in done.err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_that_a_path_needs_a_slash(runs, verb):
    (runs.root / "elsewhere").mkdir()
    done = used(runs, verb, "elsewhere")
    assert done.code == 2
    assert "unknown run 'elsewhere'" in done.err
    assert "hint: to name the folder, write ./elsewhere" in done.err


@pytest.mark.parametrize("verb", ["resume", "cancel", "seal", "rerun"])
def test_what_changes_a_run_or_builds_on_it_takes_none_from_elsewhere(runs, verb):
    shutil.copytree(runs.proof("tuesday"), runs.root / "elsewhere")
    done = used(runs, verb, "./elsewhere")
    assert done.code == 2
    assert "./elsewhere is no run of this project" in done.err


@pytest.mark.parametrize("name", ["latest", "Latest"])
@pytest.mark.parametrize("way", ["flag", "variable"])
def test_the_word_for_the_newest_run_names_none(project, name, way):
    project.task("one", "true")
    if way == "flag":
        done = project.zf("run-phase", "A", "--run-id", name)
    else:
        done = project.zf("run-phase", "A", env={**project.env, "RUN_ID": name})
    assert done.code == 2
    assert f"error[ZF121]: run id '{name}' is not a valid id" in done.err
    assert not project.proof(name).exists()


def test_rerun_without_a_name_means_the_newest_run(project):
    project.task("one", "[ -e fixed ]")
    assert project.zf("run-phase", "A", "--run-id", "first").code == 1
    assert project.zf("run-phase", "A", "--run-id", "second").code == 1
    (project.root / "fixed").touch()
    assert project.zf("rerun", "--failed", "--run-id", "again").code == 0
    assert project.json("again", "run.json")["rerun_of"] == "second"
