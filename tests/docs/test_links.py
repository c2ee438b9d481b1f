"""Every link leads somewhere, and every page can be reached."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("conventions/*.md"),
        *ROOT.glob("examples/*/*.md"),
    ]
)
IDS = [str(path.relative_to(ROOT)) for path in PAGES]
MARK = re.compile(r"<{7} |>{7} |={7}$|\|{7} ")
LINK = re.compile(r"\[[^\]\n]+\]\(([^)\s]+)\)")


def prose(path: Path) -> str:
    """The page without its code."""
    text = re.sub(r"(?ms)^```.*?^```$", "", path.read_text())
    return re.sub(r"`[^`\n]*`", "code", text)


def links(path: Path) -> list[str]:
    return [link for link in LINK.findall(prose(path)) if "://" not in link]


def anchors(path: Path) -> set[str]:
    """As GitHub makes them from headings."""
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```$", "", path.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_link_leads_somewhere(page):
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_no_page_has_marks_of_an_unfinished_merge(page):
    marks = [n for n, line in enumerate(page.read_text().splitlines(), 1) if MARK.match(line)]
    assert not marks, f"{page}: lines {marks}"


def test_every_page_can_be_reached_from_the_readme():
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        todo += [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
    orphans = {str(p.relative_to(ROOT)) for p in set(PAGES) - reached}
    assert {name for name in orphans if not name.startswith("examples/")} == set()


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/decisions/0*.md")), ids=lambda p: p.stem)
def test_a_decision_is_short_and_complete(page):
    lines = page.read_text().splitlines()
    assert 25 <= len(lines) <= 80
    assert lines[0].startswith(f"# {page.stem[:4]}: ")
    headings = [line for line in lines if line.startswith("## ")]
    assert headings == ["## Question", "## Options", "## Choice", "## Consequences"]


def test_decisions_are_numbered_without_gaps():
    numbers = [int(p.stem[:4]) for p in sorted(ROOT.glob("docs/decisions/0*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
