"""[DOC: EMULATOR.md 25] Reset and snapshot: everything goes back, and what follows follows again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulator.tests.receiver import Receiver
from emulator.tests.shop import SUCCESS, Shop
from emulator.tests.support.waiting import eventually
from stripe_emulator import Emulator, Settings


def everything(shop: Shop) -> dict[str, Any]:
    """What the API and the control API show of the whole state, but for clocks that run."""
    api = shop.api
    return {
        "customers": [one.to_dict() for one in api.customers.list().data],
        "subscriptions": [one.to_dict() for one in api.subscriptions.list({"status": "all"}).data],
        "invoices": [one.to_dict() for one in api.invoices.list().data],
        "clocks": [one.to_dict() for one in api.test_helpers.test_clocks.list().data],
        "endpoints": [one.to_dict() for one in api.webhook_endpoints.list().data],
        "events": shop.emulator.events(),
        "faults": shop.pages.get("/_emulator/faults").json(),
        "deliveries": [{**one, "due": None} for one in shop.emulator.deliveries()],
    }


def test_everything_goes_back(shop: Shop) -> None:
    emulator = shop.emulator
    emulator.add_endpoint("http://127.0.0.1:9/x")
    emulator.deliveries.pause()
    emulator.fail_next("/v1/refunds", nth=3)
    clock = shop.api.test_helpers.test_clocks.create({"frozen_time": 1_801_440_000})
    shop.subscribe(shop.customer().id, shop.price().id)
    emulator.advance(days=3)
    before, then = everything(shop), emulator.now
    name = emulator.snapshot()

    emulator.advance(days=90)
    shop.api.test_helpers.test_clocks.advance(clock.id, {"frozen_time": 1_801_450_000})
    shop.api.customers.delete(shop.customer().id)
    shop.subscribe(shop.customer().id, shop.price().id)
    emulator.clear_faults()
    emulator.add_endpoint("http://127.0.0.1:9/y")

    assert emulator.restore(name).timestamp() == pytest.approx(then.timestamp(), abs=2)
    assert everything(shop) == before


def test_the_clock_goes_on_from_the_snapshots_moment_and_not_from_now(shop: Shop) -> None:
    """Else what fell due in the meantime would happen on the way back, and no two runs were alike."""
    emulator = shop.emulator
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    emulator.snapshot("subscribed")
    document = shop.pages.get("/_emulator/snapshots/subscribed").json()
    document["taken"] -= 90 * 86_400
    document["now"] -= 90 * 86_400
    shop.pages.post("/_emulator/snapshots", json={"snapshot": document}).raise_for_status()
    assert emulator.restore("subscribed").timestamp() == document["now"]
    assert emulator.now.timestamp() == pytest.approx(document["now"], abs=2)
    assert [one.id for one in shop.api.invoices.list().data] == [subscription.latest_invoice]
    emulator.advance(to="renewal")
    assert len(shop.api.invoices.list().data) == 2


def test_what_is_due_is_due_again_after_a_restore(shop: Shop) -> None:
    """The agenda is rebuilt: a renewal that has been is ahead again, and comes once each time."""
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    shop.emulator.snapshot("subscribed")
    renewals = []
    for _ in range(3):
        shop.emulator.reset()
        shop.emulator.restore("subscribed")
        shop.emulator.advance(to="renewal")
        invoices = shop.api.invoices.list({"subscription": subscription.id}).data
        renewals.append([invoice.billing_reason for invoice in invoices])
    assert renewals == [["subscription_cycle", "subscription_create"]] * 3


class App:
    """A small app: it remembers who may use it, by what Stripe tells it."""

    def __init__(self, shop: Shop, price: str) -> None:
        self.shop, self.price = shop, price
        self.access: dict[str, str] = {}
        self.seen: list[str] = []

    def subscribe(self, email: str) -> None:
        url = self.shop.session(self.price, customer_email=email, success_url=SUCCESS).url
        form = {"email": email, "cardNumber": "4242424242424242", "cardExpiry": "12/40", "cardCvc": "123"}
        assert httpx.post(str(url), data={**form, "billingName": "J"}, trust_env=False).status_code == 303

    def hear(self, event: dict[str, Any], number: int) -> int:
        self.seen.append(event["type"])
        if event["type"].startswith("customer.subscription."):
            customer = self.shop.api.customers.retrieve(event["data"]["object"]["customer"])
            self.access[str(customer.email)] = event["data"]["object"]["status"]
        return 200


def test_a_flow_of_an_app_runs_twice_from_one_snapshot(shop: Shop) -> None:
    emulator = shop.emulator
    app = App(shop, shop.price().id)
    with Receiver(app.hear) as receiver:
        emulator.add_endpoint(receiver.url)
        emulator.snapshot("shop with a price")
        outcomes = []
        for _ in range(2):
            emulator.restore("shop with a price")
            app.access, app.seen = {}, []
            app.subscribe("jenny@example.com")
            emulator.wait_for_deliveries()
            [subscription] = shop.api.subscriptions.list().data
            card = shop.give_card(str(subscription.customer), "pm_card_chargeCustomerFail")
            shop.api.subscriptions.update(subscription.id, {"default_payment_method": card})
            emulator.advance(to="renewal")
            emulator.wait_for_deliveries()
            outcomes.append((dict(app.access), sorted(app.seen)))
        assert outcomes[0] == outcomes[1]
        assert outcomes[0][0] == {"jenny@example.com": "past_due"}


@pytest.fixture
def slow_retries() -> Iterator[Shop]:
    with Emulator(settings=Settings(delivery_delays=(30.0,))) as emulator:
        shop = Shop(emulator)
        yield shop
        shop.pages.close()


def test_a_delivery_owed_then_is_owed_again_and_no_sooner(slow_retries: Shop) -> None:
    """Its next try is in real time; it has as long to go as it had."""
    shop = slow_retries
    with Receiver(lambda event, number: 500) as receiver:
        shop.emulator.add_endpoint(receiver.url)
        shop.customer(card=None)
        shop.emulator.wait_for_deliveries(first_try=True)
        [owed] = shop.emulator.deliveries("pending")
        shop.emulator.snapshot("owed")
        document = shop.pages.get("/_emulator/snapshots/owed").json()
        document["taken"] -= 1000
        for value in document["objects"]:
            if value["object"] == "_delivery":
                value["due"] -= 1000
        shop.pages.post("/_emulator/snapshots", json={"name": "long ago", "snapshot": document}).raise_for_status()
        shop.emulator.reset()
        shop.emulator.restore("long ago")
        [again] = shop.emulator.deliveries("pending")
        assert again["due"] == pytest.approx(owed["due"], abs=10)
        assert again["due"] > time.time() + 10
        assert len(receiver.ids) == 1


def test_a_delivery_on_its_way_leaves_no_trace_in_the_restored_state(shop: Shop) -> None:
    arrived: list[str] = []
    done: list[bool] = []

    def hang(event: dict[str, Any], number: int) -> int:
        arrived.append(event["type"])
        eventually(lambda: bool(done))
        return 200

    with Receiver(hang) as receiver:
        shop.emulator.add_endpoint(receiver.url)
        shop.emulator.deliveries.pause()
        shop.customer(card=None)
        shop.emulator.snapshot("before it is sent")
        shop.emulator.deliveries.resume()
        eventually(lambda: bool(arrived))
        shop.emulator.restore("before it is sent")
        done.append(True)
        shop.emulator.deliveries.resume()
        shop.emulator.wait_for_deliveries()
        [delivery] = shop.emulator.deliveries()
        assert (delivery["status"], len(delivery["attempts"])) == ("delivered", 1)


def test_snapshots_are_listed_replaced_and_forgotten(shop: Shop) -> None:
    emulator = shop.emulator
    first = emulator.snapshot()
    shop.customer(card=None)
    assert emulator.snapshot("mine") == "mine"
    emulator.snapshot("mine")
    found = emulator.snapshots()
    assert [one["name"] for one in found] == [first, "mine"]
    assert found[1]["objects"] > found[0]["objects"]
    emulator.forget_snapshot(first)
    emulator.reset()
    assert [one["name"] for one in emulator.snapshots()] == ["mine"]
    with pytest.raises(ValueError, match="no snapshot"):
        emulator.restore(first)


def test_settings_and_limits_go_back_too(shop: Shop) -> None:
    def switches() -> list[Any]:
        return [shop.pages.get(f"/_emulator/{path}").json() for path in ("settings", "rate-limits")]

    def switch(on: bool) -> None:
        shop.pages.post("/_emulator/settings", json={"wait_for_webhooks": on}).raise_for_status()
        shop.emulator.limit_rates("live" if on else "off")

    switch(True)
    before, name = switches(), shop.emulator.snapshot()
    switch(False)
    assert switches() != before
    shop.emulator.restore(name)
    assert switches() == before
    shop.emulator.reset()
    assert switches() == [{**before[0], "wait_for_webhooks": False}, {"limits": None}]


def test_a_snapshot_goes_to_a_file_and_to_another_emulator(shop: Shop, tmp_path: Path) -> None:
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    shop.emulator.advance(days=400)
    before, now = shop.emulator.events(), shop.emulator.now
    shop.emulator.save(tmp_path / "shop.json")
    with Emulator(state=tmp_path / "stripe.db") as other:
        assert (other.load(tmp_path / "shop.json") - now).total_seconds() < 60
        assert Shop(other).api.subscriptions.retrieve(subscription.id).status == "active"
        assert other.events() == before
    with Emulator(state=tmp_path / "stripe.db") as other:  # what was loaded is in the state file
        assert Shop(other).api.subscriptions.retrieve(subscription.id).status == "active"
        assert (other.now - now).total_seconds() < 60
        other.advance(to="renewal")
        assert len(other.events("invoice.paid")) == len([one for one in before if one["type"] == "invoice.paid"]) + 1


@pytest.mark.parametrize(
    "spoil", [{"now": "x"}, {"taken": None}, {"objects": {}}, {"objects": [1]}, {"objects": [{"id": 1, "object": "x"}]}]
)
def test_a_file_that_is_no_snapshot_is_refused_and_nothing_has_happened(shop: Shop, spoil: dict[str, Any]) -> None:
    shop.customer(card=None)
    shop.emulator.snapshot("good")
    document = {**shop.pages.get("/_emulator/snapshots/good").json(), **spoil}
    answer = shop.pages.post("/_emulator/snapshots", content=json.dumps({"name": "bad", "snapshot": document}))
    assert answer.status_code == 400
    assert "bad" not in [one["name"] for one in shop.emulator.snapshots()]
    assert len(shop.api.customers.list().data) == 1
