"""
Debits of bank accounts: begun now, answered by the bank some days later.

Until then the payment intent is `processing` and its charge `pending`. See
https://docs.stripe.com/payments/ach-direct-debit and https://docs.stripe.com/payments/sepa-debit
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from stripe_emulator import agenda
from stripe_emulator.bank_accounts import ACCOUNTS, CURRENCIES, DELAY, OTHER_CURRENCY
from stripe_emulator.billing import disputes
from stripe_emulator.billing.attempts import Attempt, last_error
from stripe_emulator.billing.charging import make_charge, outcome_of, receipt_url, refuse
from stripe_emulator.cards import Decline
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

Settled = Callable[["Engine", Json, Attempt, Json], None]

_TOLD: list[Settled] = []


def when_settled(work: Settled) -> None:
    """Let something follow the bank's answer; it is given the intent, how it ended and the payment method."""
    _TOLD.append(work)


def begin(engine: Engine, intent: Json, method: Json, *, refusal: Decline | None) -> Attempt:
    """Ask the bank for the money. `refusal` is what it will answer instead of what the test account stands for."""
    account = ACCOUNTS[method["_number"]]
    if intent["currency"] != CURRENCIES[method["type"]]:
        return refuse(engine, intent, method, OTHER_CURRENCY)
    if account.at_once and account.failure is not None:
        return refuse(engine, intent, method, account.failure)
    charge = make_charge(engine, intent, method, pending=True)
    failure = refusal or account.failure
    wait = engine.settings.debit_settles_after + (DELAY if account.delayed else 0)
    if method["type"] not in intent["payment_method_types"]:
        intent["payment_method_types"].append(method["type"])
    intent.update(
        status="processing",
        latest_charge=charge["id"],
        last_payment_error=None,
        _settles_at=None if account.never else engine.now(intent.get("_clock")) + wait,
        _fails_with=None if failure is None else asdict(failure),
    )
    engine.emit("charge.pending", charge)
    engine.emit("payment_intent.processing", intent)
    return Attempt("processing")


def call_back(engine: Engine, intent: Json) -> None:
    """A debit that is given up before its bank has answered takes nothing."""
    charge = engine.find("charge", intent["latest_charge"])
    charge.update(status="failed", failure_message="The payment was canceled.")
    engine.emit("charge.failed", charge)


def _settle(engine: Engine, intent: Json) -> None:
    charge = engine.find("charge", intent["latest_charge"])
    method = engine.find("payment_method", intent["payment_method"])
    failure = None if intent["_fails_with"] is None else Decline(**intent["_fails_with"])
    if failure is None:
        _succeed(engine, intent, charge)
    else:
        _fail(engine, intent, charge, method, failure)
    attempt = Attempt("succeeded" if failure is None else "failed", failure)
    for work in _TOLD:
        work(engine, intent, attempt, method)
    if failure is None and ACCOUNTS[method["_number"]].disputed:
        disputes.open_dispute(engine, charge, "debit_not_authorized")


def _succeed(engine: Engine, intent: Json, charge: Json) -> None:
    charge.update(
        status="succeeded",
        paid=True,
        outcome=outcome_of(None),
        receipt_url=receipt_url(charge["id"]),
        calculated_statement_descriptor=intent["statement_descriptor"] or "EMULATED INC",
    )
    intent.update(status="succeeded", amount_received=intent["amount"])
    engine.emit("charge.succeeded", charge)
    engine.emit("payment_intent.succeeded", intent)


def _fail(engine: Engine, intent: Json, charge: Json, method: Json, failure: Decline) -> None:
    charge.update(
        status="failed",
        failure_code=failure.code,
        failure_message=failure.message,
        outcome=outcome_of(failure),
    )
    intent.update(
        status="requires_payment_method",
        last_payment_error=last_error(failure, method["id"], charge["id"]),
        payment_method=None,
    )
    engine.emit("charge.failed", charge)
    engine.emit("payment_intent.payment_failed", intent)


def _next_due(engine: Engine, intent: Json) -> int | None:
    return intent["_settles_at"] if intent["status"] == "processing" else None


agenda.register("payment_intent", next_due=_next_due, when_due=_settle)
