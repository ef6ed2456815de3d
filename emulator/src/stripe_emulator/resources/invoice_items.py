"""Invoice items: for a customer's next invoice, or a draft; changed and taken back while that is not final."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import currencies, discounts, invoicing, lines, taxes
from stripe_emulator.billing.pricing import amount_of
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.resources import customers, prices
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Something for the customer's next invoice, or for a draft."""
    if "customer" not in params:
        raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
    customer = customers.existing(engine, params["customer"], param="customer")
    quantity = params.get("quantity", 1)
    pricing = params.at("pricing")
    price = engine.find("price", pricing["price"], param="pricing[price]") if "price" in pricing else None
    amount = params.get("amount")
    draft = engine.find("invoice", params["invoice"], param="invoice") if params.get("invoice") else None
    currency = _currency(engine, customer, price, draft["currency"] if draft else params.get("currency"))
    if amount is None:
        if price is None:
            raise invalid("Missing required param: amount.", param="amount", code="parameter_missing")
        amount = amount_of(price, quantity, currency)
    now = engine.now(customer["test_clock"])
    if draft is not None:
        _check_draft(draft)
    period = params.at("period")
    item = lines.add_invoice_item(
        engine,
        customer=customer,
        amount=amount,
        currency=currency,
        description=params.get("description") or _product_name(engine, price),
        price=price,
        quantity=quantity,
        start=period.get("start", now),
        end=period.get("end", now),
        proration=False,
        subscription=params.get("subscription"),
        invoice=draft["id"] if draft else None,
        metadata=params.get("metadata") or {},
        tax_rates=taxes.read(engine, params, "tax_rates"),
        emit=False,
    )
    item["discountable"] = params.get("discountable", True)
    _discount(engine, item, params)
    engine.emit("invoiceitem.created", item)
    if draft is not None:
        draft["lines"].append(_line(engine, item))
        invoicing.add_up(engine, draft, customer["balance"])
    return item


def add_to_first(engine: Engine, customer: Json, subscription: Json, sent: list[Params]) -> None:
    """`add_invoice_items`: one-time prices for a subscription's next invoice."""
    now = engine.now(customer["test_clock"])
    for each in sent:
        data = each.at("price_data")
        price = prices.from_data(engine, data) if data else prices.usable(engine, each["price"], param="price")
        if price["recurring"] is not None:
            raise invalid("You can only add one-time prices as invoice items.", param=each.name_of("price"))
        currencies.check(price, subscription["currency"], param=each.name_of("price"))
        quantity = each.get("quantity", 1)
        item = lines.add_invoice_item(
            engine,
            customer=customer,
            amount=amount_of(price, quantity, subscription["currency"]),
            currency=subscription["currency"],
            description=_product_name(engine, price),
            price=price,
            quantity=quantity,
            start=now,
            end=now,
            proration=False,
            subscription=subscription["id"],
            metadata=each.get("metadata") or {},
            tax_rates=taxes.read(engine, each, "tax_rates"),
            emit=False,
        )
        item["discountable"] = each.get("discountable", True)
        _discount(engine, item, each)
        engine.emit("invoiceitem.created", item)


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One invoice item."""
    return engine.find("invoiceitem", ids[0])


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Everything but its customer and currency, while it is on no final invoice."""
    item = engine.find("invoiceitem", ids[0])
    draft = engine.find("invoice", item["invoice"]) if item["invoice"] else None
    if draft is not None:
        _check_draft(draft)
    with engine.changing(item, None):
        for name in ("description", "discountable"):
            if name in params:
                item[name] = params[name]
        item["metadata"] = merged(item["metadata"] or {}, params)
        if "period" in params:
            item["period"] = {name: params.at("period")[name] for name in ("start", "end")}
        if "tax_rates" in params:
            item["tax_rates"] = taxes.read(engine, params, "tax_rates")
        _price(engine, item, params)
        _discount(engine, item, params)
    if draft is not None:
        fresh = _line(engine, item)
        draft["lines"] = [
            {**fresh, "id": line["id"]} if _item_of(line) == item["id"] else line for line in draft["lines"]
        ]
        invoicing.add_up(engine, draft, engine.find("customer", draft["customer"])["balance"])
    return item


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Invoice items by customer and invoice; `pending`: those on no invoice yet."""
    customer, invoice, pending = (params.get(name) for name in ("customer", "invoice", "pending"))
    return [
        item
        for item in engine.store.scan("invoiceitem")
        if customer in (None, item["customer"])
        and invoice in (None, item["invoice"])
        and (pending is None or pending == (item["invoice"] is None))
    ]


def delete(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Forget an item that is on no final invoice; a draft loses its line."""
    item = engine.find("invoiceitem", ids[0])
    if item["invoice"] is not None:
        draft = engine.find("invoice", item["invoice"])
        _check_draft(draft)
        draft["lines"] = [line for line in draft["lines"] if _item_of(line) != item["id"]]
        invoicing.add_up(engine, draft, engine.find("customer", draft["customer"])["balance"])
    engine.emit("invoiceitem.deleted", item)
    engine.store.remove(item["id"])
    return {"id": item["id"], "object": "invoiceitem", "deleted": True}


