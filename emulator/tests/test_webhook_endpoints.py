"""
Webhook endpoints. [DOC] docs.stripe.com/webhooks, docs.stripe.com/api/webhook_endpoints.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stripe

from emulator.tests.receiver import Receiver
from emulator.tests.shop import Shop
from stripe_emulator import Emulator, Settings

DAY = 86_400


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Emulator(settings=Settings(delivery_delays=(0.05, 0.05, 0.05))) as emulator:
        shop = Shop(emulator)
        yield shop
        shop.pages.close()


def accepted(receiver: Receiver, secret: str) -> bool:
    """Does the SDK accept the latest delivery with this secret?"""
    try:
        stripe.Webhook.construct_event(receiver.bodies[-1], receiver.signatures[-1], secret)
    except stripe.SignatureVerificationError:
        return False
    return True


def test_while_a_secret_is_rolled_each_active_one_signs_and_then_the_new_one_alone(shop: Shop) -> None:
    """[DOC] webhooks#roll-endpoint-secrets: up to 24 hours, one signature per secret until expiration."""
    with Receiver() as receiver:
        old = shop.emulator.add_endpoint(receiver.url)
        new = shop.emulator.roll_secret(receiver.url, expires_in=DAY)
        shop.customer(card=None)
        shop.emulator.wait_for_deliveries()
        assert receiver.signatures[0].count("v1=") == 2
        assert (accepted(receiver, old), accepted(receiver, new)) == (True, True)
        shop.emulator.advance(seconds=DAY)
        shop.customer(card=None)
        shop.emulator.wait_for_deliveries()
        assert receiver.signatures[-1].count("v1=") == 1
        assert (accepted(receiver, old), accepted(receiver, new)) == (False, True)


def test_a_secret_that_is_rolled_at_once_signs_no_more(shop: Shop) -> None:
    with Receiver() as receiver:
        old = shop.emulator.add_endpoint(receiver.url)
        assert shop.emulator.roll_secret(receiver.url, "whsec_chosen") == "whsec_chosen"
        shop.customer(card=None)
        shop.emulator.wait_for_deliveries()
        assert (accepted(receiver, old), accepted(receiver, "whsec_chosen")) == (False, True)


def test_a_roll_that_makes_no_sense_is_refused(shop: Shop) -> None:
    made = shop.api.webhook_endpoints.create({"url": "http://127.0.0.1:9/x", "enabled_events": ["*"]})
    with pytest.raises(ValueError, match="86400"):
        shop.emulator.roll_secret(made.id, expires_in=DAY + 1)
    with pytest.raises(ValueError, match="whsec_"):
        shop.emulator.roll_secret(made.id, "oops")
    with pytest.raises(ValueError, match="No such webhook_endpoint"):
        shop.emulator.roll_secret("we_none")


def test_a_disabled_endpoint_gets_nothing_more_and_what_was_owed_is_given_up(shop: Shop) -> None:
    """[DOC] webhooks#automatic-retries: an endpoint disabled when a retry is due gets no more of that event."""
    with Receiver() as receiver:
        made = shop.api.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["*"]})
        shop.emulator.deliveries.pause()
        shop.customer(card=None)
        shop.api.webhook_endpoints.update(made.id, {"disabled": True})
        shop.customer(card=None)
        shop.emulator.deliveries.resume()
        shop.emulator.wait_for_deliveries()
        [given_up] = shop.emulator.deliveries("failed")
        assert given_up["attempts"][0]["error"] == "the endpoint is disabled"
        shop.api.webhook_endpoints.update(made.id, {"disabled": False})
        last = shop.customer(card=None)
        shop.emulator.wait_for_deliveries()
        assert [event["data"]["object"]["id"] for event in receiver.events] == [last.id]


def test_an_endpoint_that_was_deleted_gets_no_retries(shop: Shop) -> None:
    with Receiver() as receiver:
        made = shop.api.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["*"]})
        shop.emulator.deliveries.pause()
        shop.customer(card=None)
        shop.api.webhook_endpoints.delete(made.id)
        shop.emulator.deliveries.resume()
        shop.emulator.wait_for_deliveries()
        assert receiver.ids == []
        assert shop.emulator.deliveries("failed")[0]["attempts"][0]["error"] == "the endpoint is gone"


def test_an_endpoint_has_the_version_it_was_made_with_and_its_events_come_in_it(shop: Shop) -> None:
    """[DOC] api/webhook_endpoints/object#webhook_endpoint_object-api_version"""
    version = shop.emulator._get("/_emulator/health")["api_version"]
    with Receiver() as receiver:
        sent = {"url": receiver.url, "enabled_events": ["customer.created"]}
        made = shop.api.webhook_endpoints.create({**sent, "api_version": version})  # type: ignore[typeddict-item]
        assert made.api_version == version
        shop.customer(card=None)
        shop.emulator.wait_for_deliveries()
        assert receiver.events[0]["api_version"] == version
    assert shop.api.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["*"]}).api_version is None
    with pytest.raises(stripe.InvalidRequestError, match=r"sends .* only"):
        shop.api.webhook_endpoints.create({**sent, "api_version": "2020-08-27"})  # type: ignore[typeddict-item]


def test_enabled_events_can_be_changed(shop: Shop) -> None:
    with Receiver() as receiver:
        made = shop.api.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["product.created"]})
        shop.api.webhook_endpoints.update(made.id, {"enabled_events": ["customer.created"]})
        shop.api.products.create({"name": "Pro"})
        shop.customer(card=None)
        shop.emulator.wait_for_deliveries()
        assert [event["type"] for event in receiver.events] == ["customer.created"]
