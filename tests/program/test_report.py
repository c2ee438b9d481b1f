"""`zf report` and the report files of a run, as a user calls for them."""

import os
import shutil
import tarfile

import pytest


@pytest.fixture
def run(project):
    """A project with a finished run, `r`."""
    project.task("10-a", "echo fine > made", artifacts=["made"])
    project.task("20-b", "echo oh no; exit 3", needs=["10-a"])
    project.task("30-c", "true", needs=["20-b"])
    assert project.zf("run-phase", "A", "--run-id", "r").code == 1
    return project


def page(project, name="proofs/r.html") -> bytes:
    return (project.root / name).read_bytes()


def test_the_page_lies_beside_the_run_and_is_the_same_every_time(run):
    done = run.zf("report", "r")
    assert (done.code, done.out, done.err) == (0, "proofs/r.html\n", "")
    assert run.zf("report", "-o", "again/page.html").out == "again/page.html\n"
    assert page(run) == page(run, "again/page.html")
    assert b"20-b" in page(run)
    # It is no part of the bundle, which says the same as before.
    assert run.zf("verify", "r").code == 0


def test_an_archive_gives_the_same_page_without_a_project(run, tmp_path):
    run.zf("export", "r", "-o", str(tmp_path / "r.tar"))
    run.zf("report", "r")
    (tmp_path / "alone").mkdir()
    shutil.move(tmp_path / "r.tar", tmp_path / "alone" / "run.tar")
    run.root = tmp_path / "alone"
    assert run.zf("report", "run.tar").out == "run.html\n"
    assert page(run, "run.html") == (tmp_path / "project" / "proofs" / "r.html").read_bytes()


def test_a_foreign_folder_needs_no_project(run, tmp_path):
    shutil.copytree(run.root / "proofs" / "r", tmp_path / "there" / "r")
    run.root = tmp_path
    assert run.zf("report", "there/r").out == "there/r.html\n"
    assert (tmp_path / "there" / "r.html").is_file()


@pytest.mark.parametrize("kind", ["text", "empty", "link", "outside", "two"])
def test_what_is_no_archive_of_a_run_is_refused(project, kind):
    path = project.root / "bad.tar"
    if kind == "text":
        path.write_text("no archive")
    else:
        with tarfile.open(path, "w") as archive:
            names = {
                "empty": [],
                "link": ["r/run.json"],
                "outside": ["../x"],
                "two": ["a/b", "b/a"],
            }
            for name in names[kind]:
                member = tarfile.TarInfo(name)
                if kind == "link":
                    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(member)
    done = project.zf("report", "bad.tar")
    assert done.code == 2
    assert "error[ZF645]: bad.tar is no archive of a run: " in done.err
    assert not (project.root / "bad.html").exists()
    assert not (project.root.parent / "x").exists()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("nope",), 2, "error[ZF610]"),
        (("r", "-o", "proofs/r/page.html"), 2, "lies in the run's own folder"),
        (("r", "-o", "proofs"), 2, "--output is 'proofs', but must be the name of a file"),
        (("r", "-o", "-"), 2, "--output is '-', but must be the name of a file, such as ./- or"),
        (("r", "--trace", "-"), 2, "--trace is '-', but must be the name of a file"),
        (("r", "-o", "zf.yaml/page.html"), 2, "error[ZF660]: "),
    ],
)
def test_what_cannot_be_written_is_refused(run, words, code, told):
    (run.root / "zf.yaml").write_text("{}\n")
    done = run.zf("report", *words)
    assert done.code == code
    assert told in done.err
    assert "Traceback" not in done.err
    assert run.zf("verify", "r").code == 0


def test_a_run_writes_its_report_when_it_is_over(project):
    project.task("10-a", "true")
    done = project.zf("run-phase", "A", "--run-id", "r", "--report", "made/page.html")
    assert done.code == 0
    assert done.err.endswith("wrote made/page.html\n")
    project.zf("report", "r")
    assert page(project) == page(project, "made/page.html")


@pytest.mark.parametrize(("step", "code"), [("true", 0), ("exit 3", 1)])
def test_a_report_that_cannot_be_written_does_not_change_what_the_run_came_to(project, step, code):
    project.task("10-a", step)
    (project.root / "blocked").write_text("")
    done = project.zf("run-phase", "A", "--run-id", "r", "--report", "blocked/page.html")
    assert done.code == code
    assert "error[ZF660]: blocked/page.html: " in done.err
    assert project.zf("verify", "r").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--run-id", "s", "--report", "-"),
        ("run", "--run-id", "s", "--junit", "-"),
        ("verify", "r", "--vsa", "-"),
        ("export", "r", "-o", "-"),
    ],
    ids=" ".join,
)
def test_a_dash_is_no_file(run, words):
    done = run.zf(*words)
    assert (done.code, done.out) == (2, "")
    option = "--output" if words[-2] == "-o" else words[-2]
    assert f"error[ZF110]: {option} is '-', but must be the name of a file" in done.err
    assert not (run.root / "-").exists()
    assert not run.proof("s").exists()


def test_a_run_task_from_elsewhere_writes_where_it_was_called(project, tmp_path):
    project.task("10-a", "true")
    file = project.root / "tasks" / "10-a" / "task.yaml"
    project.root = tmp_path
    assert project.zf("run-task", str(file), "--report", "page.html").code == 0
    assert (tmp_path / "page.html").is_file()


def test_a_killed_run_and_one_that_goes_on_have_a_page(run):
    journal = run.root / "proofs" / "r" / "events.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(b"".join(whole.splitlines(keepends=True)[:4]) + b'{"torn')
    done = run.zf("report", "r")
    assert (done.code, done.err) == (0, "")
    assert b"Never finished: its zf was killed after 1 of 3 tasks had ended." in page(run)


def test_a_plan_that_lacks_what_blocked_a_task_is_no_reason_to_fail(run):
    folder = run.root / "proofs" / "r"
    plan = (folder / "plan.json").read_text()
    (folder / "plan.json").write_text(plan.replace('"id":"20-b"', '"id":"20-x"'))
    done = run.zf("report", "r")
    assert (done.code, done.err) == (0, "")
    assert b"20-b failed" in page(run)


def test_a_pipe_is_written_to_and_nothing_takes_its_place(run):
    os.mkfifo(run.root / "pipe")
    process = run.popen("report", "r", "--junit", "pipe")
    told = (run.root / "pipe").read_bytes()
    process.communicate()
    assert process.returncode == 0
    assert (run.root / "pipe").is_fifo()
    assert run.zf("report", "r", "--junit", "file.xml").code == 0
    assert told == (run.root / "file.xml").read_bytes()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")
def test_a_device_that_is_full_is_told_and_stays_a_device(run):
    done = run.zf("report", "r", "-o", "/dev/full")
    assert (done.code, done.out) == (2, "")
    assert "ZF660" in done.err
    assert not os.path.isfile("/dev/full")
    done = run.zf("run-phase", "A", "--run-id", "s", "--report", "/dev/full")
    assert done.code == 1  # what the run came to
    assert "ZF660" in done.err
