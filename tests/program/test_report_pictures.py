"""The pictures of a run, and the page that compares two, in a real browser and before the tools that
judge pages.
"""

import pytest

from tests.support.browser import browser as opened_browser
from tests.support.courses import layered, write
from tests.support.proof_bundles import FAILED, OK, Run
from tests.support.tools import html_errors
from zf.audit.compare import compare
from zf.report.formats.recorded import RecordedRun
from zf.report.html import comparison, page


@pytest.fixture(scope="module")
def browser():
    with opened_browser() as window:
        yield window


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """The page of 600 tasks, folded and merged, with retries and waits, two of which failed."""
    folder = tmp_path_factory.mktemp("many")
    run = write(layered(600, failing=["unit-0306", "e2e-0075"]), folder / "r1")
    path = folder / "many.html"
    path.write_bytes(b"".join(page.render(RecordedRun(str(run)))))
    return path


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    runs = []
    for name, ending in (("r1", OK), ("r2", FAILED)):
        run = Run(folder, name).plan(a=(), b=("a",))
        run.attempt("a", OK)
        run.attempt("b", ending)
        run.end(int(ending is FAILED))
        runs.append(run)
    one, other = (str(run.path) for run in runs)
    against = comparison.Against(RecordedRun(one), compare(one, other).as_json())
    path = folder / "compared.html"
    path.write_bytes(b"".join(comparison.render(RecordedRun(other), against)))
    return path


PAGES = pytest.mark.parametrize("which", ["many", "compared"])


@PAGES
def test_it_is_valid_html(which, request):
    path = request.getfixturevalue(which)
    assert html_errors(path) == (0, "")


@PAGES
@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_keeps_no_reader_out_and_breaks_no_policy(which, colours, width, browser, request):
    path = request.getfixturevalue(which)
    browser.size(width, 900)
    browser.dark(colours)
    browser.open(path)
    assert browser.said() == []
    assert set(browser.asked_for()) - {"about:blank"} == {path.as_uri()}
    assert browser.barriers() == []


@PAGES
@pytest.mark.parametrize("width", [360, 768, 2560])
def test_nothing_is_wider_than_the_window(which, width, browser, request):
    browser.size(width, 900)
    browser.open(request.getfixturevalue(which))
    assert browser.js("return document.documentElement.scrollWidth") <= width


def test_a_bar_is_where_its_time_is(many, browser):
    """The shares that the picture has are shares of what is drawn, at every width."""
    for width in (500, 1280):
        browser.size(width, 900)
        browser.open(many, javascript=False)
        plot, bars = browser.js(
            "const plot = document.querySelector('.timeline .plot');"
            "const box = (e) => { const r = e.getBoundingClientRect(); return [r.left, r.width] };"
            "return [box(plot), [...plot.querySelectorAll('a > svg, a > rect')].map((e) => ["
            "parseFloat(e.getAttribute('x')), parseFloat(e.getAttribute('width')),"
            "...box(e.querySelector('rect') ?? e)])]"
        )
        assert len(bars) > 200
        for x, share, left, drawn in bars:
            assert left == pytest.approx(plot[0] + plot[1] * x / 100, abs=1.1)
            assert drawn == pytest.approx(plot[1] * share / 100, abs=1.1)


def test_letters_keep_their_size(many, browser):
    heights = []
    for width in (360, 1280, 2560):
        browser.size(width, 900)
        browser.open(many)
        heights.append(
            browser.js(
                "return document.querySelector('.timeline .names text')"
                ".getBoundingClientRect().height"
            )
        )
    assert heights[0] == heights[1] == heights[2]


def test_a_link_in_a_picture_leads_to_its_task(many, browser):
    browser.open(many, javascript=False)
    lost = browser.js(
        "return [...document.querySelectorAll('.timeline a, .graph a')]"
        ".filter((a) => !document.getElementById(a.getAttribute('href').slice(1))).length"
    )
    assert lost == 0
    # The keyboard comes to what failed.
    stop = browser.js("return document.querySelector('.timeline a:has(.failure)').tabIndex")
    assert stop == 0


def test_a_wide_graph_begins_at_what_failed(many, browser):
    browser.size(800, 900)
    browser.open(many)
    seen = browser.js(
        "const graph = document.querySelector('.graph').getBoundingClientRect();"
        "const box = document.querySelector('.graph .box.failure').getBoundingClientRect();"
        "return graph.left <= box.left && box.right <= graph.right"
    )
    assert seen
