"""How files agree: needs, cycles, names, limits; and no file blamed for another."""

from tests.support.plan_files import good, loaded, said, write
from zf.plan import drafts
from zf.plan.files.pointer import Pointer


def test_an_unknown_need_with_the_nearest_known_one(tmp_path):
    files = {
        "e4": good("e4", "seed-databse", phase="E"),
        "seed-database": good("seed-database", phase="E"),
    }
    assert said(tmp_path, files) == (
        "tasks/e4/task.yaml:3:9: error[ZF210]: needs unknown task 'seed-databse'\n"
        "  3 | needs: [seed-databse]\n"
        "    |         ^^^^^^^^^^^^ did you mean 'seed-database' (phase E)?"
    )


def test_needs_of_every_bad_kind_at_once(tmp_path):
    assert said(tmp_path, {"x": good("x", "a", "x", "a", "gone"), "a": good("a")}) == (
        "tasks/x/task.yaml:3:12: error[ZF211]: 'x' needs itself\n"
        "  3 | needs: [a, x, a, gone]\n"
        "    |            ^ remove it\n"
        "tasks/x/task.yaml:3:15: error[ZF213]: needs 'a' twice\n"
        "  3 | needs: [a, x, a, gone]\n"
        "    |               ^ the first is in line 3\n"
        "tasks/x/task.yaml:3:18: error[ZF210]: needs unknown task 'gone'\n"
        "  3 | needs: [a, x, a, gone]\n"
        "    |                  ^^^^"
    )


def test_a_cycle_shows_its_shortest_path_and_the_line_of_each_edge(tmp_path):
    files = {
        "a": good("a", "b", "d"),
        "b": "id: b\nphase: A\nneeds:\n  - c\n  - ok\ncommands: [{run: x}]\n",
        "c": good("c", "ok", "a"),
        "d": good("d", "e"),
        "e": good("e", "c"),
        "ok": good("ok"),
    }
    assert said(tmp_path, files) == (
        "tasks/a/task.yaml:3:9: error[ZF212]: tasks need each other in a circle: a -> b -> c -> a\n"
        "  3 | needs: [b, d]\n"
        "    |         ^ remove one of: a needs b (tasks/a/task.yaml:3); "
        "b needs c (tasks/b/task.yaml:4); c needs a (tasks/c/task.yaml:3)"
    )


def test_of_a_long_circle_its_beginning_and_its_end_are_shown(tmp_path):
    files = {f"t{n:02}": good(f"t{n:02}", f"t{(n + 1) % 40:02}") for n in range(40)}
    [problem] = loaded(tmp_path, files).problems
    shown = " -> ".join(f"t{n:02}" for n in range(8))
    assert problem.message == (
        f"tasks need each other in a circle: {shown} -> ... 31 more ... -> t39 -> t00"
    )
    assert problem.hint.endswith(
        "; ... 30 more ...; t38 needs t39 (tasks/t38/task.yaml:3); t39 needs t00 (tasks/t39/task.yaml:3)"
    )


def test_separate_cycles_are_told_separately(tmp_path):
    files = {"a": good("a", "b"), "b": good("b", "a"), "c": good("c", "d"), "d": good("d", "c")}
    codes = [(p.code, p.file) for p in loaded(tmp_path, files).problems]
    assert codes == [("ZF212", "tasks/a/task.yaml"), ("ZF212", "tasks/c/task.yaml")]


def test_ids_that_differ_only_in_case(tmp_path):
    assert said(tmp_path, {"seed": good("seed"), "Seed": good("Seed")}) == (
        "tasks/seed/task.yaml:1:5: error[ZF215]:"
        " id 'seed' differs from 'Seed' (tasks/Seed/task.yaml) only in case\n"
        "  1 | id: seed\n"
        "    |     ^^^^ choose ids that differ in more: their proofs are folders"
    )


def test_a_broken_file_still_counts_as_a_task(tmp_path):
    files = {
        "broken": "id: [",
        "odd": "id: odd\nphase: 7\nneeds: [broken, gone]\n",
        "renamed": good("other"),
        "x": good("x", "broken", "odd", "renamed", "other"),
    }
    problems = [(p.file, p.code) for p in loaded(tmp_path, files).problems]
    assert problems == [
        ("tasks/broken/task.yaml", "ZF206"),
        ("tasks/odd/task.yaml", "ZF221"),
        ("tasks/odd/task.yaml", "ZF222"),
        ("tasks/odd/task.yaml", "ZF210"),  # what a half-read file needs is checked all the same
        ("tasks/renamed/task.yaml", "ZF214"),
    ]


