"""The project as a whole: where it is, how its files agree, and what a good flow holds."""

import gc
import os
import subprocess
import sys

import pytest

from tests.support.plan_files import good, loaded, said, write
from zf.errors import ZfError
from zf.model import Need, Phase, Project, Step, Task
from zf.plan import load, places


def test_a_whole_task(tmp_path):
    found = loaded(
        tmp_path,
        {
            "40-seed": """\
# Everything a task may say
id: 40-seed
title: Seed the database
phase: E
needs: [30-migrate,
        31-users]
parallel_safe: true
timeout_sec: 300
workdir: backend
env: {DJANGO_SETTINGS_MODULE: core.settings_test, YES: yes}
pass_env: [DATABASE_URL, "AWS_*"]
commands:
  - name: Seed
    run: |
      python manage.py seed

  - run: echo done
artifacts: ["backend/report/*.xml"]
""",
            "30-migrate": good("30-migrate", phase="E"),
            "31-users": good("31-users", phase="E"),
        },
    )
    assert found.problems == ()
    assert list(found.flow.tasks) == ["30-migrate", "31-users", "40-seed"]
    task = found.flow.tasks["40-seed"]
    assert task == Task(
        id="40-seed",
        phase="E",
        steps=(
            Step("Seed", "python manage.py seed\n", 13),
            Step("step-1", "echo done", 17),
        ),
        title="Seed the database",
        needs=(Need("30-migrate"), Need("31-users")),
        parallel_safe=True,
        timeout_s=300,
        workdir="backend",
        env={"DJANGO_SETTINGS_MODULE": "core.settings_test", "YES": "yes"},
        pass_env=("DATABASE_URL", "AWS_*"),
        artifacts=("backend/report/*.xml",),
        file="tasks/40-seed/task.yaml",
        line=2,
    )
    assert [need.line for need in task.needs] == [5, 6]
    assert isinstance(task.timeout_s, int)  # as it was written, so as it is recorded


def test_the_defaults(tmp_path):
    found = loaded(tmp_path, {"x": "id: x\nphase: A\ncommands: [{run: make}]\n"})
    assert found.flow.tasks["x"] == Task(
        "x", "A", (Step("step-0", "make", 3),), title="x", file="tasks/x/task.yaml"
    )
    assert found.flow.project == Project()
    assert found.flow.proofs == f"{tmp_path}/proofs"


def test_the_project_file(tmp_path):
    found = loaded(
        tmp_path,
        {
            "x": good("x"),
            "zf.yaml": "pass_env: [HOME_*]\nsecrets: [TOKEN]\nmax_jobs: 2\ngrace_sec: 0.5\n"
            "resources: {db: 3}\nthrottle: {cpu_percent: 80, min_free_mem: 200}\n"
            "phases: {A: {title: Build, timeout_sec: 60}}\n",
        },
    )
    assert found.problems == ()
    assert found.flow.project == Project(
        file="zf.yaml",
        pass_env=("HOME_*",),
        secrets=("TOKEN",),
        max_jobs=2,
        grace_s=0.5,
        resources={"db": 3},
        throttle_cpu_percent=80,
        throttle_min_free_mem_mb=200,
        phases={"A": Phase("Build", 60)},
    )


def test_an_empty_project_file_says_nothing(tmp_path):
    found = loaded(tmp_path, {"x": good("x"), "zf.yaml": "# later\n"})
    assert found.flow.project == Project(file="zf.yaml")


def test_no_tasks_at_all_are_no_problem(tmp_path):
    assert loaded(tmp_path).flow.tasks == {}


# Files where nobody looks


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "tasks/x/task.yml",
            (
                "tasks/x/task.yml: error[ZF219]: this file is not read: a task file is called task.yaml\n"
                "  hint: rename it to task.yaml"
            ),
        ),
        (
            "zf.yml",
            (
                "zf.yml: error[ZF219]: this file is not read: a project file is called zf.yaml\n"
                "  hint: rename it to zf.yaml"
            ),
        ),
        (
            "tasks/build.yaml",
            (
                "tasks/build.yaml: warning[ZF219]:"
                " this file is not read: a task file is tasks/<id>/task.yaml\n"
                "  hint: if it is a task, move it to tasks/build/task.yaml,"
                " or write its keys below `tasks: {build: ...}`"
            ),
        ),
    ],
)
def test_files_where_nobody_looks(tmp_path, name, expected):
    assert said(tmp_path, {name: good("x")}) == expected


