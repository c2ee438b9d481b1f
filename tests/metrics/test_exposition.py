"""Metrics as text: what is read, what is refused, and what is written again."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from zf.metrics.exposition import (
    MAX_BYTES,
    MAX_SERIES,
    Metrics,
    Series,
    from_json,
    read,
    summed,
    text,
)


def values(data: str) -> dict[str, float]:
    return {one.sample: one.value for one in read(data.encode()).series.values()}


def test_samples_of_the_text_format_and_json_lines_are_read_alike():
    found = read(
        b"# TYPE built_bytes gauge\n# UNIT built_bytes bytes\n# HELP built_bytes how large it is\n"
        b'built_bytes{part="a \\"b\\" \\\\ \\n"} 12.5 1700000000\n'
        b'{"name": "seen_total", "value": 3, "labels": {"kind": "new"}}\n'
        b'  plain 1e3 # {trace_id="x"} 1\r\n\n# EOF\n'
    )
    assert found.bad == 0
    assert found.as_json() == [
        {
            "name": "built_bytes",
            "type": "gauge",
            "unit": "bytes",
            "labels": {"part": 'a "b" \\ \n'},
            "value": 12.5,
        },
        {"name": "plain", "type": "gauge", "unit": "", "labels": {}, "value": 1000.0},
        {
            "name": "seen_total",
            "type": "counter",
            "unit": "",
            "labels": {"kind": "new"},
            "value": 3.0,
        },
    ]


def test_counters_add_up_and_of_a_gauge_the_last_value_counts():
    assert values("a_total 1\ng 1\na_total 2.5\ng 7\n") == {"a_total": 3.5, "g": 7.0}
    assert values('a_total{x="1"} 1\na_total{x="2"} 1\n') == {
        'a_total{x="1"}': 1.0,
        'a_total{x="2"}': 1.0,
    }
    assert values('m_total{b="2",a="1"} 1\nm_total{a="1",b="2"} 1\n') == {
        'm_total{a="1",b="2"}': 2.0
    }


def test_a_sum_stays_finite():
    assert values("a_total 1e308\na_total 1e308\na_total 1e308\n")["a_total"] < float("inf")


def test_what_is_stated_of_a_metric_decides_over_its_name():
    found = read(b"# TYPE odd_total gauge\nodd_total 2\nodd_total 1\n# TYPE n counter\nn 1\nn 1\n")
    assert {one.name: (one.type, one.value) for one in found.series.values()} == {
        "odd_total": ("gauge", 1.0),
        "n": ("counter", 2.0),
    }
    histogram = b'# TYPE h histogram\nh_bucket{le="1"} 2\nh_sum 3\nh_count 2\n' * 2
    assert {one.name: one.value for one in read(histogram).series.values()} == {
        "h_bucket": 4.0,
        "h_sum": 6.0,
        "h_count": 4.0,
    }


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("words", "is not NAME VALUE"),
        ("words without sense", "no number"),
        ("1name 2", "is not NAME VALUE"),
        ("name NaN", "not finite"),
        ("name +Inf", "not finite"),
        ("name 1e999", "not finite"),
        ("name 1_000", "not finite"),
        ("name one", "no number"),
        ('name{a="1"', "is not NAME VALUE"),
        ("name{a=1} 1", "labels that are not"),
        ('name{a="1",a="2"} 1', "the label a twice"),
        ("n_total -1", "negative"),
        ('{"name": "a"}', "no number as its value"),
        ('{"name": "a", "value": true}', "no number as its value"),
        ('{"name": "a", "value": "1"}', "no number as its value"),
        ('{"name": "a b", "value": 1}', "no name of letters"),
        ('{"name": "a", "value": 1, "tags": {}}', "unknown key tags"),
        ('{"name": "a", "value": 1, "labels": {"x": 1}}', "no name with a text"),
        ('{"name": "a", "value": 1, "labels": [1]}', "no object"),
        ('{"name": "a", "value": 1, "labels": {"x": "\\ud800"}}', "no Unicode text"),
        ('{"name": "a", "value": 1, "unit": 5}', "no text"),
        ("{" * 5000, "no JSON object"),
        ('{"a":' * 5000, "no JSON object"),
    ],
)
def test_a_bad_line_is_counted_and_quoted_and_the_others_count(line, reason):
    found = read(f"first 1\n{line}\nlast 2\n".encode())
    assert (found.bad, len(found.series)) == (1, 2)
    assert reason in found.quoted[0]
    assert "(line 2)" in found.quoted[0]
    assert len(found.quoted[0]) < 400


def test_of_many_bad_lines_the_first_are_quoted():
    found = read(b"bad\n" * 100 + b"\xff\xfe 1\nok 1\n")
    assert (found.bad, len(found.quoted)) == (101, 5)


def test_there_are_limits_to_series_and_bytes():
    found = read("".join(f"m{n} 1\n" for n in range(MAX_SERIES + 5)).encode())
    assert (len(found.series), found.is_cut, found.bad) == (MAX_SERIES, True, 0)
    line = b"a_total 1\n"
    found = read(line * (MAX_BYTES // len(line) + 10))
    assert found.is_cut
    assert found.bad == 0
    assert next(iter(found.series.values())).value == MAX_BYTES // len(line)


_names = st.from_regex(r"[a-z_:][a-z0-9_:]{0,20}", fullmatch=True)
_series = st.builds(
    Series,
    name=_names.filter(lambda name: not name.endswith("_total")),
    labels=st.dictionaries(
        st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True), st.text(max_size=20), max_size=4
    ).map(lambda labels: tuple(sorted(labels.items()))),
    type=st.just("gauge"),
    value=st.floats(allow_nan=False, allow_infinity=False),
)


@given(st.lists(_series, max_size=8))
def test_what_is_written_is_read_as_it_was(many):
    metrics = Metrics()
    for one in many:
        metrics.add(one)
    again = read(text(metrics.series.values()).encode("utf-8", "surrogatepass"))
    assert again.series == metrics.series
    assert again.bad == 0


@given(st.binary(max_size=300))
def test_no_bytes_are_too_odd(data):
    found = read(data)
    assert json.dumps(found.as_json())
    assert read(text(found.series.values()).encode()).bad == 0


def test_another_parser_of_the_text_format_reads_what_is_written():
    written = text(
        read(
            b'llm_tokens_total{model="m",type="in\\"put"} 5\nllm_tokens_total{model="n"} 1\n'
            b"# UNIT size_bytes bytes\nsize_bytes 2.5\ntemperature -1\n"
        ).series.values()
    )
    families = {one.name: one for one in text_string_to_metric_families(written)}
    assert {name: one.type for name, one in families.items()} == {
        "llm_tokens": "counter",
        "size_bytes": "gauge",
        "temperature": "gauge",
    }
    assert families["size_bytes"].unit == "bytes"
    samples = families["llm_tokens"].samples
    assert [(one.labels["model"], one.value) for one in samples] == [("m", 5.0), ("n", 1.0)]
    assert samples[0].labels["type"] == 'in"put'


def test_series_of_several_attempts_are_summed():
    first = read(b'a_total{x="1"} 1\ng 5\n').as_json()
    second = read(b'a_total{x="1"} 2\na_total 1\ng 3\n').as_json()
    assert {from_json(one).sample: one["value"] for one in summed([first, second])} == {
        'a_total{x="1"}': 3.0,
        "a_total": 1.0,
        "g": 3.0,
    }
    assert summed([]) == []
