"""The pages in a real browser, before a real server: what a person does from beginning to end."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.browser import Browser
from tests.support.browser import browser as opened_browser
from tests.support.program import Project
from tests.support.served import Server

pytestmark = pytest.mark.xdist_group("pages")

PROJECT = """\
approvers: {tokens: [ann]}
phases:
  A: {title: Build}
  W: {title: Wait}
inputs:
  where: {type: choice, options: [dev, prod], default: dev, description: Where it goes}
  rounds: {type: int, min: 1, max: 9, default: 2}
  quick: {type: bool, default: false}
tasks:
  lint: {phase: A, parallel_safe: true, run: "echo in $INPUT_WHERE, $INPUT_ROUNDS rounds, quick is $INPUT_QUICK"}
  pack: {phase: A, parallel_safe: true, needs: [lint], run: "echo data > $ARTIFACTS_DIR/a.txt"}
  unit:
    phase: A
    parallel_safe: true
    needs: [lint]
    run: |
      seq -f 'line %.0f of many' 1 12000
      [ -e mended ] || { echo 'E   assert 403 == 200'; exit 1; }
  e2e: {phase: A, parallel_safe: true, needs: [unit], run: "echo never"}
  gate: {phase: W, parallel_safe: true, run: "echo began; until [ -e open ]; do sleep 0.05; done; echo went"}
  fails: {phase: W, parallel_safe: true, run: "until [ -e fail ]; do sleep 0.05; done; echo the reason; exit 3"}
  after: {phase: W, parallel_safe: true, needs: [gate], run: "echo after"}
  ship: {phase: S, parallel_safe: true, approval: {by: [ann], prompt: Ship it?}, run: "echo shipped"}
