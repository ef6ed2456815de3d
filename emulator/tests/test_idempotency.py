"""Idempotency keys. [DOC] docs.stripe.com/api/idempotent_requests."""

from __future__ import annotations

import threading

import httpx
import pytest
import stripe

from emulator.tests.shop import Shop


def test_the_same_request_is_answered_again_and_done_once(shop: Shop) -> None:
    first = shop.http("POST", "/v1/customers", data={"email": "a@example.com"}, headers={"Idempotency-Key": "k1"})
    second = shop.http("POST", "/v1/customers", data={"email": "a@example.com"}, headers={"Idempotency-Key": "k1"})
    assert second.content == first.content
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["Original-Request"] == first.headers["Request-Id"]
    assert "Idempotent-Replayed" not in first.headers
    assert len(shop.api.customers.list().data) == 1


def test_other_parameters_with_the_key_are_refused(shop: Shop) -> None:
    shop.api.customers.create({"email": "a@example.com"}, {"idempotency_key": "k1"})
    with pytest.raises(stripe.IdempotencyError) as caught:
        shop.api.customers.create({"email": "b@example.com"}, {"idempotency_key": "k1"})
    assert caught.value.http_status == 400


def test_another_endpoint_with_the_key_is_refused(shop: Shop) -> None:
    shop.api.customers.create({}, {"idempotency_key": "k1"})
    with pytest.raises(stripe.IdempotencyError):
        shop.api.products.create({"name": "Pro"}, {"idempotency_key": "k1"})


def test_an_error_after_work_began_is_replayed(shop: Shop) -> None:
    """A declined card stays declined for the key, even when the customer has a good card by now."""
    customer, price = shop.customer("pm_card_chargeCustomerFail"), shop.price()
    sent = {"customer": customer.id, "items[0][price]": price.id, "payment_behavior": "error_if_incomplete"}
    first = shop.http("POST", "/v1/subscriptions", data=sent, headers={"Idempotency-Key": "k1"})
    assert first.status_code == 402
    shop.give_card(customer.id, "pm_card_visa")
    second = shop.http("POST", "/v1/subscriptions", data=sent, headers={"Idempotency-Key": "k1"})
    assert second.status_code == 402
    assert second.headers["Idempotent-Replayed"] == "true"


def test_a_request_that_failed_validation_leaves_the_key_free(shop: Shop) -> None:
    headers = {"Idempotency-Key": "k1"}
    assert shop.http("POST", "/v1/customers", data={"nonsense": "1"}, headers=headers).status_code == 400
    assert shop.http("POST", "/v1/customers", data={"name": "A"}, headers=headers).status_code == 200


def test_a_key_is_forgotten_after_a_day(shop: Shop) -> None:
    first = shop.api.customers.create({}, {"idempotency_key": "k1"})
    shop.emulator.advance(days=1.01)
    assert shop.api.customers.create({}, {"idempotency_key": "k1"}).id != first.id


def test_a_second_request_while_the_first_runs_is_a_409(shop: Shop) -> None:
    shop.emulator.fail_next("/v1/customers", timeout=1.0)
    headers = {"Idempotency-Key": "k1"}

    def hang() -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            shop.http("POST", "/v1/customers", headers=headers)

    first = threading.Thread(target=hang)
    first.start()
    while shop.pages.get("/_emulator/faults").json()["faults"]:
        assert first.is_alive()
    answer = shop.http("POST", "/v1/customers", headers=headers)
    first.join()
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "idempotency_key_in_use"


def test_the_event_names_the_request_and_its_key(shop: Shop) -> None:
    shop.api.customers.create({}, {"idempotency_key": "k1"})
    request = shop.last_event("customer.created")["request"]
    assert request["idempotency_key"] == "k1"
    assert request["id"].startswith("req_")
