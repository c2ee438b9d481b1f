"""Nodes are records, of whichever parser; and PyYAML's for everybody else."""

from threading import Thread

import pytest
import yaml

from zf.plan.yaml import nodes, yaml12
from zf.plan.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from zf.plan.yaml.source import Source

TEXT = "a: &x [1, {b: c}]\nd: *x\n"
# A line that is long enough for its levels to be counted while it is read.
LONG = f"{TEXT}# {'-' * yaml12._Parser.safe_levels}\n"


def root(text: str, parser=yaml12._Parser) -> nodes.Node | None:
    return yaml12.read(Source("f", text), parser).root


@pytest.mark.parametrize(
    ("text", "parser"),
    [
        pytest.param(TEXT, yaml12._Parser, id="quick"),
        pytest.param(TEXT + "e: ! 'f'\n", yaml12._Parser, id="with a bare tag"),
        pytest.param(LONG, yaml12._Parser, id="with levels that are counted"),
        pytest.param(TEXT, yaml12.pure_parser(), id="pure"),
    ],
)
def test_nodes_are_records_and_an_alias_is_the_node_that_it_names(text, parser):
    found = root(text, parser)
    assert type(found) is MappingNode
    (key, listed), (_, again) = found.value[:2]
    assert type(key) is ScalarNode
    assert (key.value, key.start_mark.line, key.end_mark.column) == ("a", 0, 1)
    assert type(listed) is SequenceNode
    assert listed is again
    assert (listed.start_mark.column, listed.end_mark.column, listed.flow_style) == (3, 17, True)
    assert [type(item) for item in listed.value] == [ScalarNode, MappingNode]


def test_a_compiled_half_that_makes_other_nodes_is_as_good():
    parser = yaml.CSafeLoader(TEXT)
    found = nodes.recorded(parser.get_single_node())
    assert type(found) is MappingNode
    assert found.value[0][1] is found.value[1][1]


@pytest.mark.parametrize("text", [TEXT, "a: [", "a: b\n---\n", ""])
def test_others_get_the_nodes_of_pyyaml_afterwards(text):
    yaml12.read(Source("f", text))
    assert type(yaml.compose(TEXT, yaml.CSafeLoader)) is yaml.MappingNode
    assert yaml.load(TEXT, yaml.CSafeLoader) == {"a": [1, {"b": "c"}], "d": [1, {"b": "c"}]}


def test_others_get_the_nodes_of_pyyaml_meanwhile():
    text = "".join(f"k{n}: [a, b: {{c: d}}]\n" for n in range(200))
    reading = [Thread(target=lambda: [root(text) for _ in range(20)]) for _ in range(3)]
    for thread in reading:
        thread.start()
    found = [yaml.compose(TEXT, yaml.CSafeLoader) for _ in range(500)]
    for thread in reading:
        thread.join()
    assert {type(node) for node in found} == {yaml.MappingNode}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run: make", False),
        ("run: if ! grep x; then [ a != b ]; fi", False),
        ("a: !!str 5", False),
        ("a: !x {}", False),
        ("a: !", True),
        ("[!, a]", True),
        ("a: ! 'b'", True),
        ("a: !\n  'b'", True),
        ("a: ! # c\n  'b'", True),
        ("a: ! &x 'b'", True),
        ("a: !<!> 'b'", True),
        ("a: ! |\n  b", True),
    ],
)
def test_where_a_bare_tag_may_stand(text, expected):
    assert nodes.may_have_bare_tag(text) is expected