def test_what_is_no_task_is_left_alone(tmp_path):
    files = {"tasks/README.md": "", "tasks/lib/tools.sh": "", "tasks/.off/task.yaml": "]["}
    assert said(tmp_path, files) == ""


def test_tasks_in_both_places(tmp_path):
    write(tmp_path, {".zenflow/tasks/x/task.yaml": good("x"), "y": good("y")})
    found = load.load(*places.find_root(str(tmp_path)), default_phase_timeout_s=60)
    assert list(found.flow.tasks) == ["x"]
    assert found.flow.tasks["x"].file == ".zenflow/tasks/x/task.yaml"
    assert found.flow.proofs == f"{tmp_path}/.zenflow/proofs"
    assert "\n".join(p.render() for p in found.problems) == (
        "tasks: warning[ZF219]: these tasks are not read, because .zenflow/tasks/ exists\n"
        "  hint: keep all tasks in .zenflow/tasks"
    )


# Where the project is


def test_the_nearest_project_wins(tmp_path):
    inner = tmp_path / "a" / "b"
    write(tmp_path, {".zenflow/tasks/x/task.yaml": good("x"), "a/tasks/y/task.yaml": good("y")})
    inner.mkdir()
    root, hidden = str(tmp_path), str(tmp_path / ".zenflow")
    assert places.find_root(str(inner)) == (str(tmp_path / "a"), str(tmp_path / "a"))
    assert places.find_root(root) == (root, hidden)
    assert places.find_root(f"{hidden}/tasks/x") == (root, hidden)
    assert places.find_root(str(tmp_path / "a" / "tasks" / "y")) == (f"{root}/a", f"{root}/a")


def test_a_tasks_folder_without_task_files_is_no_project(tmp_path):
    write(tmp_path, {"x": good("x"), "src/tasks/celery.py": "", "src/tasks/mail/send.py": ""})
    assert places.find_root(str(tmp_path / "src" / "tasks" / "mail")) == (str(tmp_path),) * 2


def test_an_empty_hidden_tasks_folder_is_a_project(tmp_path):
    (tmp_path / ".zenflow" / "tasks").mkdir(parents=True)
    assert places.find_root(str(tmp_path))[1] == str(tmp_path / ".zenflow")


def test_a_link_into_the_project_leads_to_its_real_place(tmp_path):
    write(tmp_path / "real", {"x": good("x")})
    (tmp_path / "real" / "deep").mkdir()
    (tmp_path / "link").symlink_to("real/deep")
    assert places.find_root(str(tmp_path / "link")) == (str(tmp_path / "real"),) * 2


def test_no_project(tmp_path):
    with pytest.raises(ZfError) as caught:
        places.find_root(str(tmp_path))
    assert caught.value.exit_code == 2
    assert caught.value.problems[0].render() == (
        f"error[ZF101]: no tasks found in {tmp_path} or any folder above it\n"
        "  hint: zf init proposes some; or write `tasks:` in zf.yaml, or tasks/<id>/task.yaml;"
        " or name the project's folder with -C"
    )


def test_no_folder(tmp_path):
    with pytest.raises(ZfError, match="gone is not a folder"):
        places.find_root(str(tmp_path / "gone"))


