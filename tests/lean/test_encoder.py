"""What is encoded by an encoder made once is what `json.dumps` says, and what is decoded is what
`json.loads` says.
"""

import json
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zf.lean.encoder import decoder, encoder

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(VALUES)
def test_it_says_what_dumps_says(value):
    assert encoder()(value) == json.dumps(value, separators=(",", ":"))
    assert encoder(", ", ": ", sort_keys=True)(value) == json.dumps(value, sort_keys=True)


def test_any_mapping_is_an_object_and_a_set_is_nothing():
    assert encoder()([MappingProxyType({"a": 1})]) == '[{"a":1}]'
    with pytest.raises(TypeError, match="set has no JSON form"):
        encoder()({"a": {1}})
    with pytest.raises(ValueError, match="not JSON compliant"):
        encoder()([float("nan")])


@given(VALUES)
def test_what_was_encoded_is_decoded(value):
    assert decoder()(encoder()(value)) == json.loads(json.dumps(value))


@pytest.mark.parametrize("text", ["", "{", "1 1", '{"a":}', "[1,]", "nothing", '"\n"'])
def test_what_is_no_json_is_not_decoded(text):
    with pytest.raises(ValueError, match=r"."):
        decoder()(text)
