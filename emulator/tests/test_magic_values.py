"""
The test cards by number and by name, each with what it stands for.

[DOC] docs.stripe.com/testing and EMULATOR.md "Magic values". The tables are written down here once more, so that a slip
in the emulator's own is found.
"""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import Shop
from stripe_emulator import Emulator
from stripe_emulator.cards import HARD_DECLINES, NAMES, decline_of

GOOD = {
    "visa": ("4242424242424242", "visa", "credit"),
    "visa_debit": ("4000056655665556", "visa", "debit"),
    "mastercard": ("5555555555554444", "mastercard", "credit"),
    "mastercard_debit": ("5200828282828210", "mastercard", "debit"),
    "mastercard_prepaid": ("5105105105105100", "mastercard", "prepaid"),
    "amex": ("378282246310005", "amex", "credit"),
    "amex_threeDSecureNotSupported": ("378282246310005", "amex", "credit"),
    "discover": ("6011111111111117", "discover", "credit"),
    "diners": ("3056930009020004", "diners", "credit"),
    "jcb": ("3566002020360505", "jcb", "credit"),
    "unionpay": ("6200000000000005", "unionpay", "credit"),
    "threeDSecureOptional": ("4000000000003055", "visa", "credit"),
    "authenticationRequiredSetupForOffSession": ("4000003800000446", "visa", "credit"),
    "riskLevelElevated": ("4000000000009235", "visa", "credit"),
    "cvcCheckFail": ("4000000000000101", "visa", "credit"),
    "avsFail": ("4000000000000010", "visa", "credit"),
    "avsLine1Fail": ("4000000000000028", "visa", "credit"),
    "avsZipFail": ("4000000000000036", "visa", "credit"),
    "pendingRefund": ("4000000000007726", "visa", "credit"),
    "refundFail": ("4000000000005126", "visa", "credit"),
    "bypassPending": ("4000000000000077", "visa", "credit"),
    "createDispute": ("4000000000000259", "visa", "credit"),
    "createDisputeProductNotReceived": ("4000000000002685", "visa", "credit"),
    "createDisputeInquiry": ("4000000000001976", "visa", "credit"),
}
"""Charged with success: name, number, brand, funding."""

COUNTRIES = {
    "us": "4242424242424242",
    "ca": "4000001240000000",
    "mx": "4000004840008001",
    "br": "4000000760000002",
    "gb": "4000008260000000",
    "fr": "4000002500000003",
    "de": "4000002760000016",
    "au": "4000000360000006",
    "in": "4000003560000008",
    "jp": "4000003920000003",
}

DECLINED = {
    "visa_chargeDeclined": ("4000000000000002", "card_declined", "generic_decline"),
    "chargeDeclined": ("4000000000000002", "card_declined", "generic_decline"),
    "visa_chargeDeclinedInsufficientFunds": ("4000000000009995", "card_declined", "insufficient_funds"),
    "chargeDeclinedInsufficientFunds": ("4000000000009995", "card_declined", "insufficient_funds"),
    "visa_chargeDeclinedLostCard": ("4000000000009987", "card_declined", "lost_card"),
    "visa_chargeDeclinedStolenCard": ("4000000000009979", "card_declined", "stolen_card"),
    "visa_chargeDeclinedVelocityLimitExceeded": ("4000000000006975", "card_declined", "card_velocity_exceeded"),
    "chargeDeclinedExpiredCard": ("4000000000000069", "expired_card", None),
    "chargeDeclinedIncorrectCvc": ("4000000000000127", "incorrect_cvc", None),
    "chargeDeclinedProcessingError": ("4000000000000119", "processing_error", None),
    "threeDSecureRequiredProcessingError": ("4000008400001280", "processing_error", None),
    "chargeCustomerFail": ("4000000000000341", "card_declined", "generic_decline"),
    "chargeDeclinedFraudulent": ("4100000000000019", "card_declined", "fraudulent"),
    "radarBlock": ("4100000000000019", "card_declined", "fraudulent"),
    "riskLevelHighest": ("4000000000004954", "card_declined", "fraudulent"),
}
"""Refused when charged: name, number, code, decline code (None: the table says there is none)."""

