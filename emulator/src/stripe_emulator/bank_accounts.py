"""
The test bank accounts and how a debit of each ends, days after it was begun.

Numbers and `pm_usBankAccount_*`, `pm_sepaDebit_*` names as in https://docs.stripe.com/testing#non-card-payments. Every
account counts as verified; `pm_usBankAccount_failMicrodeposits` is not among them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from stripe_emulator.cards import Decline

DebitType = Literal["us_bank_account", "sepa_debit"]

CURRENCIES: dict[str, str] = {"us_bank_account": "usd", "sepa_debit": "eur"}
"""The one currency each kind of debit takes."""

ROUTING_NUMBER = "110000000"
DELAY = 180
"""Seconds more that an account takes whose name says that it is delayed."""


@dataclass(frozen=True, slots=True)
class TestAccount:
    """
    A test account. `failure`: how its bank refuses the debit in the end, or (`at_once`) Stripe before it is asked.
    `disputed`: its holder objects once it is paid. `delayed`: the answer comes a little later; `never`: none comes.
    """

    __test__ = False

    type: DebitType
    country: str
    failure: Decline | None = None
    at_once: bool = False
    disputed: bool = False
    delayed: bool = False
    never: bool = False


def _hard(code: str, message: str) -> Decline:
    return Decline(code, message, hard=True)


CLOSED = _hard("account_closed", "The customer's bank account has been closed.")
NO_ACCOUNT = _hard("no_account", "The customer's bank account could not be located.")
SHORT = Decline("insufficient_funds", "The customer's account has insufficient funds to cover this payment.")
NOT_AUTHORIZED = _hard(
    "debit_not_authorized", "The customer has notified their bank that this payment was unauthorized."
)
WRONG_CURRENCY = _hard("invalid_currency", "The bank was unable to process this payment because of its currency.")
WEEKLY_VOLUME = Decline("charge_exceeds_source_limit", "This payment exceeds the weekly limit of its source.")
WEEKLY_COUNT = Decline("charge_exceeds_weekly_limit", "This payment exceeds the weekly number of transactions.")
RISK = _hard("card_declined", "The payment was blocked because of its risk.")
OTHER_CURRENCY = _hard("payment_method_currency_mismatch", "The payment method doesn't take this currency.")
DEACTIVATED = _hard("bank_account_unusable", "The customer's tokenized account number has been deactivated.")
REFUSED = Decline("payment_intent_payment_attempt_failed", "The payment failed.")

_US: dict[str, tuple[str | None, TestAccount]] = {
    "000123456789": ("success", TestAccount("us_bank_account", "US")),
    "000111111113": ("accountClosed", TestAccount("us_bank_account", "US", CLOSED)),
    "000000004954": ("riskLevelHighest", TestAccount("us_bank_account", "US", RISK, at_once=True)),
    "000111111116": ("noAccount", TestAccount("us_bank_account", "US", NO_ACCOUNT)),
    "000222222227": ("insufficientFunds", TestAccount("us_bank_account", "US", SHORT)),
    "000333333335": ("debitNotAuthorized", TestAccount("us_bank_account", "US", NOT_AUTHORIZED)),
    "000444444440": ("invalidCurrency", TestAccount("us_bank_account", "US", WRONG_CURRENCY)),
    "000555555559": ("dispute", TestAccount("us_bank_account", "US", disputed=True)),
    "000000000009": ("processing", TestAccount("us_bank_account", "US", never=True)),
    "000777777771": ("weeklyLimitExceeded", TestAccount("us_bank_account", "US", WEEKLY_VOLUME)),
    "000888888885": (None, TestAccount("us_bank_account", "US", DEACTIVATED)),
}

_SEPA = TestAccount("sepa_debit", "")
_SCENARIOS: dict[str, TestAccount] = {
    "success": _SEPA,
    "successDelayed": replace(_SEPA, delayed=True),
    "failed": replace(_SEPA, failure=REFUSED),
    "failedDelayed": replace(_SEPA, failure=REFUSED, delayed=True),
    "disputed": replace(_SEPA, disputed=True),
    "exceedsWeeklyVolumeLimit": replace(_SEPA, failure=WEEKLY_VOLUME),
    "exceedsWeeklyTransactionLimit": replace(_SEPA, failure=WEEKLY_COUNT),
    "insufficientFunds": replace(_SEPA, failure=SHORT),
}
_IBANS: dict[str, tuple[str, ...]] = {
    "AT": (
        "AT611904300234573201",
        "AT321904300235473204",
        "AT861904300235473202",
        "AT051904300235473205",
        "AT591904300235473203",
        "AT981904300000343434",
        "AT601904300000121212",
        "AT981904300002222227",
    ),
    "BE": (
        "BE62510007547061",
        "BE78510007547064",
        "BE68539007547034",
        "BE51510007547065",
        "BE08510007547063",
        "BE90510000343434",
        "BE52510000121212",
        "BE90510002222227",
    ),
    "DE": (
        "DE89370400440532013000",
        "DE08370400440532013003",
        "DE62370400440532013001",
        "DE78370400440532013004",
        "DE35370400440532013002",
        "DE65370400440000343434",
        "DE27370400440000121212",
        "DE65370400440002222227",
    ),
    "FR": (
        "FR1420041010050500013M02606",
        "FR3020041010050500013M02609",
        "FR8420041010050500013M02607",
        "FR7920041010050500013M02600",
        "FR5720041010050500013M02608",
        "FR9720041010050000000343434",
        "FR5920041010050000000121212",
        "FR9720041010050000002222227",
    ),
    "IE": (
        "IE29AIBK93115212345678",
        "IE24AIBK93115212345671",
        "IE02AIBK93115212345679",
        "IE94AIBK93115212345672",
        "IE51AIBK93115212345670",
        "IE10AIBK93115200343434",
        "IE69AIBK93115200121212",
        "IE10AIBK93115202222227",
    ),
}
"""By country, in the order of the scenarios."""

_FIXTURE_FAILS = "IT60X0542811101000000123456"
"""What the Stripe CLI's own fixture of checkout.session.async_payment_failed pays with."""

UNUSABLE: dict[str, str] = {
    "AT271904300000055555": "sepa_unsupported_account",
    "BE19510000055555": "sepa_unsupported_account",
    "DE91370400440000055555": "sepa_unsupported_account",
    "FR2620041010050000000055555": "sepa_unsupported_account",
    "IE36AIBK93115200055555": "sepa_unsupported_account",
    "AT511904300000066666": "bank_account_unusable",
    "BE43510000066666": "bank_account_unusable",
    "DE18370400440000066666": "bank_account_unusable",
    "FR5020041010050000000066666": "bank_account_unusable",
    "IE60AIBK93115200066666": "bank_account_unusable",
}
"""IBANs of which no payment method can be made, with Stripe's code."""

ACCOUNTS: dict[str, TestAccount] = {number: account for number, (_, account) in _US.items()}
ACCOUNTS[_FIXTURE_FAILS] = replace(_SCENARIOS["failed"], country="IT")
NAMES: dict[str, str] = {f"pm_usBankAccount_{name}": number for number, (name, _) in _US.items() if name}
for _country, _numbers in _IBANS.items():
    for (_scenario, _account), _iban in zip(_SCENARIOS.items(), _numbers, strict=True):
        ACCOUNTS[_iban] = replace(_account, country=_country)
        NAMES[f"pm_sepaDebit_{_scenario}_{_country.lower()}"] = _iban
