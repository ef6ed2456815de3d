"""
The life of a subscription schedule: it starts, its phases follow each other, it ends or is let go.

Its moves come before what its subscription does by itself at the same moment, so that a renewal is the new phase's.
See https://docs.stripe.com/billing/subscriptions/subscription-schedules
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from stripe_emulator import agenda
from stripe_emulator.billing import invoicing, phases, standing
from stripe_emulator.billing.subscribing import Terms, announce_trial, build, first_lines
from stripe_emulator.events import follow
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

KIND = "subscription_schedule"
LIVE = ("not_started", "active")
EXPIRY_WARNING = 7 * DAY
UPDATED = "subscription_schedule.updated"


def next_due(engine: Engine, schedule: Json) -> int | None:
    """When it starts, when its current phase ends, when its end is announced."""
    match schedule["status"]:
        case "not_started":
            return int(schedule["phases"][0]["start_date"])
        case "active":
            moments = [schedule["phases"][schedule["_at"]]["end_date"]]
            if not schedule["_warned"]:
                moments.append(schedule["phases"][-1]["end_date"] - EXPIRY_WARNING)
            return int(min(moments))
        case _:
            return None


def when_due(engine: Engine, schedule: Json) -> None:
    """Do the one thing that is due."""
    now = engine.now(schedule["test_clock"])
    if schedule["status"] == "not_started":
        with engine.changing(schedule, UPDATED):
            start(engine, schedule)
    elif schedule["phases"][schedule["_at"]]["end_date"] > now:
        schedule["_warned"] = True
        engine.emit("subscription_schedule.expiring", schedule)
    elif schedule["_at"] + 1 < len(schedule["phases"]):
        enter_next(engine, schedule)
    else:
        _end(engine, schedule)


def start(engine: Engine, schedule: Json) -> None:
    """
    Make the subscription of the first phase.

    Its first invoice is like a renewal's: a draft for an hour, charged later. The subscription is active meanwhile.
    """
    phase = schedule["phases"][0]
    customer = engine.find("customer", schedule["customer"])
    now = engine.now(schedule["test_clock"])
    terms = Terms(
        currency=phase["currency"],
        trial_end=phase["trial_end"] if (phase["trial_end"] or 0) > now else None,
        proration_behavior=phase["proration_behavior"],
        billing_mode=schedule["billing_mode"]["type"],
    )
    items = [(engine.find("price", item["price"]), item["quantity"], item["metadata"]) for item in phase["items"]]
    subscription = build(engine, customer, items, terms)
    subscription.update(schedule=schedule["id"], days_until_due=schedule["_days_until_due"])
    phases.inherit(subscription, schedule, phase)
    phases.apply_discounts(engine, subscription, phase)
    schedule.update(status="active", subscription=subscription["id"])
    _stand_at(engine, schedule, 0)
    watch_expiry(engine, schedule)
    invoice = invoicing.draft(
        engine,
        customer,
        first_lines(engine, subscription, terms),
        reason="subscription_create",
        currency=subscription["currency"],
        subscription=subscription,
    )
    invoice["_like_renewal"] = True
    subscription["latest_invoice"] = invoice["id"]
    engine.emit("customer.subscription.created", subscription)
    announce_trial(engine, subscription)


def adopt(engine: Engine, schedule: Json, subscription: Json) -> None:
    """Attach a schedule to a subscription that is there already and is what the first phase says."""
    schedule.update(status="active", subscription=subscription["id"])
    with engine.changing(subscription, "customer.subscription.updated"):
        subscription["schedule"] = schedule["id"]
        _stand_at(engine, schedule, 0)
        watch_expiry(engine, schedule)


def enter_next(engine: Engine, schedule: Json) -> None:
    """The next phase begins now."""
    subscription = engine.find("subscription", schedule["subscription"])
    with (
        engine.changing(schedule, UPDATED),
        engine.changing(subscription, "customer.subscription.updated"),
    ):
        _stand_at(engine, schedule, schedule["_at"] + 1)
        phase = schedule["phases"][schedule["_at"]]
        phases.apply(engine, subscription, schedule, phase, behavior=phase["proration_behavior"])
        if schedule["_only_changes"] and schedule["_at"] == len(schedule["phases"]) - 1:
            _release(engine, schedule, preserve_cancel_date=False)
    if schedule["status"] == "released":
        engine.emit("subscription_schedule.released", schedule)


def change_end(engine: Engine, schedule: Json) -> None:
    """Carry a change of what happens at the end over to the subscription."""
    subscription = engine.find("subscription", schedule["subscription"])
    with engine.changing(subscription, "customer.subscription.updated"):
        _stand_at(engine, schedule, schedule["_at"])


def change_current(engine: Engine, schedule: Json, behavior: str) -> None:
    """Carry a change of the current phase over to the subscription."""
    subscription = engine.find("subscription", schedule["subscription"])
    with engine.changing(subscription, "customer.subscription.updated"):
        change_end(engine, schedule)
        phase = schedule["phases"][schedule["_at"]]
        phases.apply(engine, subscription, schedule, phase, behavior=behavior, entering=False)


def watch_expiry(engine: Engine, schedule: Json) -> None:
    """Announce the end seven days before it, if it is not nearer already."""
    now = engine.now(schedule["test_clock"])
    schedule["_warned"] = schedule["phases"][-1]["end_date"] - EXPIRY_WARNING <= now


def release(engine: Engine, schedule: Json, *, preserve_cancel_date: bool) -> None:
    """Let the subscription go as it is; an end that the schedule had set goes too, unless it is to be kept."""
    with engine.changing(schedule, UPDATED):
        _release(engine, schedule, preserve_cancel_date=preserve_cancel_date)
    engine.emit("subscription_schedule.released", schedule)


def _release(engine: Engine, schedule: Json, *, preserve_cancel_date: bool) -> None:
    schedule.update(status="released", released_at=engine.now(schedule["test_clock"]))
    _let_go(engine, schedule, preserve_cancel_date=preserve_cancel_date)


def cancel(engine: Engine, schedule: Json, *, aborted: bool = False) -> None:
    """It is over because its subscription is; `aborted`: because that was not paid for."""
    schedule.update(status="canceled", canceled_at=engine.now(schedule["test_clock"]), current_phase=None)
    engine.emit(f"subscription_schedule.{'aborted' if aborted else 'canceled'}", schedule)


def _end(engine: Engine, schedule: Json) -> None:
    """The last phase is over: the subscription goes on alone, or ends."""
    schedule.update(status="completed", completed_at=engine.now(schedule["test_clock"]), current_phase=None)
    if schedule["end_behavior"] == "cancel":
        subscription = engine.find("subscription", schedule["subscription"])
        standing.cancel(engine, subscription, reason="cancellation_requested")
    else:
        _let_go(engine, schedule, preserve_cancel_date=False)
    engine.emit("subscription_schedule.completed", schedule)


def _let_go(engine: Engine, schedule: Json, *, preserve_cancel_date: bool) -> None:
    schedule["current_phase"] = None
    if schedule["subscription"] is None:
        return
    subscription = engine.find("subscription", schedule["subscription"])
    schedule.update(subscription=None, released_subscription=subscription["id"])
    with engine.changing(subscription, "customer.subscription.updated"):
        subscription["schedule"] = None
        if not preserve_cancel_date:
            _set_end(engine, schedule, subscription, None)


def _stand_at(engine: Engine, schedule: Json, position: int) -> None:
    """Be in a phase. The subscription's `cancel_at` is set in the last one only."""
    schedule["_at"] = position
    phase = schedule["phases"][position]
    schedule["current_phase"] = {"end_date": phase["end_date"], "start_date": phase["start_date"]}
    ends = position == len(schedule["phases"]) - 1 and schedule["end_behavior"] == "cancel"
    subscription = engine.find("subscription", schedule["subscription"])
    _set_end(engine, schedule, subscription, phase["end_date"] if ends else None)


