"""What counts as a difference between a row and Stripe's object, and what money hangs on it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from paidup.core.differences import Row, between

MOMENT = datetime(2027, 1, 1, tzinfo=UTC)


def an_invoice(*, snapshot: dict[str, Any] | None = None, **columns: Any) -> Row:
    amounts = {"total": 2900, "amount_paid": 2900, "amount_remaining": 0}
    body = {"id": "in_1", "status": "paid", "currency": "usd", **amounts, **(snapshot or {})}
    return {"id": "in_1", "status": "paid", "synced_at": MOMENT, **amounts, "snapshot": body, **columns}


def a_subscription(*, status: str = "active", quantity: int = 1, amount: int = 2900, plan: str | None = "pro") -> Row:
    price = {"id": "price_1", "unit_amount": amount, "active": True}
    body = {
        "id": "sub_1",
        "status": status,
        "currency": "eur",
        "items": {"data": [{"id": "si_1", "quantity": quantity, "price": price, "plan": {"id": "price_1"}}]},
    }
    item = {"id": "si_1", "price_id": "price_1", "quantity": quantity, "synced_at": MOMENT}
    return {"id": "sub_1", "status": status, "plan": plan, "snapshot": body, "items": {"si_1": item}}


def named(kind: str, ours: Row | None, theirs: Row | None) -> list[tuple[str, str | None, str | None]]:
    return [(each.field, each.ours, each.theirs) for each in between(kind, "x_1", ours, theirs)]


def worth(kind: str, ours: Row | None, theirs: Row | None) -> list[tuple[int, str | None]]:
    return [(each.amount, each.currency) for each in between(kind, "x_1", ours, theirs)]


def test_equal_rows_do_not_differ_however_long_ago_they_were_fetched() -> None:
    assert named("invoice", an_invoice(), an_invoice(synced_at=datetime(2026, 1, 1, tzinfo=UTC))) == []
    assert between("invoice", "in_1", None, None) == []


@pytest.mark.parametrize("link", ["hosted_invoice_url", "invoice_pdf", "webhooks_delivered_at"])
def test_what_stripe_changes_without_meaning_is_no_difference(link: str) -> None:
    assert named("invoice", an_invoice(snapshot={link: "a"}), an_invoice(snapshot={link: "b"})) == []
    assert named("customer", an_invoice(snapshot={link: "a"}), an_invoice(snapshot={link: "b"})) != []


def test_a_drafts_copies_of_its_customer_are_no_difference_and_a_final_ones_are() -> None:
    for status, count in (("draft", 0), ("open", 1)):
        ours = an_invoice(snapshot={"status": status, "customer_name": "Ann"})
        theirs = an_invoice(snapshot={"status": status, "customer_name": "Anna"})
        assert len(named("invoice", ours, theirs)) == count


def test_a_field_is_named_with_its_path_and_once() -> None:
    ours = an_invoice(snapshot={"metadata": {"po": "1"}, "status_transitions": {"paid_at": 1}}, paid_at=MOMENT)
    theirs = an_invoice(snapshot={"metadata": {}, "status_transitions": {"paid_at": 2}}, paid_at=None)
    assert named("invoice", ours, theirs) == [
        ("paid_at", "2027-01-01T00:00:00+00:00", None),
        ("metadata.po", "1", None),
    ]


def test_a_field_that_shares_its_name_with_a_column_elsewhere_is_still_named() -> None:
    ours = an_invoice(name="Ann", snapshot={"metadata": {"name": "a"}})
    theirs = an_invoice(name="Anna", snapshot={"metadata": {"name": "b"}})
    assert named("customer", ours, theirs) == [("name", "Ann", "Anna"), ("metadata.name", "a", "b")]


def test_objects_in_a_list_are_told_apart_by_their_ids() -> None:
    ours = an_invoice(snapshot={"lines": {"data": [{"id": "il_1", "amount": 1}, {"id": "il_2", "amount": 2}]}})
    theirs = an_invoice(snapshot={"lines": {"data": [{"id": "il_2", "amount": 3}, {"id": "il_1", "amount": 1}]}})
    assert named("invoice", ours, theirs) == [("lines.data.il_2.amount", "2", "3")]


def test_an_item_that_only_one_side_has_is_named() -> None:
    two = a_subscription()
    more = {"id": "si_2", "quantity": 1, "price": {"id": "price_2"}}
    body = {**two["snapshot"], "items": {"data": [*two["snapshot"]["items"]["data"], more]}}
    item = {"id": "si_2", "price_id": "price_2", "quantity": 1}
    two = {**two, "snapshot": body, "items": {**two["items"], "si_2": item}}
    assert named("subscription", a_subscription(), two) == [("items.si_2", "no", "yes")]


def test_the_price_inside_an_item_is_compared_by_itself() -> None:
    """A price's change is no event of the subscription: its copy there may stay old."""
    theirs = a_subscription()
    theirs["snapshot"]["items"]["data"][0]["price"]["active"] = False
    theirs["snapshot"]["items"]["data"][0]["plan"]["id"] = "plan_2"
    assert named("subscription", a_subscription(), theirs) == []


