"""Subscription schedules through the API: create, retrieve, list, update, release, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stripe_emulator.billing import schedules
from stripe_emulator.billing.changing_plans import credit_unused_time
from stripe_emulator.billing.schedules import KIND, LIVE
from stripe_emulator.billing.standing import cancel as cancel_subscription
from stripe_emulator.billing.subscribing import billing_mode, check_room
from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import ApiError, invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.resources import customers, item_changes, payment_methods, schedule_phases
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

WITHOUT_SCHEDULE = ("canceled", "incomplete", "incomplete_expired", "paused")
TIMES = ("canceled_at", "completed_at", "released_at")


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """
    A schedule for a subscription that exists, or one that makes its subscription when it starts.

    `from_subscription` is sent alone: it gives one phase, the subscription's current period.
    """
    params.ignore("expand")
    if "from_subscription" in params:
        return _from_subscription(engine, params)
    for name in ("customer", "phases"):
        if name not in params:
            raise invalid(f"Missing required param: {name}.", param=name, code="parameter_missing")
    customer = customers.existing(engine, params["customer"], param="customer")
    check_room(engine, customer)
    now = engine.now(customer["test_clock"])
    begin = params.get("start_date", "now")
    begin = now if begin == "now" else begin
    if begin < now:
        raise invalid(
            "stripe_emulator does not backdate subscriptions.", param="start_date", code="emulator_unsupported"
        )
    schedule = _new(engine, customer, params.at("billing_mode").get("type", "flexible"))
    schedule["phases"] = schedule_phases.parse(engine, customer, params.list_of("phases"), start=begin, anchor=None)
    _settings(engine, schedule, params)
    engine.store.add(schedule)
    if begin == now:
        schedules.start(engine, schedule)
    engine.emit("subscription_schedule.created", schedule)
    return schedule


def _from_subscription(engine: Engine, params: Params) -> Json:
    subscription = engine.find("subscription", params["from_subscription"], param="from_subscription")
    for name in params.as_names():
        if name not in ("from_subscription", "expand"):
            raise invalid(f"You cannot set `{name}` if `from_subscription` is set.", param=name)
    if subscription["schedule"] is not None:
        raise invalid(
            f"You cannot migrate a subscription that is already attached to a schedule: `{subscription['schedule']}`.",
            param="from_subscription",
        )
    if subscription["status"] in WITHOUT_SCHEDULE:
        raise invalid(
            f"You cannot migrate a subscription that is in the `{subscription['status']}` status.",
            param="from_subscription",
        )
    return attach(engine, subscription)


def attach(engine: Engine, subscription: Json, change: Params | None = None) -> Json:
    """
    A schedule whose phase is a subscription's current period.

    `change`: the phase that follows it, after whose begin the schedule has nothing more to do.
    """
    customer = engine.find("customer", subscription["customer"])
    schedule = _new(engine, customer, subscription["billing_mode"]["type"])
    current = schedule_phases.of_subscription(engine, subscription)
    schedule["phases"] = [current]
    if change is not None:
        schedule["_only_changes"] = True
        anchor = subscription["billing_cycle_anchor"]
        schedule["phases"] += schedule_phases.parse(
            engine, customer, [change], start=current["end_date"], anchor=anchor
        )
    for name in ("collection_method", "default_payment_method", "description"):
        schedule["default_settings"][name] = subscription[name]
    schedule["end_behavior"] = "cancel" if subscription["cancel_at"] is not None else "release"
    engine.store.add(schedule)
    schedules.adopt(engine, schedule, subscription)
    engine.emit("subscription_schedule.created", schedule)
    return schedule


def _new(engine: Engine, customer: Json, mode: str) -> Json:
    return {
        **nulls(KIND),
        "id": new_id("sub_sched"),
        "object": KIND,
        "billing_mode": billing_mode(mode),
        "created": engine.now(customer["test_clock"]),
        "customer": customer["id"],
        "default_settings": {
            "application_fee_percent": None,
            "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
            "billing_cycle_anchor": "automatic",
            "billing_thresholds": None,
            "collection_method": "charge_automatically",
            "default_payment_method": None,
            "description": None,
            "invoice_settings": {
                "account_tax_ids": None,
                "custom_fields": None,
                "days_until_due": None,
                "description": None,
                "footer": None,
                "issuer": {"type": "self"},
            },
            "on_behalf_of": None,
            "transfer_data": None,
        },
        "end_behavior": "release",
        "livemode": False,
        "metadata": {},
        "pause_schedules": [],
        "phases": [],
        "status": "not_started",
        "test_clock": customer["test_clock"],
        "_at": 0,
        "_days_until_due": None,
        "_only_changes": False,
        "_sets_end": False,
        "_warned": False,
    }


def _settings(engine: Engine, schedule: Json, params: Params) -> None:
    schedule["metadata"] = merged(schedule["metadata"], params)
    if "end_behavior" in params:
        if params["end_behavior"] not in ("cancel", "release"):
            raise invalid(
                f"stripe_emulator does not have end_behavior={params['end_behavior']}.",
                param="end_behavior",
                code="emulator_unsupported",
            )
        schedule["end_behavior"] = params["end_behavior"]
    sent, settings = params.at("default_settings"), schedule["default_settings"]
    for name in ("billing_cycle_anchor", "collection_method"):
        if name in sent:
            settings[name] = sent[name]
    if "description" in sent:
        settings["description"] = sent["description"] or None
    if "default_payment_method" in sent:
        param = sent.name_of("default_payment_method")
        method = payment_methods.usable(engine, sent["default_payment_method"], schedule["customer"], param=param)
        settings["default_payment_method"] = method["id"]
    days = sent.at("invoice_settings").get("days_until_due")
    if days is not None:
        schedule["_days_until_due"] = settings["invoice_settings"]["days_until_due"] = days


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One schedule, ended ones too."""
    return engine.find(KIND, ids[0])


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Schedules by customer, by when they ended, or those that have not started."""
    customer, scheduled = params.get("customer"), params.get("scheduled")
    times = {name: params.get(name) for name in TIMES}
    for name, wanted in times.items():
        if scheduled is not None and wanted is not None:
            raise invalid(f"You may only specify one of these parameters: {name}, scheduled.", param=name)
    return [
        schedule
        for schedule in engine.store.scan(KIND)
        if (schedule["test_clock"] is None if customer is None else schedule["customer"] == customer)
        and (not scheduled or schedule["status"] == "not_started")
        and all(wanted is None or _lies_in(schedule[name], wanted) for name, wanted in times.items())
    ]


def _lies_in(moment: int | None, wanted: Any) -> bool:
    if moment is None:
        return False
    if not isinstance(wanted, Params):
        return bool(moment == wanted)
    gt, gte, lt, lte = (wanted.get(name) for name in ("gt", "gte", "lt", "lte"))
    return (
        (gt is None or moment > gt)
        and (gte is None or moment >= gte)
        and (lt is None or moment < lt)
        and (lte is None or moment <= lte)
    )


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """
    Change the current and future phases, all of which are sent; what is left out of one is unset.

    A change of the current phase changes the subscription at once, prorated by the request's `proration_behavior`.
    """
    schedule = _live(engine, ids[0], "update")
    params.ignore("expand")
    behavior = params.get("proration_behavior", "create_prorations")
    with engine.changing(schedule, schedules.UPDATED):
        _settings(engine, schedule, params)
        if "phases" in params:
            _replace_phases(engine, schedule, params.list_of("phases"))
            schedules.watch_expiry(engine, schedule)
        if schedule["status"] == "active":
            _carry_over(engine, schedule, behavior, phases="phases" in params)
    return schedule


def _replace_phases(engine: Engine, schedule: Json, sent: list[Params]) -> None:
    customer = engine.find("customer", schedule["customer"])
    now = engine.now(schedule["test_clock"])
    if not any("start_date" in phase for phase in sent):
        raise invalid(
            "The subscription schedule update is missing at least one phase with a `start_date` to anchor end dates "
            "to.",
            param="phases",
        )
    first = sent[0].get("start_date")
    first = now if first == "now" else first
    if schedule["status"] == "not_started":
        start = first if first is not None else schedule["phases"][0]["start_date"]
        if start < now:
            raise invalid("A schedule that has not started can't start in the past.", param="phases[0][start_date]")
        schedule["phases"] = schedule_phases.parse(engine, customer, sent, start=start, anchor=None)
        return
    current = schedule["phases"][schedule["_at"]]
    subscription = engine.find("subscription", schedule["subscription"])
    if first not in (None, current["start_date"]):
        raise _only_the_end()
    made = schedule_phases.parse(
        engine, customer, sent, start=current["start_date"], anchor=subscription["billing_cycle_anchor"]
    )
    if made[0]["end_date"] < now or (made[0]["end_date"] == now and len(made) == 1):
        raise _only_the_end()
    schedule["phases"][schedule["_at"] :] = made


def _only_the_end() -> ApiError:
    return invalid("You can only adjust the end date to a future date for the current phase.", param="phases")


def _carry_over(engine: Engine, schedule: Json, behavior: str, *, phases: bool) -> None:
    if not phases:
        schedules.change_end(engine, schedule)
    elif schedule["phases"][schedule["_at"]]["end_date"] <= engine.now(schedule["test_clock"]):
        schedules.enter_next(engine, schedule)
    else:
        schedules.change_current(engine, schedule, behavior)


def release(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Stop scheduling and leave the subscription as it is."""
    schedule = _live(engine, ids[0], "release")
    params.ignore("expand")
    schedules.release(engine, schedule, preserve_cancel_date=params.get("preserve_cancel_date", False))
    return schedule


