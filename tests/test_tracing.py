"""W3C Trace Context: what is read, and what is handed on."""

import re

import pytest

from zf.tracing import Parent, Trace

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", True),
    ],
)
def test_a_parent_is_read(header, sampled):
    assert Parent.read(header) == Parent(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "header",
    [
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
        "",
    ],
)
def test_what_has_not_the_form_counts_as_none(header):
    assert Parent.read(header) is None
    begun = Trace.begin("r", header)
    assert (begun.traceparent, begun.parent) == ("", None)
    assert re.fullmatch("[0-9a-f]{32}", begun.trace_id)
    assert begun.trace_id != Trace.begin("r", header).trace_id


def test_what_steps_are_told_is_read_by_the_same_rules():
    trace = Trace.begin("r", f"00-{TRACE}-{SPAN}-00")
    told = Parent.read(trace.step("10-a", 2, "step-0"))
    assert told == Parent(TRACE, trace.span_id("step", "10-a", "2", "step-0"), sampled=False)
    assert Trace().step("10-a", 1, "step-0") == ""


def test_every_span_has_its_own_id():
    names = [(), ("phase", "a"), ("task", "a"), ("attempt", "a", "1"), ("attempt", "a", "2")]
    names += [("step", "a", "1", "step-0"), ("step", "a", "1", "step-1"), ("step", "a1", "step-0")]
    ids = {Trace(run, TRACE).span_id(*each) for run in ("r", "s") for each in names}
    assert len(ids) == 2 * len(names)
