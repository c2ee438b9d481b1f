"""Values by the rules of YAML 1.2, the same with and without libyaml; bombs refused."""

import math

import pytest

from zf.plan.yaml import yaml12
from zf.plan.yaml.source import Source
from zf.plan.yaml.yaml12 import OddNumber, pure_parser

PARSERS = [pytest.param(yaml12._Parser, id="libyaml"), pytest.param(pure_parser(), id="pure")]
both = pytest.mark.parametrize("parser", PARSERS)


def read(text: str, parser=yaml12._Parser) -> yaml12.Document:
    return yaml12.read(Source("f", text), parser)


def said(text: str, parser=yaml12._Parser) -> str:
    return "\n".join(problem.render() for problem in read(text, parser).problems)


@both
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("tRuE", "tRuE"),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("1:30", "1:30"),
        ("190:20:30", "190:20:30"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2026-11-21", "2026-11-21"),
        ("=", "="),
        ("<<", "<<"),
        ("0", 0),
        ("-0", 0),
        ("+12", 12),
        ("300", 300),
        ("010", OddNumber("010")),
        ("-07", OddNumber("-07")),
        ("08", OddNumber("08")),
        ("0o14", 12),
        ("0x1F", 31),
        ("0x" + "F" * 30, math.inf),
        ("0o99", "0o99"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1.5e-3", 0.0015),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("1.2.3", "1.2.3"),
        ("-", [None]),
        (".", "."),
        ("+", "+"),
        ("nine", "nine"),
        ("9" * 5000, math.inf),
        ('"300"', "300"),
        ("'true'", "true"),
        ("!!str 300", "300"),
        ("!!int 300", 300),
        ("!!float 3", 3),
        ("!!bool true", True),
        ("!!null ~", None),
        ('! "300"', 300),
        ("[! nine, '300', !!str 300, ! '300']", ["nine", "300", "300", 300]),
        ("{'if': '300', then: if ! test 300}", {"if": "300", "then": "if ! test 300"}),
        ("!!map {a: 1}", {"a": 1}),
        ("!!seq [1]", [1]),
        ("|\n  a\n  b\n", "a\nb\n"),
        (">-\n  a\n  b\n", "a b"),
        ('"caf\\u00e9 \\U0001F600 \\t"', "café 😀 \t"),
        ("{on: 1, 'true': 2}", {"on": 1, "true": 2}),
        ("[&a {x: 1}, *a]", [{"x": 1}, {"x": 1}]),
        ("a: b\r\nc: |\r\n  d\r\n  e\r\n", {"a": "b", "c": "d\ne\n"}),
    ],
)
def test_values(text, value, parser):
    document = read(text, parser)
    assert document.problems == []
    assert document.value == value
    assert document.value.__class__ is value.__class__


@both
def test_not_a_number(parser):
    assert math.isnan(read(".nan", parser).value)


