"""How far it is to the next renewal, retry or end of a trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.protocol.errors import invalid

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

LIVE = ("trialing", "active", "past_due", "unpaid")


def seconds_to(engine: Engine, moment: str, *, customer: str | None = None) -> int:
    """
    Seconds from now until a Unix time, or until one of these of a subscription on the global clock:

    `renewal`: the earliest end of a period or trial, and as much more as its invoice needs to be charged;
    `retry`: the next try of an unpaid invoice; `trial_end`: the end of a trial, and its invoice charged.
    """
    now = engine.now()
    match moment:
        case "renewal":
            found = _earliest(_period_ends(engine, customer), now)
            after = engine.settings.finalize_after + 1
        case "trial_end":
            found = _earliest(_trial_ends(engine, customer), now)
            after = engine.settings.finalize_after + 1
        case "retry":
            found = _earliest(_retries(engine, customer), now)
            after = 1
        case _ if moment.isascii() and moment.isdigit():
            found, after = int(moment), 0
        case _:
            raise invalid("`to` is a Unix time, renewal, retry or trial_end.", param="to")
    if found is None:
        raise invalid(f"There is no {moment} ahead.", param="to")
    return found - now + after


def _earliest(moments: list[int], now: int) -> int | None:
    return min((moment for moment in moments if moment > now), default=None)


def _period_ends(engine: Engine, customer: str | None) -> list[int]:
    return [
        min(int(item["current_period_end"]) for item in subscription["items"])
        for subscription in engine.store.scan("subscription")
        if subscription["status"] in LIVE
        and subscription["test_clock"] is None
        and customer in (None, subscription["customer"])
    ]


def _trial_ends(engine: Engine, customer: str | None) -> list[int]:
    return [
        int(subscription["trial_end"])
        for subscription in engine.store.scan("subscription")
        if subscription["status"] == "trialing"
        and subscription["test_clock"] is None
        and customer in (None, subscription["customer"])
    ]


def _retries(engine: Engine, customer: str | None) -> list[int]:
    return [
        int(invoice["next_payment_attempt"])
        for invoice in engine.store.scan("invoice")
        if invoice["status"] == "open"
        and invoice["next_payment_attempt"] is not None
        and invoice["test_clock"] is None
        and customer in (None, invoice["customer"])
    ]