def test_a_row_that_is_not_what_its_own_snapshot_says_differs() -> None:
    assert named("invoice", an_invoice(total=1), an_invoice()) == [("total", "1", "2900")]


def test_a_prices_currencies_are_compared_and_its_own_says_nothing_new() -> None:
    """H59: rows of before prices had several lack even their own."""
    own, euros = {"usd": {"unit_amount": 2900}}, {"eur": {"unit_amount": 2700}}
    old, new = an_invoice(), an_invoice(snapshot={"currency_options": own})
    assert named("price", old, new) == []
    assert [each[0] for each in named("price", new, an_invoice(snapshot={"currency_options": own | euros}))] == [
        "currency_options.eur"
    ]


class TestMoney:
    def test_an_invoice_that_one_side_lacks_is_worth_its_total(self) -> None:
        assert worth("invoice", None, an_invoice()) == worth("invoice", an_invoice(), None) == [(2900, "usd")]

    def test_an_invoice_that_differs_is_worth_what_its_amounts_differ_by(self) -> None:
        unpaid = an_invoice(amount_paid=0, amount_remaining=2900, status="open")
        assert [each[0] for each in worth("invoice", unpaid, an_invoice())] == [2900, 0, 0]
        assert worth("invoice", an_invoice(snapshot={"footer": "x"}), an_invoice()) == [(0, None)]

    def test_a_subscription_is_worth_a_period_when_what_is_sold_differs(self) -> None:
        assert worth("subscription", None, a_subscription(quantity=3)) == [(8700, "eur")]
        assert worth("subscription", a_subscription(status="canceled"), a_subscription())[0] == (2900, "eur")
        assert worth("subscription", a_subscription(plan="basic"), a_subscription())[0] == (2900, "eur")
        assert sum(each[0] for each in worth("subscription", a_subscription(quantity=2), a_subscription())) == 5800

    def test_a_subscription_is_worth_what_it_costs_in_its_own_currency(self) -> None:
        row = a_subscription()
        (item,) = row["snapshot"]["items"]["data"]
        item["price"] |= {"currency": "usd", "currency_options": {"eur": {"unit_amount": 2700}}}
        assert worth("subscription", None, row) == [(2700, "eur")]

    def test_a_subscription_that_is_over_on_both_sides_is_worth_nothing(self) -> None:
        over = a_subscription(status="canceled")
        assert worth("subscription", None, over) == [(0, None)]
        assert worth("subscription", a_subscription(status="incomplete_expired"), over)[0] == (0, None)

    def test_other_kinds_have_no_price_tag(self) -> None:
        assert worth("customer", None, an_invoice()) == [(0, None)]
