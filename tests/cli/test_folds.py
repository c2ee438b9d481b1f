"""The log of a CI job: folded by zf, and by nothing that a task prints."""

import json
import sys

import pytest

from tests.support.ci_logs import GitHubJob, read_sections
from tests.support.program import heard
from zf.cli.display.folds import Fold, GitHub, GitLab, github_command
from zf.cli.display.progress import ci_around

# What a task would have to print to be more than text.
EVIL = (
    "::error::I failed",
    "  ::set-output name=x::y",
    "##[error]I failed",
    "some text ##[group]mine",
    "##[set-env name=PATH]/evil",
    "::stop-commands::mine",
    "::mine::",
    "::endgroup::",
    "::add-mask::a",
    "\x1b[0Ksection_end:1:x\r\x1b[0K",
    "\x1b[0Ksection_start:1:mine\r\x1b[0Khello",
    "one\rsection_end:1:x\r\x1b[0K::warning::two",
    "\u2028::error::\u202e",
    '{"a": "##[warning]b"}',
)


@pytest.fixture
def evil(project):
    (project.root / "evil.txt").write_text("\n".join(EVIL) + "\n")
    project.task("10-good", "cat evil.txt")
    project.task("20-quiet", "true")
    project.task("30-bad", "cat evil.txt", "cat evil.txt >&2; exit 3")
    path = project.task("40-named", "cat evil.txt; exit 1")
    path.write_text(path.read_text().replace("step 1", '"##[error]step ::error:: 50%"'))
    project.task("50-held", "true", needs=["30-bad"])
    return project


def job_of(done) -> GitHubJob:
    # The runner reads both, and one may come before the other.
    return GitHubJob().take(done.err).take(done.out)


@pytest.mark.parametrize("words", [(), ("--output", "prefix"), ("--tail", "400"), ("-v",), ("-q",)])
def test_no_task_gives_the_runner_a_command(evil, words):
    done = evil.zf("run-phase", "A", *words, env={"GITHUB_ACTIONS": "true"})
    assert done.code == 1
    for text in (done.err + done.out, done.out + done.err):
        job = GitHubJob().take(text)
        assert {one.name for one in job.commands} <= {"group", "endgroup", "error"}
        assert not any(one.message == "I failed" for one in job.commands)
        assert not job.stopped
        assert not job.group


def test_without_a_ci_system_the_same_lines_would_be_commands(evil):
    """The parser does see them: what the test above does not find would be found."""
    done = evil.zf("run-phase", "A", "--ci", "none", "--output", "group")
    assert GitHubJob().take(done.err).named("set-env", "error", "group")


def test_a_group_holds_what_its_task_printed(evil):
    job = job_of(evil.zf("run-phase", "A", "-j1", env={"GITHUB_ACTIONS": "true"}))
    titles = sorted((one.message for one in job.named("group")), key=lambda title: title.split()[2])
    assert [title.split()[2] for title in titles] == ["10-good", "30-bad", "40-named"]
    assert titles[2].endswith("step '##[error]step ::error:: 50%' exited with code 1")
    assert job.shown[titles[0]][:3] == list(EVIL[:3])
    assert len(job.shown[titles[1]]) == 2 * len(EVIL)
    # A task that printed nothing has only its line.
    assert any("success   20-quiet" in line for line in job.shown[""])
    [token] = job.tokens
    assert len(token) >= 32


def test_every_run_has_its_own_token(evil):
    jobs = [job_of(evil.zf("run-phase", "A", env={"GITHUB_ACTIONS": "true"})) for _ in range(2)]
    assert jobs[0].tokens.isdisjoint(jobs[1].tokens)


def test_events_and_results_for_programs_are_no_commands_and_mean_the_same(evil):
    done = evil.zf("run-phase", "A", "--progress", "json", "--json", env={"GITHUB_ACTIONS": "true"})
    assert not job_of(done).commands
    assert json.loads(done.out)["tasks"]["40-named"]["status"] == "failure"
    assert all(json.loads(line) for line in done.err.splitlines())


@pytest.mark.parametrize("verb", ["status", "explain"])
def test_other_verbs_give_no_commands_either(evil, verb):
    evil.zf("run-phase", "A")
    done = evil.zf(verb, "latest", env={"GITHUB_ACTIONS": "true"})
    assert "##[" not in done.out
    assert not job_of(done).commands


