"""
What a plan switch in the portal will cost, before it is made.

The switch is really made, its invoices are drawn up, and all of it is undone: what is shown can't disagree with what
is charged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator import portal_page
from stripe_emulator.billing import upcoming
from stripe_emulator.hosted_views import ChangeView
from stripe_emulator.protocol.errors import ApiError
from stripe_emulator.resources import item_changes, subscription_updates
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


class _Undone(Exception):
    def __init__(self, view: ChangeView) -> None:
        super().__init__("preview")
        self.view = view


def preview(engine: Engine, session: Json, subscription: Json, price_id: str, quantity: int) -> ChangeView | None:
    """What is due today and on the next invoice; None when the switch can't be made."""
    try:
        with engine.transaction():
            raise _Undone(_made(engine, session, subscription, price_id, quantity))
    except _Undone as undone:
        return undone.view
    except ApiError:
        return None


def _made(engine: Engine, session: Json, subscription: Json, price_id: str, quantity: int) -> ChangeView:
    feature = portal_page.features_of(engine, session)["subscription_update"]
    at_end = portal_page.waits_for_the_end(engine, subscription, price_id, quantity, feature)
    item = {"id": subscription["items"][0]["id"], "price": price_id, "quantity": quantity}
    behavior = "none" if at_end else feature["proration_behavior"]
    discounts = portal_page.discounts_of(session, subscription, price_id, quantity)
    sent = Params({"items": [Params(item)], "proration_behavior": behavior, **discounts})
    with engine.changing(subscription, None):
        subscription_updates.change_discounts(engine, subscription, sent)
        invoice = item_changes.change_items(engine, subscription, sent)
        following = upcoming.preview(engine, subscription)
    return ChangeView(
        due_today=invoice["amount_due"] if invoice is not None else 0,
        next_amount=following["amount_due"],
        next_at=int(subscription["items"][0]["current_period_end"]),
        at_end=at_end,
    )
