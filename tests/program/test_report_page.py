"""The page of a run in a real browser, and before the tools that judge pages."""

from pathlib import Path

import pytest

from tests.support.browser import browser as opened_browser
from tests.support.proof_bundles import FAILED, OK, Ending, Run
from tests.support.tools import html_errors
from zf.audit.verify import verify
from zf.events import Cause, Status
from zf.report.formats.recorded import RecordedRun
from zf.report.html import page, terminal

HOSTILE = [
    "</script><script>alert(1)</script>",
    "]]> --> <!-- </pre></bdi><img src=x onerror=alert(1)>",
    "&amp; &#60; \" ' ` {{ 7 * 7 }} {% raw %}",
    "right to left \u202egnp.exe and \u2066isolated\u2069 and \u05d0\u05d1\u05d2 123",
    "clear \x1b[2J home \x1b[H title \x1b]0;title\x07 link \x1b]8;;http://a.example\x1b\\x\x1b]8;;\x1b\\",
    "NUL \x00 backspace \x08\x08 return\rover bell \x07 delete \x7f next \x85 nbsp \xa0",
    "\x1b[31mred \x1b[1mbold\x1b[0m plain \x1b[38;5;208morange\x1b[48;2;0;0;255mon blue\x1b[m.",
    "\ttab\tafter \x1b[32mgreen\ttab\x1b[39m",
    "zero\u200bwidth, joined \u200d, \ufeff mark, \ue000 private, \U000e0041 tag, \U0001f600",
    "https://example.org/ javascript:alert(1) <a href=x>",
    "\x1b[999999999999m \x1b[38;5m \x1b[38;2;1m \x1b[;;m done",
    "x" * 1_000_000,
    "the last line",
]
LONG = b"".join(b"line %d of a log that is longer than most\n" % n for n in range(1, 200_001))


@pytest.fixture(scope="module")
def browser():
    with opened_browser() as window:
        yield window


def write(path: Path, run: Run, **how) -> Path:
    recorded = RecordedRun(str(run.path), verify=lambda: verify(str(run.path)).as_json())
    path.write_bytes(b"".join(page.render(recorded, **how)))
    return path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """The page of a run in which a task printed the worst there is."""
    folder = tmp_path_factory.mktemp("hostile")
    run = Run(folder, "r1").plan(good=(), bad=("good",), after=("bad",), flaky=(), long=())
    run.attempt("good", OK)
    log = "\n".join(HOSTILE).encode() + b"\nnot UTF-8: \xff\xfe \xc3\n"
    run.attempt("bad", Ending(Status.FAILURE, Cause.EXIT, 7, log=log))
    run.not_run("after", Status.BLOCKED, Cause.NEED, bad=Status.FAILURE)
    run.attempt("flaky", OK)
    run.attempt("long", Ending(Status.TIMEOUT, Cause.TIMEOUT, 124, log=LONG))
    run.end(1)
    return write(folder / "r1.html", run)


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """A failure with forty victims, among many tasks."""
    folder = tmp_path_factory.mktemp("large")
    needs = {"seed": ()} | {f"victim-{n:02}": ("seed",) for n in range(40)}
    run = Run(folder, "large").plan(**needs, **{f"fine-{n:03}": () for n in range(200)})
    run.attempt("seed", FAILED)
    for n in range(40):
        run.not_run(f"victim-{n:02}", Status.BLOCKED, Cause.NEED, seed=Status.FAILURE)
    for n in range(200):
        run.attempt(f"fine-{n:03}", OK)
    run.end(1)
    return write(folder / "large.html", run)


PAGES = pytest.mark.parametrize("which", ["hostile", "large"])


@PAGES
def test_it_is_valid_html(which, request):
    path = request.getfixturevalue(which)
    assert html_errors(path) == (0, "")


