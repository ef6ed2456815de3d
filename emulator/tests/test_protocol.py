"""Keys, errors, forms, headers. [DOC] docs.stripe.com/api: authentication, errors, request IDs, metadata."""

from __future__ import annotations

import httpx
import pytest
import stripe

from emulator.tests.shop import KEY, Shop
from stripe_emulator.protocol.errors import ApiError
from stripe_emulator.protocol.forms import decode


def test_a_call_without_a_key_is_a_401(shop: Shop) -> None:
    answer = shop.pages.get("/v1/customers")
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_live_key_is_refused(shop: Shop) -> None:
    """A test double that took a live key would invite sending one over plain HTTP."""
    answer = shop.pages.get("/v1/customers", headers={"Authorization": "Bearer sk_live_abc"})
    assert answer.status_code == 403
    assert "live key" in answer.json()["error"]["message"]


def test_a_publishable_key_is_refused(shop: Shop) -> None:
    answer = shop.pages.get("/v1/customers", headers={"Authorization": "Bearer pk_test_abc"})
    assert answer.json()["error"]["code"] == "secret_key_required"


def test_basic_authentication_takes_the_key_as_user_name(shop: Shop) -> None:
    assert shop.pages.get("/v1/account", auth=(KEY, "")).status_code == 200


def test_an_unknown_key_is_echoed_masked(shop: Shop) -> None:
    answer = shop.pages.get("/v1/customers", headers={"Authorization": "Bearer secret_of_mine"})
    assert answer.status_code == 401
    assert "secret_of_mine" not in answer.text


def test_every_answer_names_its_request_and_version(shop: Shop) -> None:
    answer = shop.http("GET", "/v1/customers")
    assert answer.headers["Request-Id"].startswith("req_")
    assert answer.headers["Stripe-Version"] == stripe.api_version


def test_a_missing_object_is_a_404_with_resource_missing(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.customers.retrieve("cus_none")
    assert (caught.value.http_status, caught.value.code, caught.value.param) == (404, "resource_missing", "id")
    assert caught.value.request_id is not None


def test_a_missing_object_named_by_a_parameter_is_a_400(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.session("price_none")
    assert (caught.value.http_status, caught.value.code) == (400, "resource_missing")
    assert caught.value.param == "line_items[0][price]"


def test_an_unknown_path_is_a_404(shop: Shop) -> None:
    assert shop.http("GET", "/v1/charms").status_code == 404
    assert shop.http("GET", "/v2/core/events").status_code == 404


def test_a_parameter_that_is_known_but_not_acted_on_is_refused_not_ignored(shop: Shop) -> None:
    """A silent success here would be a surprise at Stripe."""
    customer, price = shop.customer(), shop.price()
    seen = shop.seen()
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.subscribe(customer.id, price.id, transfer_data={"destination": "acct_1"})
    assert caught.value.code == "emulator_unsupported"
    assert list(shop.api.subscriptions.list().data) == []
    assert shop.types_since(seen) == []


def test_metadata_is_merged_and_an_empty_value_drops_a_key(shop: Shop) -> None:
    customer = shop.api.customers.create({"metadata": {"a": "1", "b": "2"}})
    changed = shop.api.customers.update(customer.id, {"metadata": {"b": "", "c": "3"}})
    assert changed.metadata is not None
    assert changed.metadata.to_dict() == {"a": "1", "c": "3"}
    emptied = shop.api.customers.update(customer.id, {"metadata": ""})
    assert emptied.metadata is not None
    assert emptied.metadata.to_dict() == {}


def test_an_empty_string_unsets_where_the_api_says_so(shop: Shop) -> None:
    customer, price = shop.customer(), shop.price()
    subscription = shop.subscribe(customer.id, price.id, description="first")
    assert subscription.description == "first"
    assert shop.api.subscriptions.update(subscription.id, {"description": ""}).description is None


def test_a_deleted_customer_is_a_stub_and_not_listed(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    shop.api.customers.delete(customer.id)
    assert shop.api.customers.retrieve(customer.id).to_dict() == {
        "id": customer.id,
        "object": "customer",
        "deleted": True,
    }
    assert shop.api.customers.list().data == []
    assert shop.api.subscriptions.retrieve(subscription.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.customers.update(customer.id, {"email": "new@example.com"})


@pytest.mark.parametrize(
    ("encoded", "decoded"),
    [
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("items[0][price]=p&items[0][quantity]=2", {"items": {"0": {"price": "p", "quantity": "2"}}}),
        ("expand[]=a&expand[]=b", {"expand": {"0": "a", "1": "b"}}),
        ("items[][price]=p&items[][quantity]=2&items[][price]=q", None),
        ("metadata[a%5Bb%5D]=1", None),
        ("empty=", {"empty": ""}),
    ],
)
def test_bracketed_forms_become_nested_objects(encoded: str, decoded: object) -> None:
    if decoded is not None:
        assert decode(encoded) == decoded
    elif encoded.startswith("items"):
        assert decode(encoded) == {"items": {"0": {"price": "p", "quantity": "2"}, "1": {"price": "q"}}}
    else:
        with pytest.raises(ApiError):
            decode(encoded)


def test_the_emulator_answers_on_loopback_only(shop: Shop) -> None:
    assert httpx.URL(shop.emulator.url).host == "127.0.0.1"


def test_the_account_is_retrieved(shop: Shop) -> None:
    assert shop.api.accounts.retrieve_current().charges_enabled is True
