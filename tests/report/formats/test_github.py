"""The graph of a summary: what Mermaid makes of the names in it."""

from tests.support.report_samples import plan
from zf.report.facts import Fold
from zf.report.formats.github import _graph


def drawn(*phases: str) -> str:
    described = plan({f"t-{phase}": () for phase in phases})
    described["phases"] = [{"name": name, "title": "", "timeout_s": 60} for name in phases]
    for row, phase in zip(described["tasks"], phases, strict=True):
        row["phase"] = phase
    return _graph(Fold(described).facts)


def test_phases_are_framed_where_there_are_several():
    text = drawn("A", "B")
    assert text.count("subgraph") == text.count("  end") == 2
    assert 'subgraph p1["B"]' in text


def test_one_phase_has_no_frame():
    described = plan({"a": (), "b": "a"})
    text = _graph(Fold(described).facts)
    assert "subgraph" not in text
    assert text.count(":::other") == 2
    assert "  t0 --> t1" in text


def test_a_name_cannot_end_its_label():
    text = drawn("A", '"]; click x "javascript:alert(1)')
    assert "click x #34;javascript" in text
    assert '"]; click' not in text
