"""What the README, the tutorial and the how-to pages show is what happens."""

import pytest
import yaml

from tests.support import sessions
from tests.support.program import Project

PAGES = {page: (sessions.ROOT / page).read_text() for page in sessions.PAGES}
FRAGMENTS = [
    pytest.param(block.kind, "\n".join(block.lines), id=f"{page}:{block.first + 1}")
    for page, text in PAGES.items()
    for block in sessions.blocks(text)
    if block.kind in {"yaml", "yaml project"} and not block.path
]


@pytest.mark.parametrize("page", PAGES)
def test_the_page_shows_what_is_printed(page, tmp_path):
    for _, turns in sessions.play(PAGES[page], tmp_path):
        for turn in turns:
            shown, printed = map(sessions.told_apart, (turn.shown, turn.printed))
            assert shown == printed, (
                f"$ {turn.command}\n./dev python tests/support/sessions.py writes it"
            )


@pytest.mark.parametrize(("kind", "text"), FRAGMENTS)
def test_fragments_of_task_and_project_files_are_valid(kind, text, project: Project):
    keys = yaml.safe_load(text)
    for need in keys.get("needs", []):
        project.task(need, "true")
    if kind == "yaml project":
        project.task("10-a", "true")
        (project.root / "zf.yaml").write_text(text)
    else:
        # What the machine has not, the page's project says it has.
        scarce = {name: 1 for name in keys.get("resources", {}) if name not in {"cpu", "mem_mb"}}
        (project.root / "zf.yaml").write_text(yaml.safe_dump({"resources": scarce}))
        task = {"id": "50-fragment", "phase": "A"}
        if "run" not in keys:
            task["commands"] = [{"name": "a", "run": "true"}]
        project.file(keys.get("id", "50-fragment"), yaml.safe_dump({**task, **keys}))
    checked = project.zf("validate")
    assert (checked.code, checked.err) == (0, "")


def test_the_project_in_one_file_of_the_readme_is_the_one_that_is_run_and_short():
    [shown] = [b for b in sessions.blocks(PAGES["README.md"]) if "tasks:" in b.lines]
    run = sessions.blocks(PAGES["docs/how-to/come-from-another-runner.md"])
    assert shown.lines == next(b.lines for b in run if b.path == "zf.yaml")
    assert len(shown.lines) <= 12
    assert len(yaml.safe_load("\n".join(shown.lines))["tasks"]) == 5


def test_every_fence_says_what_it_holds():
    kinds = {block.kind for text in PAGES.values() for block in sessions.blocks(text)}
    assert kinds <= {"console", "yaml", "yaml project", "yaml other", "sh", "text"}


def test_a_page_that_lies_is_found(tmp_path):
    page = "```console\n$ echo truth\nlie\n```\n"
    [(_, [turn])] = sessions.play(page, tmp_path)
    assert not turn.same
    assert sessions.rewritten(page, tmp_path) == "```console\n$ echo truth\ntruth\n```\n"


def test_what_varies_does_not_count(tmp_path):
    page = (
        "```console\n$ echo 2026-11-21T06:30:44Z took 3.1 s\n2020-01-01T00:00:00Z took 20 ms\n```\n"
    )
    [(_, [turn])] = sessions.play(page, tmp_path)
    assert turn.same
