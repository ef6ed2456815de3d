"""The gateway: Stripe's own JSON comes out, whole, and by the key it was built with alone."""

from __future__ import annotations

import ast
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import stripe as sdk

from paidup.stripe_api import gateway as module
from paidup.stripe_api.gateway import Gateway
from stripe_emulator import Emulator
from tests.conventions.repository import python_files
from tests.support.go_between import a_go_between

MANY = 25
KEY = "sk_test_paidup"


@pytest.fixture
def gateway(stripe: Emulator) -> Gateway:
    return Gateway(KEY, api_base=stripe.url)


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    return sdk.StripeClient(KEY, base_addresses={"api": stripe.url})


def a_price(client: sdk.StripeClient, amount: str = "1200") -> str:
    product = client.v1.products.create({"name": f"Plan at {amount}"})
    return client.v1.prices.create(
        {
            "product": product.id,
            "currency": "usd",
            "unit_amount_decimal": amount,  # type: ignore[typeddict-item]  # the SDK takes text as well
            "recurring": {"interval": "month"},
        }
    ).id


def a_subscriber(client: sdk.StripeClient) -> str:
    customer = client.v1.customers.create({"email": "zoë@example.com", "name": "Zoë Ünal 名前"})
    card = client.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    client.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": card.id}})
    return customer.id


def many_subscriptions(client: sdk.StripeClient, gateway: Gateway) -> list[Any]:
    customer, price = a_subscriber(client), a_price(client)
    for _ in range(MANY):
        client.v1.subscriptions.create({"customer": customer, "items": [{"price": price}]})
    return gateway.list_subscriptions(customer)


def many_invoices(client: sdk.StripeClient, gateway: Gateway) -> list[Any]:
    customer = a_subscriber(client)
    for _ in range(MANY):
        client.v1.invoices.create({"customer": customer})
    return gateway.list_invoices(customer)


def many_lines_of_an_invoice(client: sdk.StripeClient, gateway: Gateway) -> list[Any]:
    customer = a_subscriber(client)
    for number in range(MANY):
        client.v1.invoice_items.create({"customer": customer, "amount": 100 + number, "currency": "usd"})
    invoice = client.v1.invoices.create({"customer": customer, "pending_invoice_items_behavior": "include"})
    return gateway.list_invoice_lines(str(invoice.id))


def many_invoices_of_a_subscription(client: sdk.StripeClient, gateway: Gateway) -> list[Any]:
    customer = a_subscriber(client)
    price = a_price(client, "1000")
    subscription = client.v1.subscriptions.create({"customer": customer, "items": [{"price": price}]})
    item = subscription["items"].data[0].id
    for seats in range(2, MANY + 1):  # its first invoice is there
        change: Any = {"items": [{"id": item, "quantity": seats}], "proration_behavior": "always_invoice"}
        client.v1.subscriptions.update(subscription.id, change)
    return gateway.list_subscription_invoices(subscription.id, status="paid")


def many_products(client: sdk.StripeClient, gateway: Gateway) -> list[Any]:
    for number in range(MANY):
        client.v1.products.create({"name": f"P{number}"})
    return gateway.list_products()


def many_prices(client: sdk.StripeClient, gateway: Gateway) -> list[Any]:
    for number in range(MANY):
        a_price(client, str(100 + number))
    return gateway.list_prices(active=True)


def many_open_sessions(client: sdk.StripeClient, gateway: Gateway) -> list[Any]:
    customer, price = a_subscriber(client), a_price(client)
    for _ in range(MANY):
        client.v1.checkout.sessions.create(
            {
                "customer": customer,
                "mode": "subscription",
                "line_items": [{"price": price, "quantity": 1}],
                "success_url": "https://app.example/",
            }
        )
    return gateway.list_open_checkout_sessions(customer)


def many_promotion_codes(client: sdk.StripeClient, gateway: Gateway) -> list[Any]:
    coupon = client.v1.coupons.create({"percent_off": 10, "duration": "once"}).id
    for _ in range(MANY):
        code = client.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon}, "code": "AGAIN"})
        client.v1.promotion_codes.update(code.id, {"active": False})
    return gateway.list_promotion_codes("AGAIN")