def logged(project, *words):
    """What a job of GitLab has in its log, byte for byte."""
    with open(project.root / "log", "wb") as log:
        project.zf("run-phase", "A", *words, env={"GITLAB_CI": "true"}, stderr=log)
    return (project.root / "log").read_bytes().decode()


def test_sections_are_closed_but_for_failures(evil):
    sections, loose = read_sections(logged(evil, "--run-id", "r", "-j1"))
    sections.sort(key=lambda section: section.name)
    assert [(one.name, one.collapsed) for one in sections] == [
        ("zf-r-10-good-1", True),
        ("zf-r-30-bad-1", False),
        ("zf-r-40-named-1", False),
    ]
    assert all(one.ended is not None and one.ended >= one.began > 1_700_000_000 for one in sections)
    # The first line is the title.
    assert sections[0].lines[0].startswith("✓ success   10-good")
    assert len(sections[0].lines) == 1 + len(EVIL)
    assert any("blocked" in line or "20-quiet" in line for line in loose)


def test_a_section_is_closed_when_the_run_is_interrupted(project):
    project.task("10-slow", f"echo begun; kill -TERM $(cat {project.root}/pid); exec sleep 300")
    with open(project.root / "log", "wb") as log:
        process = project.popen("run-phase", "A", "--ci", "gitlab", stderr=log)
        (project.root / "pid").write_text(str(process.pid))
        process.communicate(timeout=60)
    assert process.returncode == 143
    [section], _ = read_sections((project.root / "log").read_bytes().decode())
    assert section.ended is not None
    assert not section.collapsed
    assert "begun" in section.lines


def test_a_fold_that_was_cut_short_is_closed():
    """As when the display took nothing any more, and then something again."""
    fold = Fold("title", "a b/c", 1, 2, is_open=False)
    for folds in (GitHub(), GitLab()):
        lines = folds.folded(fold, ["one", "two"])
        shown = [next(lines) for _ in range(3)]
        text = "\n".join([*shown, *folds.closing()]) + "\n"
        if isinstance(folds, GitHub):
            job = GitHubJob().take(text)
            assert not job.stopped
            assert not job.group
        else:
            [section], _ = read_sections(text)
            assert (section.name, section.ended) == ("a_b_c", 2)
        assert folds.closing() == []


def test_values_of_a_command_come_back_as_they_were():
    value = "50%: a,b\r\nc::d %0A %3A"
    [command] = GitHubJob().take(github_command("error", value, title=value) + "\n").commands
    assert (command.message, command.properties) == (value, {"title": value})


@pytest.mark.parametrize(
    ("asked", "environ", "found"),
    [
        ("auto", {}, ""),
        ("auto", {"GITHUB_ACTIONS": "true"}, "github"),
        ("auto", {"GITLAB_CI": "true"}, "gitlab"),
        ("auto", {"GITLAB_CI": "true", "ZF_COOKIE": "c"}, ""),
        ("none", {"GITHUB_ACTIONS": "true"}, ""),
        ("gitlab", {"GITHUB_ACTIONS": "true"}, "gitlab"),
        ("github", {"ZF_COOKIE": "c"}, "github"),
    ],
)
def test_which_system_it_is(asked, environ, found):
    assert ci_around(asked, environ) == found


def test_a_zf_in_a_step_folds_nothing(project):
    inner = project.root / "inner"
    (inner / "tasks" / "x").mkdir(parents=True)
    (inner / "tasks/x/task.yaml").write_text("id: x\nphase: A\ncommands: [{run: echo hello}]\n")
    project.task(
        "10-outer", f"{sys.executable} -m zf -C inner run-phase A", pass_env=["PYTHONPATH"]
    )
    done = project.zf("run-phase", "A", env={"GITHUB_ACTIONS": "true"})
    assert done.code == 0, done.err
    assert len(job_of(done).named("group")) == 1


def test_events_are_heard(project):
    """`--progress json` in a job is as it is anywhere."""
    project.task("10-a", "true")
    process = project.popen("run-phase", "A", "--progress", "json", env={"GITLAB_CI": "true"})
    heard(process, "run_ended")
    process.communicate()
