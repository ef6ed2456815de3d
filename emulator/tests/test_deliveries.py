"""
Webhooks. [DOC] docs.stripe.com/webhooks: signatures, 2xx only, redirects are failures, retries, any order.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import stripe

from emulator.tests.receiver import Receiver
from emulator.tests.shop import Shop
from stripe_emulator import Emulator, Settings

QUICK = Settings(delivery_delays=(0.05, 0.05, 0.05))


@pytest.fixture
def quick() -> Iterator[Shop]:
    """An emulator that tries again at once."""
    with Emulator(settings=QUICK) as emulator:
        shop = Shop(emulator)
        yield shop
        shop.pages.close()


def test_events_are_signed_with_the_real_time_and_the_endpoints_secret(quick: Shop) -> None:
    """The emulated clock may be a year ahead; a signature's time must still be now."""
    quick.emulator.advance(days=365)
    with Receiver() as receiver:
        secret = quick.emulator.add_endpoint(receiver.url, "whsec_ours")
        customer = quick.customer(card=None)
        quick.emulator.wait_for_deliveries()
        event = stripe.Webhook.construct_event(receiver.bodies[0], receiver.signatures[0], secret)
        assert (event.type, event.data.object["id"]) == ("customer.created", customer.id)
        assert event.created == customer.created > time.time() + 300 * 86_400
        signed_at = int(receiver.signatures[0].split(",")[0].removeprefix("t="))
        assert abs(signed_at - time.time()) < 5
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(receiver.bodies[0], receiver.signatures[0], "whsec_other")


def test_endpoints_get_what_they_listen_to(quick: Shop) -> None:
    with Receiver() as everything, Receiver() as products:
        quick.emulator.add_endpoint(everything.url)
        quick.emulator.add_endpoint(products.url, enabled_events=["product.created"])
        quick.customer(card=None)
        quick.api.products.create({"name": "Pro"})
        quick.emulator.wait_for_deliveries()
        assert [event["type"] for event in products.events] == ["product.created"]
        assert {event["type"] for event in everything.events} == {"customer.created", "product.created"}


def test_pending_webhooks_counts_endpoints_that_have_not_taken_it(quick: Shop) -> None:
    with Receiver() as receiver:
        quick.emulator.add_endpoint(receiver.url)
        quick.customer(card=None)
        quick.emulator.wait_for_deliveries()
        assert receiver.events[0]["pending_webhooks"] == 1
        assert quick.api.events.retrieve(receiver.ids[0]).pending_webhooks == 0


@pytest.mark.parametrize("status", [302, 400, 500])
def test_anything_but_a_2xx_is_tried_again_with_a_new_signature(quick: Shop, status: int) -> None:
    with Receiver(lambda event, number: 200 if number == 3 else status) as receiver:
        quick.emulator.add_endpoint(receiver.url)
        quick.customer(card=None)
        quick.emulator.wait_for_deliveries()
        assert len(receiver.ids) == 3
        assert len(set(receiver.ids)) == 1
        log = quick.emulator.deliveries()[0]
        assert [attempt["status"] for attempt in log["attempts"]] == [status, status, 200]


def test_an_endpoint_that_never_takes_it_is_given_up_and_the_event_is_listed_as_undelivered(quick: Shop) -> None:
    with Receiver(lambda event, number: 500) as receiver:
        quick.emulator.add_endpoint(receiver.url)
        quick.customer(card=None)
        quick.emulator.wait_for_deliveries()
        assert len(receiver.ids) == 4
        undelivered = quick.api.events.list({"delivery_success": False}).data
        assert [event.id for event in undelivered] == receiver.ids[:1]
        assert quick.emulator.deliveries("failed")[0]["event"] == receiver.ids[0]


def test_a_delivery_is_sent_again_by_hand(quick: Shop) -> None:
    with Receiver() as receiver:
        quick.emulator.add_endpoint(receiver.url)
        quick.customer(card=None)
        quick.emulator.wait_for_deliveries()
        quick.emulator.deliveries.resend(quick.emulator.deliveries()[0]["id"])
        quick.emulator.wait_for_deliveries()
        assert len(receiver.ids) == 2


def test_a_held_back_delivery_arrives_when_resumed(quick: Shop) -> None:
    with Receiver() as receiver:
        quick.emulator.add_endpoint(receiver.url)
        quick.emulator.deliveries.pause()
        quick.customer(card=None)
        quick.emulator.wait_for_deliveries(first_try=True)
        assert receiver.ids == []
        quick.emulator.deliveries.resume()
        quick.emulator.wait_for_deliveries()
        assert len(receiver.ids) == 1


