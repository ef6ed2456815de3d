"""Pages and the windows of time they cover: every row is beside exactly one page, also within one second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from paidup.core.place import Place

START = datetime(2027, 1, 1, tzinfo=UTC)


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


@given(seconds=st.lists(st.integers(0, 6), max_size=40), size=st.integers(1, 7), gone=st.sets(st.integers(0, 40)))
def test_what_a_page_lacks_is_found_once_in_its_window(seconds: list[int], size: int, gone: set[int]) -> None:
    """Rows are what a list has, and those in `gone`, which it lacks."""
    rows = {f"x{number}": at(second) for number, second in enumerate(sorted(seconds, reverse=True))}
    listed = {id: moment for number, (id, moment) in enumerate(rows.items()) if number not in gone}
    ids = list(listed)
    pages = [ids[start : start + size] for start in range(0, len(ids), size)] or [[]]
    place, found = Place(), list[str]()
    for number, page in enumerate(pages):
        is_last = number == len(pages) - 1
        following = Place.read(place.after_page({id: listed[id] for id in page}, is_last=is_last).stored())
        for id, moment in rows.items():
            is_below = place.until is None or moment <= place.until
            is_above = is_last or following.until is None or moment > following.until
            if is_below and is_above and id not in place.seen and id not in page:
                found.append(id)
        place = following
    assert sorted(found) == sorted(rows.keys() - listed.keys())
    assert place.is_done


def test_a_list_that_was_not_begun_is_at_its_beginning() -> None:
    assert Place.read(None) == Place.read({}) == Place()
    assert Place().after_page({}, is_last=True) == Place(is_done=True)
