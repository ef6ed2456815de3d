"""
The test cards and how each behaves.

Numbers, `pm_card_*` and `tok_*` names as in https://docs.stripe.com/testing
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stripe_emulator.protocol.errors import ApiError, card_error

Authentication = Literal["never", "on_setup", "until_set_up", "always"]
RefundEnd = Literal["succeeds_later", "fails_later"]
Objection = Literal["fraudulent", "product_not_received", "inquiry", "debit_not_authorized"]


@dataclass(frozen=True, slots=True)
class Decline:
    """
    Why a payment is refused: Stripe's error code, decline code and words. `hard`: another try is of no use;
    `by_radar`: Stripe refused it before any bank was asked.
    """

    code: str
    message: str
    decline_code: str | None = None
    param: str | None = None
    hard: bool = False
    by_radar: bool = False

    @property
    def is_hard(self) -> bool:
        """Must a retry wait for another card?"""
        return self.hard or self.decline_code in HARD_DECLINES or self.code in HARD_DECLINES

    def error(self) -> ApiError:
        """The decline as an answer."""
        return card_error(self.message, code=self.code, decline_code=self.decline_code, param=self.param)


@dataclass(frozen=True, slots=True)
class TestCard:
    """
    A test card. `setup`: refuses to be attached or saved. `charge`: attaches, and refuses to be charged.
    `authentication`: when 3D Secure is asked for (`until_set_up`: also of a card that is only attached);
    `after_authentication`: what follows a passed challenge. `dispute`: its holder objects to every payment.
    `bypasses_pending`: the money is available at once. `refund`: how a refund goes on after it was made. `failing`: the
    checks that fail without a decline; `elevated`: Radar thinks the payment risky and lets it pass.
    """

    __test__ = False

    brand: str
    setup: Decline | None = None
    charge: Decline | None = None
    authentication: Authentication = "never"
    after_authentication: Decline | None = None
    dispute: Objection | None = None
    bypasses_pending: bool = False
    country: str = "US"
    funding: str = "credit"
    refund: RefundEnd | None = None
    failing: tuple[str, ...] = ()
    elevated: bool = False


HARD_DECLINES = frozenset(
    {
        "incorrect_number",
        "lost_card",
        "pickup_card",
        "stolen_card",
        "revocation_of_authorization",
        "revocation_of_all_authorizations",
        "authentication_required",
        "highest_risk_level",
        "transaction_not_allowed",
    }
)

DECLINED = "Your card was declined."
GENERIC = Decline("card_declined", DECLINED, "generic_decline")
INSUFFICIENT = Decline("card_declined", "Your card has insufficient funds.", "insufficient_funds")
LOST = Decline("card_declined", DECLINED, "lost_card")
STOLEN = Decline("card_declined", DECLINED, "stolen_card")
VELOCITY = Decline(
    "card_declined", "Your card was declined for making repeated attempts too frequently.", "card_velocity_exceeded"
)
BLOCKED = Decline("card_declined", DECLINED, "fraudulent", by_radar=True)
EXPIRED = Decline("expired_card", "Your card has expired.", "expired_card", "exp_month")
INCORRECT_CVC = Decline("incorrect_cvc", "Your card's security code is incorrect.", "incorrect_cvc", "cvc")
PROCESSING = Decline(
    "processing_error", "An error occurred while processing your card. Try again in a little bit.", "processing_error"
)
INCORRECT_NUMBER = Decline("incorrect_number", "Your card number is incorrect.", None, "number")
NOT_A_TEST_CARD = Decline(
    "card_declined",
    "Your card was declined. Your request was in test mode, but used a non test (live) card. "
    "For a list of valid test cards, visit: https://docs.stripe.com/testing.",
    "test_mode_live_card",
)
AUTHENTICATION_REQUIRED = Decline(
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
    "authentication_required",
)
AUTHENTICATION_FAILED = Decline(
    "payment_intent_authentication_failure",
    "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
)

_BY_CODE = {
    decline.decline_code or decline.code: decline
    for decline in (
        GENERIC,
        INSUFFICIENT,
        LOST,
        STOLEN,
        VELOCITY,
        BLOCKED,
        EXPIRED,
        INCORRECT_CVC,
        PROCESSING,
        INCORRECT_NUMBER,
        AUTHENTICATION_REQUIRED,
    )
}
DECLINE_CODES = frozenset(
    {
        *_BY_CODE,
        *HARD_DECLINES,
        "approve_with_id",
        "call_issuer",
        "card_not_supported",
        "currency_not_supported",
        "do_not_honor",
        "do_not_try_again",
        "duplicate_transaction",
        "invalid_account",
        "invalid_amount",
        "issuer_not_available",
        "new_account_information_available",
        "no_action_taken",
        "not_permitted",
        "reenter_transaction",
        "restricted_card",
        "security_violation",
        "service_not_allowed",
        "stop_payment_order",
        "try_again_later",
        "withdrawal_count_limit_exceeded",
    }
)
"""Why an issuer may decline, as in https://docs.stripe.com/declines/codes"""

