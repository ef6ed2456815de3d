"""
How calls fail on request.

[DOC: EMULATOR.md 25] 429, 500 and timeouts on the nth call, the response lost after the work;
[DOC] docs.stripe.com/rate-limits, docs.stripe.com/error-low-level.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx
import pytest
import stripe

from emulator.tests.shop import KEY, Shop
from emulator.tests.support.waiting import eventually


def patient(shop: Shop, retries: int = 2) -> Any:
    """The SDK as apps have it, which repeats by itself what is worth repeating."""
    return stripe.StripeClient(KEY, base_addresses={"api": shop.emulator.url}, max_network_retries=retries).v1


@pytest.mark.parametrize(
    "reason", ["global-rate", "global-concurrency", "endpoint-rate", "endpoint-concurrency", "resource-specific"]
)
def test_a_rate_limit_has_its_reason(shop: Shop, reason: str) -> None:
    """[DOC] rate-limits: the header Stripe-Rate-Limited-Reason, and no Retry-After."""
    shop.emulator.fail_next("/v1/customers", status=429, reason=reason)
    answer = shop.http("GET", "/v1/customers")
    assert answer.status_code == 429
    assert answer.headers["Stripe-Rate-Limited-Reason"] == reason
    assert "Retry-After" not in answer.headers
    assert "Stripe-Should-Retry" not in answer.headers
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == ("rate_limit", "invalid_request_error")


def test_the_sdk_gives_a_rate_limit_to_the_app_to_back_off(shop: Shop) -> None:
    """The SDK repeats a 429 only when Stripe-Should-Retry says so (stripe/_http_client.py, _should_retry)."""
    shop.emulator.fail_next("/v1/customers", status=429)
    with pytest.raises(stripe.RateLimitError):
        patient(shop).customers.create()
    assert patient(shop).customers.create().id


def test_the_sdk_repeats_a_lock_timeout(shop: Shop) -> None:
    """[DOC] rate-limits#object-lock-timeouts: the libraries retry 429s that are lock timeouts."""
    shop.emulator.fail_next("/v1/customers", status=429, code="lock_timeout")
    assert patient(shop).customers.create().id
    shop.emulator.fail_next("/v1/customers", status=429, code="lock_timeout")
    answer = shop.http("POST", "/v1/customers")
    assert answer.json()["error"]["code"] == "lock_timeout"
    assert answer.headers["Stripe-Should-Retry"] == "true"
    assert "Stripe-Rate-Limited-Reason" not in answer.headers


def test_stripe_may_say_whether_to_repeat(shop: Shop) -> None:
    shop.emulator.fail_next("/v1/customers", status=500, should_retry=False)
    with pytest.raises(stripe.APIError):
        patient(shop).customers.create()
    shop.emulator.fail_next("/v1/customers", status=429, should_retry=True)
    assert patient(shop).customers.create().id


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_the_sdk_repeats_stripes_own_errors(shop: Shop, status: int) -> None:
    shop.emulator.fail_next("/v1/customers", status=status)
    answer = shop.http("GET", "/v1/customers")
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, "api_error")
    shop.emulator.fail_next("/v1/customers", status=status)
    assert patient(shop).customers.create().id


def test_an_error_before_the_work_leaves_nothing(shop: Shop) -> None:
    shop.emulator.fail_next("/v1/customers", status=503)
    assert shop.http("POST", "/v1/customers").status_code == 503
    assert shop.api.customers.list().data == []


def test_a_slow_call_has_done_its_work_long_before_it_answers(shop: Shop) -> None:
    shop.emulator.slow_next("/v1/customers", 1.5, method="POST")
    answers: list[httpx.Response] = []
    started = time.monotonic()
    caller = threading.Thread(target=lambda: answers.append(shop.http("POST", "/v1/customers")))
    caller.start()
    eventually(lambda: len(shop.api.customers.list().data) == 1)
    assert answers == []
    caller.join()
    assert time.monotonic() - started >= 1.5
    assert answers[0].json()["id"] == shop.api.customers.list().data[0].id