def many_refunds(client: sdk.StripeClient, gateway: Gateway) -> list[Any]:
    payment: Any = {"amount": 5000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    charge = str(client.v1.payment_intents.create(payment).latest_charge)
    for _ in range(MANY):
        client.v1.refunds.create({"charge": charge, "amount": 1})
    return gateway.list_refunds(charge)


LISTS = {
    "list_refunds": many_refunds,
    "list_subscriptions": many_subscriptions,
    "list_invoices": many_invoices,
    "list_invoice_lines": many_lines_of_an_invoice,
    "list_subscription_invoices": many_invoices_of_a_subscription,
    "list_products": many_products,
    "list_prices": many_prices,
    "list_open_checkout_sessions": many_open_sessions,
    "list_promotion_codes": many_promotion_codes,
}


@pytest.mark.parametrize("page", [2, 100])
@pytest.mark.parametrize("name", sorted(LISTS))
def test_every_list_is_read_to_its_end(
    client: sdk.StripeClient, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, name: str, page: int
) -> None:
    """H16: with pages of two, and with more than Stripe sends to who doesn't say how many."""
    monkeypatch.setattr(module, "_PAGE", page)
    found = LISTS[name](client, gateway)
    assert len({each["id"] for each in found}) == len(found) == MANY


def test_every_list_of_the_gateway_is_among_them() -> None:
    """H16: a new one is added above, or this fails. A charge has one dispute, hardly ever two, and never a page."""
    assert {name for name in vars(Gateway) if name.startswith("list_")} == LISTS.keys() | {"list_disputes"}


def test_the_portals_configuration_is_found_on_a_later_page(
    client: sdk.StripeClient, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H16."""
    monkeypatch.setattr(module, "_PAGE", 2)
    features: Any = {"invoice_history": {"enabled": True}}
    ours = client.v1.billing_portal.configurations.create({"features": features, "metadata": {"paidup": "portal"}})
    for _ in range(4):
        client.v1.billing_portal.configurations.create({"features": features})
    found = gateway.find_portal_configuration()
    assert found is not None
    assert found["id"] == ours.id


def test_a_subscription_has_all_its_items(client: sdk.StripeClient, gateway: Gateway) -> None:
    """H16: Stripe shows the first ten beside the subscription."""
    customer = a_subscriber(client)
    prices = [a_price(client, str(1000 + number)) for number in range(14)]
    created = client.v1.subscriptions.create({"customer": customer, "items": [{"price": each} for each in prices]})
    assert created["items"].has_more
    [found] = gateway.list_subscriptions(customer)
    assert sorted(item["price"]["id"] for item in found["items"]["data"]) == sorted(prices)
    assert found["items"]["has_more"] is False


def test_what_comes_out_is_stripes_json_to_the_letter(
    client: sdk.StripeClient, gateway: Gateway, stripe: Emulator
) -> None:
    """H77: the SDK's own objects, with their Decimals, become what Stripe sent, and can be stored as JSON."""
    customer, price = a_subscriber(client), a_price(client, "0.125")
    subscription = client.v1.subscriptions.create({"customer": customer, "items": [{"price": price, "quantity": 8}]})
    product = str(client.v1.prices.retrieve(price).product)
    [invoice] = client.v1.invoices.list({"customer": customer}).data
    expand = {"expand[]": "data.default_payment_method", "status": "all", "customer": customer}
    compared: dict[str, tuple[Any, Any]] = {
        "price": (gateway.retrieve_price(price), _raw(stripe, f"prices/{price}", **{"expand[]": "currency_options"})),
        "product": (gateway.retrieve_product(product), _raw(stripe, f"products/{product}")),
        "subscription": (gateway.list_subscriptions(customer)[0], _raw(stripe, "subscriptions", **expand)["data"][0]),
        "invoice": (gateway.list_invoices(customer)[0], _raw(stripe, f"invoices/{invoice.id}")),
        "customer": (
            gateway.retrieve_customer(customer),
            _raw(stripe, f"customers/{customer}", **{"expand[]": "invoice_settings.default_payment_method"}),
        ),
    }
    for name, (ours, theirs) in compared.items():
        assert ours == theirs, name
        assert json.loads(json.dumps(ours)) == theirs, name
    assert compared["price"][0]["unit_amount_decimal"] == "0.125"
    assert subscription["items"].data[0].price.unit_amount_decimal is not None


def _raw(stripe: Emulator, path: str, **params: str) -> Any:
    return httpx.get(f"{stripe.url}/v1/{path}", params=params, auth=(KEY, "")).raise_for_status().json()


def test_the_version_that_is_asked_in_is_of_the_sdks_release(gateway: Gateway) -> None:
    """H76, H77: its types are what the code is checked against."""
    assert gateway.api_version.partition(".")[2] == sdk.major_api_version


def test_accounts_side_by_side_call_with_their_own_keys(stripe: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """H116: many at once, in many threads, and whatever the SDK's global key is."""
    monkeypatch.setattr(sdk, "api_key", "sk_test_of_somebody_else")
    with a_go_between(stripe) as between:
        gateways = [Gateway(f"sk_test_account{number}", api_base=between.url) for number in range(3)]

        def ask(number: int) -> None:
            gateways[number % 3].find_customer(f"cus_{number % 3}")

        with ThreadPoolExecutor(12) as pool:
            list(pool.map(ask, range(48)))
    assert between.keys == {f"/v1/customers/cus_{number}": {f"Bearer sk_test_account{number}"} for number in range(3)}


def test_nobody_sets_anything_of_the_sdk_for_all() -> None:
    """H116: no `stripe.api_key = …` and nothing like it, in the library and in the starter."""
    for file in python_files("src", "starter"):
        for node in ast.walk(ast.parse(file.read_text())):
            for target in _assigned(node):
                assert not ast.unparse(target).startswith("stripe."), f"{file}:{node.lineno}"  # type: ignore[attr-defined]


def _assigned(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.Assign():
            return node.targets
        case ast.AnnAssign() | ast.AugAssign():
            return [node.target]
        case ast.Call() if ast.unparse(node.func) == "setattr":
            return node.args[:1]
        case _:
            return []
