"""Unkindness on request: what a client meets when Stripe has a bad day."""

from __future__ import annotations

import httpx
import pytest
import stripe

from emulator.tests.shop import KEY, Shop


def test_a_call_fails_once_and_the_next_succeeds(shop: Shop) -> None:
    shop.emulator.fail_next("/v1/customers", status=500)
    with pytest.raises(stripe.APIError):
        shop.api.customers.create()
    assert shop.api.customers.create().id
    assert len(shop.api.customers.list().data) == 1


def test_the_nth_call_fails(shop: Shop) -> None:
    shop.emulator.fail_next("/v1/customers*", nth=3, times=2)
    statuses = [shop.http("GET", "/v1/customers").status_code for _ in range(5)]
    assert statuses == [200, 200, 500, 500, 200]


def test_a_rate_limit_says_which(shop: Shop) -> None:
    shop.emulator.fail_next("/v1/*", status=429, method="GET")
    assert shop.http("POST", "/v1/customers").status_code == 200
    answer = shop.http("GET", "/v1/customers")
    assert answer.status_code == 429
    assert answer.headers["Stripe-Rate-Limited-Reason"] == "global-rate"
    assert answer.json()["error"]["code"] == "rate_limit"


def test_a_lost_answer_leaves_the_work_done_and_the_retry_does_not_double_it(shop: Shop) -> None:
    """The reason for idempotency keys: the SDK retries with the same one."""
    shop.emulator.fail_next("/v1/customers", after_work=True)
    patient = stripe.StripeClient(KEY, base_addresses={"api": shop.emulator.url}, max_network_retries=2)
    made = patient.v1.customers.create({"email": "a@example.com"})
    assert [one.id for one in shop.api.customers.list().data] == [made.id]


def test_a_connection_breaks_off(shop: Shop) -> None:
    shop.emulator.fail_next("/v1/customers", timeout=0.01, after_work=True)
    with pytest.raises(httpx.RemoteProtocolError):
        shop.http("POST", "/v1/customers")
    assert len(shop.api.customers.list().data) == 1


def test_faults_are_cleared(shop: Shop) -> None:
    shop.emulator.fail_next("/v1/customers")
    shop.emulator.decline_next()
    shop.emulator.clear_faults()
    assert shop.pages.get("/_emulator/faults").json() == {"faults": [], "declines": [], "delivery": "normal"}
    assert shop.api.customers.create().id


def test_the_clock_is_moved_by_a_form_that_leads_back(shop: Shop) -> None:
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    form = {"to": "renewal", "customer": str(subscription.customer), "return_to": "http://127.0.0.1:8000/billing"}
    answer = shop.pages.post("/_emulator/clock/advance", data=form)
    assert (answer.status_code, answer.headers["Location"]) == (303, "http://127.0.0.1:8000/billing")
    assert len(shop.api.invoices.list().data) == 2


def test_it_leads_back_to_loopback_only(shop: Shop) -> None:
    answer = shop.pages.post("/_emulator/clock/advance", data={"days": "1", "return_to": "http://evil.example/"})
    assert answer.status_code == 400


def test_the_next_charge_is_declined_by_a_form(shop: Shop) -> None:
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    shop.pages.post("/_emulator/faults/decline-next", data={"return_to": "http://127.0.0.1:8000/"})
    shop.emulator.advance(to="renewal")
    assert shop.api.subscriptions.retrieve(subscription.id).status == "past_due"
