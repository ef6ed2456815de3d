"""
Waiting for an app to take `invoice.created` before its invoice is finalised, when the settings say so.

An invoice that advances by itself is finalised an hour after the last endpoint that listens has answered with a 2xx,
and 72 hours after it was made when one does not. A moment that was asked for is kept.
See https://docs.stripe.com/invoicing/integration/workflow-transitions#finalized and
https://docs.stripe.com/invoicing/scheduled-finalization
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.events import follow, listens
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

CREATED = "invoice.created"
LONGEST = 72 * 3600


def finalizes_at(engine: Engine, draft: Json) -> int | None:
    """When a draft is finalised by itself, as things stand."""
    planned = draft["automatically_finalizes_at"]
    if planned is None:
        return None
    waits = engine.settings.wait_for_webhooks and draft.get("_unanswered", False) and not draft.get("_scheduled", False)
    return max(int(planned), int(draft["created"]) + LONGEST) if waits else int(planned)


def note_taken(engine: Engine, event: Json) -> None:
    """Every endpoint has taken an event: if it told of an invoice, its hour begins now."""
    if event["type"] != CREATED:
        return
    invoice = engine.store.get(event["data"]["object"]["id"], "invoice")
    if invoice is None or not invoice.get("_unanswered", False):
        return
    invoice["_unanswered"] = False
    if not engine.settings.wait_for_webhooks or invoice["status"] != "draft":
        return
    now = engine.now(invoice["test_clock"])
    invoice["webhooks_delivered_at"] = now
    if invoice["automatically_finalizes_at"] is not None and not invoice.get("_scheduled", False):
        invoice["automatically_finalizes_at"] = now + engine.settings.finalize_after


def _note_created(engine: Engine, invoice: Json) -> None:
    invoice["_unanswered"] = any(
        endpoint["status"] == "enabled" and listens(endpoint, CREATED)
        for endpoint in engine.store.scan("webhook_endpoint")
    )


follow(CREATED, _note_created)
