"""
How an invoice is to be collected: charged or sent, due when, advanced by itself or not.

See https://docs.stripe.com/billing/collection-method and https://docs.stripe.com/invoicing/scheduled-finalization
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import sending
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

DUE = ("days_until_due", "due_date")


def days_until_due(params: Params, collection_method: str, *, kept: int | None = None) -> int | None:
    """
    A subscription's `days_until_due`: needed when its invoices are sent, refused when they are charged.

    `kept`: what it was before, when nothing is sent.
    """
    days = params.get("days_until_due")
    if collection_method != sending.SENT:
        _refuse_due(params)
        return None
    if days is None and kept is None:
        raise invalid(
            "You must pass `days_until_due` when using `collection_method=send_invoice`.", param="days_until_due"
        )
    return _days(params) if days is not None else kept


def apply(engine: Engine, invoice: Json, params: Params) -> None:
    """What was sent about collecting a draft; `collection_method` and the due date are fixed by finalising."""
    sent = [name for name in ("collection_method", *DUE, "automatically_finalizes_at") if name in params]
    if sent and invoice["status"] != "draft":
        raise invalid(f"Finalized invoices can't be updated in this way: {sent[0]}", param=sent[0])
    invoice["collection_method"] = params.get("collection_method", invoice["collection_method"])
    if sending.is_sent(invoice):
        _set_due(engine, invoice, params)
    else:
        _refuse_due(params)
        invoice["due_date"] = None
    if "auto_advance" in params:
        _advance(engine, invoice, params["auto_advance"])
    if "automatically_finalizes_at" in params:
        _schedule(engine, invoice, params["automatically_finalizes_at"])


def _set_due(engine: Engine, invoice: Json, params: Params) -> None:
    if all(name in params for name in DUE):
        raise invalid("You may only specify one of these parameters: days_until_due, due_date.", param="due_date")
    if "days_until_due" in params:
        sending.set_due(invoice, days=_days(params))
    elif "due_date" in params:
        if params["due_date"] <= engine.now(invoice["test_clock"]):
            raise invalid("`due_date` must be in the future.", param="due_date")
        invoice["due_date"] = params["due_date"]
    elif invoice["due_date"] is None:
        raise invalid(
            "You must pass `due_date` or `days_until_due` when using `collection_method=send_invoice`.",
            param="days_until_due",
        )


def _advance(engine: Engine, invoice: Json, auto_advance: bool) -> None:
    invoice["auto_advance"] = auto_advance
    if invoice["status"] != "draft":
        return
    if not auto_advance:
        invoice["automatically_finalizes_at"] = None
    elif invoice["automatically_finalizes_at"] is None:
        now = engine.now(invoice["test_clock"])
        invoice["automatically_finalizes_at"] = now + engine.settings.finalize_after


def _schedule(engine: Engine, invoice: Json, moment: int) -> None:
    if not invoice["auto_advance"]:
        raise invalid(
            "`automatically_finalizes_at` needs `auto_advance` to be true.", param="automatically_finalizes_at"
        )
    if moment <= engine.now(invoice["test_clock"]):
        raise invalid("`automatically_finalizes_at` must be in the future.", param="automatically_finalizes_at")
    invoice.update(automatically_finalizes_at=moment, _scheduled=True)


def _days(params: Params) -> int:
    days = int(params["days_until_due"])
    if days < 0:
        raise invalid("This value must be greater than or equal to 0.", param="days_until_due")
    return days


def _refuse_due(params: Params) -> None:
    for name in DUE:
        if name in params:
            raise invalid(f"`{name}` is only for `collection_method=send_invoice`.", param=name)
