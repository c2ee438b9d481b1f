"""What expressions select: examples first, then the laws that hold for every graph."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from zf.errors import ZfError
from zf.model import Need, Step, Task
from zf.plan.select.expression import Around, Both, Either, Filter, Node, Not, shown
from zf.plan.select.selected import selection


class Asked:
    """Runs and commits that a test has made up."""

    def __init__(self, **told: set[str]) -> None:
        self._told = told

    def failed(self, run: str) -> set[str]:
        return self._told[run]

    def changed(self, since: str) -> set[str]:
        return self._told[since]


def task(name: str, phase: str = "A", needs: tuple[str, ...] = (), **more: object) -> Task:
    entries = tuple(map(Need, needs))
    values = {"file": f"tasks/{name}/task.yaml"} | more
    return Task(name, phase, (Step("s", "true"),), needs=entries, **values)


#   fetch -> build -> unit -> deploy
#                  -> e2e  ->
ALL = (
    task("fetch"),
    task("build", "B", ("fetch",), tags=("slow",)),
    task("unit", "T", ("build",), tags=("fast", "ci")),
    task("e2e", "T", ("build",), tags=("slow",)),
    task("deploy", "D", ("unit", "e2e")),
    task("test@py=3.11", "T", base="test", matrix={"py": "3.11"}, file="zf.yaml"),
    task("test@py=3.12", "T", base="test", matrix={"py": "3.12"}, file="zf.yaml"),
)
TASKS = {one.id: one for one in ALL}
BASES = {"test@py=3.11", "test@py=3.12"}


def select(text: str, tasks=TASKS, **told: set[str]) -> set[str]:
    return selection(text, "--only").of(tasks, Asked(**told))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("all()", set(TASKS)),
        ("none()", set()),
        ("unit", {"unit"}),
        ("id(*e*t*) & !deploy", {"fetch", *BASES}),
        ("test", BASES),
        ("test@py=3.11", {"test@py=3.11"}),
        ("phase(T)", {"unit", "e2e", *BASES}),
        ("phase([BD])", {"build", "deploy"}),
        ("tag(slow)", {"build", "e2e"}),
        ("tag(*a*)", {"unit"}),
        ("tag(z*)", set()),
        ("file(tasks/e2e/task.yaml)", {"e2e"}),
        ("file(tasks/u*/)", {"unit"}),
        ("file(zf.yaml)", BASES),
        ("file(tasks)", set(TASKS) - BASES),
        ("+unit", {"fetch", "build", "unit"}),
        ("unit+", {"unit", "deploy"}),
        ("+build+", {"fetch", "build", "unit", "e2e", "deploy"}),
        ("+unit & +e2e", {"fetch", "build"}),
        ("!+unit", {"e2e", "deploy", *BASES}),
        ("unit | e2e & build", {"unit"}),
        ("failed(r1) & phase(T)", {"e2e"}),
        # What changed, and all that needs it.
        ("changed(main)", {"unit", "deploy"}),
        ("changed(main) & !deploy", {"unit"}),
    ],
)
def test_what_is_selected(text, names):
    assert select(text, r1={"e2e", "deploy", "gone"}, main={"unit", "gone"}) == names


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "unit | depoly",
            (
                "--only:1:8: error[ZF114]: no task is called 'depoly'\n"
                "  1 | unit | depoly\n"
                "    |        ^^^^^^ did you mean 'deploy'?"
            ),
        ),
        (
            "tag(slw)",
            (
                "--only:1:5: error[ZF114]: no task has the tag 'slw'\n"
                "  1 | tag(slw)\n"
                "    |     ^^^ did you mean 'slow'?"
            ),
        ),
        (
            "T",
            (
                "--only:1:1: error[ZF114]: no task is called 'T'\n"
                "  1 | T\n"
                "    | ^ it is a phase: write phase(T)"
            ),
        ),
        (
            "file('!')",
            "--only:1:6: error[ZF114]: this is no glob\n  1 | file('!')\n    |      ^^^",
        ),
        (
            "unit &",
            (
                "--only:1:7: error[ZF113]: a filter, a task or '(' is missing\n"
                "  1 | unit &\n"
                "    |       ^"
            ),
        ),
    ],
)
def test_what_names_nothing_is_refused_with_its_place(text, told):
    with pytest.raises(ZfError) as caught:
        select(text)
    assert [problem.render() for problem in caught.value.problems] == [told]


NAMES = "abcdef"


@st.composite
def projects(draw) -> dict[str, Task]:
    """Tasks that need some of those before them, each with a phase and some tags."""
    tasks = {}
    for index, name in enumerate(NAMES):
        needs = draw(st.sets(st.sampled_from(NAMES[:index]))) if index else set()
        tags = tuple(draw(st.sets(st.sampled_from("xy"))))
        phase = draw(st.sampled_from("PQ"))
        tasks[name] = task(name, phase, tuple(sorted(needs)), tags=tags)
    return tasks


LEAVES = st.one_of(
    st.sampled_from([Filter("id", name) for name in NAMES]),
    st.sampled_from([Filter("phase", "[P]"), Filter("tag", "x*"), Filter("tag", "?")]),
    st.sampled_from([Filter("all"), Filter("none"), Filter("changed", "c"), Filter("failed", "c")]),
)


def wider(trees):
    pairs = st.tuples(trees, trees)
    return st.one_of(
        st.builds(Not, trees),
        st.builds(Both, pairs),
        st.builds(Either, pairs),
        st.builds(Around, trees, st.just(True), st.booleans()),
        st.builds(Around, trees, st.just(False), st.just(True)),
    )


EXPRESSIONS = st.recursive(LEAVES, wider, max_leaves=5)


def above(tree: Node) -> Node:
    return Around(tree, above=True, below=False)


def below(tree: Node) -> Node:
    return Around(tree, above=False, below=True)


def check_laws(tasks, changed, x, y, z):
    def of(tree: Node) -> set[str]:
        return select(shown(tree), tasks, c=changed)

    # Sets: complement, De Morgan, distribution, absorption.
    assert of(Not(Not(x))) == of(x)
    assert of(Not(Both((x, y)))) == of(Either((Not(x), Not(y))))
    assert of(Not(Either((x, y)))) == of(Both((Not(x), Not(y))))
    assert of(Both((x, Either((y, z))))) == of(Either((Both((x, y)), Both((x, z)))))
    assert of(Either((x, Both((x, y))))) == of(x)
    assert of(Both((x, Not(x)))) == of(Filter("none"))
    assert of(Either((x, Not(x)))) == of(Filter("all")) == set(tasks)
    # Closures: what is there stays, again changes nothing, a union's is the union of both.
    for closed in (above, below):
        assert of(x) <= of(closed(x))
        assert of(closed(closed(x))) == of(closed(x))
        assert of(closed(Either((x, y)))) == of(closed(x)) | of(closed(y))
        assert of(closed(Both((x, y)))) <= of(closed(x)) & of(closed(y))
    assert of(Around(x, above=True, below=True)) == of(above(x)) | of(below(x))
    assert of(Filter("changed", "c")) == of(below(Filter("failed", "c")))


def check_closures(tasks):
    """One is above another just where that is below it; and against the needs themselves."""
    for one in tasks:
        for other in tasks:
            is_above = one in select(f"+{other}", tasks)
            assert is_above is (other in select(f"{one}+", tasks))
        needed = {need.task for need in tasks[one].needs}
        assert select(f"+{one}", tasks) == {one}.union(*(select(f"+{n}", tasks) for n in needed))


GIVEN = (projects(), st.sets(st.sampled_from(NAMES)), EXPRESSIONS, EXPRESSIONS, EXPRESSIONS)


@given(*GIVEN)
@settings(max_examples=60)
def test_the_laws_of_selection(tasks, changed, x, y, z):
    check_laws(tasks, changed, x, y, z)
    check_closures(tasks)


@pytest.mark.campaign
@settings(max_examples=10_000)
@given(*GIVEN)
def test_the_laws_of_selection_for_many(tasks, changed, x, y, z):
    check_laws(tasks, changed, x, y, z)


def test_a_chain_of_many_tasks_is_gone_through_once():
    tasks = {f"t{n}": task(f"t{n}", needs=(f"t{n - 1}",) if n else ()) for n in range(20_000)}
    assert len(select("t0+", tasks)) == 20_000
    assert len(select("+t19999 & +t10", tasks)) == 11
