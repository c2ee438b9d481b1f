"""`zf watch`: real files, real processes, and what is left of them after each change."""

import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

from tests.support.killed_runs import children
from tests.support.ports import free_port
from tests.support.program import ZF, survivors
from tests.support.waiting import eventually
from tests.support.zoo import PRELUDE, ZOO
from zf.audit.conclusion import VERIFIED
from zf.audit.verify import verify

PATIENCE_S = 90


class Watching:
    """A watch of a project, and what it says on stderr."""

    def __init__(self, project, *words, **keys):
        self.project = project
        self.process = project.popen("watch", *words, **keys)
        self.said = []
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stderr:
            self._lines.put(line)
        self._lines.put(None)

    def until(self, pattern, count=1):
        """The lines up to one with this, so many times."""
        found, by = [], time.monotonic() + PATIENCE_S
        while count:
            try:
                line = self._lines.get(timeout=max(0.0, by - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {pattern!r} after:\n{''.join(self.said)}") from None
            assert line is not None, "".join(self.said)
            self.said.append(line)
            found.append(line)
            count -= re.search(pattern, line) is not None
        return "".join(found)

    def ends(self, *, by=signal.SIGINT):
        """End it; its exit code and what else it said."""
        self.process.send_signal(by)
        code = self.process.wait(PATIENCE_S)
        rest = []
        while (line := self._lines.get(timeout=PATIENCE_S)) is not None:
            rest.append(line)
        return code, "".join(rest)

    def run_of(self, said):
        """The id of the run whose result these lines tell."""
        return re.search(r"^\S+ (\S+-w\d+): \d+ task", said, re.MULTILINE)[1]


@pytest.fixture
def watching(project):
    begun = []
    git(project, "init", "-q")
    (project.root / ".gitignore").write_text("proofs/\n")

    def begin(*words, **keys):
        begun.append(Watching(project, *words, **keys))
        return begun[-1]

    yield begin
    project.end_all()


def git(project, *words):
    subprocess.run(["git", *words], cwd=project.root, check=True, env=project.env)


def write(project, name, text):
    """At once: on a busy machine there may be time for a cycle between an open and a write."""
    path = project.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    new = project.root.parent / "new"
    new.write_text(text)
    new.rename(path)


def chain(project):
    for name in ("lib", "app"):
        write(project, f"src/{name}", "1\n")
    project.task("lib", "cat src/lib", sources=["src/lib"], parallel_safe=True)
    project.task("app", "cat src/app", sources=["src/app"], needs=["lib"], parallel_safe=True)


DONE = r"^(passed|PASS|FAIL|superseded|INTERRUPTED)\b"


def test_a_change_runs_what_it_concerns_and_what_needs_that(project, watching):
    chain(project)
    watch = watching()
    first = watch.run_of(watch.until("watching 2 tasks, 5 files"))
    write(project, "src/app", "2\n")
    said = watch.until(DONE)
    assert "changed src/app\n" in said
    second = watch.run_of(said)
    write(project, "src/lib", "2\n")
    third = watch.run_of(watch.until(DONE))
    assert watch.ends()[0] == 130
    planned = {
        run: sorted(task["id"] for task in project.json(run, "plan.json")["tasks"])
        for run in (first, second, third)
    }
    assert planned == {first: ["app", "lib"], second: ["app"], third: ["app", "lib"]}
    assert project.log(second, "app") == b"2\n"
    # Each is an ordinary run: sealed, verified, explained.
    for run in planned:
        assert verify(str(project.proof(run))).exit_code == VERIFIED
    assert project.json(second, "plan.json")["upstream"]["lib"]["run"] == first
    assert project.json(first, "run.json")["command"][1:] == ["watch"]
    assert project.zf("explain", second).code == 0
    assert project.zf("logs", second, "app").out == "2\n"


def test_a_failure_is_shown_with_its_log_and_what_is_mended_passes(project, watching):
    write(project, "src", "bad\n")
    project.task("check", "grep good src", sources=["src"])
    watch = watching()
    said = watch.until(r"watching 1 task \(1 not passed\)")
    assert "check failed" in said
    write(project, "src", "good\n")
    assert re.search(r"^(passed|PASS)", watch.until(DONE), re.MULTILINE)
    code, _ = watch.ends()
    assert code == 130


def test_what_is_not_touched_goes_on_and_what_is_ended_is_gone(project, watching):
    for name in ("a", "b"):
        write(project, name, "1\n")
        run = f"echo $$ >> {name}.pids; touch {name}.up; exec sleep 1000"
        project.task(name, run, sources=[name], generates=[f"{name}.*"], parallel_safe=True)
    watch = watching()
    wait_for(lambda: (project.root / "a.up").exists() and (project.root / "b.up").exists())
    write(project, "a", "2\n")
    watch.until(r"^changed a$")
    wait_for(lambda: len(pids(project, "a")) == 2)
    old, new = pids(project, "a")
    assert not alive(old)
    assert alive(new)
    assert [alive(pid) for pid in pids(project, "b")] == [True]
    code, _ = watch.ends()
    assert code == 130
    assert not any(map(alive, (new, *pids(project, "b"))))
    runs = sorted(os.listdir(project.root / "proofs"))
    first, second = (run for run in runs if not run.startswith("."))
    assert project.status(first, "a")["cause"] == "superseded"
    assert second in project.status(first, "a")["detail"]


def test_a_storm_of_a_thousand_events_is_one_cycle(project, watching):
    write(project, "src/0", "0\n")
    project.task("t", "ls src | wc -l", sources=["src"])
    watch = watching("--debounce", "1")
    watch.until("^watching")
    for number in range(1_000):
        write(project, f"src/{number}", "x\n")
    run = watch.run_of(watch.until(DONE))
    said = watch.until("^watching")
    watch.ends()
    assert "changed" not in said
    assert project.log(run, "t") == b"1000\n"
    assert len(cycles(project)) == 2


def cycles(project):
    return sorted(
        (one.name for one in project.root.glob("proofs/[!.]*-w*")),
        key=lambda one: int(one.rpartition("-w")[2]),
    )


@pytest.mark.parametrize(
    "save",
    [
        "echo {} > src/f",
        "echo {} > src/.f.tmp; mv src/.f.tmp src/f",
        "rm src/f; sleep 0.3; echo {} > src/f",
        "mv src/f src/f~; echo {} > src/f; rm src/f~",
        "rm -r src; mkdir src; echo {} > src/f",
        "mv src old; mkdir src; echo {} > src/f; rm -r old",
        "mkdir -p src/new/deep; sleep 0.2; echo {} > src/new/deep/f; echo {} > src/f",
        "ln -sf ../../out src/f.new; mv src/f.new src/f; echo {} > ../out",
    ],
)
def test_however_an_editor_saves(project, watching, save):
    """What was read last is what is there; also for the second save of the same kind."""
    write(project, "src/f", "0\n")
    (project.root.parent / "out").write_text("0\n")
    project.task("t", "cat src/f", sources=["src"])
    watch = watching()
    watch.until("^watching")
    for number in (1, 2):
        subprocess.run(
            ["bash", "-c", save.replace("{}", str(number))], cwd=project.root, check=True
        )
        wait_for(lambda number=number: log_of_last(project, "t") == f"{number}\n".encode())
    watch.ends()


def log_of_last(project, task):
    try:
        return project.log(cycles(project)[-1], task)
    except (OSError, IndexError):
        return None


def test_random_changes_end_in_runs_that_read_what_is_there(project, watching):
    rng = random.Random(7)
    names = ["a", "b/c", "b/d", "e/f/g"]
    for name in names:
        write(project, f"src/{name}", "0\n")
    show = "find src -type f | LC_ALL=C sort | xargs -r grep -H ''"
    project.task("all", show, sources=["src"])
    project.task("b", "find src/b -type f 2>/dev/null | LC_ALL=C sort", sources=["src/b"])
    watch = watching("--debounce", "0.05")
    watch.until("^watching")
    for number in range(60):
        change(project.root / "src", rng, names, number)
        time.sleep(rng.choice([0, 0, 0.01, 0.1, 0.3]))
    for task, script in (("all", show), ("b", "find src/b -type f 2>/dev/null | LC_ALL=C sort")):
        expected = subprocess.run(
            ["bash", "-c", script], cwd=project.root, capture_output=True, check=False
        ).stdout
        wait_for(lambda task=task, expected=expected: last_with(project, task) == expected)
    watch.ends()


def change(src, rng, names, number):
    path = src / rng.choice([*names, "new", "n1/n2"])
    act = rng.choice(["write", "write", "rename", "remove", "tree"])
    if act == "tree" and rng.random() < 0.3:
        shutil.rmtree(src / "b", ignore_errors=True)
        return
    if act == "remove":
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if act == "rename":
        (src / ".tmp").write_text(f"{number}\n")
        (src / ".tmp").rename(path)
    else:
        path.write_text(f"{number}\n")


def last_with(project, task):
    for run in reversed(cycles(project)):
        try:
            return project.log(run, task)
        except OSError:
            continue
    return None


def test_a_task_that_writes_its_own_sources_does_not_go_on_for_ever(project, watching):
    write(project, "src/f", "0\n")
    project.task("fmt", "date +%N >> src/f", sources=["src"])
    watch = watching()
    said = watch.until("tasks' own doing")
    assert "name it in generates" in said
    watch.until("^watching")
    many = len(cycles(project))
    assert many <= 8  # on a machine so busy that no moment is like the other
    write(project, "src/g", "the user's\n")
    said = watch.until(DONE)
    assert "src/g" in said
    watch.ends()


def test_what_is_generated_ignored_or_a_proof_starts_nothing(project, watching):
    write(project, "src/f", "0\n")
    write(project, ".gitignore", "proofs/\n*.log\nbuild/\n")
    run = "date +%N > gen.txt; date +%N > x.log; mkdir -p build; date +%N > build/y; cp gen.txt out"
    project.task("t", run, generates=["gen.txt"], artifacts=["out"])
    watch = watching()
    watch.until("^watching")
    write(project, "x.log", "1\n")
    write(project, "build/z", "1\n")
    write(project, "src/f", "1\n")
    assert "changed src/f\n" in watch.until(DONE)
    write(project, "src/f", "2\n")
    assert "changed src/f\n" in watch.until(DONE)
    watch.ends()
    assert len(cycles(project)) == 3


def test_what_the_watch_says_into_a_file_of_the_project_starts_nothing(project, watching):
    write(project, "src/f", "0\n")
    project.task("t", "true")
    log = project.root / "watch.log"
    with log.open("w") as stream:
        watch = project.popen("watch", stdout=stream, stderr=stream)
    said_in(log, "^watching")
    write(project, "src/f", "1\n")
    assert "changed src/f\n" in said_in(log, DONE, count=2)
    watch.terminate()
    watch.wait(PATIENCE_S)
    assert len(cycles(project)) == 2


def said_in(log, pattern, count=1):
    """What the log says once it has so many lines with this; none is about itself."""
    by = time.monotonic() + PATIENCE_S
    while len(re.findall(pattern, text := log.read_text(), re.MULTILINE)) < count:
        assert log.name not in text
        assert time.monotonic() < by, text
        time.sleep(0.05)
    return text


def test_invalid_task_files_are_told_and_nothing_begins_until_they_are_mended(project, watching):
    chain(project)
    watch = watching()
    watch.until("^watching")
    file = project.root / "tasks" / "app" / "task.yaml"
    good = file.read_text()
    file.write_text("id: app\nneeds: [nothing\n")
    said = watch.until("nothing is begun until")
    assert "tasks/app/task.yaml:" in said
    write(project, "src/lib", "2\n")
    watch.until("nothing is begun until")
    assert len(cycles(project)) == 1
    file.write_text(good.replace("cat src/app", "echo mended"))
    run = watch.run_of(watch.until(DONE))
    watch.ends()
    assert project.log(run, "app") == b"mended\n"
    assert project.log(run, "lib") == b"2\n"


def test_without_watchfiles_a_sentence_says_what_installs_it(project):
    project.task("t", "true")
    (project.root.parent / "no").mkdir()
    (project.root.parent / "no" / "watchfiles.py").write_text("raise ImportError\n")
    done = project.zf("watch", env={"PYTHONPATH": str(project.root.parent / "no")})
    assert done.code == 2
    assert "pip install watchfiles" in done.err


@pytest.mark.parametrize("limit", ["watches 3", "instances 0"])
def test_a_limit_of_the_system_is_a_sentence_with_its_remedy(project, limit):
    """In a user namespace, whose limits are its own."""
    chain(project)
    name, number = limit.split()
    enter = ["unshare", "--user", "--map-root-user", "bash", "-c"]
    script = f'echo {number} > /proc/sys/user/max_inotify_{name} && exec "$@"'
    if subprocess.run([*enter, script, "bash", "true"], capture_output=True).returncode:
        pytest.skip("no user namespace can be made here")
    done = subprocess.run(
        [*enter, script, "bash", *ZF, "watch"],
        cwd=project.root,
        env=project.env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 2
    assert "error[ZF172]: the system's limit of watches is too small" in done.stderr
    assert "fs.inotify.max_user_watches" in done.stderr
    assert "--poll" in done.stderr
    assert cycles(project) == []


def test_a_reader_that_has_left_ends_the_watch(project, watching):
    chain(project)
    watch = project.popen("watch")
    assert "run" in watch.stderr.readline()
    watch.stderr.close()
    write(project, "src/app", "2\n")
    assert watch.wait(PATIENCE_S) == 141
    watch.stderr = None


def test_a_project_that_is_removed_ends_the_watch_with_a_sentence(project, watching):
    chain(project)
    watch = watching()
    watch.until("^watching")
    project.root.rename(project.root.parent / "away")
    said = watch.until("ZF170")
    assert "is gone, or was replaced" in said
    assert watch.process.wait(PATIENCE_S) == 2


def test_polling_finds_changes_too(project, watching):
    chain(project)
    watch = watching("--poll")
    watch.until("^watching")
    write(project, "src/app", "2\n")
    # What polls compares whole seconds: a change in that of its first look is none to it.
    path = project.root / "src/app"
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 2))
    run = watch.run_of(watch.until(DONE))
    watch.ends()
    assert project.log(run, "app") == b"2\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_runs_is_ended_in_order_and_sealed(project, watching, number, code):
    project.task("t", "echo $$ > up; exec sleep 1000", generates=["up"])
    watch = watching()
    wait_for(lambda: (project.root / "up").exists() and (project.root / "up").read_text())
    assert watch.ends(by=number)[0] == code
    assert not alive(int((project.root / "up").read_text()))
    (run,) = cycles(project)
    assert verify(str(project.proof(run))).exit_code == VERIFIED


def test_a_watch_that_is_killed_leaves_nothing_running(project, watching):
    project.task("t", "echo $$ > up; exec sleep 1000", generates=["up"])
    watch = watching()
    wait_for(lambda: (project.root / "up").exists() and (project.root / "up").read_text())
    watch.process.kill()
    wait_for(lambda: not survivors(project.mark))


def test_a_run_that_is_killed_does_not_end_the_watch(project, watching):
    write(project, "f", "0\n")
    project.task("t", "echo $$ > up; [ $(cat f) = 1 ] || exec sleep 1000", generates=["up"])
    watch = watching()
    wait_for(lambda: (project.root / "up").exists() and (project.root / "up").read_text())
    (run,) = cycles(project)
    lock = (project.root / "proofs" / ".locks" / f"{run}.lock").read_text()
    os.kill(int(re.match(r"pid (\d+)", lock)[1]), signal.SIGKILL)
    said = watch.until("was killed")
    assert f"zf seal {run}" in said
    write(project, "f", "1\n")
    assert re.search("^PASS", watch.until(DONE), re.MULTILINE)
    watch.ends()


def standing_by(watch):
    """The other zf that a watch has ready for the next cycle; waits for it."""
    (found,) = eventually(lambda: children(watch.process.pid), lambda pids: len(pids) == 1)
    return found


def runner_of(project, run):
    """The process that carried out a run whose task told the parent of its worker."""
    return int(project.log(run, "t").split()[1])


TELLS = "grep -h PPid: f /proc/$PPID/status"


def test_a_cycle_is_carried_out_by_what_stood_by_for_it(project, watching):
    write(project, "f", "0\n")
    project.task("t", TELLS, sources=["f"])
    watch = watching("--postpone")
    watch.until("^watching")
    for number in (1, 2):
        ready = standing_by(watch)
        write(project, "f", f"{number}\n")
        assert runner_of(project, watch.run_of(watch.until(DONE))) == ready
    ready = standing_by(watch)
    assert watch.ends()[0] == 130
    assert not alive(ready)


def test_when_what_stood_by_was_killed_another_one_carries_out_the_cycle(project, watching):
    write(project, "f", "0\n")
    project.task("t", TELLS, sources=["f"])
    watch = watching("--postpone")
    watch.until("^watching")
    ready = standing_by(watch)
    os.kill(ready, signal.SIGKILL)
    write(project, "f", "1\n")
    said = watch.until(DONE)
    assert re.search("^PASS", said, re.MULTILINE)
    assert runner_of(project, watch.run_of(said)) != ready
    watch.ends()


def test_where_the_working_directory_is_gone_no_run_is_started_and_the_watch_goes_on(
    project, watching
):
    write(project, "f", "0\n")
    project.task("t", "cat f", sources=["f"])
    (project.root / "sub").mkdir()
    watch = watching("--postpone", cwd=project.root / "sub")
    watch.until("^watching")
    standing_by(watch)
    (project.root / "sub").rmdir()
    write(project, "f", "1\n")
    watch.until("no run can be started: No such file or directory; Enter tries again")
    assert watch.process.poll() is None
    watch.process.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_stands_by_ends_with_the_watch(project, watching, number):
    project.task("t", "true")
    watch = watching("--postpone")
    watch.until("^watching")
    ready = standing_by(watch)
    watch.process.send_signal(number)
    wait_for(lambda: not alive(ready))
    watch.process.wait()


PORT = """\
import http.server, pathlib, sys
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.BaseHTTPRequestHandler)
with open("ups", "a") as ups: ups.write("up\\n")
server.serve_forever()
"""


def test_the_port_of_a_server_is_free_for_the_next_cycle(project, watching):
    port = free_port()
    write(project, "server.py", PORT)
    run = f"(setsid {sys.executable} server.py {port} &) ; exec sleep 1000"
    project.task(
        "server", run, sources=["server.py", "conf"], generates=["ups"], parallel_safe=True
    )
    watch = watching()
    for number in range(1, 4):
        wait_for(lambda number=number: lines(project, "ups") >= number)
        # Another file each time: the same one, at the same moment, is taken for the task's own.
        write(project, f"conf/{number}", "x\n")
    wait_for(lambda: lines(project, "ups") >= 4)
    watch.ends()
    assert not survivors(project.mark)


def lines(project, name):
    try:
        return len((project.root / name).read_text().splitlines())
    except FileNotFoundError:
        return 0


def test_nothing_of_the_zoo_lives_on_to_the_next_cycle(project, watching):
    """All its animals at once, in a task each; after a change none with the old mark is there."""
    marks = [f"zoo-{uuid.uuid4().hex}" for _ in range(3)]
    write(project, "mark", marks[0])
    for number, animal in enumerate(ZOO.values()):
        run = f"m=$(cat mark)\nsource <(sed s/@@/$m/g animals/{number}) &\necho $m >> up.{number}; exec -a $m sleep 1000"
        write(project, f"animals/{number}", PRELUDE + animal)
        project.task(
            f"a{number}",
            run,
            sources=["mark"],
            generates=["up.*"],
            parallel_safe=True,
            timeout_sec=600,
        )
    watch = watching("-j", str(len(ZOO)), "--grace", "0.5")
    for at, mark in enumerate(marks):
        wait_for(
            lambda mark=mark: all(last_line(project, f"up.{n}") == mark for n in range(len(ZOO)))
        )
        for before in marks[:at]:
            assert not marked(before)
        assert marked(mark)
        if at + 1 < len(marks):
            write(project, "mark", marks[at + 1])
    watch.ends()
    assert not any(map(marked, marks))


def last_line(project, name):
    try:
        return (project.root / name).read_text().splitlines()[-1]
    except (FileNotFoundError, IndexError):
        return ""


def marked(mark):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as words:
                if mark.encode() in words.read():
                    found.append(int(pid))
        except OSError:
            continue
    return found


def cycle_on_and_on(project, watching, cycles_wanted):
    """The watch's own memory, in KiB, once it has settled and at the end."""
    chain(project)
    watch = watching("--keep", "5", "--debounce", "0.02")
    watch.until("^watching")
    sizes = []
    for number in range(cycles_wanted):
        write(project, f"src/{('lib', 'app')[number % 2]}", f"{number}\n")
        watch.until(DONE)
        status = (Path("/proc") / str(watch.process.pid) / "status").read_text()
        sizes.append(int(re.search(r"VmRSS:\s+(\d+)", status)[1]))
    watch.ends()
    assert len(cycles(project)) <= 5 + 10 + 9
    return sizes[len(sizes) // 4], sizes[-1]


def test_memory_stays_flat_and_old_proofs_go(project, watching):
    settled, last = cycle_on_and_on(project, watching, 20)
    assert last - settled < 2_048


@pytest.mark.campaign
def test_memory_stays_flat_over_200_cycles(project, watching):
    settled, last = cycle_on_and_on(project, watching, 200)
    assert last - settled < 2_048


def pids(project, name):
    try:
        return [int(pid) for pid in (project.root / f"{name}.pids").read_text().split()]
    except FileNotFoundError:
        return []


def alive(pid):
    """A zombie is not: what is to reap it may be no business of ours."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def wait_for(condition):
    by = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < by
        time.sleep(0.02)