def _set_end(engine: Engine, schedule: Json, subscription: Json, moment: int | None) -> None:
    if moment is not None:
        subscription.update(
            cancel_at=moment,
            cancel_at_period_end=False,
            canceled_at=subscription["canceled_at"] or engine.now(subscription["test_clock"]),
        )
    elif schedule["_sets_end"]:
        subscription.update(
            cancel_at=None,
            cancel_at_period_end=False,
            canceled_at=None,
            cancellation_details={"comment": None, "feedback": None, "reason": None},
        )
    schedule["_sets_end"] = moment is not None


def _split(engine: Engine, subscription: Json) -> None:
    """Items changed on the subscription itself: the current phase ends, and one like it with these items begins."""
    schedule = engine.store.get(subscription["schedule"] or "", KIND)
    if schedule is None or schedule["status"] != "active":
        return
    position = schedule["_at"]
    phase = schedule["phases"][position]
    if _items(subscription["items"]) == _items(phase["items"]):
        return
    now = engine.now(schedule["test_clock"])
    known = {item["price"]: item for item in phase["items"]}
    items = [_mirrored(item, known.get(item["price"])) for item in subscription["items"]]
    with engine.changing(schedule, UPDATED):
        if phase["start_date"] == now:
            phase["items"] = items
            return
        following = {**copy.deepcopy(phase), "start_date": now, "items": items}
        phase["end_date"] = now
        schedule["phases"].insert(position + 1, following)
        _stand_at(engine, schedule, position + 1)


def _items(items: list[Json]) -> list[tuple[str, int]]:
    return sorted((item["price"], item["quantity"]) for item in items)


def _mirrored(item: Json, known: Json | None) -> Json:
    if known is not None:
        return {**known, "quantity": item["quantity"]}
    return phase_item(item["price"], item["quantity"], dict(item["metadata"]))


def phase_item(price: str, quantity: int, metadata: Json) -> Json:
    """An item of a phase."""
    return {
        "billing_thresholds": None,
        "discounts": [],
        "metadata": metadata,
        "plan": price,
        "price": price,
        "quantity": quantity,
        "tax_rates": [],
    }


def _follow_end(engine: Engine, subscription: Json) -> None:
    schedule = engine.store.get(subscription["schedule"] or "", KIND)
    if schedule is not None and schedule["status"] in LIVE:
        cancel(engine, schedule, aborted=subscription["cancellation_details"]["reason"] == "payment_failed")


def _follow_customer(engine: Engine, customer: Json) -> None:
    for found in list(engine.store.scan(KIND)):
        if found["customer"] == customer["id"] and found["status"] in LIVE:
            cancel(engine, engine.find(KIND, found["id"]))


agenda.register(KIND, next_due=next_due, when_due=when_due, first=True)
follow("customer.subscription.updated", _split)
follow("customer.subscription.deleted", _follow_end)
follow("customer.deleted", _follow_customer)
