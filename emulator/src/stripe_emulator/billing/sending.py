"""
Invoices that are sent to be paid: when they are due, the reminder before, and what follows when nobody pays in time.

See https://docs.stripe.com/billing/collection-method and
https://docs.stripe.com/api/subscriptions/object#subscription_object-status
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import invoicing, standing
from stripe_emulator.billing.payments import cancel_intent
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

SENT = "send_invoice"


def is_sent(invoice: Json) -> bool:
    """Is it sent to be paid, rather than charged?"""
    return bool(invoice["collection_method"] == SENT)


def set_due(invoice: Json, *, days: int) -> None:
    """`days_until_due` counts from when the invoice was made."""
    invoice["due_date"] = invoice["created"] + days * DAY


def send(engine: Engine, invoice: Json) -> None:
    """Tell the customer by e-mail, which here is only said; what is paid already needs no asking."""
    if invoice["status"] == "open":
        engine.emit("invoice.sent", invoice)


def next_due(engine: Engine, invoice: Json) -> int | None:
    """The next moment an open invoice that was sent is reminded of, overdue or given up."""
    steps = _steps(engine, invoice)
    return steps[0][0] if steps else None


def when_due(engine: Engine, invoice: Json) -> None:
    """Do the one thing that is due: remind, be overdue, or give the subscription up."""
    _, step = _steps(engine, invoice)[0]
    invoice["_due_steps"] = [*invoice.get("_due_steps", []), step]
    match step:
        case "remind":
            engine.emit("invoice.will_be_due", invoice)
        case "overdue":
            engine.emit("invoice.overdue", invoice)
            standing.after_overdue(engine, invoice)
        case _:
            subscription = standing.subscription_for(engine, invoice)
            if subscription is not None and subscription["status"] == "past_due":
                standing.after_last_try(engine, invoice)


def settle_elsewhere(engine: Engine, invoice: Json) -> None:
    """`paid_out_of_band`: the money came another way, so that nothing is left to pay it with here."""
    intent, payment = invoicing.intent_of(engine, invoice), invoicing.payment_of(engine, invoice)
    if intent is not None and payment is not None:
        cancel_intent(engine, intent, "automatic")
        payment["status"] = "canceled"
        payment["status_transitions"]["canceled_at"] = engine.now(invoice["test_clock"])
    invoicing.mark_paid(engine, invoice, by_payment=False, elsewhere=True)
    standing.after_paid(engine, invoice)


def _steps(engine: Engine, invoice: Json) -> list[tuple[int, str]]:
    """What is still ahead of an open invoice; nothing is due before it was finalised."""
    due = invoice["due_date"]
    if invoice["status"] != "open" or due is None:
        return []
    settings, opened = engine.settings, int(invoice["status_transitions"]["finalized_at"])
    planned = [(max(due, opened), "overdue")]
    if settings.will_be_due_days is not None and due - settings.will_be_due_days * DAY > opened:
        planned.insert(0, (due - settings.will_be_due_days * DAY, "remind"))
    if invoicing.subscription_of(invoice) is not None:
        planned.append((max(due + settings.overdue_end_days * DAY, opened), "end"))
    return [(moment, step) for moment, step in planned if step not in invoice.get("_due_steps", [])]
