"""Which tasks a changed file concerns."""

import pytest

from zf.model import Flow, Project, Step, Task
from zf.watch.scope import Scope, behind_links, is_plan, redefined, starts

TASKS = {
    task.id: task
    for task in (
        Task("lint", "A", (Step("s", "true"),), sources=("src/**/*.py", "!src/vendor")),
        Task("build", "A", (), sources=("src", "*.toml"), generates=("dist", "gen/*.py")),
        Task("web", "A", (), workdir="./web/", artifacts=("web/report.xml",)),
        Task("all", "A", (), file="tasks/all/task.yaml"),
    )
}
FLOW = Flow("/p", "/p/.zenflow", TASKS, shared=("common/base.yaml",))


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("src/a.py", {"lint", "build", "all"}),
        ("src/a/b.py", {"lint", "build", "all"}),
        ("src/a.c", {"build", "all"}),
        ("src/vendor/x.py", {"build", "all"}),
        ("pyproject.toml", {"build", "all"}),
        ("sub/x.toml", {"build", "all"}),
        ("web/index.html", {"web", "all"}),
        ("webs/index.html", {"all"}),
        ("dist/x/y", set()),
        ("gen/api.py", set()),
        ("web/report.xml", set()),
    ],
)
def test_a_path_concerns(path, names):
    # A glob without a slash means the root's own files, as elsewhere.
    if path == "sub/x.toml":
        names = {"all"}
    assert Scope(FLOW, TASKS).of(path) == names


def test_a_task_file_concerns_only_what_names_it():
    assert Scope(FLOW, TASKS).of("src/a.py", by_folder=False) == {"lint", "build"}


def test_what_is_not_watched_is_not_concerned():
    assert Scope(FLOW, {"web"}).of("src/a.py") == set()
    # What any task makes is made, though.
    assert Scope(FLOW, {"all"}).of("dist/x") == set()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("zf.yaml", True),
        (".zenflow/tasks/x/task.yaml", True),
        (".zenflow/tasks/x.yaml", True),
        (".zenflow/tasks/x/run.sh", False),
        ("common/base.yaml", True),
        ("tasks/all/task.yaml", True),
        ("docs/x.yaml", False),
    ],
)
def test_what_says_what_the_tasks_are(path, said):
    assert is_plan(FLOW, path) == said


def test_what_says_something_else():
    changed = dict(TASKS, web=Task("web", "A", (Step("s", "false"),)), new=Task("new", "A", ()))
    flow = Flow(FLOW.root, FLOW.home, changed)
    assert redefined(FLOW, flow, changed) == {"web", "new"}
    assert redefined(FLOW, FLOW, TASKS) == set()
    other = Flow(FLOW.root, FLOW.home, TASKS, Project(max_jobs=3))
    assert redefined(FLOW, other, TASKS) == set(TASKS)


def test_places_that_sources_name():
    assert starts(TASKS) == ["src"]
    assert behind_links(["src", "other"], TASKS) == ["src"]
    assert behind_links(["sr"], TASKS) == []
