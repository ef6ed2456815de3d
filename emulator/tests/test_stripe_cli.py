"""
The official Stripe CLI against the emulator: a client that nobody here wrote.

Each trigger makes its objects by the CLI's own fixtures, so that "Trigger succeeded" and the event in the log say that
the emulator understood every request of them. [EMULATOR.md, Stripe CLI triggers to pass]
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from stripe import Webhook
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from emulator.tests.receiver import Receiver
from emulator.tests.shop import KEY, Shop
from emulator.tests.support.waiting import eventually
from scripts import stripe_cli
from stripe_emulator import Emulator, Settings

TRIGGERS = """
balance.available billing_portal.configuration.created billing_portal.configuration.updated
billing_portal.session.created charge.captured charge.dispute.closed charge.dispute.created charge.dispute.updated
charge.failed charge.refund.updated charge.refunded charge.succeeded checkout.session.async_payment_failed
checkout.session.async_payment_succeeded checkout.session.completed checkout.session.expired coupon.created
coupon.deleted coupon.updated customer.created customer.deleted customer.subscription.created
customer.subscription.deleted customer.subscription.paused customer.subscription.trial_will_end
customer.subscription.updated customer.updated invoice.created invoice.deleted invoice.finalized
invoice.marked_uncollectible invoice.paid invoice.payment_action_required invoice.payment_failed
invoice.payment_succeeded invoice.sent invoice.updated invoice.voided invoiceitem.created invoiceitem.deleted
payment_intent.amount_capturable_updated payment_intent.canceled payment_intent.created payment_intent.payment_failed
payment_intent.processing payment_intent.requires_action payment_intent.succeeded payment_method.attached
payment_method.detached payment_method.updated plan.created plan.deleted plan.updated price.created price.updated
product.created product.deleted product.updated setup_intent.canceled setup_intent.created
setup_intent.requires_action setup_intent.setup_failed setup_intent.succeeded subscription.payment_failed
subscription.payment_succeeded subscription_schedule.expiring test_helpers.test_clock.advancing
test_helpers.test_clock.created test_helpers.test_clock.deleted test_helpers.test_clock.ready
"""

STOPS_SHORT = {"subscription_schedule.expiring": 1_579_651_200}
"""Of a clock that its fixture leaves two days before the event's documented moment: the moment."""

COMES_LATER = {"checkout.session.async_payment_failed": 4, "checkout.session.async_payment_succeeded": 4}
"""Of an event that a bank's answer brings: after how many days."""

EMITTED_AS = {
    "subscription.payment_failed": "invoice.payment_failed",
    "subscription.payment_succeeded": "invoice.payment_succeeded",
}
"""The CLI's own names for two events."""

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    """Leaves what is not paid for past due: one of the fixtures' customers has no card for three weeks."""
    with Emulator(settings=Settings(dunning_end="past_due")) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def executable() -> Path:
    return stripe_cli.find() or stripe_cli.install()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("stripe_cli")
    return {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "PATH": os.environ["PATH"],
        "STRIPE_API_KEY": KEY,
        "STRIPE_CLI_TELEMETRY_OPTOUT": "1",
    }


