"""Stripe's moments, and what is made of those that no datetime can be."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from paidup.core.timestamps import from_iso, from_unix, to_unix


def test_a_moment_is_the_same_there_and_back() -> None:
    moment = datetime(2027, 2, 28, 23, 59, 59, tzinfo=UTC)
    assert from_unix(to_unix(moment)) == moment
    assert from_unix(None) is None


@pytest.mark.parametrize(
    ("seconds", "year"), [(253402300800, 9000), (10**30, 9000), (1e300, 9000), (-(10**12), 1000), (-(10**30), 1000)]
)
def test_a_moment_in_no_year_of_ours_is_the_nearest_one(seconds: float, year: int) -> None:
    assert from_unix(seconds) == datetime(year, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "value", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "2027-01-01T00:00:00", "soon", "", 5, None]
)
def test_what_is_no_moment_in_utc_is_none(value: object) -> None:
    assert from_iso(value) is None
