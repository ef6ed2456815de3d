"""
Test clocks: time for up to three customers with up to three subscriptions each, put forward by hand.

See https://docs.stripe.com/billing/testing/test-clocks
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing.periods import add_interval
from stripe_emulator.billing.standing import ENDED
from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import ApiError, invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.resources import customers
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import ShapeError, nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

KIND = "test_helpers.test_clock"
KEPT_FOR = 30 * DAY
OWNED = (
    "customer",
    "subscription",
    "subscription_schedule",
    "invoice",
    "invoiceitem",
    "invoice_payment",
    "payment_intent",
    "setup_intent",
    "charge",
    "dispute",
    "refund",
    "payment_method",
    "checkout.session",
    "billing_portal.session",
    "discount",
    "customer_balance_transaction",
)


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A clock frozen at a time. A customer that is there already can be put on it, for good."""
    now = engine.now()
    customer = customers.existing(engine, params["customer"], param="customer") if "customer" in params else None
    clock: Json = {
        **nulls(KIND),
        "id": new_id("clock"),
        "object": KIND,
        "created": now,
        "deletes_after": now + KEPT_FOR,
        "frozen_time": params["frozen_time"],
        "livemode": False,
        "name": params.get("name"),
        "status": "ready",
        "status_details": {},
    }
    engine.store.add(clock)
    engine.emit("test_helpers.test_clock.created", clock)
    if customer is not None:
        _attach(engine, customer, clock)
    return clock


def _attach(engine: Engine, customer: Json, clock: Json) -> None:
    if customer["test_clock"] is not None:
        raise invalid(
            f"The customer is already attached to the test clock `{customer['test_clock']}`.", param="customer"
        )
    if any(any(engine.store.of_customer(kind, customer["id"])) for kind in ("subscription", "invoice", "invoiceitem")):
        raise invalid(
            "stripe_emulator attaches customers without subscriptions and invoices only.",
            param="customer",
            code="emulator_unsupported",
        )
    with engine.changing(customer, "customer.updated"):
        customer["test_clock"] = clock["id"]


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One clock; poll its `status` until it is `ready`."""
    return _find(engine, ids[0])


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Every clock."""
    return list(engine.store.scan(KIND))


def advance(engine: Engine, ids: list[str], params: Params) -> Reply:
    """
    Begin to put a clock forward; the work is done after the answer.

    At most two intervals of the shortest subscription at a time, two years when there is none.
    """
    clock = _find(engine, ids[0])
    target = params["frozen_time"]
    if clock["status"] != "ready":
        raise ApiError(
            429,
            "invalid_request_error",
            "Test clock advancement underway - cannot perform modifications",
            code="testmode_clock_advancing",
        )
    if target <= clock["frozen_time"]:
        raise invalid("The frozen_time must be after the clock's current time.", param="frozen_time")
    limit = _limit(engine, clock)
    if target > limit:
        raise invalid(
            "Cannot advance test clock to a time further than two intervals of the shortest subscription from its "
            f"current frozen time; the limit is {limit}.",
            param="frozen_time",
        )
    clock["status"] = "advancing"
    clock["status_details"] = {"advancing": {"target_frozen_time": target}}
    engine.emit("test_helpers.test_clock.advancing", clock)
    return clock


def run_advances(engine: Engine) -> bool:
    """Finish one begun advance, if there is one."""
    waiting = next((clock for clock in engine.store.scan(KIND) if clock["status"] == "advancing"), None)
    if waiting is None:
        return False
    try:
        with engine.transaction():
            clock = _find(engine, waiting["id"])
            engine.advance_clock(clock, clock["status_details"]["advancing"]["target_frozen_time"])
            _end(engine, clock, "ready")
    except ShapeError:
        with engine.transaction():
            _end(engine, _find(engine, waiting["id"]), "internal_failure")
        raise
    return True


def _end(engine: Engine, clock: Json, status: str) -> None:
    clock["status"] = status
    clock["status_details"] = {}
    engine.emit(f"test_helpers.test_clock.{status}", clock)


def delete(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Delete a clock with its customers and everything of theirs."""
    clock = _find(engine, ids[0])
    for kind in OWNED:
        for value in list(engine.store.scan(kind)):
            if clock["id"] in (value.get("test_clock"), value.get("_clock")):
                engine.store.remove(value["id"])
    engine.emit("test_helpers.test_clock.deleted", clock)
    engine.store.remove(clock["id"])
    return {"id": clock["id"], "object": KIND, "deleted": True}


def _find(engine: Engine, id: str) -> Json:
    return engine.find(KIND, id, noun="testhelpers.testclock")


def _limit(engine: Engine, clock: Json) -> int:
    now = int(clock["frozen_time"])
    limits = []
    items = [
        item
        for subscription in engine.store.scan("subscription")
        if subscription["test_clock"] == clock["id"] and subscription["status"] not in ENDED
        for item in subscription["items"]
    ] + [
        item
        for schedule in engine.store.scan("subscription_schedule")
        if schedule["test_clock"] == clock["id"] and schedule["status"] == "not_started"
        for item in schedule["phases"][0]["items"]
    ]
    for item in items:
        recurring = engine.find("price", item["price"])["recurring"]
        limits.append(add_interval(now, recurring["interval"], 2 * recurring["interval_count"]))
    return min(limits, default=add_interval(now, "year", 2))


ROUTES = [
    Route("POST", "/v1/test_helpers/test_clocks", create, "test_helpers.TestClockCreateParams"),
    Route("GET", "/v1/test_helpers/test_clocks", listing, "test_helpers.TestClockListParams"),
    Route("GET", "/v1/test_helpers/test_clocks/{id}", retrieve, "test_helpers.TestClockRetrieveParams"),
    Route("POST", "/v1/test_helpers/test_clocks/{id}/advance", advance, "test_helpers.TestClockAdvanceParams"),
    Route("DELETE", "/v1/test_helpers/test_clocks/{id}", delete, "test_helpers.TestClockDeleteParams"),
]