def test_deliveries_are_doubled_and_dropped_on_request(quick: Shop) -> None:
    with Receiver() as receiver:
        quick.emulator.add_endpoint(receiver.url)
        quick.emulator.deliveries.duplicate()
        quick.customer(card=None)
        quick.emulator.wait_for_deliveries()
        assert len(receiver.ids) == 2
        quick.emulator.deliveries.drop()
        quick.customer(card=None)
        quick.emulator.wait_for_deliveries()
        assert len(receiver.ids) == 2
        quick.emulator.deliveries.resume()
        quick.emulator.wait_for_deliveries()
        assert len(receiver.ids) == 2


def test_an_unreachable_endpoint_is_tried_until_it_is_back(quick: Shop) -> None:
    with Receiver() as receiver:
        url = receiver.url
    quick.emulator.add_endpoint(url)
    quick.customer(card=None)
    quick.emulator.wait_for_deliveries()
    log = quick.emulator.deliveries("failed")[0]
    assert "ConnectError" in log["attempts"][0]["error"]


def test_endpoints_are_managed_through_the_api_and_the_secret_is_shown_once(shop: Shop) -> None:
    made = shop.api.webhook_endpoints.create({"url": "http://127.0.0.1:9/x", "enabled_events": ["customer.created"]})
    assert made.secret is not None
    assert made.secret.startswith("whsec_")
    assert "secret" not in shop.api.webhook_endpoints.retrieve(made.id)
    changed = shop.api.webhook_endpoints.update(made.id, {"disabled": True})
    assert changed.status == "disabled"
    shop.customer(card=None)
    assert shop.last_event("customer.created")["pending_webhooks"] == 0
    shop.api.webhook_endpoints.delete(made.id)
    assert shop.api.webhook_endpoints.list().data == []


def test_what_was_owed_when_the_emulator_stopped_is_delivered_by_the_next(tmp_path: Path) -> None:
    state = tmp_path / "stripe.db"
    with Receiver() as receiver:
        with Emulator(state=state) as emulator:
            emulator.add_endpoint(receiver.url, "whsec_ours")
            emulator.deliveries.pause()
            Shop(emulator).customer(card=None)
        with Emulator(state=state) as emulator:
            assert receiver.ids == []
            emulator.deliveries.resume()
            emulator.wait_for_deliveries()
            assert [event["type"] for event in receiver.events] == ["customer.created"]
            stripe.WebhookSignature.verify_header(receiver.bodies[0].decode(), receiver.signatures[0], "whsec_ours")


def test_events_are_listed_by_type_and_kept_for_thirty_days(shop: Shop) -> None:
    shop.customer(card=None)
    shop.api.products.create({"name": "Pro"})
    assert [event.type for event in shop.api.events.list({"type": "customer.*"}).data] == ["customer.created"]
    both = shop.api.events.list({"types": ["customer.created", "product.created"]}).data
    assert [event.type for event in both] == ["product.created", "customer.created"]
    assert shop.api.events.retrieve(both[0].id) == both[0]
    shop.emulator.advance(days=31)
    assert shop.api.events.list().data == []
    with pytest.raises(stripe.InvalidRequestError, match="No such event"):
        shop.api.events.retrieve(both[0].id)


def test_a_body_is_the_event_as_the_api_gives_it(quick: Shop) -> None:
    with Receiver() as receiver:
        quick.emulator.add_endpoint(receiver.url)
        quick.customer(card=None)
        quick.emulator.wait_for_deliveries()
        sent = json.loads(receiver.bodies[0])
        listed = quick.emulator.events()[0]
        assert {**sent, "pending_webhooks": 0} == listed


def test_a_delivery_is_tried_at_once_while_everything_is_held_back(shop: Shop) -> None:
    """For schedules: each attempt is made when it is asked for, counts as one, and may come again after a success."""
    with Receiver(lambda event, number: 500 if number == 1 else 200) as receiver:
        shop.emulator.deliveries.pause()
        shop.emulator.add_endpoint(receiver.url)
        shop.customer(card=None)
        [owed] = shop.emulator.deliveries("pending")
        assert [shop.emulator.deliveries.attempt(owed["id"])["status"] for _ in range(3)] == [500, 200, 200]
        assert len(receiver.ids) == 3
        assert [one["status"] for one in shop.emulator.deliveries("delivered")[0]["attempts"]] == [500, 200, 200]
        assert shop.emulator.get(receiver.ids[0])["pending_webhooks"] == 0
        with pytest.raises(ValueError, match="no such delivery"):
            shop.emulator.deliveries.attempt("_delivery_none")


def test_faults_are_cleared_while_deliveries_stay_held_back(shop: Shop) -> None:
    with Receiver() as receiver:
        shop.emulator.deliveries.pause()
        shop.emulator.add_endpoint(receiver.url)
        shop.emulator.fail_next("/v1/customers")
        shop.emulator.clear_faults(deliveries=False)
        shop.customer(card=None)
        assert shop.emulator.deliveries("pending")
        shop.emulator.clear_faults()
        shop.emulator.wait_for_deliveries()
        assert len(receiver.ids) == 1
