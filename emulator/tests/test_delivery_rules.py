"""
Rules for single deliveries. [DOC: EMULATOR.md 25] duplicate, shuffle, delay, drop, old secret; [DOC]
docs.stripe.com/webhooks#best-practices: events come more than once, in any order, and again after a timeout.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from emulator.tests.receiver import Receiver
from emulator.tests.shop import Shop
from stripe_emulator import Emulator, Settings

QUICK = Settings(delivery_delays=(0.05, 0.05, 0.05))


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    with Emulator(settings=QUICK) as emulator:
        yield emulator


@pytest.fixture
def shop(running: Emulator) -> Iterator[Shop]:
    running.reset()
    shop = Shop(running)
    yield shop
    shop.pages.close()


@pytest.fixture
def receiver(shop: Shop) -> Iterator[Receiver]:
    with Receiver() as receiver:
        shop.emulator.add_endpoint(receiver.url, "whsec_ours")
        yield receiver


def names(receiver: Receiver) -> list[str]:
    """The products in the order of their arrival."""
    return [event["data"]["object"]["name"] for event in receiver.events]


def make(shop: Shop, *products: str) -> None:
    for name in products:
        shop.api.products.create({"name": name})


def log(shop: Shop, number: int = 0) -> Any:
    """One entry of the delivery log, oldest first."""
    return shop.emulator.deliveries()[::-1][number]


def test_the_nth_of_a_type_is_delivered_several_times(shop: Shop, receiver: Receiver) -> None:
    shop.emulator.deliveries.rule("duplicate", "product.*", nth=2, copies=3)
    shop.customer(card=None)
    make(shop, "a", "b", "c")
    shop.emulator.wait_for_deliveries()
    arrived = [event["data"]["object"].get("name") for event in receiver.events]
    assert sorted(map(str, arrived)) == ["None", "a", "b", "b", "b", "c"]
    assert len(set(receiver.ids)) == 4
    attempts = log(shop, 2)["attempts"]
    assert [attempt.get("asked") for attempt in attempts] == [None, *["sent once more, as asked"] * 2]
    assert shop.emulator.deliveries.rules() == []


def test_a_rule_counts_down_where_it_can_be_seen(shop: Shop, receiver: Receiver) -> None:
    rule = shop.emulator.deliveries.rule("drop", "product.created", nth=2, times=2)
    seen = []
    for name in ("a", "b", "c", "d"):
        seen.append([(one["id"] == rule, one["skip"], one["times"]) for one in shop.emulator.deliveries.rules()])
        make(shop, name)
    assert seen == [[(True, 1, 2)], [(True, 0, 2)], [(True, 0, 1)], []]
    shop.emulator.wait_for_deliveries()
    assert sorted(names(receiver)) == ["a", "d"]
    dropped = shop.emulator.deliveries("dropped")
    assert [one["attempts"][0]["error"] for one in dropped] == ["dropped, as asked"] * 2
    assert dropped[0]["script"][0]["rule"] == rule


def test_a_rule_for_all_goes_on_until_it_is_removed(shop: Shop, receiver: Receiver) -> None:
    rule = shop.emulator.deliveries.rule("drop", times="all")
    make(shop, *"abc")
    shop.emulator.deliveries.remove_rule(rule)
    make(shop, "d")
    shop.emulator.wait_for_deliveries()
    assert names(receiver) == ["d"]
    with pytest.raises(ValueError, match="No such rule"):
        shop.emulator.deliveries.remove_rule(rule)


def test_a_rule_for_one_endpoint_leaves_the_other_alone(shop: Shop, receiver: Receiver) -> None:
    with Receiver() as other:
        shop.emulator.add_endpoint(other.url)
        shop.emulator.deliveries.rule("drop", endpoint=other.url, times="all")
        make(shop, "a")
        shop.emulator.wait_for_deliveries()
        assert (names(receiver), names(other)) == (["a"], [])
    with pytest.raises(ValueError, match="webhook_endpoint"):
        shop.emulator.deliveries.rule("drop", endpoint="http://127.0.0.1:1/none")


def test_the_first_tries_get_lost_and_the_next_arrives(shop: Shop, receiver: Receiver) -> None:
    """[DOC] docs.stripe.com/webhooks#automatic-retries"""
    shop.emulator.deliveries.rule("lose", tries=2)
    make(shop, "a")
    shop.emulator.wait_for_deliveries()
    assert names(receiver) == ["a"]
    attempts = log(shop)["attempts"]
    assert [attempt["status"] for attempt in attempts] == [None, None, 200]
    assert [attempt["error"] for attempt in attempts] == ["lost on the way, as asked"] * 2 + [None]


def test_a_delivery_whose_answer_is_ignored_comes_again_though_the_work_is_done(shop: Shop, receiver: Receiver) -> None:
    shop.emulator.deliveries.rule("ignore")
    make(shop, "a")
    shop.emulator.wait_for_deliveries()
    assert names(receiver) == ["a", "a"]
    assert len(set(receiver.ids)) == 1
    assert log(shop)["attempts"][0]["error"] == "the answer (200) came too late, as asked"
    assert log(shop)["attempts"][1]["status"] == 200