AUTHENTICATED = {
    "authenticationRequiredOnSetup": ("4000002500003155", None),
    "authenticationRequired": ("4000002760003184", None),
    "threeDSecure2Required": ("4000000000003220", None),
    "authenticationRequiredChargeDeclinedInsufficientFunds": ("4000008260003178", "insufficient_funds"),
    "threeDSecureRequiredChargeDeclined": ("4000008400001629", "generic_decline"),
}
"""Wants 3D Secure: name, number, and why it is declined after a passed challenge."""

ATTACHABLE_THOUGH_DECLINED = {"chargeCustomerFail", "chargeDeclinedFraudulent", "radarBlock", "riskLevelHighest"}


def charge(shop: Shop, method: str) -> stripe.PaymentIntent:
    """A payment with a method, confirmed at once."""
    sent: Any = {"amount": 2000, "currency": "usd", "payment_method": method, "confirm": True}
    return shop.api.payment_intents.create(sent)


def by_number(shop: Shop, number: str) -> stripe.PaymentMethod:
    """A payment method of a typed card."""
    card: Any = {"number": number, "exp_month": 12, "exp_year": 2040, "cvc": "1234" if number[0] == "3" else "123"}
    return shop.api.payment_methods.create({"type": "card", "card": card})


def test_every_name_is_in_one_of_the_tables() -> None:
    assert set(NAMES) == {*GOOD, *COUNTRIES, *DECLINED, *AUTHENTICATED}


@pytest.mark.parametrize("name", list(GOOD))
def test_a_good_card_is_charged_by_name_token_and_number(shop: Shop, name: str) -> None:
    number, brand, funding = GOOD[name]
    token = shop.api.payment_methods.create({"type": "card", "card": {"token": f"tok_{name}"}})
    for method in (f"pm_card_{name}", token.id, by_number(shop, number).id):
        intent = charge(shop, method)
        assert intent.status == "succeeded"
        card = shop.api.charges.retrieve(str(intent.latest_charge)).payment_method_details
        assert card is not None
        assert card.card is not None
        assert (card.card.brand, card.card.funding, card.card.last4) == (brand, funding, number[-4:])


@pytest.mark.parametrize("country", list(COUNTRIES))
def test_a_card_is_from_where_its_name_says(shop: Shop, country: str) -> None:
    """docs.stripe.com/testing#international-cards"""
    method = by_number(shop, COUNTRIES[country])
    assert method.card is not None
    assert method.card.country == country.upper()
    assert charge(shop, f"pm_card_{country}").status == "succeeded"


@pytest.mark.parametrize("number", ["2223003122003222", "371449635398431", "6011000990139424", "6011981111111113"])
def test_the_other_brand_numbers_are_good_too(shop: Shop, number: str) -> None:
    assert charge(shop, by_number(shop, number).id).status == "succeeded"


@pytest.mark.parametrize("number", ["36227206271667", "6200000000000047", "6205500000000000004"])
def test_numbers_of_other_lengths_are_good_too(shop: Shop, number: str) -> None:
    assert charge(shop, by_number(shop, number).id).status == "succeeded"


@pytest.mark.parametrize("name", list(DECLINED))
def test_a_declining_card_says_why(shop: Shop, name: str) -> None:
    """docs.stripe.com/testing#declined-payments: by name, by token and by number."""
    number, code, decline_code = DECLINED[name]
    token = shop.api.payment_methods.create({"type": "card", "card": {"token": f"tok_{name}"}})
    for method in (f"pm_card_{name}", token.id, by_number(shop, number).id):
        with pytest.raises(stripe.CardError) as caught:
            charge(shop, method)
        assert caught.value.code == code
        assert caught.value.error is not None
        assert decline_code in (None, caught.value.error.decline_code)
        failed = shop.last_event("charge.failed")["data"]["object"]
        assert failed["failure_code"] == code


@pytest.mark.parametrize("name", list(DECLINED))
def test_a_declining_card_cannot_be_attached_but_for_some(shop: Shop, name: str) -> None:
    """[DOC] testing: 4000000000000341 attaches, then declines; cards that Radar blocks are blocked when charged."""
    customer = shop.customer(card=None)
    if name in ATTACHABLE_THOUGH_DECLINED:
        assert shop.api.payment_methods.attach(f"pm_card_{name}", {"customer": customer.id}).customer == customer.id
    else:
        with pytest.raises(stripe.CardError):
            shop.api.payment_methods.attach(f"pm_card_{name}", {"customer": customer.id})


