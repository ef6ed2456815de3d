"""paidup in this app: the one Billing object, and what the app does when something happens to a subscription."""

from __future__ import annotations

from paidup import Billing, Change, SubscriptionItem
from saas import activity
from saas.database import database
from saas.settings import settings

billing = Billing(settings().billing)


@billing.on_change()
def write_history(change: Change) -> None:
    """Every change that has words for it becomes a line on the user's dashboard."""
    if change.kind in activity.KINDS:
        activity.record(database(), change, plan_name=_plan_name(change.data.get("plan")))


def addon_name(item: SubscriptionItem) -> str | None:
    """The name of the add-on that an item is; None for a plan."""
    catalog = billing.catalog
    found = (catalog.find_addon(item.lookup_key) if item.lookup_key else None) or catalog.addon(item.addon_hint or "")
    return found.name if found else None


def _plan_name(key: object) -> str:
    names = {plan.key: plan.name for plan in billing.catalog.plans}
    return names.get(str(key), "The plan")
