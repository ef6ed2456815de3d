"""Marks: the same for the same person's addresses and cards, and telling nothing."""

from __future__ import annotations

import pytest

from paidup.core import marks


@pytest.mark.hazard(61)
@pytest.mark.parametrize(
    ("email", "same"),
    [
        ("Ada@Example.com", "ada@example.com"),
        ("ada+trial2@example.com", "ada@example.com"),
        (" ada@example.com ", "ada@example.com"),
        ("a.d.a+x@gmail.com", "ada@gmail.com"),
        ("ada@googlemail.com", "ada@gmail.com"),
        ("a.da@example.com", "a.da@example.com"),
        ("+tag@example.com", "+tag@example.com"),
        ("nonsense", "@nonsense"),
    ],
)
def test_an_address_has_one_form(email: str, same: str) -> None:
    assert marks.unaliased(email) == same
    assert marks.of_email("key", email) == marks.of_email("key", same) != marks.of_email("another key", same)


@pytest.mark.hazard(61, 117)
def test_cards_have_marks_and_what_has_no_fingerprint_has_none() -> None:
    card = {"id": "pm_1", "type": "card", "card": {"fingerprint": "abc"}}
    bodies = [card, card | {"id": "pm_2"}, {"id": "pm_3", "type": "link", "link": {}}, "pm_4", None]
    [mark] = marks.of_payment_methods("key", bodies)
    assert "abc" not in mark