@pytest.mark.parametrize("name", list(AUTHENTICATED))
def test_3d_secure_comes_first(shop: Shop, name: str) -> None:
    """docs.stripe.com/testing#regulatory-cards, in order: requires_action, the challenge, then paid or declined."""
    number, declined_for = AUTHENTICATED[name]
    for method in (f"pm_card_{name}", by_number(shop, number).id):
        seen = shop.seen()
        intent = charge(shop, method)
        assert intent.status == "requires_action"
        assert intent.next_action is not None
        assert intent.next_action.redirect_to_url is not None
        assert shop.types_since(seen)[-1] == "payment_intent.requires_action"
        shop.pages.post(str(intent.next_action.redirect_to_url.url), data={"answer": "complete"})
        done = shop.api.payment_intents.retrieve(intent.id)
        if declined_for is None:
            assert done.status == "succeeded"
            assert shop.types_since(seen)[-2:] == ["charge.succeeded", "payment_intent.succeeded"]
        else:
            assert done.last_payment_error is not None
            assert (done.status, done.last_payment_error.decline_code) == ("requires_payment_method", declined_for)
            assert shop.types_since(seen)[-2:] == ["charge.failed", "payment_intent.payment_failed"]


@pytest.mark.parametrize("name", list(AUTHENTICATED))
def test_a_failed_challenge_asks_for_another_card(shop: Shop, name: str) -> None:
    """docs.stripe.com/payments/3d-secure/authentication-flow"""
    intent = charge(shop, f"pm_card_{name}")
    assert intent.next_action is not None
    assert intent.next_action.redirect_to_url is not None
    shop.pages.post(str(intent.next_action.redirect_to_url.url), data={"answer": "fail"})
    failed = shop.api.payment_intents.retrieve(intent.id)
    assert failed.last_payment_error is not None
    assert failed.last_payment_error.code == "payment_intent_authentication_failure"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("authenticationRequiredOnSetup", "active"),
        ("authenticationRequired", "past_due"),
        ("authenticationRequiredSetupForOffSession", "active"),
    ],
)
def test_a_saved_card_is_charged_off_session_as_its_name_says(
    shop: Shop, emulator: Emulator, name: str, status: str
) -> None:
    """docs.stripe.com/testing#regulatory-cards: set up once, always asked, already set up."""
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    intent = shop.api.setup_intents.create(
        {"customer": customer.id, "payment_method": f"pm_card_{name}", "confirm": True}
    )
    if intent.next_action is not None and intent.next_action.redirect_to_url is not None:
        shop.pages.post(str(intent.next_action.redirect_to_url.url), data={"answer": "complete"})
    method = shop.api.setup_intents.retrieve(intent.id).payment_method
    shop.api.customers.update(customer.id, {"invoice_settings": {"default_payment_method": str(method)}})
    emulator.advance(to="renewal")
    emulator.advance(seconds=3600)
    assert shop.api.subscriptions.retrieve(subscription.id).status == status


def test_a_number_that_cannot_be_one_is_incorrect(shop: Shop) -> None:
    """docs.stripe.com/testing: 4242424242424241 fails the Luhn check; others aren't test cards."""
    with pytest.raises(stripe.CardError) as caught:
        by_number(shop, "4242424242424241")
    assert (caught.value.code, caught.value.param) == ("incorrect_number", "number")
    with pytest.raises(stripe.CardError) as live:
        by_number(shop, "4111111111111111")
    assert live.value.error is not None
    assert live.value.error.decline_code == "test_mode_live_card"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"exp_month": 13, "exp_year": 2040}, "invalid_expiry_month"),
        ({"exp_month": 1, "exp_year": 1970}, "invalid_expiry_year"),
        ({"exp_month": 1, "exp_year": 2040, "cvc": "99"}, "invalid_cvc"),
    ],
)
def test_a_card_that_cannot_be_right_is_refused(shop: Shop, sent: dict[str, Any], code: str) -> None:
    """docs.stripe.com/testing#invalid-data"""
    card: Any = {"number": "4242424242424242", **sent}
    with pytest.raises(stripe.CardError) as caught:
        shop.api.payment_methods.create({"type": "card", "card": card})
    assert caught.value.code == code


def test_radar_blocks_before_a_bank_is_asked(shop: Shop) -> None:
    """docs.stripe.com/error-handling#blocked-payment: charge.outcome.type is blocked."""
    with pytest.raises(stripe.CardError):
        charge(shop, "pm_card_radarBlock")
    outcome = shop.last_event("charge.failed")["data"]["object"]["outcome"]
    assert (outcome["type"], outcome["network_status"]) == ("blocked", "not_sent_to_network")
    intent = charge(shop, "pm_card_riskLevelElevated")
    risky = shop.api.charges.retrieve(str(intent.latest_charge)).outcome
    assert risky is not None
    assert risky.risk_level == "elevated"


