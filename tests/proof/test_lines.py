"""One top-level key, or item, a line, and nothing but those."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zf.events import Status
from zf.proof.lines import framed, key_lines, list_lines, object_lines

# Few texts and keys, so that values are often alike: what is inside of one may be another's whole.
TEXTS = st.sampled_from(["", "a", '"', ",\n  ", "[1,\n  2]", '{"a": 1,\n  "b": 2}', "é", "\ud800"])
_FLOATS = st.floats(0, 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | _FLOATS | TEXTS | st.sampled_from(Status),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
)


@given(st.dictionaries(st.sampled_from("abcde%"), VALUES, min_size=1))
def test_each_key_is_on_its_line_with_the_whole_of_its_value(value):
    lines = ",\n".join(f'  "{key}": {json.dumps(one)}' for key, one in value.items())
    assert object_lines(value) == f"{{\n{lines}\n}}\n".encode()
    assert framed(key_lines(value), '  "x": 1') == f'{{\n{lines},\n  "x": 1\n}}\n'.encode()


@given(st.lists(VALUES, min_size=1))
def test_each_item_is_on_its_line(items):
    lines = ",\n".join(f"  {json.dumps(one)}" for one in items)
    assert list_lines(items) == f"[\n{lines}\n]\n".encode()


def test_a_list_without_items():
    assert list_lines([]) == b"[]\n"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_in_json_is_refused(number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        object_lines({"a": number})