@both
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "a: 1\nb: 2\na: 3\n",
            "f:3:1: error[ZF207]: key 'a' is given twice\n"
            "  3 | a: 3\n"
            "    | ^ the first is in line 1",
            id="duplicate key",
        ),
        pytest.param(
            "x:\n  - {b: 1, 'b': 2, b: 3}\n",
            "f:2:12: error[ZF207]: key 'b' is given twice\n"
            "  2 |   - {b: 1, 'b': 2, b: 3}\n"
            "    |            ^^^ the first is in line 2\n"
            "f:2:20: error[ZF207]: key 'b' is given twice\n"
            "  2 |   - {b: 1, 'b': 2, b: 3}\n"
            "    |                    ^ the first is in line 2",
            id="duplicate keys deep down",
        ),
        pytest.param(
            "1: a\n",
            "f:1:1: error[ZF222]: a key must be text, found 1\n"
            "  1 | 1: a\n"
            "    | ^ put it in quotes",
            id="key that is a number",
        ),
        pytest.param(
            "? [a, b]\n: c\n? d\n",
            "f:1:3: error[ZF222]: a key must be text, found a list or mapping\n"
            "  1 | ? [a, b]\n"
            "    |   ^^^^^^",
            id="key that is a list",
        ),
        pytest.param(
            'a: "x\\0y"\n',
            "f:1:4: error[ZF205]: the text holds U+0000, which cannot be given to a program\n"
            '  1 | a: "x\\0y"\n'
            "    |    ^^^^^^ remove it",
            id="escaped NUL",
        ),
        pytest.param(
            "a: !!python/object:os.system x\n",
            "f:1:4: error[ZF209]: the tag !!python/object:os.system has no meaning here\n"
            "  1 | a: !!python/object:os.system x\n"
            "    |    ^^^^^^^^^^^^^^^^^^^^^^^^^^^ remove the tag",
            id="foreign tag",
        ),
        pytest.param(
            "a: !env x\n",
            "f:1:4: error[ZF209]: the tag !env has no meaning here\n"
            "  1 | a: !env x\n"
            "    |    ^^^^^^ remove the tag",
            id="local tag",
        ),
        pytest.param(
            "!!int abc\n",
            "f:1:1: error[ZF209]: the tag !!int has no meaning here\n"
            "  1 | !!int abc\n"
            "    | ^^^^^^^^^ remove the tag",
            id="tag that does not fit",
        ),
        pytest.param(
            "a: !!set {x}\nb: !!omap [1]\n",
            "f:1:4: error[ZF209]: the tag !!set has no meaning here\n"
            "  1 | a: !!set {x}\n"
            "    |    ^^^^^^^^^ remove the tag\n"
            "f:2:4: error[ZF209]: the tag !!omap has no meaning here\n"
            "  2 | b: !!omap [1]\n"
            "    |    ^^^^^^^^^^ remove the tag",
            id="tags of collections",
        ),
        pytest.param(
            "a: &loop [*loop]\n",
            "f:1:4: error[ZF208]: an alias stands inside the value it refers to\n"
            "  1 | a: &loop [*loop]\n"
            "    |    ^ such a value has no end; write it out",
            id="alias in itself",
        ),
        pytest.param(
            "[" * 33 + "]" * 33,
            "f:1:33: error[ZF208]: values are nested more than 32 levels deep\n"
            f"  1 | {'[' * 33}{']' * 33}\n"
            f"    | {' ' * 32}^ no key of zf needs that",
            id="one level too deep",
        ),
    ],
)
def test_what_yaml_allows_and_zf_does_not(text, expected, parser):
    assert said(text, parser) == expected


@both
def test_a_loop_through_mappings_is_found_too(parser):
    assert "ZF208" in said("a: &x\n  b: &y\n    c: *x\n    d: *y\n", parser)


@both
def test_an_alias_used_twice_far_down_is_no_loop(parser):
    text = f"a: &x [1]\nb: {'[' * 33}*x, *x{']' * 33}\n"
    assert "nested more than 32 levels deep" in said(text, parser)


@both
def test_32_levels_are_read(parser):
    assert read("[" * 32 + "]" * 32, parser).problems == []


@both
@pytest.mark.parametrize("level", ["[", "{a: ", "- ", "? ", "- a:\n  - b: "])
def test_a_hundred_thousand_levels_do_not_crash(level, parser):
    assert "ZF2" in said(level * 100_000, parser)


def test_an_alias_bomb_is_refused():
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 20)]
    bomb = "\n".join(["l0: &l0 [x, x, x, x, x, x, x, x, x]", *levels])
    assert said(bomb) == (
        "f:1:5: error[ZF208]: the file holds more than 100000 values,"
        " aliases counted at every use\n"
        "  1 | l0: &l0 [x, x, x, x, x, x, x, x, x]\n"
        "    |     ^ write the value out where it is needed instead of multiplying aliases"
    )


def test_many_values_are_no_bomb():
    assert len(read("\n".join(f"- t{n}" for n in range(20_000))).value) == 20_000


@both
def test_half_a_surrogate_pair_is_refused(parser):
    # libyaml refuses the escape, PyYAML's own parser would let it through to the file system.
    assert said('a: "\\ud83d"', parser).startswith("f:1:")


def test_nodes_are_found_by_location():
    document = read("a: {b: [x, y]}\nc: 1\n")

    def place(*loc):
        mark = document.node_at(loc).start_mark
        return mark.line + 1, mark.column + 1

    assert place() == (1, 1)
    assert place("a", "b", 1) == (1, 12)
    assert place("a", "b", yaml12.KEY) == (1, 5)
    assert place("c") == (2, 4)
    assert place("a", "gone") == (1, 4)
    assert place("a", "b", 9) == (1, 8)
    assert place("c", "gone") == (2, 4)
