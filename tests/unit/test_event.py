"""Webhook bodies: what is read from them, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from paidup.core import event, targets
from paidup.core.targets import Part


def an_event_body(type: str | None = "customer.subscription.updated", **fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": "evt_1",
        "object": "event",
        "type": type,
        "api_version": "2026-10-28.endive",
        "livemode": False,
        "created": 1_780_000_000,
        "data": {"object": {"id": "sub_1", "object": "subscription", "customer": "cus_1"}},
    }
    return body | fields


def a_thin_event(type: str, object_type: str, object_id: str) -> dict[str, Any]:
    related = {"id": object_id, "type": object_type, "url": f"/v1/{object_type}s/{object_id}"}
    return {"id": "evt_1", "object": "v2.core.event", "type": type, "livemode": False, "related_object": related}


def a_route(body: dict[str, Any], *, livemode: bool = False) -> targets.Route:
    return targets.route(event.parse(body), livemode=livemode)


def test_an_event_leads_to_its_customer() -> None:
    assert a_route(an_event_body()).target == "customer:cus_1"


def test_a_customer_event_leads_to_the_customer_itself() -> None:
    body = an_event_body("customer.updated", data={"object": {"id": "cus_9", "object": "customer"}})
    assert a_route(body).target == "customer:cus_9"


def test_an_expanded_customer_is_read_too() -> None:
    body = an_event_body("invoice.paid", data={"object": {"id": "in_1", "customer": {"id": "cus_1"}}})
    assert a_route(body).target == "customer:cus_1"


def test_a_detached_card_leads_to_the_customer_it_left() -> None:
    data = {"object": {"id": "pm_1", "customer": None}, "previous_attributes": {"customer": "cus_1"}}
    assert a_route(an_event_body("payment_method.detached", data=data)).target == "customer:cus_1"


@pytest.mark.parametrize(
    ("type", "data", "target"),
    [
        ("charge.dispute.created", {"object": {"id": "du_1", "object": "dispute", "charge": "ch_1"}}, "charge:ch_1"),
        ("refund.failed", {"object": {"id": "re_1", "object": "refund", "charge": "ch_1"}}, "charge:ch_1"),
        ("charge.refunded", {"object": {"id": "ch_1", "object": "charge", "customer": "cus_1"}}, "charge:ch_1"),
        ("invoice.upcoming", {"object": {"object": "invoice", "customer": "cus_1"}}, "customer:cus_1"),
    ],
)
def test_an_event_without_a_customer_leads_to_what_knows_it(type: str, data: dict[str, Any], target: str) -> None:
    """H20: an upcoming invoice has no id, and needs none."""
    assert a_route(an_event_body(type, data=data)).target == target


@pytest.mark.parametrize(
    ("body", "target"),
    [
        (a_thin_event("v1.customer.updated", "customer", "cus_1"), "customer:cus_1"),
        (a_thin_event("v1.customer.subscription.past_due", "subscription", "sub_1"), "subscription:sub_1"),
        (a_thin_event("v1.invoice.paid", "invoice", "in_1"), "invoice:in_1"),
        (a_thin_event("v1.product.deactivated", "product", "prod_1"), "product:prod_1"),
    ],
)
def test_a_thin_event_leads_to_its_object(body: dict[str, Any], target: str) -> None:
    """H19: v2 notifications come through the same door."""
    assert a_route(body).target == target


@pytest.mark.parametrize(
    ("body", "created"),
    [
        (an_event_body(created=1_780_000_000), datetime(2026, 5, 28, 20, 26, 40, tzinfo=UTC)),
        (an_event_body(created=10**20), None),
        (
            a_thin_event("v1.invoice.paid", "invoice", "in_1") | {"created": "2026-05-28T20:26:40.000Z"},
            datetime(2026, 5, 28, 20, 26, 40, tzinfo=UTC),
        ),
        (a_thin_event("v1.invoice.paid", "invoice", "in_1") | {"created": "2026-05-28T20:26:40"}, None),
        (a_thin_event("v1.invoice.paid", "invoice", "in_1") | {"created": "soon"}, None),
    ],
)
def test_an_events_age_is_known(body: dict[str, Any], created: datetime | None) -> None:
    """H26: beside when it was received, so that it can be seen how late it came."""
    assert event.parse(body).created == created


def test_catalog_events_lead_to_their_object() -> None:
    product = an_event_body("product.updated", data={"object": {"id": "prod_1", "object": "product"}})
    price = an_event_body("price.created", data={"object": {"id": "price_1", "object": "price"}})
    assert (a_route(product).target, a_route(price).target) == ("product:prod_1", "price:price_1")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (an_event_body(livemode=True), "other_mode"),
        (an_event_body("charge.succeeded"), "unknown_type"),
        (an_event_body("invoice.paid", data={"object": {"id": "in_1"}}), "no_customer"),
        (an_event_body(account="acct_other"), "other_account"),
        ({"id": "evt_1", "object": "v2.core.event", "type": "v1.customer.updated", "livemode": False}, "no_object"),
        (a_thin_event("v2.core.account.updated", "v2.core.account", "acct_1"), "unknown_type"),
        (a_thin_event("v1.coupon.created", "coupon", "SAVE"), "unknown_type"),
    ],
)
def test_what_is_not_for_us_is_ignored_with_its_reason(body: dict[str, Any], reason: str) -> None:
    """H18, H19: such events are stored and answered with 2xx."""
    assert a_route(body) == targets.Route(None, reason)


@pytest.mark.parametrize(
    ("version", "noted"),
    [
        ("2026-10-28.endive", None),
        ("2026-11-30.endive", None),
        (None, None),
        ("2025-03-31.basil", "other_version"),
        ("2020-08-27", "other_version"),
    ],
)
def test_an_event_of_another_release_is_processed_and_noted(version: str | None, noted: str | None) -> None:
    """H76."""
    found = event.parse(an_event_body(api_version=version))
    route = targets.route(found, livemode=False, api_version="2026-10-28.endive")
    assert route == targets.Route("customer:cus_1", None, noted)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "evt_1",
        {},
        {"object": "event"},
        {"object": "customer", "id": "cus_1", "type": "x"},
        an_event_body(id=""),
        an_event_body(id=7),
        an_event_body(id="e" * 256),
        an_event_body(type=None),
        an_event_body(data=None),
        an_event_body(data={"object": "sub_1"}),
    ],
)
def test_what_is_not_an_event_is_refused(body: object) -> None:
    with pytest.raises(event.NotAnEvent):
        event.parse(body)


def test_no_body_of_plain_json_crashes_the_reader() -> None:
    """Every shape a field may have must end in an event or in NotAnEvent."""
    oddities: list[Any] = [None, 0, -1, 1.5, "", "x", [], [1], {}, {"id": None}, {"id": {"id": 1}}, True]
    for field in ("id", "type", "created", "data", "account", "api_version", "livemode"):
        for value in oddities:
            try:
                event.parse(an_event_body(**{field: value}))
            except event.NotAnEvent:
                continue
    for value in oddities:
        found = event.parse(an_event_body(data={"object": {"id": value, "customer": value}}))
        assert found.customer is None or isinstance(found.customer, str)


def test_a_burst_fetches_only_what_its_events_name() -> None:
    assert targets.parts(["invoice.created", "invoice.finalized"]) == {Part.INVOICES}
    assert targets.parts(["invoice.paid"]) == {Part.INVOICES, Part.SUBSCRIPTIONS}
    assert targets.parts([]) == targets.WHOLE_CUSTOMER


def test_every_registered_event_says_why() -> None:
    assert all(reason for _, reason in targets.EVENTS.values())
