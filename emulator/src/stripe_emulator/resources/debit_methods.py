"""Payment methods that debit a bank account: `us_bank_account` and `sepa_debit`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from stripe_emulator.bank_accounts import ACCOUNTS, NAMES, ROUTING_NUMBER, UNUSABLE, DebitType
from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

BANK = "STRIPE TEST BANK"


def make_debit(
    engine: Engine,
    number: str,
    billing_details: Json,
    *,
    holder: str = "individual",
    account_type: str = "checking",
    metadata: Json | None = None,
    clock: str | None = None,
) -> Json:
    """Store a test account, verified, that belongs to nobody yet; `number` is an account number or an IBAN."""
    account = ACCOUNTS[number]
    shared = {"fingerprint": hashlib.sha256(number.encode()).hexdigest()[:16], "last4": number[-4:]}
    kinds: dict[DebitType, Json] = {
        "us_bank_account": {
            **shared,
            "account_holder_type": holder,
            "account_type": account_type,
            "bank_name": BANK,
            "financial_connections_account": None,
            "networks": {"preferred": "ach", "supported": ["ach"]},
            "routing_number": ROUTING_NUMBER,
            "status_details": {},
        },
        "sepa_debit": {
            **shared,
            "bank_code": number[4:9],
            "branch_code": "",
            "country": account.country,
            "generated_from": {"charge": None, "setup_attempt": None},
        },
    }
    return engine.store.add(
        {
            **nulls("payment_method"),
            "id": new_id("pm"),
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": billing_details,
            account.type: kinds[account.type],
            "created": engine.now(clock),
            "customer": None,
            "livemode": False,
            "metadata": metadata or {},
            "type": account.type,
            "_number": number,
            "_set_up": True,
        }
    )


def number_named(name: str) -> str | None:
    """The account behind a `pm_usBankAccount_*` or `pm_sepaDebit_*` name."""
    return NAMES.get(name)


def create_debit(engine: Engine, params: Params, billing_details: Json, metadata: Json) -> Json:
    """A payment method of an account's number, or of an IBAN; its holder's name (and for SEPA e-mail) must be given."""
    type: DebitType = params["type"]
    sent = params.at(type)
    if not billing_details["name"]:
        raise _missing("billing_details[name]")
    if type == "sepa_debit":
        if not billing_details["email"]:
            raise _missing("billing_details[email]")
        number = str(_needed(sent, "iban")).replace(" ", "").upper()
        check_account(number, type, param="sepa_debit[iban]")
        return make_debit(engine, number, billing_details, metadata=metadata)
    number = str(_needed(sent, "account_number"))
    check_routing(str(_needed(sent, "routing_number")), param="us_bank_account[routing_number]")
    check_account(number, type, param="us_bank_account[account_number]")
    return make_debit(
        engine,
        number,
        billing_details,
        holder=_needed(sent, "account_holder_type"),
        account_type=sent.get("account_type", "checking"),
        metadata=metadata,
    )


def check_account(number: str, type: DebitType, *, param: str) -> None:
    """Raise what Stripe answers to an account it can't debit; in test mode that is every one but its own."""
    if number in UNUSABLE:
        raise invalid("This bank account can't be debited.", param=param, code=UNUSABLE[number])
    account = ACCOUNTS.get(number)
    if account is None or account.type != type:
        raise invalid(
            "You must use a test bank account number in test mode. See https://docs.stripe.com/testing for those "
            "stripe_emulator knows.",
            param=param,
            code="account_number_invalid",
        )


def check_routing(number: str, *, param: str) -> None:
    """Raise what Stripe answers to a routing number that isn't the test bank's."""
    if number != ROUTING_NUMBER:
        raise invalid(
            f"Invalid routing number; in test mode use {ROUTING_NUMBER}.", param=param, code="routing_number_invalid"
        )


def _needed(sent: Params, name: str) -> Any:
    value = sent.get(name)
    if not value:
        raise _missing(sent.name_of(name))
    return value


def _missing(param: str) -> Exception:
    return invalid(f"Missing required param: {param}.", param=param, code="parameter_missing")
