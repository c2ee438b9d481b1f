"""`zf report --compare`: what differs between two runs, as a page."""

import json
import re
from html.parser import HTMLParser

import pytest


class Page(HTMLParser):
    """The text of a page, and the elements that it has, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._quiet = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._quiet = tag == "style"

    def handle_endtag(self, tag):
        self._quiet = False

    def handle_data(self, data):
        if not self._quiet:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(project, name: str) -> Page:
    return Page((project.root / name).read_text())


@pytest.fixture
def two(project):
    """Run `one`, and run `two` after some changes."""
    project.task("10-a", "echo fine > made", artifacts=["made"])
    project.task("20-b", "exit 3")
    project.task("30-c", "true", needs=["20-b"])
    project.task("40-d", "true")
    assert project.zf("run-phase", "A", "--run-id", "one").code == 1
    project.task("10-a", "echo better > made; sleep 0.4", artifacts=["made"])
    project.task("20-b", "true", env={"MOOD": "</script>\u202e&"})
    project.task("40-d", "exit 1")
    assert project.zf("run-phase", "A", "--run-id", "two").code == 1
    return project


def test_the_page_says_what_zf_diff_says(two):
    done = two.zf("report", "two", "--compare", "one")
    assert (done.code, done.out, done.err) == (0, "proofs/two-after-one.html\n", "")
    shown = page(two, "proofs/two-after-one.html")
    assert shown.text.startswith("two after one: 1 task broke, 2 are mended; the run took 0.")
    difference = json.loads(two.zf("diff", "one", "two", "--json").out)
    for task, change in difference["tasks"].items():
        assert task in shown.text
        for digests in change["artifacts"].values():
            assert all(digest in shown.text for digest in digests)
    assert difference["tasks"]["10-a"]["changes"]["step-0.sh"][0].startswith("@@ ")
    for line in difference["tasks"]["10-a"]["changes"]["step-0.sh"]:
        assert " ".join(line.split()) in shown.text
    # What a step was told is text, whatever it looks like, with nothing hidden in it.
    assert "MOOD none </script>\\u202e&" in shown.text


def test_what_ran_in_one_run_alone_has_no_list_of_all_that_the_other_lacks(two):
    two.zf("report", "two", "--compare", "one")
    shown = page(two, "proofs/two-after-one.html")
    ids = [attrs.get("id") for tag, attrs in shown.elements if tag == "details"]
    # Those that ended otherwise come first; 30-c did not run in the first.
    assert ids == ["task-40-d", "task-20-b", "task-10-a"]


def test_times_are_told_in_numbers_and_bars(two):
    two.zf("report", "two", "--compare", "one")
    shown = page(two, "proofs/two-after-one.html")
    assert re.search(r"10-a 0\.\ds 0\.\ds \+0\.[345]s, \+\d+ %", shown.text)
    assert [attrs["class"] for tag, attrs in shown.elements if tag == "rect"][:2] == [
        "before",
        "now longer",
    ]


def test_a_page_is_the_same_every_time_and_runs_nothing(two):
    two.zf("report", "two", "--compare", "one", "-o", "x.html")
    two.zf("report", "two", "--compare", "one", "-o", "y.html")
    text = (two.root / "x.html").read_text()
    assert text == (two.root / "y.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; style-src 'sha256-")
    assert "<script" not in text
    assert " style=" not in text


def test_links_lead_somewhere(two):
    two.zf("report", "two", "--compare", "one")
    shown = page(two, "proofs/two-after-one.html")
    ids = {attrs["id"] for _, attrs in shown.elements if "id" in attrs}
    links = {attrs["href"] for tag, attrs in shown.elements if tag == "a"}
    assert links
    assert links <= {f"#{name}" for name in ids}


def test_a_run_is_like_itself(two):
    two.zf("report", "one", "--compare", "one")
    shown = page(two, "proofs/one-after-one.html")
    assert shown.text.startswith(
        "one after one: every task ended as before; nothing else differs that counts."
    )
    assert "Nothing, by more than 5 % and 0.1s." in shown.text


def test_an_archive_is_compared_too_and_other_files_are_written_beside(two):
    two.zf("export", "one", "-o", "one.tar")
    done = two.zf("report", "two", "--compare", "one.tar", "--trace", "trace.json")
    assert (done.code, done.out) == (0, "trace.json\nproofs/two-after-one.html\n")


def test_new_tasks_and_those_that_are_gone(two):
    (two.root / "tasks" / "40-d" / "task.yaml").unlink()
    two.task("50-e", "true")
    two.zf("run-phase", "A", "--run-id", "three")
    two.zf("report", "three", "--compare", "two")
    text = page(two, "proofs/three-after-two.html").text
    assert "three after two: 1 task is new, 1 is no longer there" in text
    assert "50-e new not there succeeded" in text
    assert "40-d no longer there failed not there" in text


def test_a_run_that_is_not_there_is_named(two):
    done = two.zf("report", "two", "--compare", "nope")
    assert done.code == 2
    assert "error[ZF610]: unknown run 'nope'" in done.err