def test_a_delivery_is_delayed_by_real_time(shop: Shop, receiver: Receiver) -> None:
    shop.emulator.deliveries.rule("delay", "product.created", seconds=1)
    started = time.monotonic()
    make(shop, "a", "b")
    shop.emulator.wait_for_deliveries()
    assert names(receiver) == ["b", "a"]
    assert time.monotonic() - started >= 1


def test_a_delivery_waits_until_another_type_was_delivered(shop: Shop, receiver: Receiver) -> None:
    """As `customer.subscription.created` behind `checkout.session.completed`: [LOG] both orders happen."""
    shop.emulator.deliveries.rule("delay", "customer.created", until="product.*")
    make(shop, "before")
    shop.emulator.wait_for_deliveries()
    shop.customer(card=None)
    shop.emulator.wait_for_deliveries(first_try=True)
    assert [event["type"] for event in receiver.events] == ["product.created"]
    assert log(shop, 1)["hold"] == {"until": "product.*", "behind": None}
    make(shop, "after")
    shop.emulator.wait_for_deliveries()
    assert [event["type"] for event in receiver.events] == ["product.created", "product.created", "customer.created"]


def test_a_wait_for_another_type_ends_after_some_seconds_if_they_are_named(shop: Shop, receiver: Receiver) -> None:
    shop.emulator.deliveries.rule("delay", until="charge.*", seconds=0.1)
    make(shop, "a")
    shop.emulator.wait_for_deliveries()
    assert names(receiver) == ["a"]


def test_a_delivery_comes_behind_those_that_follow(shop: Shop, receiver: Receiver) -> None:
    shop.emulator.deliveries.rule("reorder", behind=2, seconds=60)
    make(shop, "a", "b", "c", "d")
    shop.emulator.wait_for_deliveries()
    assert names(receiver).index("a") >= 2
    assert sorted(names(receiver)) == ["a", "b", "c", "d"]


def test_a_delivery_with_none_behind_it_comes_all_the_same(shop: Shop, receiver: Receiver) -> None:
    shop.emulator.deliveries.rule("reorder", seconds=0.1)
    make(shop, "a")
    shop.emulator.wait_for_deliveries()
    assert names(receiver) == ["a"]


def verifies(receiver: Receiver, number: int, secret: str) -> bool:
    try:
        stripe.Webhook.construct_event(receiver.bodies[number], receiver.signatures[number], secret)
    except stripe.SignatureVerificationError:
        return False
    return True


def test_a_delivery_signed_with_a_wrong_secret_comes_again_signed_rightly(shop: Shop) -> None:
    with Receiver(lambda event, number: 400 if number == 1 else 200) as receiver:
        shop.emulator.add_endpoint(receiver.url, "whsec_ours")
        shop.emulator.deliveries.rule("sign", "product.created")
        make(shop, "a")
        shop.emulator.wait_for_deliveries()
        assert [verifies(receiver, number, "whsec_ours") for number in (0, 1)] == [False, True]
        assert [attempt.get("asked") for attempt in log(shop)["attempts"]] == [
            "signed with another secret, as asked",
            None,
        ]


def test_a_delivery_is_signed_with_the_secret_before_the_roll(shop: Shop, receiver: Receiver) -> None:
    new = shop.emulator.roll_secret(receiver.url)
    shop.emulator.deliveries.rule("sign", secret="old")
    make(shop, "a")
    shop.emulator.wait_for_deliveries()
    assert (verifies(receiver, 0, "whsec_ours"), verifies(receiver, 0, new)) == (True, False)


def test_what_a_rule_asks_outlives_a_snapshot(shop: Shop, receiver: Receiver) -> None:
    shop.emulator.deliveries.rule("delay", "customer.created", until="product.created")
    shop.customer(card=None)
    shop.emulator.deliveries.rule("duplicate", "product.created")
    name = shop.emulator.snapshot()
    for _ in range(2):
        shop.emulator.restore(name)
        receiver.bodies.clear()
        make(shop, "a")
        shop.emulator.wait_for_deliveries()
        assert [event["type"] for event in receiver.events] == ["product.created"] * 2 + ["customer.created"]


def test_clearing_the_rules_lets_go_of_what_they_hold(shop: Shop, receiver: Receiver) -> None:
    shop.emulator.deliveries.rule("delay", until="charge.succeeded", times="all")
    make(shop, "a")
    shop.emulator.wait_for_deliveries(first_try=True)
    assert names(receiver) == []
    shop.emulator.deliveries.clear_rules()
    make(shop, "b")
    shop.emulator.wait_for_deliveries()
    assert sorted(names(receiver)) == ["a", "b"]
    shop.emulator.deliveries.rule("drop", times="all")
    shop.emulator.clear_faults()
    assert shop.emulator.deliveries.rules() == []


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        ({}, "action"),
        ({"action": "explode"}, "action"),
        ({"action": "delay"}, "seconds"),
        ({"action": "delay", "seconds": "soon"}, "seconds"),
        ({"action": "drop", "copies": 2}, "copies"),
        ({"action": "duplicate", "copies": 1}, "copies"),
        ({"action": "sign", "secret": "oops"}, "secret"),
        ({"action": "lose", "times": "some"}, "times"),
        ({"action": "lose", "nth": 0}, "nth"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(shop: Shop, sent: dict[str, Any], named: str) -> None:
    answer = shop.pages.post("/_emulator/deliveries/rules", json=sent)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, named)
    assert shop.emulator.deliveries.rules() == []
