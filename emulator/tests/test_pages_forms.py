"""What is wrong with a card as typed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from stripe_emulator.pages.forms import email_problem, read_card

NOW = datetime(2026, 11, 22, tzinfo=UTC)
GOOD = {"cardNumber": "4242 4242 4242 4242", "cardExpiry": "12 / 34", "cardCvc": "123", "billingName": "Ada Lovelace"}


def problems(**changes: str) -> dict[str, str]:
    return read_card(GOOD | changes, now=NOW).problems


def test_a_good_card_is_read() -> None:
    card = read_card(GOOD, now=NOW).card
    assert card is not None
    assert (card.number, card.exp_month, card.exp_year) == ("4242424242424242", 12, 2034)
    assert (card.cvc, card.name) == ("123", "Ada Lovelace")


@pytest.mark.parametrize("expiry", ["12/34", "12 / 2034", "1234", "12-34", "122034", "11/26"])
def test_an_expiry_may_be_written_in_many_ways(expiry: str) -> None:
    assert problems(cardExpiry=expiry) == {}


@pytest.mark.parametrize("number", ["", "4242", "4242424242424241", "4242x24242424242", "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢", "4" * 40])
def test_a_wrong_number_is_named(number: str) -> None:
    assert list(problems(cardNumber=number)) == ["cardNumber"]


@pytest.mark.parametrize("expiry", ["", "12", "13/34", "0/34", "10/26", "12/2099", "1/2/34", "soon", "¹²/34"])
def test_a_wrong_expiry_is_named(expiry: str) -> None:
    assert list(problems(cardExpiry=expiry)) == ["cardExpiry"]


@pytest.mark.parametrize("cvc", ["", "12", "1234", "abc", "١٢٣"])
def test_a_wrong_security_code_is_named(cvc: str) -> None:
    assert list(problems(cardCvc=cvc)) == ["cardCvc"]


def test_american_express_has_four_digits() -> None:
    assert problems(cardNumber="378282246310005", cardCvc="1234") == {}
    assert list(problems(cardNumber="378282246310005", cardCvc="123")) == ["cardCvc"]


def test_everything_is_reported_at_once() -> None:
    assert list(read_card({}, now=NOW).problems) == ["cardNumber", "cardExpiry", "cardCvc"]


@pytest.mark.parametrize("email", ["", "ada", "ada@", "@example.com", "a b@example.com", "ada@example", "a@b@c.de"])
def test_a_wrong_address_is_named(email: str) -> None:
    assert email_problem(email)
