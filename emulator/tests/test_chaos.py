"""
What each disturbance does to an app, and chaos by lot.

[DOC] docs.stripe.com/webhooks#best-practices: events may come twice, in any order, and again until they are taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import stripe as sdk

from emulator.tests.receiver import Receiver
from stripe_emulator.testing import Chaos, Schedule, Stripe


@pytest.fixture(scope="module")
def one_stripe() -> Iterator[Stripe]:
    with Stripe() as stripe:
        yield stripe


@pytest.fixture
def stripe(one_stripe: Stripe) -> Stripe:
    one_stripe.reset()
    return one_stripe


def app_of(stripe: Stripe) -> Any:
    """The SDK with the app's key; the test's own is left alone."""
    return sdk.StripeClient("sk_test_app", base_addresses={"api": stripe.url}, max_network_retries=0).v1


def chaos_of(stripe: Stripe, receiver: Receiver, schedule: str) -> Chaos:
    stripe.add_endpoint(receiver.url, enabled_events=["customer.created", "customer.updated"])
    return stripe.chaos(schedule=Schedule.parse(schedule))


@pytest.mark.parametrize(
    ("schedule", "arrive"),
    [
        ("", ["created", "updated"]),
        ("duplicate customer.created#1", ["created", "created", "updated"]),
        ("late customer.created#1", ["updated", "created"]),
    ],
)
def test_a_delivery_is_disturbed(stripe: Stripe, schedule: str, arrive: list[str]) -> None:
    with Receiver() as receiver:
        chaos = chaos_of(stripe, receiver, schedule)
        stripe.customer("a@example.com")
        stripe.settle()
        assert [event["type"].partition(".")[2] for event in receiver.events] == arrive
        assert str(chaos.met) == schedule


def test_a_lost_event_comes_at_the_very_end(stripe: Stripe) -> None:
    with Receiver() as receiver:
        chaos = chaos_of(stripe, receiver, "lost customer.created#1")
        stripe.customer("a@example.com", card=None)
        stripe.settle()
        stripe.customer("b@example.com", card=None)
        stripe.settle()
        chaos.finish()
        assert [event["data"]["object"]["email"][0] for event in receiver.events] == ["b", "a"]


def test_what_the_app_refuses_comes_again(stripe: Stripe) -> None:
    with Receiver(lambda event, number: 200 if number == 3 else 500) as receiver:
        chaos = chaos_of(stripe, receiver, "")
        stripe.customer("a@example.com", card=None)
        chaos.finish()
        assert len(receiver.ids) == 3
        assert chaos.refused == {}


def test_what_the_app_never_takes_is_told(stripe: Stripe) -> None:
    with Receiver(lambda event, number: 500) as receiver:
        chaos = chaos_of(stripe, receiver, "")
        stripe.customer("a@example.com", card=None)
        chaos.finish()
        assert chaos.refused == {"customer.created#1": 1}


@pytest.mark.parametrize(
    ("kind", "error", "customers"),
    [
        ("429", sdk.RateLimitError, 0),
        ("timeout", sdk.APIConnectionError, 0),
        ("lost-answer", sdk.APIConnectionError, 1),
    ],
)
def test_a_call_is_disturbed_and_the_next_is_not(
    stripe: Stripe, kind: str, error: type[Exception], customers: int
) -> None:
    app = app_of(stripe)
    stripe.chaos(schedule=Schedule.parse(f"{kind} POST /v1/customers#2"))
    app.customers.create({})
    with pytest.raises(error):
        app.customers.create({})
    assert len(stripe.api.customers.list().data) == 1 + customers
    app.customers.create({})


@pytest.mark.parametrize("kind", ["lost-answers", "500"])
def test_three_repetitions_fail_alike_and_the_fourth_works(stripe: Stripe, kind: str) -> None:
    app = app_of(stripe)
    stripe.chaos(schedule=Schedule.parse(f"{kind} POST /v1/customers#1"))
    for _ in range(3):
        with pytest.raises((sdk.APIConnectionError, sdk.APIError)):
            app.customers.create({"email": "a@example.com"}, {"idempotency_key": "a"})
    made = app.customers.create({"email": "a@example.com"}, {"idempotency_key": "a"})
    assert [one.id for one in stripe.api.customers.list().data] == [made.id]


def test_the_events_of_a_slow_call_arrive_before_its_answer(stripe: Stripe) -> None:
    app = app_of(stripe)
    with Receiver() as receiver:
        chaos_of(stripe, receiver, "slow POST /v1/customers#1")
        made = app.customers.create({"email": "a@example.com"})
        assert [event["data"]["object"]["id"] for event in receiver.events] == [made.id]
        app.customers.create({"email": "b@example.com"})
        assert len(receiver.events) == 1


def test_places_are_endpoints_and_the_tests_own_calls_are_none(stripe: Stripe) -> None:
    app = app_of(stripe)
    chaos = stripe.chaos()
    made = stripe.api.customers.create({})
    app.customers.retrieve(made.id)
    app.customers.update(made.id, {"name": "A"})
    app.customers.retrieve(made.id)
    assert list(dict.fromkeys(twist.where for twist in chaos.places)) == [
        "GET /v1/customers/*#1",
        "POST /v1/customers/*#1",
        "GET /v1/customers/*#2",
    ]


def test_a_declined_charge_leaves_the_renewal_unpaid(stripe: Stripe) -> None:
    customer = stripe.customer("a@example.com").subscribed("pro_month")
    chaos = stripe.chaos(schedule=Schedule.parse("declined charge#1"))
    stripe.advance(to="renewal")
    assert stripe.api.subscriptions.retrieve(customer.subscription).status == "past_due"
    assert str(chaos.met) == "declined charge#1"


def lived(stripe: Stripe, seed: int | None, schedule: Schedule | None = None) -> tuple[list[str], Chaos]:
    app = app_of(stripe)
    with Receiver() as receiver:
        stripe.add_endpoint(receiver.url, enabled_events=["customer.created"])
        chaos = stripe.chaos(seed, schedule=schedule)
        for number in range(12):
            name = f"{number}@example.com"
            stripe.insist(lambda name=name: calling(app, name))  # type: ignore[misc]  # bound now, called now
            if number % 4 == 3:
                stripe.settle()
        chaos.finish()
        return [event["data"]["object"]["email"].partition("@")[0] for event in receiver.events], chaos


class Answer:
    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


def calling(app: Any, email: str) -> Answer:
    try:
        app.customers.create({"email": email}, {"idempotency_key": email})
    except (sdk.APIError, sdk.APIConnectionError, sdk.RateLimitError):
        return Answer(503)
    return Answer(200)


def test_chaos_by_lot_is_the_same_for_a_seed_and_another_for_another(one_stripe: Stripe) -> None:
    def arrivals(seed: int) -> tuple[list[str], str]:
        one_stripe.reset()
        arrived, chaos = lived(one_stripe, seed)
        return arrived, str(chaos.met)

    first, met = arrivals(7)
    assert (first, met) == arrivals(7)
    assert arrivals(8)[1] != met
    assert set(first) == {str(number) for number in range(12)}, "nothing is lost for good"
    assert {"duplicate", "late"} < {twist.kind for twist in Schedule.parse(met).twists}


def test_what_came_about_by_lot_is_a_schedule_that_does_it_again(one_stripe: Stripe) -> None:
    one_stripe.reset()
    first, chaos = lived(one_stripe, 7)
    one_stripe.reset()
    again, _ = lived(one_stripe, None, chaos.met)
    assert again == first


def test_after_the_end_deliveries_are_as_usual(stripe: Stripe) -> None:
    with Receiver() as receiver:
        chaos_of(stripe, receiver, "lost customer.created#2").finish()
        stripe.customer("a@example.com", card=None)
        stripe.customer("b@example.com", card=None)
        stripe.settle()
        assert len(receiver.ids) == 2
