"""Lines of a log as HTML: escaped, coloured by a fixed list of classes, all else written out."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zf.report.html import terminal

CLASS = re.compile(r"t[bfiu0-7]|g[0-7]")


@pytest.mark.parametrize(
    ("raw", "html"),
    [
        ("plain", "plain"),
        ("<b>&\"'", "&lt;b&gt;&amp;&#34;&#39;"),
        ("\x1b[31mred\x1b[0m not", '<span class="t1">red</span> not'),
        ("\x1b[1;92mok\x1b[22m ok", '<span class="tb t2">ok</span><span class="t2"> ok</span>'),
        ("\x1b[38;5;196mx\x1b[39my", '<span class="t1">x</span>y'),
        ("\x1b[38;2;10;200;30mx", '<span class="t2">x</span>'),
        ("\x1b[48;5;4m on \x1b[49m", '<span class="g4"> on </span>'),
        ("\x1b[3;4mx\x1b[23my\x1b[24mz", '<span class="ti tu">x</span><span class="tu">y</span>z'),
        ("\x1b[2J\x07\x00", "\\x1b[2J\\x07\\x00"),
        ("a\u202eb\u2066", "a\\u202eb\\u2066"),
        ("a\tb\x1b[31m\tc", 'a       b<span class="t1">       c</span>'),
        ("end\r", "end"),
        ("\x1b[38;5m \x1b[48;2m.", " ."),
    ],
)
def test_a_line(raw, html):
    assert terminal.lines([raw]) == [html]


def test_a_colour_lasts_over_lines_until_another_comes():
    assert terminal.lines(["\x1b[33ma", "b\x1b[m", "c"]) == [
        '<span class="t3">a</span>',
        '<span class="t3">b</span>',
        "c",
    ]


def test_a_long_line_is_cut_and_says_so():
    [line] = terminal.lines(["x" * 5000])
    assert line.startswith("x" * terminal.MOST_CHARS + "<i")
    assert "3 000 more characters" in line


ODD = st.sampled_from(
    ["\x1b[", "m", "31;", "0", "38;5;", "\t", "\r", "<", "&", "\u202e", "\x1b[1m"]
)


@given(st.lists(st.text(max_size=8) | ODD, max_size=12).map("".join))
@example("\x1b[;;;m\x1b[m")
def test_whatever_comes_is_one_visible_line_of_known_markup(raw):
    text = raw.replace("\n", "")
    [line] = terminal.lines([text])
    bare = re.sub(r'<span class="([^"]*)">|</span>', "", line)
    assert "<" not in bare
    for names in re.findall(r'<span class="([^"]*)">', line):
        assert all(CLASS.fullmatch(name) for name in names.split())
    assert line.unescape().isprintable() or "<span" in line
    assert line.striptags() == " ".join(terminal.visible(text).split())
    assert terminal.visible(text).isprintable()