def cancel(engine: Engine, ids: list[str], params: Params) -> Reply:
    """End the schedule and its subscription now; by default prorated and with a last invoice."""
    schedule = _live(engine, ids[0], "cancel")
    params.ignore("expand")
    invoice_now, prorate = params.get("invoice_now", True), params.get("prorate", True)
    if schedule["subscription"] is None:
        schedules.cancel(engine, schedule)
        return schedule
    subscription = engine.find("subscription", schedule["subscription"])
    if prorate and subscription["status"] != "trialing":
        credit_unused_time(engine, subscription)
    cancel_subscription(engine, subscription, reason="cancellation_requested")
    if invoice_now:
        item_changes.invoice_pending(engine, subscription)
    return schedule


def _live(engine: Engine, id: str, action: str) -> Json:
    schedule = engine.find(KIND, id)
    if schedule["status"] not in LIVE:
        raise invalid(
            f"You cannot {action} a subscription schedule that is currently in the `{schedule['status']}` status. It "
            "must be in one of the following statuses: `not_started`, `active`."
        )
    return schedule


ROUTES = [
    Route("POST", "/v1/subscription_schedules", create, "SubscriptionScheduleCreateParams"),
    Route("GET", "/v1/subscription_schedules", listing, "SubscriptionScheduleListParams"),
    Route("GET", "/v1/subscription_schedules/{id}", retrieve, "SubscriptionScheduleRetrieveParams"),
    Route("POST", "/v1/subscription_schedules/{id}", update, "SubscriptionScheduleUpdateParams"),
    Route("POST", "/v1/subscription_schedules/{id}/release", release, "SubscriptionScheduleReleaseParams"),
    Route("POST", "/v1/subscription_schedules/{id}/cancel", cancel, "SubscriptionScheduleCancelParams"),
]