def test_while_a_call_is_slow_another_with_its_key_is_refused(shop: Shop) -> None:
    """[DOC] docs.stripe.com/api/idempotent_requests, and 409 while the first is in flight (EMULATOR.md 3)."""
    key = {"Idempotency-Key": "k"}
    shop.emulator.slow_next("/v1/customers", 1.5)
    caller = threading.Thread(target=lambda: shop.http("POST", "/v1/customers", headers=key))
    caller.start()
    eventually(lambda: len(shop.emulator.events()) == 1)
    assert shop.http("POST", "/v1/customers", headers=key).status_code == 409
    caller.join()
    assert shop.http("POST", "/v1/customers", headers=key).headers["Idempotent-Replayed"] == "true"


def test_a_slow_call_may_fail_in_the_end(shop: Shop) -> None:
    sent = {"path": "/v1/customers", "slow": 0.05, "status": 503}
    shop.pages.post("/_emulator/faults", json=sent).raise_for_status()
    assert shop.http("POST", "/v1/customers").status_code == 503
    assert shop.api.customers.list().data == []


def test_an_app_that_waits_too_short_finds_the_work_done(shop: Shop) -> None:
    shop.emulator.slow_next("/v1/customers", 3)
    with pytest.raises(httpx.ReadTimeout):
        shop.http("POST", "/v1/customers", timeout=0.2)
    assert len(shop.api.customers.list().data) == 1


def test_a_connection_is_cut_off_before_the_work_and_the_sdk_tries_again(shop: Shop) -> None:
    shop.emulator.cut_next("/v1/customers")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        shop.http("POST", "/v1/customers")
    assert shop.api.customers.list().data == []
    shop.emulator.cut_next("/v1/customers")
    made = patient(shop).customers.create()
    assert [one.id for one in shop.api.customers.list().data] == [made.id]


def test_a_connection_is_cut_off_after_the_work_and_the_retry_does_not_double_it(shop: Shop) -> None:
    """The SDK repeats with its idempotency key and gets the first answer."""
    shop.emulator.cut_next("/v1/customers", after_work=True, times=2)
    made = patient(shop).customers.create()
    assert [one.id for one in shop.api.customers.list().data] == [made.id]


def test_an_answer_lost_twice_to_one_without_a_key_is_made_twice(shop: Shop) -> None:
    shop.emulator.cut_next("/v1/customers", after_work=True)
    with pytest.raises(httpx.RemoteProtocolError):
        shop.http("POST", "/v1/customers")
    assert shop.http("POST", "/v1/customers").status_code == 200
    assert len(shop.api.customers.list().data) == 2


def test_a_call_hangs_and_then_the_connection_breaks(shop: Shop) -> None:
    shop.emulator.fail_next("/v1/customers", timeout=0.3)
    started = time.monotonic()
    with pytest.raises(httpx.RemoteProtocolError):
        shop.http("GET", "/v1/customers")
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        ({"slow": 1, "timeout": 1}, "timeout"),
        ({"status": 500, "reason": "global-rate"}, "reason"),
        ({"status": 500, "code": "rate_limit"}, "code"),
        ({"status": 429, "reason": "moon"}, "reason"),
        ({"status": 429, "code": "lock_timeout", "reason": "global-rate"}, "reason"),
        ({"slow": -1}, "slow"),
        ({"method": "PATCH"}, "method"),
        ({"should_retry": "maybe"}, "should_retry"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(shop: Shop, sent: dict[str, Any], named: str) -> None:
    answer = shop.pages.post("/_emulator/faults", json={"path": "/v1/*", **sent})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, named)
    assert shop.pages.get("/_emulator/faults").json()["faults"] == []


def test_a_failure_of_work_that_had_begun_is_kept_under_its_key(shop: Shop) -> None:
    """[DOC] api/idempotent_requests: the result of the first request, errors too, once it began to execute."""
    for kept in (True, False):
        shop.emulator.fail_next("/v1/customers", status=400, method="POST", kept=kept)
        key = {"Idempotency-Key": f"kept-{kept}"}
        answers = [shop.http("POST", "/v1/customers", data={"name": "Ada"}, headers=key) for _ in range(2)]
        assert [each.status_code for each in answers] == ([400, 400] if kept else [400, 200])
        assert ("Idempotent-Replayed" in answers[1].headers) == kept


def test_what_is_not_kept_at_stripe_is_not_kept_here(shop: Shop) -> None:
    asked: Any
    for asked in ({"status": 429}, {"status": 409}, {"after_work": True}, {"timeout": 1.0}):
        with pytest.raises(Exception, match="kept"):
            shop.emulator.fail_next("/v1/customers", **{"status": 400, "kept": True, **asked})
