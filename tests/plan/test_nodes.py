"""Nodes are records, of whichever parser and thread; and PyYAML's for others afterwards."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

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


@pytest.mark.parametrize("text", [TEXT, "a: [", "a: b\n---\n", ""])
def test_others_get_the_nodes_of_pyyaml_afterwards(text):
    yaml12.read(Source("f", text))
    assert type(yaml.compose(TEXT, yaml.CSafeLoader)) is yaml.MappingNode
    assert yaml.load(TEXT, yaml.CSafeLoader) == {"a": [1, {"b": "c"}], "d": [1, {"b": "c"}]}


@pytest.fixture
def often():
    """Threads take turns all the time."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("often")
def test_texts_that_are_read_at_once_do_not_get_into_each_others_way():
    many = "".join(f"k{n}: [a, b: {{c: d}}]\n" for n in range(50))
    texts = [TEXT, f"{LONG}{many}", f"{many}x: [", f"{many}x: ! 'y'\n", "[" * 40]

    def told(text: str) -> str:
        found = yaml12.read(Source("f", text))
        return f"{found.value} {[problem.render() for problem in found.problems]}"

    alone = [told(text) for text in texts]
    with ThreadPoolExecutor(4) as threads:
        assert [*threads.map(told, texts * 40)] == alone * 40


# Newer Pythons warn of forking while there are threads.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_process_that_is_forked_while_a_text_is_read_can_read():
    is_over = Event()
    reading = Thread(target=lambda: [root(LONG) for _ in iter(is_over.is_set, True)])
    reading.start()
    try:
        for _ in range(20):
            child = os.fork()
            if not child:
                os._exit(not isinstance(root(TEXT), MappingNode))
            assert os.waitpid(child, 0)[1] == 0
    finally:
        is_over.set()
        reading.join()


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