@pytest.mark.parametrize(
    ("name", "failing"),
    [
        ("cvcCheckFail", {"cvc_check"}),
        ("avsFail", {"address_line1_check", "address_postal_code_check"}),
        ("avsLine1Fail", {"address_line1_check"}),
        ("avsZipFail", {"address_postal_code_check"}),
    ],
)
def test_a_check_may_fail_and_the_charge_succeed(shop: Shop, name: str, failing: set[str]) -> None:
    """docs.stripe.com/testing#fraud-prevention"""
    method = shop.api.payment_methods.create({"type": "card", "card": {"token": f"tok_{name}"}})
    assert method.card is not None
    assert method.card.checks is not None
    assert {check for check, result in method.card.checks.to_dict().items() if result == "fail"} == failing


@pytest.mark.parametrize(
    "code",
    [
        "incorrect_number",
        "lost_card",
        "pickup_card",
        "stolen_card",
        "revocation_of_authorization",
        "revocation_of_all_authorizations",
        "authentication_required",
        "highest_risk_level",
        "transaction_not_allowed",
    ],
)
def test_a_hard_decline_waits_for_another_card(shop: Shop, emulator: Emulator, code: str) -> None:
    """docs.stripe.com/billing/revenue-recovery/smart-retries#non-retryable-decline-codes"""
    assert code in HARD_DECLINES
    assert decline_of(code).is_hard
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    emulator.decline_next(code=code)
    emulator.advance(to="renewal")
    emulator.advance(seconds=3600)
    assert shop.api.subscriptions.retrieve(subscription.id).status == "past_due"
    [renewal, _] = shop.api.invoices.list({"subscription": subscription.id}).data
    emulator.advance(to="retry")
    waiting = shop.api.invoices.retrieve(renewal.id)
    assert (waiting.status, waiting.attempt_count) == ("open", 1)
    shop.give_card(customer.id, "pm_card_mastercard")
    emulator.advance(to="retry")
    assert shop.api.invoices.retrieve(renewal.id).status == "paid"


def test_a_soft_decline_is_tried_again_with_the_same_card(shop: Shop, emulator: Emulator) -> None:
    """docs.stripe.com/billing/revenue-recovery/smart-retries"""
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    emulator.decline_next(code="insufficient_funds")
    emulator.advance(to="renewal")
    emulator.advance(to="retry")
    assert shop.api.subscriptions.retrieve(subscription.id).status == "active"


def test_a_refund_may_arrive_later(shop: Shop, emulator: Emulator) -> None:
    """docs.stripe.com/testing#refunds: pending, then succeeded with refund.updated."""
    refund = shop.api.refunds.create({"payment_intent": charge(shop, "pm_card_pendingRefund").id})
    assert (refund.status, refund.pending_reason) == ("pending", "processing")
    seen = shop.seen()
    emulator.advance(days=5)
    assert shop.api.refunds.retrieve(refund.id).status == "succeeded"
    assert shop.types_since(seen) == ["refund.updated", "charge.refund.updated"]
    assert shop.last_event("refund.updated")["data"]["previous_attributes"]["status"] == "pending"


def test_a_refund_may_fail_later(shop: Shop, emulator: Emulator) -> None:
    """docs.stripe.com/testing#refunds: succeeded, then failed with refund.failed; the charge can be refunded again."""
    intent = charge(shop, "pm_card_refundFail")
    refund = shop.api.refunds.create({"payment_intent": intent.id})
    assert refund.status == "succeeded"
    emulator.advance(days=5)
    assert shop.api.refunds.retrieve(refund.id).status == "failed"
    assert "refund.failed" in shop.types_since()
    again = shop.api.charges.retrieve(str(intent.latest_charge))
    assert (again.amount_refunded, again.refunded) == (0, False)


def test_a_charge_that_is_disputed_cannot_be_refunded(shop: Shop) -> None:
    """docs.stripe.com/disputes/responding: the money is gone already."""
    intent = charge(shop, "pm_card_createDispute")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.refunds.create({"payment_intent": intent.id})
    assert caught.value.code == "charge_disputed"
