"""Disputes through the API: answered with evidence, or given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing.disputes import decide, escalate
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

WINS, LOSES, ESCALATES = "winning_evidence", "losing_evidence", "escalate_inquiry_evidence"


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One dispute."""
    return engine.find("dispute", ids[0])


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Disputes by charge and payment intent."""
    charge, intent = params.get("charge"), params.get("payment_intent")
    return [
        dispute
        for dispute in engine.store.scan("dispute")
        if charge in (None, dispute["charge"]) and intent in (None, dispute["payment_intent"])
    ]


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """
    Metadata and evidence, submitted at once unless `submit=false`.

    `uncategorized_text` of `winning_evidence` or `losing_evidence` decides it, `escalate_inquiry_evidence` makes an
    inquiry a chargeback; other evidence stays under review. See https://docs.stripe.com/testing#evidence
    """
    dispute = engine.find("dispute", ids[0])
    evidence = params.plain("evidence") or {}
    submit = params.get("submit", True)
    if evidence and not _is_open(dispute):
        raise invalid(f"This dispute's status is {dispute['status']}, so its evidence can't be changed.")
    with engine.changing(dispute, "charge.dispute.updated"):
        dispute["metadata"] = merged(dispute["metadata"], params)
        dispute["evidence"] |= {name: value or None for name, value in evidence.items()}
        details = dispute["evidence_details"]
        details["has_evidence"] = any(
            value for name, value in dispute["evidence"].items() if name != "enhanced_evidence"
        )
        if evidence and submit:
            details["submission_count"] += 1
            details["submission_method"] = "manual"
            warning = dispute["status"].startswith("warning_")
            dispute["status"] = "warning_under_review" if warning else "under_review"
    said = dispute["evidence"]["uncategorized_text"] if evidence and submit else None
    if said in (WINS, LOSES):
        decide(engine, dispute, won=said == WINS)
    elif said == ESCALATES and dispute["status"].startswith("warning_"):
        escalate(engine, dispute)
    return dispute


def close(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Accept that it is lost."""
    dispute = engine.find("dispute", ids[0])
    if not _is_open(dispute):
        raise invalid(f"This dispute's status is {dispute['status']}, so it can't be closed.")
    decide(engine, dispute, won=False)
    return dispute


def _is_open(dispute: Json) -> bool:
    return dispute["status"] in ("needs_response", "warning_needs_response")


ROUTES = [
    Route("GET", "/v1/disputes", listing, "DisputeListParams"),
    Route("GET", "/v1/disputes/{id}", retrieve, "DisputeRetrieveParams"),
    Route("POST", "/v1/disputes/{id}", update, "DisputeUpdateParams"),
    Route("POST", "/v1/disputes/{id}/close", close, "DisputeCloseParams"),
]