def _price(engine: Engine, item: Json, params: Params) -> None:
    pricing = params.at("pricing")
    if "price" in pricing:
        price = engine.find("price", pricing["price"], param="pricing[price]")
        currencies.check(price, item["currency"], param="pricing[price]")
        item["pricing"] = lines.pricing_of(price, item["currency"])
    if "quantity" in params:
        item.update(quantity=params["quantity"], quantity_decimal=str(params["quantity"]))
    if "amount" in params:
        item.update(amount=params["amount"], net_amount=params["amount"])
    elif item["pricing"] is not None and ("price" in pricing or "quantity" in params):
        price = engine.find("price", item["pricing"]["price_details"]["price"])
        amount = amount_of(price, item["quantity"], item["currency"])
        item.update(amount=amount, net_amount=amount)


def _currency(engine: Engine, customer: Json, price: Json | None, asked: str | None) -> str:
    """The currency that is asked for, else the customer's if the price has one in it, else the price's own."""
    if price is None:
        return asked or str(engine.settings.default_currency)
    known = asked or customer["currency"]
    if asked is None and known not in currencies.sold_in(price):
        known = price["currency"]
    currencies.check(price, known, param="pricing[price]")
    return str(known)


def _discount(engine: Engine, item: Json, params: Params) -> None:
    if "discounts" not in params:
        return
    customer = engine.find("customer", item["customer"])
    wanted = discounts.wishes(engine, params.list_of("discounts"), customer=customer, currency=item["currency"])
    item["discounts"] = [discounts.redeem(engine, wish, customer=customer, invoice_item=item["id"]) for wish in wanted]


def _line(engine: Engine, item: Json) -> Json:
    return {**lines.line_of(engine, item), "invoice": item["invoice"]}


def _item_of(line: Json) -> str | None:
    parent = line["parent"] or {}
    details = parent.get("invoice_item_details") or parent.get("subscription_item_details") or {}
    found: str | None = details.get("invoice_item")
    return found


def _check_draft(invoice: Json) -> None:
    if invoice["status"] != "draft":
        raise invalid("This invoice item is on an invoice that is finalized, so it can't be changed any more.")


def _product_name(engine: Engine, price: Json | None) -> str | None:
    return str(engine.find("product", price["product"])["name"]) if price else None


ROUTES = [
    Route("POST", "/v1/invoiceitems", create, "InvoiceItemCreateParams"),
    Route("GET", "/v1/invoiceitems", listing, "InvoiceItemListParams"),
    Route("GET", "/v1/invoiceitems/{id}", retrieve, "InvoiceItemRetrieveParams"),
    Route("POST", "/v1/invoiceitems/{id}", update, "InvoiceItemUpdateParams"),
    Route("DELETE", "/v1/invoiceitems/{id}", delete, "InvoiceItemDeleteParams", shown=True),
]