def test_loading_needs_no_more_of_pydantic_than_its_core(tmp_path):
    write(tmp_path, {"x": good("x")})
    program = (
        "import sys; from zf.plan import load, places;"
        "assert 'pydantic_core' not in sys.modules;"
        "flow = load.load(*places.find_root('.'), default_phase_timeout_s=60).flow;"
        "assert list(flow.tasks) == ['x'];"
        "assert not {'pydantic', 'difflib', 'zf.plan.yaml.wording'} & sys.modules.keys()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_file_names_that_are_no_text(tmp_path):
    folder = os.fsencode(tmp_path) + b"/tasks/\xff\x1b"
    os.makedirs(folder)
    with open(folder + b"/task.yaml", "wb") as file:
        file.write(good("x").encode())
    assert said(tmp_path).splitlines()[0] == (
        "tasks/\\udcff\\x1b/task.yaml:1:5: error[ZF214]:"
        " id 'x' differs from its folder '\\udcff\\x1b'"
    )


def test_every_key_of_a_task_reaches_it(tmp_path):
    found = loaded(
        tmp_path,
        {
            "x": """\
id: x
phase: A
needs:
  - {task: gone, optional: true}
  - {task: y, require: done}
condition: status('y') == 'failure'
silence_timeout_sec: 1
queue_timeout_sec: 2
deadline_sec: 3
start_after: 4
allow_failure: {exit_codes: [42]}
allow_timeout: true
max_retries: 5
retry_delay_sec: 6
retry_max_delay_sec: 7
retry_on: {exit_codes: [8, 9]}
resources: {db: 1}
priority: 10
concurrency: lab
secrets: ["*_KEY"]
commands: [{run: make}]
cleanup:
  - run: make clean
cleanup_timeout_sec: 11
leave_running: true
max_log_bytes: 12
""",
            "y": good("y"),
        },
    )
    assert found.problems == ()
    assert found.flow.tasks["x"] == Task(
        id="x",
        phase="A",
        steps=(Step("step-0", "make", 21),),
        title="x",
        needs=(Need("gone", optional=True), Need("y", require="done")),
        condition="status('y') == 'failure'",
        silence_timeout_s=1,
        queue_timeout_s=2,
        deadline_s=3,
        start_after_s=4,
        allow_failure=(42,),
        allow_timeout=True,
        max_retries=5,
        retry_delay_s=6,
        retry_max_delay_s=7,
        retry_on=(8, 9),
        resources={"db": 1},
        priority=10,
        concurrency="lab",
        secrets=("*_KEY",),
        cleanup=(Step("cleanup-0", "make clean", 23),),
        cleanup_timeout_s=11,
        leave_running=True,
        max_log_bytes=12,
        file="tasks/x/task.yaml",
    )
    assert [need.line for need in found.flow.tasks["x"].needs] == [4, 5]


def test_a_plain_allow_failure_and_retry_on(tmp_path):
    text = good("x") + "allow_failure: true\nretry_on: [lost]\n"
    task = loaded(tmp_path, {"x": text}).flow.tasks["x"]
    assert (task.allow_failure, task.retry_on) == (True, ("lost",))


def test_a_condition_may_ask_about_a_need_that_is_absent(tmp_path):
    text = good("x", "{task: gone, optional: true}") + "condition: status('gone') == 'absent'\n"
    assert said(tmp_path, {"x": text}) == ""


def test_a_misspelt_status_is_found_in_the_text(tmp_path):
    text = good("x", "build") + "condition: always() && status('biuld') == 'failure'\n"
    assert said(tmp_path, {"x": text, "build": good("build")}) == (
        "tasks/x/task.yaml:5:32: error[ZF231]:"
        " the condition asks for the status of 'biuld', an unknown task\n"
        "  5 | condition: always() && status('biuld') == 'failure'\n"
        "    |                                ^^^^^ did you mean 'build' (phase A)?"
    )


def test_the_status_of_a_task_that_is_not_needed(tmp_path):
    text = good("x") + "condition: status('y') == 'failure'\n"
    assert said(tmp_path, {"x": text, "y": good("y")}) == (
        "tasks/x/task.yaml:5:20: error[ZF231]:"
        " the condition asks for the status of 'y', which 'x' does not need\n"
        "  5 | condition: status('y') == 'failure'\n"
        "    |                    ^ add it to `needs`, as {task: y, require: done} if it may fail"
    )


def test_the_collector_does_not_look_through_a_file_that_is_being_read(tmp_path):
    """A file of 20 000 tasks took it three times as long as all else."""
    seen = []
    had = gc.get_threshold()
    gc.set_threshold(5)
    gc.callbacks.append(lambda *_: seen.append(sys._getframe(1).f_code.co_filename))
    try:
        assert said(tmp_path, {name: good(name) for name in "abcdefgh"}) == ""
    finally:
        gc.callbacks.pop()
        gc.set_threshold(*had)
    assert [name for name in seen if "/zf/plan/" in name or "/yaml/" in name] == []
    assert gc.isenabled()