CARDS: dict[str, TestCard] = {
    "4242424242424242": TestCard("visa"),
    "4000056655665556": TestCard("visa", funding="debit"),
    "5555555555554444": TestCard("mastercard"),
    "2223003122003222": TestCard("mastercard"),
    "5200828282828210": TestCard("mastercard", funding="debit"),
    "5105105105105100": TestCard("mastercard", funding="prepaid"),
    "378282246310005": TestCard("amex"),
    "371449635398431": TestCard("amex"),
    "6011111111111117": TestCard("discover"),
    "3056930009020004": TestCard("diners"),
    "3566002020360505": TestCard("jcb", country="JP"),
    "6200000000000005": TestCard("unionpay", country="CN"),
    "6011000990139424": TestCard("discover"),
    "6011981111111113": TestCard("discover", funding="debit"),
    "36227206271667": TestCard("diners"),
    "6200000000000047": TestCard("unionpay", country="CN", funding="debit"),
    "6205500000000000004": TestCard("unionpay", country="CN"),
    "4000001240000000": TestCard("visa", country="CA"),
    "4000004840008001": TestCard("visa", country="MX"),
    "4000000760000002": TestCard("visa", country="BR"),
    "4000008260000000": TestCard("visa", country="GB"),
    "4000002500000003": TestCard("visa", country="FR"),
    "4000002760000016": TestCard("visa", country="DE"),
    "4000000360000006": TestCard("visa", country="AU"),
    "4000003560000008": TestCard("visa", country="IN"),
    "4000003920000003": TestCard("visa", country="JP"),
    "4000000000000002": TestCard("visa", setup=GENERIC, charge=GENERIC),
    "4000000000009995": TestCard("visa", setup=INSUFFICIENT, charge=INSUFFICIENT),
    "4000000000009987": TestCard("visa", setup=LOST, charge=LOST),
    "4000000000009979": TestCard("visa", setup=STOLEN, charge=STOLEN),
    "4000000000006975": TestCard("visa", setup=VELOCITY, charge=VELOCITY),
    "4000000000000069": TestCard("visa", setup=EXPIRED, charge=EXPIRED),
    "4000000000000127": TestCard("visa", setup=INCORRECT_CVC, charge=INCORRECT_CVC),
    "4000000000000119": TestCard("visa", setup=PROCESSING, charge=PROCESSING),
    "4100000000000019": TestCard("visa", charge=BLOCKED),
    "4000000000000341": TestCard("visa", charge=GENERIC),
    "4000000000004954": TestCard("visa", charge=BLOCKED),
    "4000000000009235": TestCard("visa", elevated=True),
    "4000000000000101": TestCard("visa", failing=("cvc_check",)),
    "4000000000000010": TestCard("visa", failing=("address_line1_check", "address_postal_code_check")),
    "4000000000000028": TestCard("visa", failing=("address_line1_check",)),
    "4000000000000036": TestCard("visa", failing=("address_postal_code_check",)),
    "4000000000003055": TestCard("visa"),
    "4000008400001280": TestCard("visa", setup=PROCESSING, charge=PROCESSING),
    "4000000000007726": TestCard("visa", refund="succeeds_later"),
    "4000000000005126": TestCard("visa", refund="fails_later"),
    "4000002500003155": TestCard("visa", authentication="on_setup", country="DE"),
    "4000000000003220": TestCard("visa", authentication="until_set_up"),
    "4000002760003184": TestCard("visa", authentication="always", country="DE"),
    "4000008260003178": TestCard("visa", authentication="on_setup", after_authentication=INSUFFICIENT, country="GB"),
    "4000008400001629": TestCard("visa", authentication="on_setup", after_authentication=GENERIC),
    "4000003800000446": TestCard("visa", country="FR"),
    "4000000000000077": TestCard("visa", bypasses_pending=True),
    "4000000000000259": TestCard("visa", dispute="fraudulent"),
    "4000000000002685": TestCard("visa", dispute="product_not_received"),
    "4000000000001976": TestCard("visa", dispute="inquiry"),
}

