"""What the files of a proof are called is said once, in `proof/layout.py`."""

import ast
import re

import pytest

from tests.support.source_map import SOURCE
from zf.proof import layout

# Sentences may name a file: help texts, messages and docstrings have blanks, paths have none.
NAMES = [
    value.rpartition("/")[2]
    for key, value in vars(layout).items()
    if key.isupper()
    and isinstance(value, str)
    and key not in {"TREE", "UNFINISHED", "ATTEMPTS", "OWN_FILE", "CONTAINERS"}
]
SPELT = re.compile(
    rf"(?<![\w-])(?:{'|'.join(map(re.escape, sorted(NAMES, key=len, reverse=True)))})(?![\w-])"
    rf"|(?:^|/){layout.ATTEMPTS}/|/{layout.ATTEMPTS}$"
    rf"|{re.escape(layout.UNFINISHED)}$"
    r"|(?:step|cleanup|[\])}])-[^-]*\.(?:sh|log|json)$"
)


def spelt(tree):
    """The lines in which code spells a name of the layout, and what it spells."""
    parts = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        text = None
        if isinstance(node, ast.JoinedStr):
            text = "".join(p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
        elif isinstance(node, ast.Constant) and id(node) not in parts:
            text = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
        if isinstance(text, str) and " " not in text and SPELT.search(text.replace("\\", "")):
            yield node.lineno, text


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "proof" / "layout.py"],
    ids=lambda path: str(path.relative_to(SOURCE)),
)
def test_no_other_module_spells_a_name(path):
    assert list(spelt(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "code",
    [
        'open(f"{run}/run.json")',
        'f"{task}/20-logs/{name}"',
        '"99-summary"',
        'rb"40-checksums/artifacts\\.sha256"',
        'f"{task}/attempts/{number}"',
        'f"{task}/step-{number}.log"',
        'f"{kind}-{number}.sh"',
        '".locks"',
        '"attest"',
        'f"{name}.tmp"',
    ],
)
def test_one_that_did_would_be_found(code):
    assert len(list(spelt(ast.parse(code)))) == 1


@pytest.mark.parametrize(
    "code", ['"run.json cannot be read"', '"attempts"', 'f"step-{n}"', '"attestations"']
)
def test_sentences_and_fields_are_left_alone(code):
    assert list(spelt(ast.parse(code))) == []


def test_a_pattern_matches_what_a_command_leaves_and_nothing_like_it():
    pattern = layout.TREE + layout.pattern(layout.log("*"))
    assert re.fullmatch(pattern, "t/20-logs/step-0.log")
    assert re.fullmatch(pattern, "t/attempts/2/20-logs/cleanup-11.log")
    assert not re.fullmatch(pattern, "t/20-logs/step-0xlog")
    assert not re.fullmatch(pattern, "t/20-logs/other-0.log")
