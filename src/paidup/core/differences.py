"""
What differs between a row of ours and Stripe's object, and how much money hangs on it.

Both sides come as rows: the columns, the raw snapshot, and a subscription's items by id. What Stripe changes without
meaning anything by it (signed links, counters, copies of other objects) is no difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from paidup.core import parse
from paidup.core.discount import Discount
from paidup.core.subscription import LIVE_STATUSES

Row = Mapping[str, Any]

EXISTS = "exists"
"""The field of a difference in which one side lacks the object as a whole."""

_TEXT_LENGTH = 500
_OURS_ALONE = frozenset({"id", "synced_at", "snapshot", "items"})
_VOLATILE: Mapping[str, frozenset[str]] = {
    # Signed anew at each look, or told by no event.
    "customer": frozenset({"next_invoice_sequence"}),
    "product": frozenset({"updated"}),
    "invoice": frozenset({"hosted_invoice_url", "invoice_pdf", "webhooks_delivered_at"}),
}
_COPIED_INTO_DRAFTS = "customer_"
_HAS_COLUMNS = frozenset({"", "items", "recurring", "status_transitions"})
"""Where Stripe keeps what stands in columns of its own here: not to be told twice."""
_NAMES = {"price_id": "price", "product_id": "product", "customer_id": "customer"}
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """
    One field in which ours and Stripe's differ; None is a value that isn't there.

    `amount` is the money that hangs on the object, in minor units of `currency`; it stands at one of the object's
    differences only. `state` is found, fixed, or unsafe, with the `reason` why it is left to a person.
    """

    kind: str
    object: str
    customer: str | None
    field: str
    ours: str | None
    theirs: str | None
    amount: int = 0
    currency: str | None = None
    state: str = "found"
    reason: str | None = None


def between(
    kind: str, object_id: str, ours: Row | None, theirs: Row | None, *, customer: str | None = None
) -> list[Difference]:
    """Every difference between the two rows of one object, None being one that isn't there; the weightiest first."""
    if ours is None and theirs is None:
        return []
    fields = _absence(ours, theirs) if ours is None or theirs is None else _fields(kind, ours, theirs)
    amount, currency = at_risk(kind, ours, theirs) if fields else (0, None)
    return [
        Difference(
            kind=kind,
            object=object_id,
            customer=customer,
            field=field,
            ours=_text(mine),
            theirs=_text(other),
            amount=amount if number == 0 else 0,
            currency=currency if number == 0 and amount else None,
        )
        for number, (field, (mine, other)) in enumerate(fields.items())
    ]


def at_risk(kind: str, ours: Row | None, theirs: Row | None) -> tuple[int, str | None]:
    """
    The money that hangs on a difference, in minor units, with its currency.

    For an invoice what the amounts differ by, or all of it when one side lacks it; for a refund or a dispute its
    amount. For a subscription what it brings in a period, when its status, its plan or its items differ.
    """
    bodies = [row["snapshot"] for row in (ours, theirs) if row is not None]
    currency = bodies[-1].get("currency")
    match kind:
        case "invoice" if ours is None or theirs is None:
            return abs(bodies[0]["total"]), currency
        case "invoice":
            assert ours is not None
            assert theirs is not None
            return max(
                abs(ours[name] - theirs[name]) for name in ("total", "amount_paid", "amount_remaining")
            ), currency
        case "subscription" if ours is None or theirs is None or _sold(ours) != _sold(theirs):
            return max(_recurring(row) for row in (ours, theirs) if row is not None), currency
        case "refund" | "dispute":
            return max(body["amount"] for body in bodies), currency
        case _:
            return 0, None


def _absence(ours: Row | None, theirs: Row | None) -> dict[str, tuple[object, object]]:
    return {EXISTS: ("no" if ours is None else "yes", "no" if theirs is None else "yes")}


def _fields(kind: str, ours: Row, theirs: Row) -> dict[str, tuple[object, object]]:
    found: dict[str, tuple[object, object]] = {
        _NAMES.get(name, name): (ours[name], theirs[name])
        for name in theirs
        if name not in _OURS_ALONE and ours[name] != theirs[name]
    }
    columns = set(found)
    inner = list(_items(ours.get("items") or {}, theirs.get("items") or {}))
    if ours["snapshot"] != theirs["snapshot"]:
        inner += _paths(_plain(kind, ours["snapshot"]), _plain(kind, theirs["snapshot"]))
    for path, mine, other in inner:
        nested, _, name = path.rpartition(".")
        if not (name in columns and nested.partition(".")[0] in _HAS_COLUMNS):
            found.setdefault(path, (mine, other))
    return found


