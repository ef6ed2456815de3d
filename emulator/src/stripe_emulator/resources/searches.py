"""
Searching customers, subscriptions, invoices and what else can be searched.

See https://docs.stripe.com/search and https://docs.stripe.com/api/pagination/search
"""

from __future__ import annotations

import base64
import binascii
from functools import partial
from typing import TYPE_CHECKING

from stripe_emulator.protocol.errors import ApiError, invalid
from stripe_emulator.protocol.paging import limit_of
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.rendering import show
from stripe_emulator.search import fields, matching
from stripe_emulator.search.query import Query, parse
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

TOTAL = "total_count"
OWNERS = ("customer", "subscription")


def search(kind: str, engine: Engine, ids: list[str], params: Params) -> Reply:
    """A page of what matches a query, newest first; `total_count` when it is expanded."""
    query = parse(params["query"])
    matches = matching.test_of(kind, query)
    found = [
        value
        for value in engine.search_index.scan(kind)
        if _is_found(value, query) and matches(value) and engine.store.peek(value["id"]) is not None
    ]
    limit, start = limit_of(params), _start(params.get("page"), params["query"])
    chosen, end = found[start : start + limit], start + limit
    return {
        "object": "search_result",
        "data": [show(engine, engine.find(kind, value["id"])) for value in chosen],
        "has_more": end < len(found),
        "next_page": _page(end, params["query"]) if end < len(found) else None,
        "url": f"/v1/{fields.PLURALS[kind]}/search",
        **({TOTAL: len(found)} if TOTAL in (params.get("expand") or []) else {}),
    }


def _is_found(value: Json, query: Query) -> bool:
    """Not what was deleted; what lives on a test clock only when the query names whose it is."""
    if value.get("_deleted"):
        return False
    if (value.get("test_clock") or value.get("_clock")) is None:
        return True
    return any(clause.field in OWNERS and clause.value is not None and not clause.negated for clause in query.clauses)


def _page(position: int, query: str) -> str:
    return base64.urlsafe_b64encode(f"{position}:{query}".encode()).decode()


def _start(page: str | None, query: str) -> int:
    """Where a page begins; a page belongs to the query that gave it."""
    if page is None:
        return 0
    try:
        position, _, asked = base64.urlsafe_b64decode(page).decode().partition(":")
        if asked == query:
            return int(position)
    except (ValueError, binascii.Error) as error:
        raise _no_page() from error
    raise _no_page()


def _no_page() -> ApiError:
    return invalid("Invalid page: it must be the `next_page` of the last answer to this query.", param="page")


ROUTES = [
    Route("GET", "/v1/charges/search", partial(search, "charge"), "ChargeSearchParams", shown=True),
    Route("GET", "/v1/customers/search", partial(search, "customer"), "CustomerSearchParams", shown=True),
    Route("GET", "/v1/invoices/search", partial(search, "invoice"), "InvoiceSearchParams", shown=True),
    Route(
        "GET", "/v1/payment_intents/search", partial(search, "payment_intent"), "PaymentIntentSearchParams", shown=True
    ),
    Route("GET", "/v1/prices/search", partial(search, "price"), "PriceSearchParams", shown=True),
    Route("GET", "/v1/products/search", partial(search, "product"), "ProductSearchParams", shown=True),
    Route("GET", "/v1/subscriptions/search", partial(search, "subscription"), "SubscriptionSearchParams", shown=True),
]
