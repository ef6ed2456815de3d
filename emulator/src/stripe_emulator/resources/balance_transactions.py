"""The ledger of a customer's balance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing.balance import KIND, book
from stripe_emulator.protocol.errors import invalid, no_such
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.resources import customers
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A credit (negative) or a debit, entered by hand."""
    customer = customers.existing(engine, ids[0], param="id")
    if params["amount"] == 0:
        raise invalid("The amount of a balance transaction can't be zero.", param="amount")
    return book(
        engine,
        customer,
        params["amount"],
        type="adjustment",
        currency=params["currency"].lower(),
        description=params.get("description") or None,
        metadata=params.get("metadata") or {},
    )


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One entry."""
    return _find(engine, ids)


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Its description and metadata; an entry's amount never changes."""
    entry = _find(engine, ids)
    if "description" in params:
        entry["description"] = params["description"] or None
    entry["metadata"] = merged(entry["metadata"], params)
    return entry


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A customer's entries, by invoice."""
    customer = customers.existing(engine, ids[0], param="id")
    invoice = params.get("invoice")
    return [
        entry
        for entry in engine.store.scan(KIND)
        if entry["customer"] == customer["id"] and invoice in (None, entry["invoice"])
    ]


def _find(engine: Engine, ids: list[str]) -> Json:
    entry = engine.store.get(ids[1], KIND)
    if entry is None or entry["customer"] != ids[0]:
        raise no_such("customer balance transaction", ids[1])
    return entry


ROUTES = [
    Route("POST", "/v1/customers/{id}/balance_transactions", create, "CustomerBalanceTransactionCreateParams"),
    Route("GET", "/v1/customers/{id}/balance_transactions", listing, "CustomerBalanceTransactionListParams"),
    Route(
        "GET", "/v1/customers/{id}/balance_transactions/{entry}", retrieve, "CustomerBalanceTransactionRetrieveParams"
    ),
    Route("POST", "/v1/customers/{id}/balance_transactions/{entry}", update, "CustomerBalanceTransactionUpdateParams"),
]
