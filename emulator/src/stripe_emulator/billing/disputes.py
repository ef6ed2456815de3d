"""
Disputes: a card's holder objects to a payment, and the money is gone until it is decided.

Cards that dispute, and the evidence that wins or loses: https://docs.stripe.com/testing#disputes
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.cards import Objection
from stripe_emulator.ids import new_id
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

ANSWER_WITHIN = 9 * DAY
_REASON_CODES = {"fraudulent": "10.4", "product_not_received": "13.1", "general": "10.4"}
_EVIDENCE = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
)


def open_dispute(engine: Engine, charge: Json, objection: Objection) -> Json:
    """
    Object to a whole charge. An inquiry asks first and leaves the money where it is; there is no appeal for a debit.
    See https://docs.stripe.com/payments/ach-direct-debit#disputed-payments
    """
    inquiry = objection == "inquiry"
    final = objection == "debit_not_authorized"
    reason = "general" if inquiry else objection
    now = engine.now(charge["_clock"])
    dispute: Json = {
        **nulls("dispute"),
        "id": new_id("du"),
        "object": "dispute",
        "amount": charge["amount"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(_EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": now + ANSWER_WITHIN,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": None if final else _card_details(charge, reason, inquiry=inquiry),
        "reason": reason,
        "status": "lost" if final else "warning_needs_response" if inquiry else "needs_response",
        "_clock": charge["_clock"],
        "_withdrawn": not inquiry,
    }
    engine.store.add(dispute)
    charge["disputed"] = True
    engine.emit("charge.dispute.created", dispute)
    if not inquiry:
        engine.emit("charge.dispute.funds_withdrawn", dispute)
    if final:
        engine.emit("charge.dispute.closed", dispute)
    return dispute


def _card_details(charge: Json, reason: str, *, inquiry: bool) -> Json:
    brand = charge["payment_method_details"]["card"]["brand"]
    return {
        "card": {
            "brand": brand,
            "case_type": "inquiry" if inquiry else "chargeback",
            "network": brand,
            "network_reason_code": _REASON_CODES[reason],
        },
        "type": "card",
    }


def decide(engine: Engine, dispute: Json, *, won: bool) -> None:
    """End a dispute; the money comes back when it is won, an inquiry is just closed."""
    inquiry = dispute["status"].startswith("warning_")
    with engine.changing(dispute, "charge.dispute.closed"):
        dispute["status"] = "warning_closed" if inquiry else "won" if won else "lost"
    if won and dispute["_withdrawn"]:
        dispute["_withdrawn"] = False
        engine.emit("charge.dispute.funds_reinstated", dispute)


def escalate(engine: Engine, dispute: Json) -> None:
    """An inquiry becomes a chargeback: the money is withdrawn, and evidence is asked for once more."""
    with engine.changing(dispute, "charge.dispute.updated"):
        dispute.update(status="needs_response", is_charge_refundable=False, _withdrawn=True)
        dispute["payment_method_details"]["card"]["case_type"] = "chargeback"
        dispute["evidence"]["uncategorized_text"] = None
    engine.emit("charge.dispute.funds_withdrawn", dispute)
