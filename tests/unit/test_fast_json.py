"""The compiled JSON agrees with the standard library's."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paidup import fast_json

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(values)
def test_what_is_written_is_read_back_by_either(value: object) -> None:
    assert json.loads(fast_json.dumps(value)) == value
    assert fast_json.loads(json.dumps(value)) == value


@pytest.mark.parametrize("value", ["half a pair \ud83d", {"metadata": {"name": "\udc00"}}])
def test_half_a_surrogate_pair_survives(value: object) -> None:
    assert fast_json.loads(fast_json.dumps(value)) == value


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(json.JSONDecodeError):
        fast_json.loads(b"{")