NAMES: dict[str, str] = {
    "visa": "4242424242424242",
    "visa_debit": "4000056655665556",
    "mastercard": "5555555555554444",
    "mastercard_debit": "5200828282828210",
    "mastercard_prepaid": "5105105105105100",
    "amex": "378282246310005",
    "discover": "6011111111111117",
    "diners": "3056930009020004",
    "jcb": "3566002020360505",
    "unionpay": "6200000000000005",
    "visa_chargeDeclined": "4000000000000002",
    "chargeDeclined": "4000000000000002",
    "visa_chargeDeclinedInsufficientFunds": "4000000000009995",
    "chargeDeclinedInsufficientFunds": "4000000000009995",
    "visa_chargeDeclinedLostCard": "4000000000009987",
    "visa_chargeDeclinedStolenCard": "4000000000009979",
    "visa_chargeDeclinedVelocityLimitExceeded": "4000000000006975",
    "chargeDeclinedExpiredCard": "4000000000000069",
    "chargeDeclinedIncorrectCvc": "4000000000000127",
    "chargeDeclinedProcessingError": "4000000000000119",
    "chargeDeclinedFraudulent": "4100000000000019",
    "chargeCustomerFail": "4000000000000341",
    "radarBlock": "4100000000000019",
    "riskLevelHighest": "4000000000004954",
    "riskLevelElevated": "4000000000009235",
    "cvcCheckFail": "4000000000000101",
    "avsFail": "4000000000000010",
    "avsLine1Fail": "4000000000000028",
    "avsZipFail": "4000000000000036",
    "threeDSecureOptional": "4000000000003055",
    "threeDSecureRequiredChargeDeclined": "4000008400001629",
    "threeDSecureRequiredProcessingError": "4000008400001280",
    "amex_threeDSecureNotSupported": "378282246310005",
    "pendingRefund": "4000000000007726",
    "refundFail": "4000000000005126",
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
    "authenticationRequiredOnSetup": "4000002500003155",
    "threeDSecure2Required": "4000000000003220",
    "authenticationRequired": "4000002760003184",
    "authenticationRequiredChargeDeclinedInsufficientFunds": "4000008260003178",
    "authenticationRequiredSetupForOffSession": "4000003800000446",
    "bypassPending": "4000000000000077",
    "createDispute": "4000000000000259",
    "createDisputeProductNotReceived": "4000000000002685",
    "createDisputeInquiry": "4000000000001976",
}
"""What follows `pm_card_` or `tok_`."""

ALREADY_SET_UP = frozenset({"4000003800000446"})


def number_of(name: str) -> str | None:
    """The number behind a `pm_card_*` or `tok_*` name."""
    for prefix in ("pm_card_", "tok_"):
        if name.startswith(prefix):
            return NAMES.get(name.removeprefix(prefix))
    return None


def decline_of(code: str) -> Decline:
    """The decline with one of the DECLINE_CODES."""
    return _BY_CODE.get(code) or Decline("card_declined", DECLINED, code)


def card_of(number: str) -> TestCard | None:
    """The test card with a number, if it is one."""
    return CARDS.get(number)


def problem_with(
    number: str, exp_month: int, exp_year: int, cvc: str | None, *, now: tuple[int, int]
) -> Decline | None:
    """
    What is wrong with a card as typed, before any bank is asked. `now` is (year, month).

    A number that is no test card is refused as Stripe refuses a real one in test mode.
    """
    if not number.isdigit() or not 12 <= len(number) <= 19 or not _passes_luhn(number):
        return INCORRECT_NUMBER
    if not 1 <= exp_month <= 12:
        return Decline("invalid_expiry_month", "Your card's expiration month is invalid.", None, "exp_month")
    if exp_year < now[0] or exp_year > now[0] + 50:
        return Decline("invalid_expiry_year", "Your card's expiration year is invalid.", None, "exp_year")
    if (exp_year, exp_month) < now:
        return Decline("invalid_expiry_month", "Your card's expiration month is invalid.", None, "exp_month")
    if cvc is not None and not (cvc.isdigit() and len(cvc) in (3, 4)):
        return Decline("invalid_cvc", "Your card's security code is invalid.", None, "cvc")
    return None if number in CARDS else NOT_A_TEST_CARD


def _passes_luhn(number: str) -> bool:
    total = 0
    for position, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + position % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
