"""The pauses that a 429 brings, on a clock of the tests."""

from __future__ import annotations

import threading

import pytest

from paidup.errors import StripeRateLimited
from paidup.stripe_api.budget import Budget, in_background, one_call, patience
from paidup.stripe_api.transport import endpoint_of

INVOICES, CUSTOMER = "get /v1/invoices", "get /v1/customers/:id"


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def budget(clock: Clock) -> Budget:
    return Budget(4, clock=clock)


def limited_again_and_again(budget: Budget, clock: Clock, times: int, *, quiet: float = 0.0) -> list[float]:
    """A 429 each time a pause is over, or so many seconds later."""
    waits = []
    for _ in range(times):
        waits.append(budget.limited(INVOICES, None))
        clock.now += waits[-1] + quiet
    return waits


@pytest.mark.parametrize("reason", ["global-rate", "global-concurrency", "something new", None])
def test_a_429_of_the_account_pauses_everything(budget: Budget, reason: str | None) -> None:
    """H112."""
    budget.limited(INVOICES, reason)
    assert 0.25 <= budget.pause() <= 0.5


@pytest.mark.parametrize("reason", ["endpoint-rate", "endpoint-concurrency"])
def test_a_429_of_an_endpoint_pauses_that_endpoint_alone(budget: Budget, reason: str) -> None:
    """H112."""
    budget.limited(INVOICES, reason, retry_after=20)
    with in_background():
        with budget.slot(CUSTOMER):
            pass
        with pytest.raises(StripeRateLimited) as error, budget.slot(INVOICES):
            pass
    assert 20 <= error.value.retry_after <= 25


@pytest.mark.parametrize("reason", ["resource-specific", "lock_timeout"])
def test_a_429_about_one_object_pauses_nobody_else(budget: Budget, reason: str) -> None:
    """H113."""
    assert budget.limited(INVOICES, reason) > 0
    assert budget.pause() == 0
    with in_background(), budget.slot(INVOICES):
        pass


def test_pauses_grow_while_429s_go_on_and_end_somewhere(budget: Budget, clock: Clock) -> None:
    """H112."""
    waits = limited_again_and_again(budget, clock, 12)
    assert all(0.5 * full <= wait <= full for wait, full in zip(waits, (0.5, 1, 2, 4, 8, 16, 30, 30), strict=False))
    assert max(waits) <= 30


def test_pauses_grow_although_some_calls_in_between_succeed(budget: Budget, clock: Clock) -> None:
    """H112: an account that is near its limits answers now this, now that."""
    assert limited_again_and_again(budget, clock, 12, quiet=0.2)[-1] > 2


def test_a_quiet_time_makes_the_next_pause_short_again(budget: Budget, clock: Clock) -> None:
    limited_again_and_again(budget, clock, 6)
    clock.now += 600
    assert budget.limited(INVOICES, None) <= 0.5


def test_answers_to_calls_that_were_under_way_are_no_news(budget: Budget, clock: Clock) -> None:
    budget.limited(INVOICES, None)
    until = clock.now + budget.pause()
    for _ in range(10):
        budget.limited(INVOICES, None)
    assert clock.now + budget.pause() == until


@pytest.mark.parametrize("reason", ["global-rate", "resource-specific"])
def test_stripes_own_wish_is_the_least_within_a_minute(clock: Clock, reason: str) -> None:
    """H112: Retry-After."""
    assert Budget(clock=clock).limited(INVOICES, reason, retry_after=7) >= 7
    assert 60 <= Budget(clock=clock).limited(INVOICES, reason, retry_after=9999) <= 75


def test_tries_for_one_object_are_further_and_further_apart(budget: Budget) -> None:
    """H113."""
    waits = [budget.limited(INVOICES, "lock_timeout", tries=tries) for tries in range(1, 8)]
    assert waits[-1] > 8 * waits[0]


def test_what_waits_for_one_call_adds_up_whatever_its_requests(budget: Budget) -> None:
    with one_call():
        patience().left = 0.03
        assert patience().wait(0.02)
        assert not patience().wait(0.02)


def test_a_quarter_of_the_calls_is_kept_for_those_somebody_waits_for() -> None:
    """H112: no backlog of the worker stands between a user and the Checkout."""
    budget = Budget(4)
    with in_background(), budget.slot(INVOICES), budget.slot(INVOICES), budget.slot(INVOICES):
        with pytest.raises(StripeRateLimited), budget.slot(INVOICES):
            pass
        somebody = threading.Thread(target=lambda: budget.slot(INVOICES).__enter__())  # a context of its own
        somebody.start()
        somebody.join(1)
        assert not somebody.is_alive()


@pytest.mark.parametrize(
    ("method", "url", "endpoint"),
    [
        ("GET", "https://api.stripe.com/v1/customers/cus_1?expand[0]=a", "get /v1/customers/:id"),
        ("post", "https://api.stripe.com/v1/invoices/in_1/pay", "post /v1/invoices/:id/pay"),
        ("get", "https://api.stripe.com/v1/payment_methods", "get /v1/payment_methods"),
        ("post", "https://api.stripe.com/v1/checkout/sessions", "post /v1/checkout/sessions"),
        ("post", "http://127.0.0.1:1/v1/checkout/sessions/cs_1/expire", "post /v1/checkout/sessions/:id/expire"),
    ],
)
def test_an_endpoint_is_counted_without_ids(method: str, url: str, endpoint: str) -> None:
    assert endpoint_of(method, url) == endpoint