"""
PAGES = (
    *("/", "/runs", "/runs?q=nothing+like+that", "/tasks", "/tasks/unit", "/graph", "/compare"),
    *("/start?phase=A", "/compare?before=first&now=latest", "/runs/first", "/runs/first/tasks"),
    *("/runs/first/timeline", "/runs/first/graph", "/runs/first/files", "/runs/first/settings"),
    *("/runs/first/verify", "/runs/first/tasks/unit", "/runs/first/tasks/e2e"),
    *("/runs/first/tasks/lint/logs/step-0", "/runs/first/tasks/lint/logs/step-0?q=rounds&line=1"),
    *(
        "/approvals",
        "/queue",
        "/schedules",
        "/switches",
        "/workers",
        "/audit",
        "/runs/none",
        "/login",
    ),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("pages") / "project"
    project = Project(root)
    (root / "zf.yaml").write_text(PROJECT)
    assert project.zf("run-phase", "A", "--run-id", "first").code == 1
    with Server(project, "ui", "--no-open") as serving:
        yield serving
    project.end_all()


class Person:
    """What someone does with the pages."""

    def __init__(self, browser: Browser, server: Server) -> None:
        self.browser = browser
        self.base = f"http://127.0.0.1:{server.port}"

    def go(self, path: str) -> None:
        self.browser.driver.get(self.base + path)

    @property
    def at(self) -> str:
        return str(self.browser.driver.current_url).removeprefix(self.base)

    def sees(self, text: str) -> None:
        """Waits until the text is on the page."""
        self.browser.wait(
            "return document.querySelector('main')?.innerText.includes(arguments[0])", text
        )

    def comes_to(self, pattern: str) -> str:
        """Waits until the address is like this; what its group is."""
        self.browser.wait(
            "return location.pathname.match(arguments[0]) && document.readyState === 'complete'",
            pattern,
        )
        found = re.match(pattern, self.at)
        assert found
        return found[1]

    def clicks(self, label: str) -> None:
        """A button or a link, once it is there."""
        script = (
            "const found = [...document.querySelectorAll('button, a')].find((one) =>"
            " one.textContent.trim() === arguments[0] && one.checkVisibility());"
            "if (!found || found.disabled) return false;"
        )
        self.browser.wait(script + " found.click(); return true;", label)

    def text(self, selector: str = "main") -> str:
        return str(
            self.browser.js("return document.querySelector(arguments[0]).innerText", selector)
        )

    def presses(self, keys: str) -> None:
        for key in keys:
            self.browser.js(
                "(document.activeElement ?? document.body).dispatchEvent("
                "new KeyboardEvent('keydown', {key: arguments[0], bubbles: true, cancelable: true}))",
                key,
            )


@pytest.fixture(scope="module")
def person(server) -> Iterator[Person]:
    with opened_browser() as window:
        window.size(1280, 900)
        window.driver.set_script_timeout(60)
        found = re.search(r"/(#token=\S+)", server.said)
        assert found
        person = Person(window, server)
        person.go("/" + found[1])
        person.sees("The last run failed")
        assert "token" not in person.at, "it is in no history"
        yield person


def console(person: Person) -> list[str]:
    """What went wrong in the page, but for answers of the server that are meant."""
    return [line for line in person.browser.said() if "Failed to load resource" not in line]


def test_from_the_list_to_a_run_with_inputs_its_failed_log_and_the_mended_rerun(person, server):
    person.go("/runs")
    assert "first" in person.text("table")
    person.clicks("Start a run")
    person.comes_to("(/start)")
    person.browser.js("document.querySelector('[name=phase][value=A]').click()")
    person.sees("4 tasks in 1 phase")
    person.browser.js(
        "const field = (name) => document.querySelector(`[data-input=${name}] :is(input, select)`);"
        "document.querySelector('#start').noValidate = true; field('where').value = 'prod'; field('rounds').value = '77'; field('quick').click();"
    )
    person.clicks("Start")
    person.browser.wait("return document.querySelector('#wrong:not([hidden])')")
    assert "rounds" in person.text("#wrong"), "77 is too many"
    person.browser.js("document.querySelector('[data-input=rounds] input').value = '7'")
    person.clicks("Start")
    run = person.comes_to("/runs/(2[^/]+)$")
    person.sees("Phase A failed: unit failed")
    person.browser.js(
        "[...document.querySelectorAll('a')].find((a) => a.textContent.startsWith('whole log')).click()"
    )
    person.comes_to("/runs/(.+)/tasks/unit/logs/step-0")
    person.browser.wait(
        "const at = document.querySelector('#log li.at');"
        "return at && at.innerText.includes('assert 403 == 200')"
    )
    person.go(f"/runs/{run}/tasks/lint/logs/step-0")
    assert "in prod, 7 rounds, quick is true" in person.text("#log")
    (server.project.root / "mended").touch()
    person.go(f"/runs/{run}")
    person.clicks("Rerun failed")
    again = person.comes_to(f"/runs/(?!{run})([^/]+)$")
    person.sees("All 2 tasks succeeded")
    person.go(f"/compare?before={run}&now={again}")
    person.sees("mended")
    person.go(f"/runs/{again}/verify")
    person.clicks("Verify")
    for verdict in ("intact", "complete", "timed"):
        person.browser.wait(
            "const term = document.querySelector(`[data-verdict=${arguments[0]}]`);"
            "return term.matches('.success') && term.nextElementSibling.innerText.startsWith('passed')",
            verdict,
        )
    assert "unsigned" in person.text("[data-verdict=authentic] + dd")
    assert console(person) == []
    assert server.project.json(run, "run.json")["inputs"]["where"]["value"] == "prod"


def test_a_run_is_watched_and_cancelled_and_nothing_moves_under_the_pointer(person, server):
    root = server.project.root
    for name in ("open", "fail"):
        (root / name).unlink(missing_ok=True)
    run = server.run(phases=["W"])
    person.go(f"/runs/{run}")
    person.sees("began")
    person.browser.wait("return document.querySelectorAll('.board li:not(.free)').length === 2")
    # The pointer is at a row of the table below the causes, which come now.
    place = person.browser.js(
        "const row = document.querySelector('tr[data-key=after]');"
        "row.scrollIntoView({block: 'center'});"
        "row.dispatchEvent(new PointerEvent('pointermove', {bubbles: true}));"
        "return row.getBoundingClientRect().top"
    )
    (root / "fail").touch()
    person.browser.wait(
        "return document.querySelector('tr[data-key=fails]').innerText.includes('failed')"
    )
    top = "return document.querySelector('tr[data-key=after]').getBoundingClientRect().top"
    assert person.browser.js(top) == place
    assert "the reason" not in person.text("[data-part=causes]")
    person.browser.js(
        "document.querySelector('.top').dispatchEvent(new PointerEvent('pointermove', {bubbles: true}))"
    )
    person.sees("the reason")
    person.browser.js("window.confirm = () => true")
    person.clicks("Cancel")
    person.sees("Interrupted")
    assert person.browser.js("return document.querySelector('.board')") is None
    assert console(person) == []
    assert {"type": "cancel_requested"}.items() <= next(
        event for event in server.project.events(run) if event["type"] == "cancel_requested"
    ).items()


def test_a_long_log_is_held_in_windows_searched_and_copied_by_whole_lines(person):
    person.go("/runs/first/tasks/unit/logs/step-0")
    person.browser.wait("return document.querySelector('#logtold').innerText === '12 001 lines'")
    held = "return document.querySelectorAll('#log li').length"
    for line in (1, 6000, 12001, 3000):
        person.browser.js(
            "document.querySelector('#logline input').value = arguments[0];"
            "document.querySelector('#logline button').click()",
            line,
        )
        person.browser.wait(
            "return document.querySelector('#log li.at > a')?.innerText === String(arguments[0])",
            line,
        )
        assert person.browser.js(held) <= 5000
    # Down through more than the page may hold, by the wheel.
    person.browser.wait(
        "const log = document.querySelector('#log'), lines = [...log.querySelectorAll('li > a')];"
        "log.scrollTop += 4000;"
        "return Number(lines.at(-1).innerText) === 12001"
    )
    assert person.browser.js(held) <= 5000
    first = int(person.browser.js("return document.querySelector('#log li > a').innerText"))
    assert first > 3000
    person.browser.js(
        "document.querySelector('#logsearch input').value = 'ASSERT 403';"
        "document.querySelector('#logsearch button').click()"
    )
    person.browser.wait("return document.querySelector('#hits li')?.innerText.includes('12001')")
    answer = person.browser.driver.execute_async_script(
        "const done = arguments[0];"
        "fetch('/runs/first/tasks/unit/logs/step-0/text?first=11999&last=12001')"
        ".then((answer) => answer.text()).then(done)"
    )
    assert answer == "line 11999 of many\nline 12000 of many\nE   assert 403 == 200\n"
    assert console(person) == []


def test_what_is_switched_off_is_told_in_red_on_every_page_until_it_is_on_again(person, server):
    person.browser.js("window.confirm = () => true")
    person.go("/switches")
    person.browser.wait(
        "const row = [...document.querySelectorAll('tr')].find((one) =>"
        " one.innerText.startsWith('schedules')); row.querySelector('button').click(); return true"
    )
    person.browser.wait("return document.querySelector('.off')?.innerText.includes('schedules')")
    person.go("/runs")
    colour = "return getComputedStyle(document.querySelector('.off b')).color"
    assert person.browser.js(colour) == "rgb(179, 38, 30)"
    item = server.post("/queue", {"phases": ["A"], "priority": 7}).json["item"]
    person.go("/queue")
    person.sees(item)
    person.go("/switches")
    person.clicks("switch on")
    person.browser.wait("return !document.querySelector('.off')")
    assert console(person) == []


def test_keys_go_where_the_help_says(person):
    person.go("/tasks")
    person.presses("j")
    first = person.browser.js("return document.activeElement.getAttribute('href')")
    person.presses("j")
    second = person.browser.js("return document.activeElement.getAttribute('href')")
    assert first != second
    person.presses("k")
    assert person.browser.js("return document.activeElement.getAttribute('href')") == first
    person.presses("?")
    assert person.browser.js("return document.querySelector('#keys').open")
    person.browser.js("document.querySelector('#keys').close()")
    person.presses("/")
    assert person.browser.js("return document.activeElement.name") == "q"
    person.browser.js("document.activeElement.blur()")
    person.presses("gr")
    person.comes_to("(/runs)")


def test_no_page_keeps_a_reader_out_or_is_wider_than_the_window(person):
    """Each in one of two windows: to look at it with axe takes a second or two."""
    found = {}
    for number, path in enumerate(PAGES):
        width, colours = [(360, "light"), (1280, "dark")][number % 2]
        person.browser.size(width, 900)
        person.browser.dark(colours)
        person.go(path)
        barriers = person.browser.barriers()
        person.browser.size(360, 900)
        wide = person.browser.js("return document.documentElement.scrollWidth - innerWidth")
        if barriers or wide > 0:
            found[path] = [*barriers, *([f"{wide} px too wide"] if wide > 0 else [])]
    person.browser.size(1280, 900)
    assert found == {}
    assert console(person) == []


def test_every_page_is_read_without_scripts(person):
    driver = person.browser.driver
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        said = {}
        for path in ("/runs", "/runs/first", "/tasks/unit", "/runs/first/tasks/unit", "/graph"):
            person.go(path)
            said[path] = person.text()
        person.go("/runs/first/tasks/unit/logs/step-0?q=403")
        log = person.text()
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert "unit failed" in said["/runs"]
    assert "assert 403 == 200" in said["/runs/first"]
    assert "seq -f" in said["/tasks/unit"]
    assert "12001" in log


def test_an_approver_comes_in_by_a_token_and_approves_what_is_shown(person, server):
    done = server.project.zf("token", "create", "ann", "--role", "approver")
    run = server.run(phases=["S"])
    assert any('"approval_asked"' in event["data"] for event in server.events(run))
    person.go("/approvals")
    person.sees("Ship it?")
    person.clicks("Approve")
    person.browser.wait("return document.querySelector('#notice.bad')")
    assert "is vouched for by a token or a key" in person.text("#notice"), "zf ui has none"
    asked = [e for e in server.project.events(run) if e["type"] == "approval_asked"]
    assert asked[0]["sha256"] in person.text()
    person.clicks("leave")
    person.comes_to("(/login)")
    person.browser.js(
        "document.querySelector('[name=token]').value = arguments[0]", done.out.split()[-1]
    )
    person.clicks("Come in")
    person.comes_to("(/)$")
    person.go("/approvals")
    person.clicks("Approve")
    person.go(f"/runs/{run}")
    person.sees("1 task succeeded")
    [given] = [e for e in server.project.events(run) if e["type"] == "approval_given"]
    assert (given["approver"], given["how"]) == ("ann", "token")
    assert server.post(f"/runs/{run}/tasks/ship/approve", {}, role="viewer").status == 403
    again = server.post(f"/runs/{run}/tasks/ship/approve", {}, role="approver")
    assert again.json["state"] == "approved", "a second answer is the first one's"
    assert server.post(f"/runs/{run}/tasks/none/approve", {}, role="approver").status in {404, 409}
    assert console(person) == []


def test_every_page_is_there(server):
    said = {path: server.call("GET", path, role="admin").status for path in PAGES}
    assert said == dict.fromkeys(PAGES, 200) | {"/runs/none": 404}


def test_no_page_tells_a_path_of_the_machine(server):
    for path in PAGES:
        answer = server.call("GET", path, role="viewer")
        assert str(server.project.root).encode() not in answer.body, path


def test_a_page_is_for_those_with_a_token_and_others_are_shown_where_to_come_in(server):
    answer = server.call("GET", "/runs/first", role=None, headers={"Accept": "text/html"})
    assert (answer.status, answer.headers["Location"]) == (303, "/login?then=%2Fruns%2Ffirst")
    for then in ("//evil.example/", "https://evil.example/", "/\\evil.example"):
        page = server.call("GET", f"/login?then={then}", role=None)
        assert b"evil" not in page.body
    wrong = {"token": "zf_wrong"}
    origin = {"Origin": f"http://127.0.0.1:{server.port}", "Sec-Fetch-Site": "same-origin"}
    assert server.call("POST", "/session", wrong, role=None, headers=origin).status == 401


def test_an_unknown_run_is_a_page_that_says_so(server):
    answer = server.call("GET", "/runs/none", role="viewer", headers={"Accept": "text/html"})
    assert answer.status == 404
    assert b"Unknown run &#39;none&#39;" in answer.body