@PAGES
@pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "without"])
def test_it_asks_for_nothing_and_breaks_no_policy(which, javascript, browser, request):
    path = request.getfixturevalue(which)
    browser.open(path, javascript=javascript)
    assert browser.said() == []
    asked = set(browser.asked_for()) - {"about:blank"}
    assert asked == {path.as_uri()}


def test_the_policy_forbids_what_is_not_the_pages_own(hostile, browser):
    """That the console stays empty means something."""
    browser.open(hostile)
    browser.js("document.body.append(Object.assign(document.createElement('script'), {text: '1'}))")
    browser.js("document.body.insertAdjacentHTML('beforeend', '<img src=\"data:,\">')")
    browser.js("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">')")
    browser.js("document.body.offsetHeight")
    told = "\n".join(browser.said())
    for directive in ("script-src", "img-src", "style-src"):
        assert directive in told


@PAGES
@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_keeps_no_reader_out(which, colours, width, browser, request):
    browser.size(width, 900)
    browser.dark(colours)
    browser.open(request.getfixturevalue(which))
    browser.js("document.querySelectorAll('details').forEach((fold) => { fold.open = true })")
    assert browser.barriers() == []


@PAGES
@pytest.mark.parametrize("width", [360, 768, 1280, 3840])
def test_nothing_is_wider_than_the_window(which, width, browser, request):
    browser.size(width, 900)
    browser.open(request.getfixturevalue(which))
    assert browser.js("return document.documentElement.scrollWidth") <= width


def expected_lines() -> list[str]:
    raw = ("\n".join(HOSTILE).encode() + b"\nnot UTF-8: \xff\xfe \xc3").decode("utf-8", "replace")
    return [terminal.visible(line) for line in raw.split("\n")]


def test_what_is_read_is_the_escaped_text(hostile, browser):
    """Without JavaScript, of what a task printed, whatever that was."""
    browser.open(hostile, javascript=False)
    quotes = browser.js(
        "return [...document.querySelectorAll('.log')]"
        ".map((log) => [...log.querySelectorAll('bdi')].map((line) => line.textContent))"
    )
    shown = [line for quote in quotes for line in quote]
    for line in expected_lines():
        if len(line) < terminal.MOST_CHARS:
            assert line in shown
        else:
            assert any(one.startswith(line[: terminal.MOST_CHARS]) for one in shown)
    assert (
        browser.js("return document.querySelectorAll('script, img, a[href*=example]').length")
        <= 3 + 9
    )


def test_a_whole_log_is_the_escaped_text_too(hostile, browser):
    browser.size(1280, 900)
    browser.open(hostile, "#task=bad&step=0&line=1")
    shown = browser.wait(
        "const lines = [...document.querySelectorAll('.lines bdi')].map((line) => line.textContent);"
        "return lines.length ? lines : null"
    )
    expected = expected_lines()
    long = max(range(len(expected)), key=lambda number: len(expected[number]))
    assert shown[:long] + shown[long + 1 :] == expected[:long] + expected[long + 1 :]
    assert shown[long] == expected[long][: terminal.MOST_CHARS]
    # What is long is there when it is asked for, all of it in the end.
    while browser.js(
        "const more = document.querySelector('.lines button[data-more]'); more?.click(); return Boolean(more)"
    ):
        pass
    whole = "return document.querySelectorAll('.lines bdi')[arguments[0]].textContent"
    assert browser.js(whole, long) == expected[long]
    assert browser.said() == []


def test_a_link_leads_to_a_line_of_a_long_log_and_finding_to_others(hostile, browser):
    browser.size(1280, 900)
    browser.open(hostile, "#task=long&step=0&line=123456")
    at = "return document.querySelector('.lines .at bdi')?.textContent"
    assert browser.wait(at) == "line 123456 of a log that is longer than most"
    # Only what is in sight is in the document.
    assert browser.js("return document.querySelectorAll('.lines p').length") < 200
    browser.js(
        "const find = document.querySelector('#find input'); find.value = 'LINE 19999';"
        "find.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    told = "return document.querySelector('#find output').textContent"
    assert browser.wait(f"{told} === '2 of 11' ? 1 : null")
    assert browser.js(at) == "line 199990 of a log that is longer than most"
    browser.js("document.querySelector('.lines').scrollTop = 1e9")
    assert browser.wait(
        "return [...document.querySelectorAll('.lines bdi')].at(-1).textContent.startsWith('line 200000 ')"
    )
    browser.js("document.querySelector('#close').click()")
    assert not browser.js("return document.querySelector('dialog').open")
    assert browser.said() == []


def test_the_mark_that_opens_a_cause_never_stands_in_a_line_alone(hostile, browser):
    browser.open(hostile)
    alone = browser.js(
        "const heading = document.querySelector('.cause h3'), words = document.createRange();"
        "words.selectNodeContents(heading); heading.style.display = 'block';"
        "const below = (width) => { heading.style.width = width + 'px';"
        "  const last = [...words.getClientRects()].pop();"
        "  return heading.getBoundingClientRect().bottom - last.bottom > last.height / 2 };"
        "return Array.from({length: 500}, (_, n) => 100 + n).filter(below)"
    )
    assert alone == []


def test_without_javascript_all_that_matters_can_be_read(hostile, browser):
    browser.open(hostile, javascript=False)
    text = browser.js("return document.body.innerText")
    for told in ("bad failed", "and 1 task waited for it", "INTACT", "the last line", "sha256sum"):
        assert told.lower() in text.lower(), told
    # What only works with it is not there.
    hidden = (
        "return [...document.querySelectorAll(arguments[0])].every((e) => !e.checkVisibility())"
    )
    for selector in (".tools", "dialog", "button"):
        assert browser.js(hidden, selector), selector


def test_the_table_is_filtered_and_sorted(large, browser):
    browser.size(1280, 900)
    browser.open(large)
    names = (
        "return [...document.querySelectorAll('#all tbody tr')]"
        ".filter((row) => !row.hidden).map((row) => row.id)"
    )
    assert len(browser.js(names)) == 241
    assert browser.js(names)[:2] == ["task-seed", "task-victim-00"]
    typed = (
        "const field = document.querySelector(arguments[0]); field.value = arguments[1];"
        "field.dispatchEvent(new Event(arguments[2], {bubbles: true}))"
    )
    browser.js(typed, "#filter", "fine- 19", "input")
    assert browser.js(names) == [f"task-fine-{n:03}" for n in (19, 119, *range(190, 200))]
    browser.js(typed, "#filter", "", "input")
    browser.js(typed, "#state", "blocked", "change")
    assert browser.js(names) == [f"task-victim-{n:02}" for n in range(40)]
    browser.js(typed, "#state", "", "change")
    for order in ("ascending", "descending"):
        browser.js("document.querySelector('#all thead button').click()")
        found = browser.js(names)
        assert found == sorted(found, reverse=order == "descending")
        assert browser.js("return document.querySelector('#all th').ariaSort") == order


def test_it_prints_with_everything_open_and_in_sight(large, browser):
    browser.size(700, 1000)
    browser.open(large)
    browser.js("dispatchEvent(new Event('beforeprint'))")
    assert browser.js("return document.querySelectorAll('details:not([open])').length") == 0
    browser.print(on_paper=True)
    try:
        # Paper cannot be scrolled; the heads of columns are buttons, which paper has no use for.
        wider = "return [...document.querySelectorAll('.wide, .graph')].every((e) => e.scrollWidth <= innerWidth)"
        assert browser.js(wider)
        heads = "return [...document.querySelectorAll('#all th button')].every((e) => e.checkVisibility())"
        assert browser.js(heads)
        assert not browser.js("return document.querySelector('.tools').checkVisibility()")
    finally:
        browser.print(on_paper=False)