@pytest.fixture
def stripe(running: Emulator, executable: Path, environment: dict[str, str]) -> Cli:
    """Runs `stripe …` to its end against the emulator."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(executable), *arguments, "--api-base", running.url]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)

    return run


@pytest.fixture(autouse=True)
def empty(running: Emulator) -> Iterator[None]:
    running.reset()
    yield
    assert running.shape_failures == []


@pytest.mark.parametrize("event", TRIGGERS.split())
def test_the_cli_triggers(event: str, running: Emulator, stripe: Cli) -> None:
    httpx.post(f"{running.url}/_emulator/portal/default", trust_env=False)
    before = len(running.events())
    done = stripe("trigger", event)
    assert "Trigger succeeded" in done.stdout, done.stdout + done.stderr
    if event in STOPS_SHORT:
        _advance(stripe, STOPS_SHORT[event])
    if event in COMES_LATER:
        running.advance(days=COMES_LATER[event])
    types = [one["type"] for one in _settled(running)[before:]]
    assert EMITTED_AS.get(event, event) in types


def test_a_trigger_of_what_is_not_here_says_so(stripe: Cli) -> None:
    """[EMULATOR.md] nothing passes by silence."""
    done = stripe("trigger", "payout.created")
    assert done.returncode == 1
    assert "stripe_emulator does not have this endpoint" in done.stdout + done.stderr


def test_resource_commands_work(running: Emulator, stripe: Cli) -> None:
    """docs.stripe.com/cli/resources"""
    made = _json(stripe("customers", "create", "--email", "jenny@example.com", "-d", "metadata[plan]=pro"))
    assert (made["email"], made["metadata"]) == ("jenny@example.com", {"plan": "pro"})
    assert _json(stripe("customers", "retrieve", made["id"]))["id"] == made["id"]
    assert [one["id"] for one in _json(stripe("customers", "list"))["data"]] == [made["id"]]
    assert running.get(made["id"])["email"] == "jenny@example.com"


def test_get_post_and_delete_work(running: Emulator, stripe: Cli) -> None:
    """docs.stripe.com/cli/get, /post and /delete"""
    made = _json(stripe("post", "/v1/customers", "-d", "name=Jenny"))
    assert _json(stripe("get", f"/v1/customers/{made['id']}"))["name"] == "Jenny"
    assert _json(stripe("get", made["id"]))["name"] == "Jenny"
    assert _json(stripe("delete", f"/v1/customers/{made['id']}", "--confirm"))["deleted"]


def _advance(stripe: Cli, to: int) -> None:
    """Put the only test clock further forward, as soon as it stands."""

    def clock() -> Any:
        return _json(stripe("get", "/v1/test_helpers/test_clocks"))["data"][0]

    eventually(lambda: clock()["status"] == "ready")
    _json(stripe("post", f"/v1/test_helpers/test_clocks/{clock()['id']}/advance", "-d", f"frozen_time={to}"))


def _json(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _settled(emulator: Emulator) -> list[dict[str, Any]]:
    """Every event, once begun advances of test clocks are done."""
    emulator.wait_for_deliveries()
    return emulator.events()


Listen = Callable[[Receiver], AbstractContextManager[str]]


@pytest.fixture
def listen(running: Emulator, stripe: Cli, executable: Path, environment: dict[str, str]) -> Listen:
    """`stripe listen` in a block, forwarding to an app; gives the secret it prints."""

    @contextmanager
    def listening(app: Receiver) -> Iterator[str]:
        secret = stripe("listen", "--print-secret").stdout.strip()
        options = ["--all-snapshot", "--forward-to", app.url, "--api-base", running.url, "--skip-update"]
        command = [str(executable), "listen", *options]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        try:
            assert any(secret in line for line in process.stderr)
            yield secret
        finally:
            process.terminate()
            process.wait(timeout=10)
            process.stderr.close()

    return listening


def test_listen_forwards_events_signed_with_the_secret_it_prints(stripe: Cli, listen: Listen) -> None:
    """docs.stripe.com/cli/listen"""
    with Receiver() as app, listen(app) as secret:
        stripe("trigger", "customer.created")
        eventually(lambda: len(app.bodies) == 1)
    assert Webhook.construct_event(app.bodies[0], app.signatures[0], secret).type == "customer.created"


def test_listen_forwards_an_upcoming_invoice_though_it_has_no_id(running: Emulator, listen: Listen) -> None:
    """docs.stripe.com/api/events/types#event_types-invoice.upcoming"""
    shop = Shop(running)
    shop.subscribe(shop.customer().id, shop.price().id)
    with Receiver() as app, listen(app) as secret:
        running.advance(days=25)
        eventually(lambda: len(app.bodies) == 1)
    event = Webhook.construct_event(app.bodies[0], app.signatures[0], secret)
    assert (event.type, "id" in event.data.object) == ("invoice.upcoming", False)
    shop.pages.close()


def test_a_session_that_is_not_known_is_refused(running: Emulator) -> None:
    """[stripe-cli pkg/websocket/client.go] by these words the CLI knows to begin a new session."""
    socket = running.url.replace("http", "ws") + "/v1/stripecli/socket"
    with pytest.raises(InvalidStatus) as caught, connect(socket, additional_headers={"Websocket-Id": "cliws_none"}):
        pass
    assert json.loads(caught.value.response.body)["error"]["message"] == "Unknown WebSocket ID."