def test_problems_come_sorted_by_file_and_line(tmp_path):
    files = {"b": "id: b\nphase: 1\nfoo: 1\n", "a": good("a", "gone"), "zf.yaml": "jobs: 1\n"}
    places = [(p.file, p.line, p.column) for p in loaded(tmp_path, files).problems]
    assert places == sorted(places)
    assert len(places) == 5


def test_a_cycle_through_a_file_that_is_called_otherwise(tmp_path):
    files = {"a": good("a", "b"), "b": good("c", "a")}
    assert said(tmp_path, files) == (
        "tasks/a/task.yaml:3:9: error[ZF212]: tasks need each other in a circle: a -> c -> a\n"
        "  3 | needs: [b]\n"
        "    |         ^ remove one of: a needs c (tasks/a/task.yaml:3); c needs a (tasks/b/task.yaml:3)\n"
        "tasks/b/task.yaml:1:5: error[ZF214]: id 'c' differs from its folder 'b'\n"
        "  1 | id: c\n"
        "    |     ^ write 'b', or rename the folder"
    )


def test_two_files_that_claim_one_id(tmp_path):
    problems = loaded(tmp_path, {"a": good("c", "b"), "b": good("c", "a")}).problems
    assert [(p.file, p.code) for p in problems] == [
        ("tasks/a/task.yaml", "ZF214"),
        ("tasks/b/task.yaml", "ZF214"),
    ]


def test_many_wrong_names_do_not_take_long_to_suggest_for(tmp_path):
    files = {f"t{n:03}": good(f"t{n:03}", f"T{n:03}") for n in range(100)}
    problems = loaded(tmp_path, files).problems
    assert len(problems) == 100
    assert sum(p.hint is not None for p in problems) == 50


# Warnings: valid, and hardly meant


def test_a_timeout_above_that_of_the_phase(tmp_path):
    files = {
        "x": "id: x\nphase: A\ntimeout_sec: 90.5\ncommands: [{run: x}]\n",
        "y": "id: y\nphase: B\ntimeout_sec: 4000\ncommands: [{run: x}]\n",
        "z": "id: z\nphase: A\ncommands: [{run: x}]\n",  # the default is not the writer's claim
        "zf.yaml": "phases: {A: {timeout_sec: 60}}\n",
    }
    found = loaded(tmp_path, files)
    assert found.flow is not None
    assert "\n".join(p.render() for p in found.problems) == (
        "tasks/x/task.yaml:3:14: warning[ZF217]:"
        " timeout_sec 90.5 is more than phase 'A' may take (60 s)\n"
        "  3 | timeout_sec: 90.5\n"
        "    |              ^^^^ the phase's timeout will strike first\n"
        "tasks/y/task.yaml:3:14: warning[ZF217]:"
        " timeout_sec 4000 is more than phase 'B' may take (3600 s)\n"
        "  3 | timeout_sec: 4000\n"
        "    |              ^^^^ the phase's timeout will strike first"
    )


def test_warnings_wait_until_there_are_no_errors(tmp_path):
    files = {"x": "id: x\nphase: A\ntimeout_sec: 9000\ncommands: []\n"}
    assert [p.code for p in loaded(tmp_path, files).problems] == ["ZF224"]


def test_a_file_that_changes_between_two_looks_gets_a_message_without_a_place(tmp_path):
    write(tmp_path, {"x": good("x", "gone")})
    pointer = Pointer(str(tmp_path / "tasks/y/task.yaml"), "tasks/y/task.yaml")
    problem = pointer.problem(("needs", 0), "ZF210", "needs unknown task 'gone'", None)
    assert problem.render() == "tasks/y/task.yaml: error[ZF210]: needs unknown task 'gone'"


def test_more_of_a_resource_than_there_is(tmp_path):
    text = good("x") + "resources:\n  cpu: 1\n  database: 3\n"
    task = loaded(tmp_path, {"x": text}).flow.tasks["x"]
    assert drafts.too_much(str(tmp_path), task, "database", 2).render() == (
        "tasks/x/task.yaml:7:13: error[ZF107]: task 'x' asks for 3 'database',"
        " of which there is 2\n"
        "  7 |   database: 3\n"
        "    |             ^ say how much there is: resources in zf.yaml, or --resource database=N"
    )


def test_a_workdir_that_is_not_there(tmp_path):
    text = "id: x\nphase: A\nworkdir: nowhere\ncommands: [{run: x}]\n"
    write(tmp_path, {"x": text})
    flow = loaded(tmp_path, {"x": text}).flow
    assert drafts.no_workdir(str(tmp_path), flow.tasks["x"]).render() == (
        "tasks/x/task.yaml:3:10: warning[ZF232]: workdir 'nowhere' of task 'x' is not a folder of"
        " the project\n"
        "  3 | workdir: nowhere\n"
        "    |          ^^^^^^^ make the folder, or need the task that makes it"
    )