def _items(ours: Mapping[str, Row], theirs: Mapping[str, Row]) -> Iterator[tuple[str, object, object]]:
    for id in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(id), theirs.get(id)
        if mine is None or other is None:
            yield f"items.{id}", "no" if mine is None else "yes", "no" if other is None else "yes"
            continue
        for name in other:
            if name not in _OURS_ALONE and mine[name] != other[name]:
                yield f"items.{id}.{_NAMES.get(name, name)}", mine[name], other[name]


def _plain(kind: str, body: Row) -> dict[str, Any]:
    """The body without what means nothing."""
    volatile = _VOLATILE.get(kind, frozenset())
    is_draft = kind == "invoice" and body.get("status") == "draft"
    plain = {
        name: value
        for name, value in body.items()
        if name not in volatile and not (is_draft and name.startswith(_COPIED_INTO_DRAFTS))
    }
    if kind in ("customer", "subscription"):
        plain = {name: value for name, value in plain.items() if name not in ("discount", "discounts")}
        plain["discounts"] = [_discount(each) for each in parse.discounts(body)]
    if kind == "price":
        # Rows of before there were any lack it, which says the same as its own currency alone.
        options = plain.get("currency_options") or {}
        plain["currency_options"] = {code: each for code, each in options.items() if code != body.get("currency")}
    if kind == "subscription" and isinstance(plain.get("items"), Mapping):
        plain["items"] = {item["id"]: _item(item) for item in plain["items"]["data"]}
    return plain


def _discount(discount: Discount) -> dict[str, object]:
    # How often a coupon was redeemed, and what it is called, is no event of who has it.
    return {"id": discount.id, "coupon": discount.coupon, "ends_at": discount.ends_at}


def _item(item: Row) -> dict[str, Any]:
    # The price is compared by itself; a change of it is no event of the subscription.
    price = item.get("price") or {}
    return {name: value for name, value in item.items() if name != "plan"} | {"price": price.get("id")}


def _paths(ours: object, theirs: object, path: str = "") -> Iterator[tuple[str, object, object]]:
    """Where two JSON values differ; objects in lists are told apart by their ids."""
    if ours == theirs:
        return
    mine, other = _by_id(ours), _by_id(theirs)
    if isinstance(mine, Mapping) and isinstance(other, Mapping):
        for name in sorted(mine.keys() | other.keys()):
            yield from _paths(mine.get(name, _MISSING), other.get(name, _MISSING), f"{path}.{name}" if path else name)
    elif path.startswith("items.") and path.count(".") == 1:
        yield path, "no" if ours is _MISSING else "yes", "no" if theirs is _MISSING else "yes"
    else:
        yield path, None if ours is _MISSING else ours, None if theirs is _MISSING else theirs


def _by_id(value: object) -> object:
    if isinstance(value, list) and all(isinstance(each, Mapping) and "id" in each for each in value):
        return {each["id"]: each for each in value}
    return value


def _sold(row: Row) -> tuple[object, ...]:
    items = row["snapshot"]["items"]["data"]
    sold = sorted((each["id"], str((each.get("price") or {}).get("id")), each.get("quantity") or 0) for each in items)
    rows = sorted((id, str(each["price_id"]), each["quantity"]) for id, each in (row.get("items") or {}).items())
    return row["status"], row.get("plan"), sold, rows


def _recurring(row: Row) -> int:
    """What a period brings; nothing once it is over. Tiers and usage aren't known beforehand and count as nothing."""
    if row["status"] not in LIVE_STATUSES and row["snapshot"]["status"] not in LIVE_STATUSES:
        return 0
    items, currency = row["snapshot"]["items"]["data"], row["snapshot"].get("currency")
    return sum((_amount(each["price"], currency) or 0) * (each.get("quantity") or 0) for each in items)


def _amount(price: Row, currency: str | None) -> int | None:
    return parse.unit_amount(price, currency or price.get("currency") or "")


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        text = value
    elif isinstance(value, datetime):
        text = value.isoformat()
    else:
        text = json.dumps(value, sort_keys=True, default=str)
    return text if text is None else text[:_TEXT_LENGTH]
