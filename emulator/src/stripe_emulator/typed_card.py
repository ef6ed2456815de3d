"""A card typed into a page: checked, made a payment method, its refusal shown at the right field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.cards import Decline
from stripe_emulator.hosted_views import CardInput, Outcome
from stripe_emulator.protocol.errors import ApiError
from stripe_emulator.resources import payment_methods
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

_FIELDS = {"number": "cardNumber", "exp_month": "cardExpiry", "exp_year": "cardExpiry", "cvc": "cardCvc"}


def make(engine: Engine, card: CardInput, *, email: str | None, clock: str | None) -> Json:
    """The payment method of a typed card; raises a card error if it can't be right."""
    number = card.number.replace(" ", "").replace("-", "")
    payment_methods.check_typed_card(engine, number, card.exp_month, card.exp_year, card.cvc)
    return payment_methods.make_card(
        engine,
        number,
        exp_month=card.exp_month,
        exp_year=card.exp_year,
        billing_details={"email": email, "name": card.name or None},
        clock=clock,
    )


def declined(decline: Decline, *, redirect: str | None = None) -> Outcome:
    """A refusal, at the field it is about."""
    return Outcome("declined", decline.message, _FIELDS.get(decline.param or ""), redirect)


def refused(error: ApiError) -> Outcome:
    """An API error as a page shows it."""
    return Outcome("declined", error.message, _FIELDS.get(error.param or "", error.param))
